#!/bin/bash
# SPDX-License-Identifier: MIT
# A Noir circuit (npm's noir_wasm and noir_js) whose oracles tell what runs, by ctbpf.h's addon for Node.js: functions,
# arguments, results and lines are those that its source says, the branches not taken left out.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=548-common.sh disable=SC2154
source "$(dirname "$0")/548-common.sh"
sdk_packages
sdk_addon

record_rounds noir 8 node tests/sdk/noir/run.mjs "$PWD/tests/sdk/noir/main.nr" "$ADDON"
stop "$PID_noir"
"$CTBPF" dump --json --type call,return,lines,value,message "$T/r.ctr" >"$T/told"
cat >"$T/check.py" <<'PY'
import json, sys

def square(n):
    yield "call", "square", 1
    yield "argument", "n", n
    yield "line", "square", 4
    yield "result", "", n * n
    yield "return", "square"
def main(x, n):
    yield "call", "main"
    yield "argument", "x", x
    yield "argument", "n", n
    yield "line", "main", 18
    yield "call", "sum"
    yield "argument", "count", n
    yield "argument", "start", x
    yield from (("line", "sum", i) for i in (8, 9))
    total = x
    for i in range(4):
        yield "line", "sum", 10
        if i < n:
            yield "line", "sum", 11
            yield from square(i)
            total += i * i
    yield "line", "sum", 14
    yield "result", "", total
    yield "return", "sum"
    yield from (("line", "main", i) for i in (19, 20))
    yield from square(total)
    yield "result", "", total * total
    yield "return", "main"

round_, seen = None, 0
for e in map(json.loads, open(sys.argv[1])):
    if e["type"] == "message":
        kind, n, *result = e["data"].split()
        n = int(n)
        if kind == "begin":
            round_ = []
        elif round_ is not None:
            want = [t if t[0] != "call" else t[:2] for t in main(n, n % 6)]
            assert round_ == want, (n, next((i, a, b) for i, (a, b) in enumerate(zip(round_, want)) if a != b))
            assert int(result[0]) == want[-2][2], (result, want[-2])
            round_, seen = None, seen + 1
    elif round_ is not None and e["type"] == "lines":
        round_ += [("line", e["name"], n) for n in e["lines"]]
    elif round_ is not None and e["type"] == "value":
        round_.append((e["role"], e["variable"], e["value"]))
    elif round_ is not None:
        round_.append((e["type"], e["name"]))
assert seen >= 6, seen
print(seen, "rounds")
PY
python3 "$T/check.py" "$T/told" || fail "not what the circuit does"
assert_status 0 "$CTBPF" index "$T/r.ctr"
assert_eq "$("$CTBPF" query --csv "$T/r.ctr" 'SELECT DISTINCT language FROM functions' | tail -n 1 | tr -d '\r')" noir
assert_status 0 "$CTBPF" export -f codetracer -o "$T/out" "$T/r.ctr"
