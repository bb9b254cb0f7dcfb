#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` of Ruby programs: the very lines, calls, exceptions and values that TracePoint sees, on 3.1 and 3.3.
# timeout: 900
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154
source "$(dirname "$0")/500-common.sh"

RUBY=${RUBY:-/usr/bin/ruby3.1}
need "$RUBY"
TESTS=$PWD/tests/ruby
compare() { "$RUBY" --disable-gems "$TESTS/compare.rb" "$@"; }
# RUBY PROGRAM: into $T/r.ctr
recorded() {
	rm -rf "$T/r.ctr"
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/r.ctr" -- "$1" --disable-gems "$2"
}
# RUBY PROGRAM RECORDING: it has the steps of a run of its own
agrees() {
	local rc=0
	rm -rf "$T/truth"
	timeout 120 "$CTBPF" index --print --files "$2" "$3" >"$T/steps" || rc=$?
	assert_eq $rc 0 "exit status of index"
	timeout 60 "$1" --disable-gems "$TESTS/truth.rb" "$2" "$T/truth" >/dev/null
	compare "$T/truth" "$T/steps"
}

# Where another suite's packages can be had: scripts/setup tells if not.
rubies=("$RUBY")
other=$(scripts/interpreter ruby 3.3) && rubies+=("$other")
programs=("$TESTS"/programs/*.rb)
# RUBY NUMBER PROGRAM...: $T/NUMBER.ctr has the steps of runs of their own
agree() {
	local ruby=$1 dir=$T/$2 recording=$T/$2.ctr program name files=()
	shift 2
	mkdir "$dir"
	for program; do files+=(--files "$program"); done
	timeout 200 "$CTBPF" index --print "${files[@]}" "$recording" >"$dir/all" || fail "exit status $? of index"
	split_steps "$dir/all" "$dir" || fail "what are these steps?"
	for program; do
		name=$(basename "$program" .rb)
		timeout 60 "$ruby" --disable-gems "$TESTS/truth.rb" "$program" "$dir/$name.truth" >/dev/null
		compare "$dir/$name.truth" "$dir/$name.steps" || fail "$name"
	done
	rm -rf "$recording"
}
for ruby in "${rubies[@]}"; do
	for ((i = 0; i < ${#programs[@]}; i += 5)); do
		some=("${programs[@]:i:5}") name=$(basename "$ruby").$i
		step "$(basename "$ruby") $(basename -s .rb -a "${some[@]}" | paste -sd' ')"
		record_each "$T/$name.ctr" "$ruby" --disable-gems -- "${some[@]}"
		beside "$name" agree "$ruby" "$name" "${some[@]}"
	done
done
beside
[ ${#BESIDE[@]} = 0 ] || fail "not as TracePoint has it: ${BESIDE[*]}"

step "a missing line is noticed, and another value"
steps=$(grep -l '   value sum = 0' "$T/$(basename "$RUBY")".*/*.steps | head -n 1) truth=${steps%.steps}.truth
sed '0,/ line$/{/ line$/d}' "$steps" >"$T/fewer"
if compare "$truth" "$T/fewer" >/dev/null; then fail "the comparison does not see a missing line"; fi
sed '0,/   value sum = 0/s//   value sum = 1/' "$steps" >"$T/other"
if compare "$truth" "$T/other" >/dev/null; then fail "the comparison does not see another value"; fi

step "the database has what was printed"
program=$TESTS/programs/13_interpreter.rb
recorded "$RUBY" "$program"
agrees "$RUBY" "$program" "$T/r.ctr" || fail "not as TracePoint has it"
assert_status 0 timeout 100 "$CTBPF" index --files "$program" "$T/r.ctr"
assert_contains "$OUT" "$(grep -c ' line$' "$T/steps") lines, $(grep -c ' call #' "$T/steps") calls"
query() { "$CTBPF" query --csv "$T/r.ctr" "$1" | tail -n +2 | tr -d '\r'; }
assert_eq "$(query "SELECT DISTINCT language FROM functions ORDER BY 1" | paste -sd' ')" "c ruby" languages
assert_eq "$(query "SELECT count(*) FROM calls JOIN functions f ON f.id = function_id WHERE f.name = 'Class#new'")" \
	"$(grep -c ' Class#new call #' "$T/steps")" "calls of Class#new"
assert_ge "$(grep -c ' Class#new call #' "$T/steps")" 1 "calls of Class#new"
assert_eq "$(query "SELECT count(*) FROM calls JOIN functions f ON f.id = function_id WHERE f.name = 'Parser#product'")" \
	"$(grep -c ' Parser#product call #' "$T/steps")" "calls of Parser#product"
assert_eq "$(query "SELECT count(*) FROM values v JOIN functions f ON f.id = v.function_id WHERE kind = 'return' AND f.name = 'Machine#run' AND type = 'Float' AND value = 6.0")" \
	1 "results of 1.5 * 4"
assert_status 0 "$CTBPF" query --exceptions "$T/r.ctr"
assert_contains "$OUT" SyntaxProblem
assert_contains "$OUT" ZeroDivisionError

step "attached to in mid-run, to its end"
print_midrun "$RUBY" --disable-gems "$TESTS/midrun.rb"
assert_contains "$(head -n 3 "$T/steps")" " outer resume "
timeout 60 "$RUBY" --disable-gems "$TESTS/truth.rb" "$TESTS/midrun.rb" "$T/truth" >/dev/null
compare "$T/truth" "$T/steps" --suffix || fail "not as TracePoint has it"

step "the replay is the same with the agent in it"
assert_agent_unseen "$RUBY" --disable-gems "$TESTS/busy.rb"
