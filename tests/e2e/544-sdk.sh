#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that tells of itself by ctbpf.h: what is recorded is exactly what it did, functions, lines, values, messages;
# longjmp, C++ exceptions and filters keep calls paired; afterwards its memory is what it was.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
need g++ gcc readelf

# The semaphores of a program, as they are in its memory.
semaphores() { # PID
	python3 - "$1" <<-'PY'
		import re, subprocess, sys
		exe = f"/proc/{sys.argv[1]}/exe"
		out = subprocess.run(["readelf", "-SW", exe], stdout=subprocess.PIPE, check=True).stdout.decode()
		addr, off, size = (int(x, 16) for x in re.search(r" \.probes +PROGBITS +(\w+) (\w+) (\w+)", out).groups())
		maps = [l.split() for l in open(f"/proc/{sys.argv[1]}/maps")]
		name = next(m[5] for m in maps if len(m) > 5 and m[5][0] == "/")
		lowest = next(int(m[0].split("-")[0], 16) for m in maps if len(m) > 5 and m[5] == name)
		with open(f"/proc/{sys.argv[1]}/mem", "rb") as mem:
		    mem.seek(lowest + addr)
		    print(mem.read(size).hex())
	PY
}

step "an interpreter of its own, in mid-run"
start_target vm "$PROGRAMS/sdk" 2
wait_for 5 grep -q ready "$T/vm.log"
assert_contains "$("$CTBPF" list -p "$PID_vm")" "--calls=sdk"
before=$(shape "$PID_vm") text=$(text_sum "$PID_vm")
assert_matches "$(semaphores "$PID_vm")" '^0+$'
record "$T/r.ctr" "$PID_vm" 0.5 --calls=sdk
assert_contains "$OUT" "1 file that tells of itself"
! grep -q "NOT recorded" <<<"$OUT" || fail "$OUT"
assert_eq "$(text_sum "$PID_vm")" "$text" "its code afterwards"
assert_matches "$(semaphores "$PID_vm")" '^0+$'
assert_shape "$PID_vm" "$before"
"$CTBPF" dump --json --type function,call,return,lines,value,message "$T/r.ctr" >"$T/told"
cat >"$T/check.py" <<'PY'
import collections, json, sys

def value(depth, f, role, name, kind, v):
    return "value", depth, f, role, name, kind, v

def call(depth, f, a, b):
    yield "call", depth, f
    yield value(depth, f, "argument", "a", "Int", a)
    yield value(depth, f, "argument", "b", "Int", b)

def result(depth, f, r):
    yield value(depth, f, "result", "", "Int", r)
    yield "return", depth, f

def lines(depth, f, *n):
    for i in n:
        yield "line", depth, f, i

def round_(n):
    text = f"round {n}"
    yield "call", 1, "native_round"
    yield value(1, "native_round", "argument", "text", "char[]", text)
    yield "message", "progress", "out", text
    yield from call(2, "round", n, 0)
    yield from lines(2, "round", 2)
    yield from call(3, "math.add", n, -1)
    yield from lines(3, "math.add", 11)
    yield from result(3, "math.add", n - 1)
    yield from lines(2, "round", 3)
    yield from call(3, "fail", n, 0)
    yield from lines(3, "fail", 21)
    yield from lines(2, "round", 5)
    yield from call(3, "loop", n % 40, 0)
    total = 0
    for i in range(n % 40):
        total += i
        yield from lines(3, "loop", 31, 32)
        yield value(3, "loop", "variable", "sum", "Int", total)
    yield from lines(3, "loop", 33)
    yield from result(3, "loop", total)
    yield from result(2, "round", n - 1 + total)
    yield "return", 1, "native_round"

def flat(e):
    if e["type"] == "lines":
        for n in e["lines"]:
            yield "line", e["depth"], e["name"], n
    elif e["type"] == "value":
        yield value(e["depth"], e["name"], e["role"], e["variable"], e["value_type"], e["value"])
    elif e["type"] == "message":
        yield "message", e["topic"], e["direction"], e["data"]
    else:
        yield e["type"], e["depth"], e["name"]

functions, threads = {}, collections.defaultdict(list)
for e in map(json.loads, open(sys.argv[1])):
    if e["type"] == "function":
        functions[e["name"]] = e["file"], e["line"], e["language"]
    else:
        threads[e["tid"]].extend(flat(e))
native = functions.pop("native_round")
assert native[0].endswith("sdk.c") and native[1] > 50 and native[2] == "c", native
assert functions == {"round": ("/src/größe.toy", 1, "toy"), "math.add": ("/src/math.toy", 10, "toy"),
                     "fail": ("/src/größe.toy", 20, "toy"), "loop": ("/src/math.toy", 30, "toy")}, functions
assert len(threads) == 2, list(threads)
for tid, got in threads.items():
    # The round it was in belongs to calls that are not recorded, but for those it still made.
    first = got.index(("call", 1, "native_round"))
    n = int(got[first + 1][6].split()[1])
    rounds = 0
    while first < len(got):
        want = list(round_(n))
        part = got[first:first + len(want)]
        assert part == want[:len(part)], (tid, n, next((a, b) for a, b in zip(part, want) if a != b))
        first, n, rounds = first + len(want), n + 1, rounds + 1
    assert rounds > 5, rounds
PY
python3 "$T/check.py" "$T/told" || fail "not what it did"

step "again, and with filters"
record "$T/depth.ctr" "$PID_vm" 0.2 --calls --depth 2
"$CTBPF" dump --json --type call,return,lines,value "$T/depth.ctr" >"$T/told"
grep -q '"name":"round","depth":2,"lines":\[2,3,5\]' "$T/told" || grep -q '"name":"round","depth":2,"lines"' "$T/told" || fail "no lines"
# Calls it was in before are not counted: what is deep may come first.
! grep -q '"depth":3' "$T/told" || fail "deeper than asked for"
record "$T/min.ctr" "$PID_vm" 0.2 --calls=sdk --min-duration 1us
assert_eq "$("$CTBPF" dump --json --type lines,value "$T/min.ctr" | wc -l)" 0 "lines and values"
calls "$T/min.ctr" | has_line '"type":"return"' || fail "no calls"
assert_matches "$(semaphores "$PID_vm")" '^0+$'
stop "$PID_vm"
! grep -q WRONG "$T/vm.log" || fail "$(cat "$T/vm.log")"

step "the step database"
R=$T/r.ctr
rows() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }
assert_status 0 "$CTBPF" index "$R"
assert_eq "$(rows 'SELECT count(*) FROM calls')" "$("$CTBPF" dump --json --type call "$R" | wc -l)" "calls"
assert_eq "$(rows 'SELECT count(*) FROM steps')" \
	"$("$CTBPF" dump --json --type lines "$R" | python3 -c 'import json, sys; print(sum(len(json.loads(l)["lines"]) for l in sys.stdin))')" lines
assert_eq "$(rows "SELECT DISTINCT language FROM functions ORDER BY 1" | paste -sd' ')" "c toy"
assert_eq "$(rows "SELECT DISTINCT path || ':' || s.line FROM steps s JOIN functions f ON f.id = s.function_id JOIN files ON files.id = f.file_id
	WHERE f.name = 'math.add'")" "/src/math.toy:11" "lines of math.add"
assert_eq "$(rows "SELECT count(*) FROM (SELECT call_id FROM values JOIN calls c ON c.id = call_id JOIN functions f ON f.id = c.function_id
	WHERE f.name = 'math.add' GROUP BY call_id HAVING max(CASE WHEN values.name = 'a' THEN value END) +
	max(CASE WHEN values.name = 'b' THEN value END) <> max(CASE WHEN kind = 'return' THEN value END))")" 0 "wrong sums"
assert_contains "$("$CTBPF" report --functions "$R")" "math.add"
for format in perfetto codetracer; do
	assert_status 0 "$CTBPF" export -f $format -o "$T/out.$format" "$R"
done

step "C++: a library that tells, exceptions"
cat >"$T/lib.cc" <<'CC'
#include <stdexcept>
#include "ctbpf.h"
extern "C" __attribute__((noinline)) int check(int n)
{
	CTBPF_FUNCTION();
	CTBPF_LINE();
	if (n > 2)
		throw std::runtime_error("too much");
	return n;
}
CC
cat >"$T/main.cc" <<'CC'
#include <cstdio>
#include <exception>
#include <unistd.h>
#include "ctbpf.h"
extern "C" int check(int n);
static int order(int n)
{
	CTBPF_FUNCTION();
	return check(n) + 1;
}
int main()
{
	for (puts("ready"), fflush(stdout);; usleep(500))
		for (int i = 0; i < 5; i++) {
			try {
				order(i);
			} catch (std::exception &) {
			}
		}
}
CC
g++ -std=c++11 -Wall -Wextra -Werror -O2 -fPIC -shared -I. -o "$T/libcheck.so" "$T/lib.cc"
g++ -std=c++11 -Wall -Wextra -Werror -O2 -I. -o "$T/cc" "$T/main.cc" -L"$T" -lcheck -Wl,-rpath,"$T"
start_target cc "$T/cc"
wait_for 5 grep -q ready "$T/cc.log"
record "$T/cc.ctr" "$PID_cc" 0.3 --calls=sdk
assert_contains "$OUT" "2 files that tell of themselves"
"$CTBPF" dump --json --type call,return,lines "$T/cc.ctr" | python3 -c '
import json, sys
seen = [(e["type"], e["depth"], e["name"]) for e in map(json.loads, sys.stdin)]
once = [("call", 1, "order"), ("call", 2, "check"), ("lines", 2, "check"), ("return", 2, "check"), ("return", 1, "order")]
first = seen.index(once[0])
seen = seen[first:]
assert len(seen) > 100, len(seen)
for i, e in enumerate(seen):
    assert e == once[i % 5], (i, e)
' || fail "not the calls that were made"
assert alive "$PID_cc"

step "who does not tell of itself"
start_target sleeper sleep 100
assert_status 3 "$CTBPF" record --no-replay --calls=sdk -p "$PID_sleeper" -o "$T/none.ctr"
assert_contains "$OUT" "does not tell of itself"
assert_status 3 "$CTBPF" record --no-replay --calls -p "$PID_sleeper" -o "$T/none.ctr"
assert_contains "$OUT" "no interpreter"
