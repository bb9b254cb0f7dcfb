#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` of C and C++ programs: the very lines and integers that gdb sees when it steps through them, calls paired
# over longjmp and exceptions; threads, forks, what is attached to; and the recording replays as before.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154
source "$(dirname "$0")/500-common.sh"

TESTS=$PWD/tests/native
need gcc g++ gdb python3 rustc nim go
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

# COMMAND...: recorded and indexed to $T/told, only what $WHAT chooses, without the thread
told() {
	rm -rf "$T/o.ctr"
	assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/o.ctr" -- "$@"
	# shellcheck disable=SC2086
	assert_status 0 timeout 100 "$CTBPF" index --print $WHAT "$T/o.ctr"
	grep -E '^[0-9]+ ' <<<"$OUT" | cut -d' ' -f2- >"$T/told"
}

step "what a shell executes, process by process, and forks of a server before they execute anything"
printf '#include <stdio.h>\nstatic void say(const char *text) { puts(text); }\nint main(void) { say("ab"); say("c"); return 0; }\n' >"$T/say.c"
printf '#include <ctype.h>\n#include <stdio.h>\nstatic int change(int c) { return toupper(c); }\nint main(void) { int c; while ((c = getchar()) != EOF) putchar(change(c)); return 0; }\n' >"$T/change.c"
cat >"$T/prefork.c" <<-'END'
	#include <sys/wait.h>
	#include <unistd.h>
	static int serve(int worker)
	{
		return worker * 10;
	}
	int main(int argc, char **argv)
	{
		for (int i = 1; i <= 3; i++)
			if (!fork()) {
				int n = serve(i);
				if (i == 2)
					execl(argv[1], argv[1], (char *)0);
				_exit(n);
			}
		while (wait(0) > 0)
			;
		return argc - 2;
	}
END
for program in say change prefork; do gcc -g -O0 -o "$T/$program" "$T/$program.c"; done
WHAT="--functions say --functions change" told sh -c "$T/say | $T/change"
assert_eq "$(grep -c ' say call ' "$T/told")" 2 "calls of say"
assert_eq "$(sed -n 's/.* change return //p' "$T/told" | paste -sd' ')" "65 66 10 67 10" "results of change"
assert_eq "$(grep -E ' (say|change) call ' <<<"$OUT" | cut -d' ' -f1 | sort -u | wc -l)" 2 processes
WHAT="--functions serve --functions say" told "$T/prefork" "$T/say"
assert_eq "$(sed -n 's/.* serve return //p' "$T/told" | sort | paste -sd' ')" "10 20 30" "results of serve"
assert_eq "$(grep -c ' say call ' "$T/told")" 2 "calls of say, by a fork"
assert_status 0 "$CTBPF" verify "$T/o.ctr"

step "inlined functions are calls"
cat >"$T/inline.c" <<-'END'
	#include <stdio.h>
	#define INLINE static inline __attribute__((always_inline))
	INLINE int twice(int n)
	{
		int m = n * 2;
		return m + 1;
	}
	INLINE int outer(int a)
	{
		int b = twice(a);
		return b + twice(b);
	}
	__attribute__((noinline)) int work(int x)
	{
		int sum = 0;
		for (int i = 0; i < 2; i++)
			sum += outer(x + i);
		return sum;
	}
	int main(int argc, char **argv)
	{
		(void)argv;
		printf("%d\n", work(argc));
		return 0;
	}
END
gcc -g -O0 -o "$T/inline" "$T/inline.c"
WHAT="--functions work --functions outer --functions twice" told "$T/inline"
assert_eq "$(sed -nE 's/^[^ ]* ([a-z]*) (call|return).*/\1 \2/p' "$T/told" | paste -sd,)" \
	"work call,$(for _ in 1 2; do printf 'outer call,twice call,twice return,twice call,twice return,outer return,'; done)work return" "calls"
assert_eq "$(sed -nE 's/.*:([0-9]+ twice) line/\1/p' "$T/told" | paste -sd,)" "$(for _ in 1 2 3; do printf '5 twice,6 twice,'; done)5 twice,6 twice" "lines"
WHAT="--functions twice" told "$T/inline"
assert_eq "$(grep -c ' twice call ' "$T/told")" 4 "calls in what nobody has chosen"
assert_eq "$(sed -n 's/.* argument n = //p' <<<"$OUT" | paste -sd' ')" "1 3 2 5" "their arguments"

# FILE LINES...: of total(), which adds twice each of three numbers, `12` is the result
languages() {
	WHAT="--functions *total" told "$T/other"
	assert_eq "$(sed -nE "s/^[^ ]*$1:([0-9]+) [a-z:.]*total line/\1/p" "$T/told" | paste -sd' ')" "$2" "lines of total"
	assert_contains "$OUT" "'socks', items=[1, 2, 3]"
	assert_contains "$OUT" "argument factor = 2"
	assert_eq "$(sed -nE 's/^[0-9]+ +value sum = //p' <<<"$OUT" | tail -n 3 | paste -sd' ')" "2 6 12" "values of sum"
	assert_eq "$(grep -c ' [a-z:.]*total return' "$T/told")" 1 "its return"
}
step "C++: strings and vectors"
cat >"$T/other.cc" <<-'END'
	#include <string>
	#include <vector>
	struct Order {
		std::string name;
		std::vector<int> items;
	};
	static int total(const Order &order, int factor)
	{
		int sum = 0;
		for (int item : order.items)
			sum += item * factor;
		return sum;
	}
	int main()
	{
		Order order{"socks", {1, 2, 3}};
		return total(order, 2) - 12;
	}
END
g++ -g -O0 -o "$T/other" "$T/other.cc"
languages other.cc "9 10 11 10 11 10 11 10 12 13"
assert_contains "$OUT" " total return 12"
step "Rust"
cat >"$T/other.rs" <<-'END'
	struct Order { name: String, items: Vec<u32> }
	fn total(order: &Order, factor: u32) -> u32 {
	    let mut sum = 0;
	    for item in &order.items {
	        sum += item * factor;
	    }
	    sum
	}
	fn main() {
	    let order = Order { name: String::from("socks"), items: vec![1, 2, 3] };
	    println!("{} {}", order.name, total(&order, 2));
	}
END
rustc -g -o "$T/other" "$T/other.rs"
languages other.rs "3 4 5 4 5 4 5 4 7 8"
assert_contains "$OUT" "total return 12"
step "Nim"
cat >"$T/other.nim" <<-'END'
	type Order = object
	  name: string
	  items: seq[int]
	proc total(order: Order, factor: int): int =
	  var sum = 0
	  for item in order.items:
	    sum += item * factor
	  result = sum
	proc main() =
	  let order = Order(name: "socks", items: @[1, 2, 3])
	  echo total(order, 2)
	main()
END
nim c --hints:off --debugger:native --nimcache:"$T/nim" -o:"$T/other" "$T/other.nim"
languages other.nim "4 5 6 6 6 8" # its compiler says that the body is at 6, too
assert_contains "$OUT" " total return 12"
step "Go"
cat >"$T/other.go" <<-'END'
	package main

	type Order struct {
		name  string
		items []int
	}

	func total(order *Order, factor int) int {
		sum := 0
		for _, item := range order.items {
			sum += item * factor
		}
		return sum
	}

	func main() {
		order := &Order{"socks", []int{1, 2, 3}}
		println(order.name, total(order, 2))
	}
END
GOCACHE=$T/go go build -gcflags='all=-N -l' -o "$T/other" "$T/other.go"
languages other.go "8 9 10 11 10 11 10 11 10 13"
assert_contains "$OUT" " main.total return 12"
case $OUT in *"~r0"*) fail "a result without a name is told of as a variable" ;; esac
step "Go: several results, of all kinds, with and without optimization"
cat >"$T/results.go" <<-'END'
	package main

	type Pair struct {
		a int
		b float64
	}

	//go:noinline
	func pair(n int) (Pair, error) { return Pair{n, 1.5}, nil }

	//go:noinline
	func many(n int) (a bool, b uint8, c float32, d []int) { return n > 1, uint8(n), 2.5, []int{n, n + 1} }

	//go:noinline
	func text(n int) string { return "socks"[:n] }

	//go:noinline
	func mixed(n int) ([2]int, int, string) { return [2]int{n, n}, n * 2, "m" }

	//go:noinline
	func big(n int) [2]int { return [2]int{n, n} }

	func main() {
		p, e := pair(3)
		a, b, c, d := many(7)
		x, y, z := mixed(5)
		println(p.a, e == nil, a, b, c, len(d), x[0], y, z, text(4), big(1)[0])
	}
END
for flags in all= 'all=-N -l'; do
	GOCACHE=$T/go go build -gcflags="$flags" -o "$T/results" "$T/results.go"
	WHAT="--files results.go" told "$T/results"
	assert_eq "$(sed -nE 's/^.* main\.([a-z]+ return)/\1/p' <<<"$OUT")" \
		"pair return (main.Pair(a=3, b=1.5), error(tab=None, data=None))
many return (True, 7, 2.5, [7, 8])
mixed return (<[2]int>, 10, 'm')
text return 'sock'
big return
main return" "results with $flags"
done

step "attached to in the midst of its calls"
start_target together "$T/together" on
sleep 0.2
assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/a.ctr" -d 1 -p "$PID"
stop "$PID"
assert_status 0 timeout 100 "$CTBPF" index --print --files together.c "$T/a.ctr"
assert_matches "$(grep -E ' (call|resume) ' <<<"$OUT" | head -n 2 | awk '{ print $3, $4 }' | paste -sd,)" '^main resume,(serve resume|serve call)$'
calls=$(grep -c ' work call' <<<"$OUT")
[ "$calls" -gt 5 ] || fail "only $calls calls"
