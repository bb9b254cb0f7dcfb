#!/bin/bash
# SPDX-License-Identifier: MIT
# query: the log of a real recording in SQL is what dump prints; without a step database it says what to run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

R=$T/calls.ctr
"$CTBPF" record -q -o "$R" -- /bin/ls / >"$T/ls.out"
query() { "$CTBPF" query "$@"; }

step "as many events as dump has, of each type"
query --csv "$R" 'SELECT type, count(*) FROM events GROUP BY type ORDER BY type' | tr -d '\r' >"$T/query"
"$CTBPF" dump --json "$R" | python3 -c '
import collections, json, sys
n = collections.Counter(json.loads(line)["type"] for line in sys.stdin)
print("type,count(*)")
for k in sorted(n):
    print(f"{k},{n[k]}")' >"$T/dump"
diff "$T/dump" "$T/query" || fail "query and dump differ"
assert_eq "$(query --csv "$R" 'SELECT count(*) AS n FROM events' | tr -d '\r' | tail -n 1)" "$(info "$R" events)" events

step "calls as dump shows them"
query --json "$R" "SELECT seq, result FROM events WHERE name = 'openat' ORDER BY seq" >"$T/query"
"$CTBPF" dump --json --syscall openat "$R" | python3 -c '
import json, sys
for line in sys.stdin:
    e = json.loads(line)
    print(json.dumps({"seq": e["seq"], "result": e["ret"]}, separators=(",", ":")))' >"$T/dump"
assert_ge "$(wc -l <"$T/dump")" 2 "calls of openat"
diff "$T/dump" "$T/query" || fail "query and dump differ"

step "a stretch by number, backwards"
seq=10
assert_eq "$(query --csv "$R" "SELECT group_concat(seq) AS s FROM (SELECT seq FROM events WHERE seq BETWEEN $seq AND $((seq + 2)) ORDER BY seq DESC)" | tr -d '\r"' | tail -n 1)" \
	"$((seq + 2)),$((seq + 1)),$seq"

step "no step database"
for q in --slowest --exceptions "--where=s:1" "--line=a.py:1" "--history=x" "--callers=f" ""; do
	# shellcheck disable=SC2086 # no question is no argument
	assert_status 1 "$CTBPF" query $q "$R"
	assert_contains "$OUT" "has no step database; run \`ctbpf index $R\` first"
done
assert_status 1 "$CTBPF" query "$R" 'SELECT * FROM steps'
assert_contains "$OUT" "run \`ctbpf index\` first"
assert_status 1 "$CTBPF" dump --steps "$R"
assert_contains "$OUT" "has no step database"
assert_status 1 "$CTBPF" query --slowest "$T/nothing.ctr"
assert_status 2 "$CTBPF" query
