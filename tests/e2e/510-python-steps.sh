#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` finds in recordings of Python programs the very lines, calls, exceptions and values that sys.settrace sees.
# timeout: 600
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
TESTS=$PWD/tests/python
# NAME PROGRAM: $T/NAME.ctr has the steps of a run of its own
agrees() {
	rm -rf "$T"/last.*
	timeout 120 "$CTBPF" index --print --files "$2" "$T/$1.ctr" >"$T/last.steps" || fail "$1: exit status $? of index"
	timeout 60 "$PYTHON" "$TESTS/truth.py" "$2" "$T/last.truth" >/dev/null || fail "$1: exit status $? of its own run"
	"$PYTHON" "$TESTS/compare.py" "$T/last.truth" "$T/last.steps" || fail "$1: not as sys.settrace has it"
	rm -rf "$T/$1.ctr"
}
for program in "$TESTS"/programs/*.py; do
	name=$(basename "$program" .py)
	since=$(sed -n '1s/^# since 3\.//p' "$program")
	[ "$("$PYTHON" -c 'import sys; print(sys.version_info[1])')" -ge "${since:-8}" ] || continue
	step "$name"
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/$name.ctr" -- "$PYTHON" "$program"
	beside "$name" agrees "$name" "$program"
done
beside
[ ${#BESIDE[@]} = 0 ] || fail "${BESIDE[*]}"

step "a missing line is noticed"
sed '0,/ line$/{/ line$/d}' "$T/last.steps" >"$T/fewer"
if "$PYTHON" "$TESTS/compare.py" "$T/last.truth" "$T/fewer" >/dev/null; then fail "the comparison does not see a missing line"; fi
