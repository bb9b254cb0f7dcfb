#!/bin/bash
# SPDX-License-Identifier: MIT
# graph: the tree of a small program drawn line by line, its sums against SQL, single calls, generators, damage.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/500-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" python3
cat >"$T/tree.py" <<'PY'
def leaf(n):
    a = n
    return a

def numbers(n):
    for i in range(n):
        yield leaf(i)

def left(n):
    for i in range(n):
        leaf(i)

def right(n):
    for i in numbers(n):
        pass

def rec(n):
    if n:
        return rec(n - 1)
    return leaf(n)

def main():
    left(10)
    right(3)
    rec(2)

main()
PY
R=$T/r.ctr
"$CTBPF" record -q -o "$R" -- "$PYTHON" "$T/tree.py"
graph() { LC_ALL=${LOCALE:-C.UTF-8} "$CTBPF" graph "$@"; }
rows() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }
same() { # WHAT: $T/have must be what stands on stdin
	diff - "$T/have" || fail "$1"
}

step "without a step database"
assert_status 1 graph "$R"
assert_contains "$OUT" "run \`ctbpf index $R\` first"
assert_status 2 graph
assert_status 2 graph --calls "$R"
assert_status 2 graph --min 200 "$R"

"$CTBPF" index --files tree.py "$R" >/dev/null

step "the tree, merged by path"
graph --function main "$R" >"$T/have"
same "the tree" <<'TREE'
TOTAL          SELF  CALLS  FUNCTION
   72 100.0 %     3      1  main  tree.py:22
   41  56.9 %    21      1  ├─ left  tree.py:9
   20  27.8 %    20     10  │  └─ leaf  tree.py:1
   20  27.8 %     7      1  ├─ right  tree.py:13
   13  18.1 %     7      1  │  └─ numbers  tree.py:5  (resumed 3 times)
    6   8.3 %     6      3  │     └─ leaf  tree.py:1
    8  11.1 %     2      1  └─ rec  tree.py:17
    6   8.3 %     2      1     └─ rec  tree.py:17
    4   5.6 %     2      1        └─ rec  tree.py:17
    2   2.8 %     2      1           └─ leaf  tree.py:1

In steps: lines run, counted exactly.
TREE
LOCALE=C graph --function main --depth 2 --min 15 "$R" >"$T/have"
same "the tree in ASCII, cut" <<'TREE'
TOTAL          SELF  CALLS  FUNCTION
   72 100.0 %     3      1  main  tree.py:22
   41  56.9 %    21      1  +- left  tree.py:9
   20  27.8 %     7      1  +- right  tree.py:13
    8  11.1 %               `- ... 1 smaller

In steps: lines run, counted exactly.
Calls deeper than 2 are in the totals of those above; --depth 0 shows all.
TREE

step "trees that begin at functions"
graph --function 'l*' "$R" | grep -c 'leaf\|left' >"$T/have"
same "left with leaf in it, and leaf by itself" <<<3
assert_status 1 graph --function nothing "$R"
assert_contains "$OUT" "no function matches 'nothing'"

step "every call by itself"
call=$(rows "SELECT c.id FROM calls c JOIN functions f ON f.id = function_id WHERE f.name = 'rec' ORDER BY c.id LIMIT 1")
graph --call "$call" --calls "$R" >"$T/have"
same "the calls in one call" <<TREE
TOTAL          SELF  CALLS  FUNCTION
    8 100.0 %     2      1  rec  tree.py:17  call $call
    6  75.0 %     2      1  └─ rec  tree.py:17  call $((call + 1))
    4  50.0 %     2      1     └─ rec  tree.py:17  call $((call + 2))
    2  25.0 %     2      1        └─ leaf  tree.py:1  call $((call + 3))

In steps: lines run, counted exactly.
TREE
left=$(rows "SELECT c.id FROM calls c JOIN functions f ON f.id = function_id WHERE f.name = 'left'")
assert_eq "$(graph --call "$left" --calls "$R" | grep -c leaf)" 10 "calls of leaf in left"
assert_eq "$(graph --call "$left" "$R" | grep -c leaf)" 1 "paths to leaf in left"
assert_status 1 graph --call 1000000 "$R"

step "sums: what SQL counts"
graph --json --depth 0 "$R" >"$T/json"
python3 - "$T/json" >"$T/have" <<'PY'
import collections, json, sys

rows = [json.loads(l) for l in open(sys.argv[1])]
seen = {}
functions = collections.defaultdict(lambda: [0, 0, 0])
below = collections.defaultdict(int)
for r in rows:
    assert r["parent"] is None or r["parent"] in seen, "parents come first"
    seen[r["id"]] = r
    below[r["parent"]] += r["total_steps"]
    f = functions[r["function"]]
    f[0] += r["calls"]
    f[1] += r["self_steps"]
    f[2] += r["self_ns"]
for r in rows:
    assert r["total_steps"] == r["self_steps"] + below[r["id"]], r
for f in sorted(functions):
    print(f, *functions[f], sep=",")
PY
rows "SELECT f.name, s.calls, s.steps, s.self_ns FROM stats s JOIN functions f ON f.id = function_id ORDER BY 1" |
	same "sums over paths and the table stats differ"
graph --by time "$R" >"$T/have"
assert_contains "$(cat "$T/have")" "only as fine as the events"

step "a stretch and a thread"
assert_eq "$(graph --json --from s:3 --to s:12 "$R" | python3 -c 'import json, sys
print(sum(json.loads(l)["self_steps"] for l in sys.stdin))')" 10 "lines in the stretch"
tid=$(rows 'SELECT tid FROM threads')
graph --json --depth 0 --thread "$tid" "$R" | cmp - "$T/json" || fail "the only thread is not all"
assert_status 1 graph --thread 1 "$R"
assert_contains "$OUT" "thread 1 has no step"

step "damage is said"
assert_says_damage "$R" "$CTBPF" graph
