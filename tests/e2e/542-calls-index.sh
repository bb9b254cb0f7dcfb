#!/bin/bash
# SPDX-License-Identifier: MIT
# The step database of calls that were recorded live holds just the calls of the log; query, report, graph and export
# serve them.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"

R=$T/r.ctr
cat >"$T/shop.py" <<'PY'
import time
def price(n):
    if n == 3:
        raise ValueError(n)
    return n
def order(n):
    try:
        return price(n) + price(0)
    except ValueError:
        return 0
print("ready", flush=True)
while True:
    for n in range(5):
        order(n)
    time.sleep(0.002)
PY
start_target shop /usr/bin/python3.11 "$T/shop.py"
wait_for 10 grep -q ready "$T/shop.log"
record "$R" "$PID_shop" 0.4 --calls=python
stop "$PID_shop"
rows() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }

step "the database"
assert_status 0 "$CTBPF" index "$R"
"$CTBPF" dump --json --type call,return "$R" >"$T/calls"
n=$(grep -c '"type":"call"' "$T/calls")
assert_ge "$n" 50 "calls"
assert_contains "$OUT" "0 lines, $n calls"
assert_eq "$(rows 'SELECT count(*) FROM calls')" "$n" "calls"
assert_eq "$(rows "SELECT count(*) FROM calls WHERE state = 'returned'")" \
	"$(grep -c '"type":"return".*"raised":false' "$T/calls")" "returned"
assert_eq "$(rows "SELECT count(*) FROM calls WHERE state = 'raised'")" \
	"$(grep -c '"type":"return".*"raised":true' "$T/calls")" "raised"
assert_eq "$(rows "SELECT DISTINCT p.name FROM calls c JOIN calls o ON o.id = c.parent_id JOIN functions f ON f.id = c.function_id
	JOIN functions p ON p.id = o.function_id WHERE f.name = 'price'")" order "who calls price"
assert_eq "$(rows "SELECT f.name, path, line, language FROM functions f JOIN files ON files.id = file_id ORDER BY 1" | paste -sd' ')" \
	"order,$T/shop.py,6,python price,$T/shop.py,2,python" functions
# Each call begins and ends when the log says.
rows "SELECT enter_ns, exit_ns FROM calls WHERE state <> 'open' ORDER BY enter_ns, depth LIMIT 100" >"$T/times"
python3 - "$T/times" "$T/calls" <<'PY' || fail "times"
import json, sys
stack, calls = [], []
for e in map(json.loads, open(sys.argv[2])):
    if e["type"] == "call":
        del stack[e["depth"] - 1:]
        stack.append(e)
    else:
        calls.append((stack[e["depth"] - 1]["entered_ns"], e["time_ns"]))
        del stack[e["depth"] - 1:]
rows = [tuple(int(x) for x in l.split(",")) for l in open(sys.argv[1])]
assert rows == sorted(calls)[:100], (rows[:3], sorted(calls)[:3])
PY

step "those who read it"
assert_contains "$("$CTBPF" report --functions "$R")" "recorded live"
"$CTBPF" report --functions --json --top 0 "$R" >"$T/report"
for f in order price; do
	assert_eq "$(grep "\"function\":\"$f\"" "$T/report" | json calls)" "$(rows "SELECT count(*) FROM calls
		JOIN functions f ON f.id = function_id WHERE f.name = '$f'")" "calls of $f"
done
assert_matches "$("$CTBPF" graph "$R")" "order .*└─ price"
assert_contains "$("$CTBPF" query --callers price "$R")" order
for format in perfetto chrome speedscope folded pprof codetracer; do
	assert_status 0 "$CTBPF" export -f $format -o "$T/out.$format" "$R"
done
assert_matches "$(cat "$T/out.folded")" "order;price [1-9]"
assert_status 0 "$CTBPF" index --print --functions price "$R"
assert_contains "$OUT" "price call"
assert_contains "$OUT" "price unwind"
! grep -q ' order ' <<<"$OUT" || fail "a function not asked for"

step "arguments and results of native calls"
start_target seq "$PROGRAMS/callseq" 1
wait_for 5 grep -q ready "$T/seq.log"
R=$T/n.ctr
record "$R" "$PID_seq" 0.1 --functions seq_leaf
assert_status 0 "$CTBPF" index "$R"
assert_eq "$(rows "SELECT count(*) FROM (SELECT call_id FROM values GROUP BY call_id HAVING
	max(CASE WHEN name = 'rdi' THEN value END) * 3 + max(CASE WHEN name = 'rsi' THEN value END) <>
	max(CASE WHEN kind = 'return' THEN value END))")" 0 "wrong results"
assert_ge "$(rows "SELECT count(*) FROM values WHERE kind = 'return'")" 10 results
assert_status 0 "$CTBPF" index --no-values "$R"
assert_contains "$OUT" " calls, 0 values"

step "Python and native calls in one tree"
cat >"$T/mixed.py" <<'PY'
import os, time
def reads():
    fd = os.open("/etc/passwd", os.O_RDONLY)
    os.close(fd)
def outer():
    reads()
print("ready", flush=True)
while True:
    outer()
    time.sleep(0.002)
PY
start_target mixed /usr/bin/python3.11 "$T/mixed.py"
wait_for 10 grep -q ready "$T/mixed.log"
R=$T/m.ctr
record "$R" "$PID_mixed" 0.3 --calls --functions open64 --functions close --lib 'libc.so*'
assert_status 0 "$CTBPF" index "$R"
for callee in open64 close; do
	assert_eq "$(rows "SELECT DISTINCT p.name || ' in ' || g.name FROM calls c JOIN functions f ON f.id = c.function_id
		JOIN calls o ON o.id = c.parent_id JOIN functions p ON p.id = o.function_id
		JOIN calls oo ON oo.id = o.parent_id JOIN functions g ON g.id = oo.function_id WHERE f.name = '$callee'")" \
		"reads in outer" "callers of $callee"
done

step "without calls there is nothing, and that is said"
"$CTBPF" record -q --no-replay -p "$PID_seq" -d 0.1 -o "$T/none.ctr"
assert_status 0 "$CTBPF" index "$T/none.ctr"
assert_contains "$OUT" "no calls were recorded"
