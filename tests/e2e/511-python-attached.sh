#!/bin/bash
# SPDX-License-Identifier: MIT
# Python attached to in mid-run: its steps from there on, and memory at the end as recorded, agent or not.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154
source "$(dirname "$0")/500-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
TESTS=$PWD/tests/python

step "to its end"
print_midrun "$PYTHON" "$TESTS/midrun.py"
timeout 60 "$PYTHON" "$TESTS/truth.py" "$TESTS/midrun.py" "$T/truth" >/dev/null
"$PYTHON" "$TESTS/compare.py" "$T/truth" "$T/steps" --suffix || fail "not as sys.settrace has it"

step "the replay is the same with the agent in it"
assert_agent_unseen "$PYTHON" "$TESTS/busy.py"
