#!/bin/bash
# SPDX-License-Identifier: MIT
# Live calls pause: asked by `ctbpf stop` and `start`, or because the probes cost more than --max-overhead. Meanwhile no
# probe is in the process; the log says from where to where nothing is recorded, and all calls of the rest are there.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
need gcc

# Calls with numbers in order: none may be missing but at a pause.
cat >"$T/count.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
static volatile long sink;
__attribute__((noinline)) void tell(long n)
{
	sink += n;
}
int main(int argc, char **argv)
{
	const long work = atol(argv[argc - 1]);
	puts("ready");
	fflush(stdout);
	for (long n = 0;; n++) {
		for (long i = 0; i < work; i++)
			sink++;
		tell(n);
	}
}
C
gcc -O1 -o "$T/count" "$T/count.c"
cat >"$T/check.py" <<'PY'
import json, sys
# Prints how many pauses began, how many ended, how many calls there are.
last, off, begun, ended, calls, fresh = None, False, 0, 0, 0, True
for e in map(json.loads, sys.stdin):
    if e["type"] == "pause":
        assert e["off"] != off, e
        off, fresh = e["off"], True
        begun, ended = begun + off, ended + (not off)
    elif e["type"] == "call":
        n = int(e["args"][0], 16)
        assert not off, ("a call in a pause", e)
        assert e["depth"] == 1, e
        assert fresh or n == last + 1, ("calls are missing", last, e)
        assert last is None or n > last, e
        last, fresh, calls = n, False, calls + 1
print(begun, ended, calls)
PY
look() { "$CTBPF" dump --json --type call,pause "$1" | python3 "$T/check.py" || fail "not what was called"; }
calls_now() { [ "$("$CTBPF" dump --json --type call "$1" 2>/dev/null | wc -l)" -gt "$2" ]; }

step "stop and start"
start_target count "$T/count" 20000
wait_for 5 grep -q ready "$T/count.log"
text=$(text_sum "$PID_count")
start_target recorder "$CTBPF" record --no-replay -p "$PID_count" --functions tell -o "$T/r.ctr"
wait_for 60 calls_now "$T/r.ctr" 10 || fail "no calls: $(cat "$T/recorder.log")"
assert_eq "$("$CTBPF" stop "$T/r.ctr")" stopped
assert_eq "$(text_sum "$PID_count")" "$text" "its code while stopped"
assert_eq "$("$CTBPF" stop "$T/r.ctr")" "stopped already"
n=$("$CTBPF" dump --json --type call "$T/r.ctr" | wc -l)
assert_eq "$("$CTBPF" start -p "$PID_count")" started
wait_for 60 calls_now "$T/r.ctr" $((n + 10)) || fail "it does not go on"
assert_status 1 "$CTBPF" trigger now "$T/r.ctr"
assert_contains "$OUT" "--no-replay"
assert_eq "$("$CTBPF" stop -p "$PID_count")" stopped
kill -INT "$PID_recorder"
wait "$PID_recorder"
assert_contains "$(cat "$T/recorder.log")" "in 2 pauses"
assert_eq "$(text_sum "$PID_count")" "$text" "its code afterwards"
read -r begun ended calls <<<"$(look "$T/r.ctr")"
assert_eq "$begun $ended" "2 1" "pauses"
assert_contains "$("$CTBPF" dump --type pause "$T/r.ctr")" "NOT RECORDED from here on (asked)"
assert_eq "$(info "$T/r.ctr" pauses.count)" 2
assert_contains "$("$CTBPF" info "$T/r.ctr")" "in 2 pauses, 0 of them for --max-overhead"
assert_status 0 "$CTBPF" index "$T/r.ctr"
assert_eq "$("$CTBPF" query --csv "$T/r.ctr" 'SELECT count(*) FROM calls' | tail -n 1 | tr -d '\r')" "$calls"
assert_contains "$("$CTBPF" report --functions "$T/r.ctr" 2>&1)" "sums are of the rest"
assert_status 3 "$CTBPF" stop "$T/r.ctr"
assert_status 3 "$CTBPF" start -p "$PID_count"

step "what costs too much becomes a sample"
pauses_now() { [ "$("$CTBPF" dump --json --type pause "$T/o.ctr" 2>/dev/null | wc -l)" -gt 3 ]; }
start_target recorder "$CTBPF" record --no-replay -p "$PID_count" --functions tell --max-overhead 2% -o "$T/o.ctr"
wait_for 90 pauses_now || fail "no pauses: $("$CTBPF" dump --type pause "$T/o.ctr")"
kill -INT "$PID_recorder"
wait "$PID_recorder"
assert_contains "$(cat "$T/recorder.log")" "for --max-overhead: a sample"
read -r begun ended calls <<<"$(look "$T/o.ctr")"
assert_ge "$begun" 2 "pauses"
assert_ge "$ended" 1 "ended"
assert_ge "$calls" 10 "calls"
assert_eq "$(text_sum "$PID_count")" "$text" "its code afterwards"
grep -q '"max_overhead": *0.02' "$T/o.ctr/manifest.json" || fail "the manifest does not say it"
record "$T/all.ctr" "$PID_count" 0.5 --functions tell --max-overhead 1000%
read -r begun ended calls <<<"$(look "$T/all.ctr")"
assert_eq "$begun $ended" "0 0" "pauses"
assert_status 2 "$CTBPF" record --no-replay --functions tell --max-overhead lots -p "$PID_count"
stop "$PID_count"

step "an interpreter's calls, too"
echo 'import time
def tell(n): return n
n = 0
print("ready", flush=True)
while True:
    tell(n)
    n += 1
    for i in range(3000): pass' >"$T/loop.py"
start_target py /usr/bin/python3.11 "$T/loop.py"
wait_for 5 grep -q ready "$T/py.log"
before=$(shape "$PID_py") text=$(text_sum "$PID_py")
start_target recorder "$CTBPF" record --no-replay -p "$PID_py" --calls=python -o "$T/p.ctr"
wait_for 60 calls_now "$T/p.ctr" 10 || fail "no calls: $(cat "$T/recorder.log")"
assert_eq "$("$CTBPF" stop -p "$PID_py")" stopped
assert_eq "$(text_sum "$PID_py")" "$text" "its code while stopped"
assert_shape "$PID_py" "$before" "while stopped"
n=$("$CTBPF" dump --json --type call "$T/p.ctr" | wc -l)
assert_eq "$("$CTBPF" start -p "$PID_py")" started
wait_for 60 calls_now "$T/p.ctr" $((n + 10)) || fail "it does not go on"
kill -INT "$PID_recorder"
wait "$PID_recorder"
assert_shape "$PID_py" "$before"
assert_eq "$("$CTBPF" dump --json --type function "$T/p.ctr" | grep -c '"name":"tell"')" 1 "functions"
