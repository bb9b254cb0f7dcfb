#!/bin/bash
# SPDX-License-Identifier: MIT
# Python attached to in mid-run: its steps from there on, and memory at the end as recorded, agent or not.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
TESTS=$PWD/tests/python

step "to its end"
start_target midrun "$PYTHON" "$TESTS/midrun.py"
sleep 0.5
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -p "$PID_midrun" -o "$T/midrun.ctr"
rc=0
timeout 120 "$CTBPF" index --print --files midrun.py "$T/midrun.ctr" >"$T/steps" || rc=$?
assert_eq $rc 0 "exit status of index"
timeout 60 "$PYTHON" "$TESTS/truth.py" "$TESTS/midrun.py" "$T/truth" >/dev/null
"$PYTHON" "$TESTS/compare.py" "$T/truth" "$T/steps" --suffix || fail "not as sys.settrace has it"

step "the replay is the same with the agent in it"
start_target busy "$PYTHON" "$TESTS/busy.py"
wait_for 10 grep -q ready "$T/busy.log" || fail "the target does not start"
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -p "$PID_busy" -d 0.3 -o "$T/busy.ctr"
assert_recording "$T/busy.ctr"
assert_status 0 timeout 100 "$CTBPF" verify "$T/busy.ctr"
assert_status 0 timeout 100 "$CTBPF" index "$T/busy.ctr"
[[ $OUT =~ ([0-9]+)\ lines,\ ([0-9]+)\ calls,\ ([0-9]+)\ values ]] || fail "no counts: $OUT"
assert_ge "${BASH_REMATCH[1]}" 1000 lines
lines=${BASH_REMATCH[1]}
assert_ge "${BASH_REMATCH[3]}" 1000 values
values=${BASH_REMATCH[3]}
assert_status 0 timeout 100 "$CTBPF" index --no-values "$T/busy.ctr"
assert_contains "$OUT" "$lines lines"
[[ $OUT =~ ([0-9]+)\ values ]] || fail "no counts: $OUT"
assert_le "${BASH_REMATCH[1]}" $((values / 2)) "values without variables"
