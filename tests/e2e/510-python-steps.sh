#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` finds in recordings of Python programs the very lines, calls, exceptions and values that sys.settrace sees.
# timeout: 600
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
TESTS=$PWD/tests/python
bad=()
for program in "$TESTS"/programs/*.py; do
	name=$(basename "$program" .py)
	since=$(sed -n '1s/^# since 3\.//p' "$program")
	[ "$("$PYTHON" -c 'import sys; print(sys.version_info[1])')" -ge "${since:-8}" ] || continue
	step "$name"
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/$name.ctr" -- "$PYTHON" "$program"
	rc=0
	timeout 120 "$CTBPF" index --print --files "$program" "$T/$name.ctr" >"$T/steps" || rc=$?
	assert_eq $rc 0 "exit status of index"
	timeout 60 "$PYTHON" "$TESTS/truth.py" "$program" "$T/truth" >/dev/null
	"$PYTHON" "$TESTS/compare.py" "$T/truth" "$T/steps" || bad+=("$name")
	rm -rf "$T/$name.ctr" "$T/truth.child"
done
[ ${#bad[@]} = 0 ] || fail "not as sys.settrace has it: ${bad[*]}"

step "a missing line is noticed"
sed '0,/ line$/{/ line$/d}' "$T/steps" >"$T/fewer"
if "$PYTHON" "$TESTS/compare.py" "$T/truth" "$T/fewer" >/dev/null; then fail "the comparison does not see a missing line"; fi
