#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` of C and C++ programs: the very lines and integers that gdb sees when it steps through them, calls paired
# over longjmp and exceptions; threads, forks, what is attached to; and the recording replays as before.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154
source "$(dirname "$0")/500-common.sh"

TESTS=$PWD/tests/native
need gcc g++ gdb python3
# PROGRAM SOURCE [PLACE...]: compiled, recorded, indexed to $T/steps; and what gdb says, which cannot step to these places
agrees() {
	local source=$TESTS/$2
	rm -rf "$T/r.ctr"
	SOURCE=$2 TRUTH=$T/truth BREAK="${*:3}" timeout 100 gdb -nx -q -batch -x "$TESTS/truth.py" "$1" >"$T/gdb" 2>&1 || true
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/r.ctr" -- "$1"
	assert_status 0 timeout 100 "$CTBPF" index --print --files "$source" "$T/r.ctr"
	echo "$OUT" | grep -E '^[0-9]+ ' >"$T/steps"
	python3 "$TESTS/compare.py" "$T/truth" "$T/steps" || fail "not as gdb has it: $(grep -i error "$T/gdb" || true)"
}
line_of() { grep -n -- "$1" "$2" | cut -d: -f1 | paste -sd' '; }
query() { "$CTBPF" query --csv "$T/r.ctr" "$1" | tail -n +2 | tr -d '\r'; }

step "C: recursion, pointers to functions, structures, loops, longjmp, a signal's handler"
gcc -g -O0 -o "$T/calls" "$TESTS/calls.c"
# shellcheck disable=SC2046
agrees "$T/calls" calls.c on_signal $(line_of 'if (n)$' "$TESTS/calls.c")
assert_eq "$(grep -c ' deep unwind <longjmp>$' "$T/steps")" 5 "calls that longjmp has left"
assert_contains "$(cat "$T/steps")" " moved return struct point(x=244, y=-241, name='origin')"
assert_contains "$(cat "$T/steps")" "argument f = <function multiply>"
assert_contains "$(cat "$T/steps")" " total return 1.75"
assert_contains "$(cat "$T/steps")" "first = struct list(next=struct list *(next=struct list *(next=None, weight=0.5, color=BLUE), weight=100.0, color=GREEN), weight=1.25, color=RED)"

step "a missing line is noticed, and another value"
sed '0,/ line$/{/ line$/d}' "$T/steps" >"$T/fewer"
if python3 "$TESTS/compare.py" "$T/truth" "$T/fewer" >/dev/null; then fail "the comparison does not see a missing line"; fi
sed 's/ value result = 8$/ value result = 9/' "$T/steps" >"$T/other"
if python3 "$TESTS/compare.py" "$T/truth" "$T/other" >/dev/null; then fail "the comparison does not see another value"; fi

step "chosen functions only, and values only as deep as is asked for"
assert_status 0 "$CTBPF" index --print --functions 'facto*' --functions total --depth 1 "$T/r.ctr"
assert_eq "$(grep -E ' (call|line|return)' <<<"$OUT" | awk '{ print $3 }' | sort -u | paste -sd' ')" "factorial total" functions
assert_contains "$OUT" "argument l = const struct list *(next=<struct list *>, weight=1.25, color=RED)"
assert_status 0 "$CTBPF" index --print --functions factorial --no-values "$T/r.ctr"
assert_eq "$(grep -c argument <<<"$OUT" || true)" 0 arguments
assert_status 0 "$CTBPF" index --print "$T/r.ctr"
assert_contains "$OUT" "of native code say which"
assert_status 0 "$CTBPF" verify "$T/r.ctr"

step "optimized code: calls, tail calls among them, are the same"
gcc -g -O2 -fno-inline -o "$T/fast" "$TESTS/calls.c"
assert_status 0 "$CTBPF" record -q -o "$T/fast.ctr" -- "$T/fast"
assert_status 0 "$CTBPF" index --print --functions factorial --functions deep --functions multiply --functions apply "$T/fast.ctr"
assert_eq "$(grep -c ' deep unwind <longjmp>$' <<<"$OUT")" "$(grep -c ' deep call ' <<<"$OUT")" "calls that longjmp has left"
assert_contains "$OUT" " multiply return 12"
assert_eq "$(grep -c ' apply return' <<<"$OUT")" 2 "calls of apply"

step "C++: exceptions with clean-up, thrown again, methods, a template, a lambda"
g++ -g -O0 -o "$T/throws" "$TESTS/throws.cc"
agrees "$T/throws" throws.cc 'shop::Refused::~Refused' "$(line_of 'gdb breaks here' "$TESTS/throws.cc")"
assert_eq "$(grep -c ' unwind <shop::Refused>$' "$T/steps")" 7 "calls that an exception has left"
assert_status 0 timeout 100 "$CTBPF" index --files throws.cc "$T/r.ctr"
assert_eq "$OUT" "$(grep -c ' line$' "$T/steps") lines, $(grep -c ' call #' "$T/steps") calls, $(query 'SELECT count(*) FROM "values"') values"
assert_eq "$(query "SELECT DISTINCT language FROM functions")" c++ language
assert_eq "$(query "SELECT count(*) FROM calls WHERE exception = 'shop::Refused'")" 7 "calls with exceptions in the database"
assert_eq "$(query "SELECT value FROM \"values\" v JOIN functions f ON f.id = v.function_id WHERE kind = 'return' AND f.name = 'shop::Account::withdraw'")" 70 result
assert_status 0 "$CTBPF" query --exceptions "$T/r.ctr"
assert_contains "$OUT" shop::Refused

step "threads and a fork"
gcc -g -O0 -pthread -o "$T/together" "$TESTS/together.c"
assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/m.ctr" -- "$T/together"
assert_status 0 timeout 100 "$CTBPF" index --print --files together.c "$T/m.ctr"
assert_eq "$(grep ' work return' <<<"$OUT" | awk '{ print $5 }' | sort -n | uniq -c | awk '{ print $1, $2 }' | paste -sd,)" "20 10,1 12,20 20,20 30" "results of work"
assert_eq "$(grep ' work call' <<<"$OUT" | awk '{ print $1 }' | sort -u | wc -l)" 4 "threads that call it"
assert_eq "$(grep -c ' main unwind <exit>$' <<<"$OUT")" 1 "calls in which the fork has ended"

step "what the first process executes, be it static"
gcc -g -O0 -static -pthread -o "$T/static" "$TESTS/together.c"
for program in together static; do
	assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/e-$program.ctr" -- sh -c "exec $T/$program"
	assert_status 0 timeout 100 "$CTBPF" index --print --functions work --no-values "$T/e-$program.ctr"
	assert_eq "$(grep -c ' work return' <<<"$OUT")" 61 "calls of work in $program"
done

# REGEX: calls, arguments and lines of it are in a recording of $T/other
factorial() {
	rm -rf "$T/o.ctr"
	assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/o.ctr" -- "$T/other"
	assert_status 0 timeout 100 "$CTBPF" index --print --functions factorial "$T/o.ctr"
	assert_eq "$(grep -cE ":$1 [a-z:.]*factorial call #" <<<"$OUT")" 5 "calls of factorial"
	assert_eq "$(sed -n 's/.* argument n = //p' <<<"$OUT" | paste -sd' ')" "5 4 3 2 1" "its arguments"
	assert_eq "$(grep -c 'factorial return' <<<"$OUT")" 5 "its returns"
}
if command -v rustc >/dev/null; then
	step "Rust"
	printf 'fn factorial(n: u64) -> u64 {\n if n < 2 { return 1; }\n n * factorial(n - 1)\n}\nfn main() { println!("{}", factorial(5)); }\n' >"$T/other.rs"
	rustc -g -o "$T/other" "$T/other.rs"
	factorial 1
	assert_contains "$OUT" "factorial return 120"
fi
if command -v go >/dev/null; then
	step "Go"
	printf 'package main\n\nfunc factorial(n int) int {\n\tif n < 2 {\n\t\treturn 1\n\t}\n\treturn n * factorial(n-1)\n}\n\nfunc main() { println(factorial(5)) }\n' >"$T/other.go"
	GOCACHE=$T/go go build -gcflags='all=-N -l' -o "$T/other" "$T/other.go"
	factorial 3
fi

step "attached to in the midst of its calls"
start_target together "$T/together" on
sleep 0.2
assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/a.ctr" -d 1 -p "$PID"
stop "$PID"
assert_status 0 timeout 100 "$CTBPF" index --print --files together.c "$T/a.ctr"
assert_matches "$(grep -E ' (call|resume) ' <<<"$OUT" | head -n 2 | awk '{ print $3, $4 }' | paste -sd,)" '^main resume,(serve resume|serve call)$'
calls=$(grep -c ' work call' <<<"$OUT")
[ "$calls" -gt 5 ] || fail "only $calls calls"
