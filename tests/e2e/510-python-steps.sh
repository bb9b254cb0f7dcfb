#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` finds in recordings of Python programs the very lines, calls, exceptions and values that sys.settrace sees.
# timeout: 600
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154
source "$(dirname "$0")/500-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
TESTS=$PWD/tests/python
# NUMBER PROGRAM...: $T/NUMBER.ctr has the steps of runs of their own
agrees() {
	local dir=$T/$1 recording=$T/$1.ctr program name files=()
	shift
	mkdir "$dir"
	for program; do files+=(--files "$program"); done
	timeout 200 "$CTBPF" index --print "${files[@]}" "$recording" >"$dir/all" || fail "exit status $? of index"
	split_steps "$dir/all" "$dir" || fail "what are these steps?"
	for program; do
		name=$(basename "$program" .py)
		timeout 60 "$PYTHON" "$TESTS/truth.py" "$program" "$dir/$name.truth" >/dev/null || fail "$name: exit status $? of its own run"
		"$PYTHON" "$TESTS/compare.py" "$dir/$name.truth" "$dir/$name.steps" || fail "$name: not as sys.settrace has it"
	done
	rm -rf "$recording"
}
programs=()
for program in "$TESTS"/programs/*.py; do
	since=$(sed -n '1s/^# since 3\.//p' "$program")
	[ "$("$PYTHON" -c 'import sys; print(sys.version_info[1])')" -ge "${since:-8}" ] && programs+=("$program")
done
for ((i = 0; i < ${#programs[@]}; i += 8)); do
	some=("${programs[@]:i:8}")
	step "$(basename -s .py -a "${some[@]}" | paste -sd' ')"
	record_each "$T/$i.ctr" "$PYTHON" -- "${some[@]}"
	beside "programs from $(basename "${some[0]}") on" agrees $i "${some[@]}"
done
beside
[ ${#BESIDE[@]} = 0 ] || fail "${BESIDE[*]}"

step "a missing line is noticed"
sed '0,/ line$/{/ line$/d}' "$T/0/01_generators.steps" >"$T/fewer"
if "$PYTHON" "$TESTS/compare.py" "$T/0/01_generators.truth" "$T/fewer" >/dev/null; then fail "the comparison does not see a missing line"; fi
