#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` of some files, functions, events or times only: exactly those rows of the whole, and it says so.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
R=$T/r.ctr
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$R" -- "$PYTHON" "$PWD/tests/python/loop.py" 40
query() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }
STEPS='SELECT line, event_seq FROM steps'
assert_status 0 "$CTBPF" index --files loop.py "$R"
assert_contains "$("$CTBPF" query "$R")" "only a part of what ran: files 'loop.py'"
last=$(query 'SELECT max(event_seq) FROM steps')
from=$((last - 200)) to=$((last - 60))
query "$STEPS WHERE event_seq BETWEEN $((from - 1)) AND $((to - 1))" >"$T/events"
query "SELECT s.line, event_seq FROM steps s JOIN functions f ON f.id = function_id WHERE f.name IN ('check', 'Box.add')" >"$T/functions"
query "SELECT count(*), count(first_step), max(event_seq) FROM calls, (SELECT max(event_seq) event_seq FROM steps)" >"$T/counts"
assert_ge "$(wc -l <"$T/events")" 1000 "lines to compare with"
assert_ge "$(wc -l <"$T/functions")" 1000 "lines to compare with"

step "events"
assert_status 0 "$CTBPF" index --files loop.py --from e:$from --to e:$to "$R"
query "$STEPS" | cmp - "$T/events" || fail "other lines than of these events"
assert_contains "$("$CTBPF" query "$R")" "part of what ran: files 'loop.py', from e:$from, to e:$to"
assert_eq "$(query "SELECT name FROM calls c JOIN functions f ON f.id = function_id WHERE attached AND depth < 3 ORDER BY c.id" | paste -sd' ')" \
	"<module> main" "calls that were there"
assert_ge "$(query "SELECT count(*) FROM values WHERE name = 'counts'")" 1 "variables of a call that was there"
rm -rf "$R/steps"

step "functions"
assert_status 0 "$CTBPF" index --files 'l*p.py' --functions check --functions 'B?x.*' "$R"
query "SELECT s.line, event_seq FROM steps s JOIN functions f ON f.id = function_id WHERE f.name <> 'Box.__init__'" |
	cmp - "$T/functions" || fail "other lines than of these functions"
assert_eq "$(query 'SELECT count(DISTINCT f.name) FROM steps s JOIN functions f ON f.id = function_id')" 3 functions

step "without values"
assert_status 0 "$CTBPF" index --files loop.py --no-values "$R"
assert_eq "$(query "SELECT count(*), count(first_step), max(event_seq) FROM calls, (SELECT max(event_seq) event_seq FROM steps)")" \
	"$(cat "$T/counts")" "calls without values"
assert_eq "$(query "SELECT count(*) FROM values WHERE kind NOT IN ('exception', 'resume')")" 0 values
assert_eq "$("$CTBPF" query --json "$R" | grep -o '"part":"[^"]*"')" "\"part\":\"files 'loop.py', no values\""

step "times"
assert_status 0 "$CTBPF" index --files loop.py --from t:+0.02s "$R"
assert_status 2 "$CTBPF" index --from e:90 --to e:80 "$R"
