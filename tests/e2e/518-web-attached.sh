#!/bin/bash
# SPDX-License-Identifier: MIT
# A web service in Python, attached to in mid-run: the lines, results and exceptions of the requests of that time, and no others.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

TESTS=$PWD/tests/python
need /usr/bin/python3.11
for PYTHON in /usr/bin/python3.11 "$(scripts/interpreter python 3.14)"; do
	step "$(basename "$PYTHON")"
	R=$T/web.ctr
	start_target web "$PYTHON" "$TESTS/web.py"
	wait_for 20 grep -q ^port "$T/web.log" || fail "the service does not start"
	port=$(sed -n 's/^port //p' "$T/web.log")
	client() { PYTHONDONTWRITEBYTECODE=1 timeout 60 "$PYTHON" "$TESTS/web_client.py" "$port" "$@"; }
	client early 3 >/dev/null
	start_recorder "$R" -q -p "$PID_web"
	client during 5 >"$T/want"
	stop_recorder || fail "the recorder failed: $(tail -n 3 "$T/recorder.log")"
	client late 3 >/dev/null
	kill "$PID_web"
	assert_recording "$R"
	assert_status 0 timeout 100 "$CTBPF" index --files web.py "$R"
	query() { "$CTBPF" query --json "$R" "$1"; }
	query "SELECT c.id id, f.name name, (SELECT group_concat(line) FROM (SELECT line FROM steps s WHERE s.call_id = c.id ORDER BY id)) lines,
		ifnull(exception, (SELECT repr FROM \"values\" v WHERE v.call_id = c.id AND kind = 'return')) result
		FROM calls c JOIN functions f ON f.id = c.function_id WHERE f.name IN ('greet', 'add')" |
		"$PYTHON" -c 'import json, sys
rows = [json.loads(line) for line in sys.stdin]
print("\n".join(sorted("\t".join((r["name"], r["lines"], r["result"])) for r in rows)))' >"$T/have"
	cmp "$T/have" "$T/want" || fail "not the requests that were made: $(diff "$T/have" "$T/want" | head -n 6)"
	for where in add:ValueError app:KeyError; do
		assert_eq "$(query "SELECT count(*) n FROM \"values\" v JOIN functions f ON f.id = function_id
			WHERE kind = 'exception' AND f.name = '${where%:*}' AND type = '${where#*:}'")" '{"n":15}' "$where"
	done
	assert_status 0 "$CTBPF" query --history app:problem "$R"
	assert_contains "$OUT" "KeyError: "
	assert_contains "$OUT" "/nothing"
	assert_eq "$(query "SELECT count(DISTINCT thread_id) > 5 n FROM calls JOIN functions f ON f.id = function_id WHERE name = 'app'")" '{"n":1}' threads
	rm -r "$R"
done
