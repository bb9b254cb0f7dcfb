#!/bin/bash
# SPDX-License-Identifier: MIT
# A Lua program that tells of itself by ctbpf.h's module for Lua: functions, arguments, results and lines are those that
# ran, over tail calls, errors that are caught and coroutines.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154
source "$(dirname "$0")/540-common.sh"
need gcc lua5.4
gcc -shared -fPIC -O2 -Wall -Wextra -Werror -I/usr/include/lua5.4 -I. -o "$T/ctbpf.so" tests/sdk/lua/ctbpf_lua.c

step "in mid-run"
start_target shop env LUA_CPATH="$T/?.so" lua5.4 tests/sdk/lua/shop.lua
wait_for 10 grep -q ready "$T/shop.log"
before=$(shape "$PID_shop") text=$(text_sum "$PID_shop")
record "$T/r.ctr" "$PID_shop" 1 --calls=sdk
assert_eq "$(text_sum "$PID_shop")" "$text" "its code afterwards"
assert_shape "$PID_shop" "$before"
"$CTBPF" dump --json --type function,call,return,lines,value "$T/r.ctr" >"$T/told"
cat >"$T/check.py" <<'PY'
import json, sys
source = open("tests/sdk/lua/shop.lua").read().split("\n")
at = {name: i + 1 for name in ("fib", "tail", "fails", "gives", "round") for i, l in enumerate(source) if l.startswith(f"local function {name}(")}

def fib(n, tail=False):
    first = at["fib"]
    yield "call", "fib", n
    yield "line", "fib", first + 1
    if n >= 2:
        yield "line", "fib", first + 2
        yield from fib(n - 1)
        yield from fib(n - 2)
    yield "return", "fib", value(n)
def value(n):
    return n if n < 2 else value(n - 1) + value(n - 2)
def round_(n):
    first = at["round"]
    yield "call", "round", n
    yield "line", "round", first + 1
    yield "call", "tail", n % 5
    yield "line", "tail", at["tail"] + 1
    yield from fib(n % 5)
    yield "line", "round", first + 2
    yield "call", "fails", f"round {n}"
    yield "line", "fails", at["fails"] + 1
    yield "line", "round", first + 3
    yield "line", "round", first + 4
    yield "line", "round", first + 5
    yield "line", "round", first + 6
    yield "call", "gives", 2
    yield "line", "gives", at["gives"] + 1
    yield "line", "gives", at["gives"] + 2
    yield "line", "round", first + 5
    yield "line", "round", first + 6
    yield "call", "gives", None  # it goes on
    yield "line", "gives", at["gives"] + 1
    yield "line", "gives", at["gives"] + 2
    yield "line", "round", first + 5
    yield "line", "round", first + 8
    yield "return", "round", value(n % 5)

names, told, result = {}, [], None
for e in map(json.loads, open(sys.argv[1])):
    if e["type"] == "function":
        assert e["language"] == "lua" and e["file"] == "tests/sdk/lua/shop.lua", e
        names[e["function"]] = next((k for k, v in at.items() if v == e["line"]), e["name"])
        continue
    name = names[e["function"]]
    if e["type"] == "lines":
        told += [("line", name, n) for n in e["lines"]]
    elif e["type"] == "value" and e["role"] == "argument":
        assert told[-1][:2] == ("call", name), (told[-1], e)
        told[-1] = "call", name, e["value"]
    elif e["type"] == "value":
        result = e["value"]
    else:
        told.append((e["type"], name, result if e["type"] == "return" else None))
told = [t for t in told if t[1] in at]
first = next(i for i, t in enumerate(told) if t[:2] == ("call", "round"))
n = rounds = told[first][2]
while first < len(told):
    want = list(round_(n))
    got = told[first:first + len(want)]
    assert got == want[:len(got)], (n, next((i, a, b) for i, (a, b) in enumerate(zip(got, want)) if a != b))
    first, n = first + len(want), n + 1
assert n - rounds > 10, n - rounds
PY
python3 "$T/check.py" "$T/told" || fail "not what it did"

step "the step database"
assert_status 0 "$CTBPF" index "$T/r.ctr"
assert_eq "$("$CTBPF" query --csv "$T/r.ctr" 'SELECT DISTINCT language FROM functions' | tail -n 1 | tr -d '\r')" lua
assert_status 0 "$CTBPF" export -f codetracer -o "$T/out" "$T/r.ctr"
