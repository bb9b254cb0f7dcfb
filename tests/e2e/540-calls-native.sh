#!/bin/bash
# SPDX-License-Identifier: MIT
# Native calls recorded live are exactly those the program makes, over longjmp, tail calls, deep recursion and C++
# exceptions; afterwards its code is what it was.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016,SC2119
source "$(dirname "$0")/540-common.sh"
need g++ gcc

step "a known sequence, from its middle on"
start_target seq "$PROGRAMS/callseq" 3
wait_for 5 grep -q ready "$T/seq.log"
before=$(shape "$PID_seq") text=$(text_sum "$PID_seq")
record "$T/r.ctr" "$PID_seq" 0.7 --functions 'seq_*'
assert_contains "$OUT" "8 functions in 1 file"
assert_contains "$OUT" "single-stepped"
assert_eq "$(text_sum "$PID_seq")" "$text" "its code afterwards"
assert_shape "$PID_seq" "$before"
calls "$T/r.ctr" >"$T/calls"
cat >"$T/check.py" <<'PY'
import collections, json, sys

def expected(thread, n):
    yield 1, "seq_round", [thread, n]
    yield 2, "seq_leaf", [thread, n]
    yield 2, "seq_jumped_over", [n]
    yield 3, "seq_jumps", [n + 1]
    yield 2, "seq_six", [1, 2, 3, 4, 5, n]
    for deep in [n % 7] + ([100] if n % 50 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "seq_recursive", [deep - i]
    yield 2, "seq_tail", []
    yield 2, "seq_leaf", [n + 1, 7]
    yield 2, "seq_jump_first", [n]
    if n % 2:
        yield 2, "seq_leaf", [n, 1]

def results(name, args):
    if name == "seq_leaf":
        return args[0] * 3 + args[1]

threads, deep = collections.defaultdict(list), 0
for e in map(json.loads, open(sys.argv[1])):
    threads[e["tid"]].append(e)
assert len(threads) == 3, len(threads)
for tid, events in threads.items():
    calls = [e for e in events if e["type"] == "call"]
    assert calls, tid
    # A round may have begun before.
    first = next(i for i, e in enumerate(calls) if e["name"] == "seq_round")
    assert first < 200, first
    thread, n = (int(x, 16) for x in calls[first]["args"][:2])
    base = calls[first]["depth"]
    i, rounds = first, 0
    while i < len(calls):
        for depth, name, args in expected(thread, n):
            if i == len(calls):
                break
            e = calls[i]
            got = [int(x, 16) for x in e["args"][:len(args)]]
            assert (e["name"], e["depth"]) == (name, depth), (tid, n, i, e, name, depth)
            assert got == args or len(e["args"]) < len(args), (tid, n, e, args)
            i += 1
        n += 1
        rounds += 1
    assert rounds > 5, rounds
    # Every return is that of the call that is open at its depth, and comes after it.
    stack = []
    for e in events:
        if e["type"] == "call":
            del stack[e["depth"] - 1:]
            stack.append(e)
            deep = max(deep, e["depth"])
            continue
        assert e["depth"] <= len(stack), (tid, e, stack)
        call = stack[e["depth"] - 1]
        del stack[e["depth"] - 1:]
        assert call["function"] == e["function"] and call["entered_ns"] <= e["time_ns"], (tid, e, call)
        want = results(e["name"], [int(x, 16) for x in call["args"]])
        assert want is None or int(e["value"], 16) == want, (e, call)
assert deep > 100, deep
PY
python3 "$T/check.py" "$T/calls" || fail "not the calls that were made"

step "filters: depth, duration, thread, rate"
record "$T/depth.ctr" "$PID_seq" 0.2 --functions 'seq_*' --depth 2
calls "$T/depth.ctr" | has_line '"depth":2'
! calls "$T/depth.ctr" | has_line '"depth":3' || fail "deeper than asked for"
record "$T/min.ctr" "$PID_seq" 0.5 --functions seq_round --min-duration 1us
calls "$T/min.ctr" | python3 -c '
import json, sys
events, open_calls = [json.loads(l) for l in sys.stdin], {}
assert len(events) > 10
for e in events:
    if e["type"] == "call":
        open_calls[e["tid"]] = e
    else:
        assert e["time_ns"] - open_calls.pop(e["tid"])["entered_ns"] >= 1000, e
' || fail "a call that was too short"
tid=$(find "/proc/$PID_seq/task" -mindepth 1 -printf '%f\n' | sort -n | tail -n 1)
record "$T/thread.ctr" "$PID_seq" 0.2 --functions seq_round --thread "$tid"
assert_eq "$(calls "$T/thread.ctr" | json_tids)" "$tid" "threads"
record "$T/rate.ctr" "$PID_seq" 0.3 --functions 'seq_leaf' --max-rate 5
assert_contains "$OUT" "NOT recorded"
assert_contains "$("$CTBPF" dump --type note "$T/rate.ctr")" "than asked for"
assert_le "$(calls "$T/rate.ctr" | grep -c '"type":"call"')" 30 "calls"
stop "$PID_seq"

step "what cannot be done is said"
start_target sleeper sleep 100
assert_status 3 "$CTBPF" record --no-replay --functions 'no_such_*' -p "$PID_sleeper" -o "$T/none.ctr"
assert_contains "$OUT" "no function like 'no_such_*'"
[ ! -e "$T/none.ctr" ] || fail "a recording is left"
assert_status 2 "$CTBPF" record --functions x -p "$PID_sleeper"
assert_contains "$OUT" "--no-replay"

step "C++: exceptions pass through, names are those of the source"
cat >"$T/throws.cc" <<'CC'
#include <cstdio>
#include <stdexcept>
#include <unistd.h>
namespace shop {
struct Order {
	int total;
	__attribute__((noinline)) int check(int limit) const
	{
		if (total > limit)
			throw std::runtime_error("too much");
		return total;
	}
};
__attribute__((noinline)) int pay(const Order &o)
{
	return o.check(2) + 1;
}
} // namespace shop
int main()
{
	for (long caught = 0;; usleep(500)) {
		for (int i = 0; i < 5; i++) {
			try {
				shop::pay({i});
			} catch (std::exception &) {
				caught++;
			}
		}
		printf("caught %ld\n", caught);
		fflush(stdout);
	}
}
CC
g++ -O2 -o "$T/throws" "$T/throws.cc"
start_target throws "$T/throws"
text=$(text_sum "$PID_throws")
record "$T/cc.ctr" "$PID_throws" 0.5 --functions 'pay' --functions 'shop::Order::*'
assert_contains "$OUT" "2 instructions that leave functions"
assert alive "$PID_throws"
assert_eq "$(text_sum "$PID_throws")" "$text" "its code afterwards"
"$CTBPF" dump --json --type function,call,return "$T/cc.ctr" | python3 -c '
import json, sys
events = [json.loads(l) for l in sys.stdin]
names = {e["name"] for e in events if e["type"] == "function"}
assert names == {"shop::pay(shop::Order const&)", "shop::Order::check(int) const"}, names
seen = [(e["type"], e["depth"]) for e in events if e["type"] != "function"]
first = next(i for i, e in enumerate(seen) if e == ("call", 1))
whole = [("call", 1), ("call", 2), ("return", 2), ("return", 1)]
thrown = [("call", 1), ("call", 2)]
# 0, 1 and 2 are paid, 3 and 4 are too much.
rest, rounds = seen[first:], 0
while rest[:4] == whole:
    rest = rest[4:]
while rest[:2] == thrown and rest[2:3] != [("return", 2)]:
    rest = rest[2:]
while len(rest) >= 16:
    assert rest[:16] == whole * 3 + thrown * 2, rest[:20]
    rest, rounds = rest[16:], rounds + 1
assert rounds > 3, rounds
' || fail "not the calls that were made"

step "every function of a program that checks itself, its C library and its dynamic linker"
start_answers
text=$(text_sum "$PID_answers")
before=$(shape "$PID_answers")
record "$T/all.ctr" "$PID_answers" 0.7 --functions '*' --lib '*'
assert_matches "$OUT" "calls of [12][0-9]{3} functions in"
assert_eq "$(text_sum "$PID_answers")" "$text" "its code afterwards"
assert_shape "$PID_answers" "$before"
answers_well
answers_end

step "a program that changes stacks within a thread"
cat >"$T/fibers.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>
static ucontext_t main_context, fiber;
static long turns;
__attribute__((noinline)) void give_way(int from)
{
	turns += from;
	if (from)
		swapcontext(&fiber, &main_context);
	else
		swapcontext(&main_context, &fiber);
}
static void body(void)
{
	for (;;)
		give_way(1);
}
int main(void)
{
	getcontext(&fiber);
	fiber.uc_stack.ss_sp = malloc(65536);
	fiber.uc_stack.ss_size = 65536;
	makecontext(&fiber, body, 0);
	for (long n = 1;; n++) {
		give_way(0);
		if (turns != n)
			return 1;
		if (n % 100 == 0)
			usleep(1000);
	}
}
C
gcc -O1 -o "$T/fibers" "$T/fibers.c"
start_target fibers "$T/fibers"
record "$T/fibers.ctr" "$PID_fibers" 0.3 --functions give_way
assert_contains "$OUT" "changes stacks"
assert_ge "$(calls "$T/fibers.ctr" | grep -c '"type":"call"')" 100 "calls"
assert alive "$PID_fibers"
