#!/bin/bash
# SPDX-License-Identifier: MIT
# A recorder that keeps the newest part is killed with -9 at any moment, most while it removes: what is left says that it
# was not ended, depends on nothing that is gone, and each of its stretches verifies but the last, which has no end.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016,SC2034
source "$(dirname "$0")/100-common.sh"

# Kills the recorder right after something in its directory has changed for the N-th time: a snapshot or the manifest put in
# place, a segment or a kept file removed.
cat >"$T/kill.py" <<'PY'
import os, random, signal, subprocess, sys, time
top, argv = sys.argv[1], sys.argv[2:]
p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
def look():
    try:
        return [os.stat(os.path.join(top, d)).st_mtime_ns for d in ("", "segments", "snapshots", "files")]
    except FileNotFoundError:
        return []
end = time.monotonic() + 60
while not os.path.exists(top + "/segments/000004.ctseg") and p.poll() is None and time.monotonic() < end:
    time.sleep(0.005)
left, was = random.randrange(2, 25), look()
while left and p.poll() is None and time.monotonic() < end:
    now = look()
    left, was = left - (now != was), now
p.send_signal(signal.SIGKILL)
p.wait()
PY
EINTR='[0-9]+'
start_answers answers 3
moved=0
for n in 1 2 3 4 5 6; do
	dir=$T/$n.ctr
	python3 "$T/kill.py" "$dir" "$CTBPF" record -q -p "$PID_answers" --keep 300ms --snapshot-every 100ms -o "$dir"
	alive "$PID_answers" || fail "round $n: the target is dead: $(tail -n 3 "$T/answers.log")"
	assert_status 0 "$CTBPF" detach -p "$PID_answers"
	answers_well
	assert_eq "$(info "$dir" state)" recovered
	assert_eq "$(info "$dir" lost)" 0 "lost in round $n"
	assert_eq "$(info "$dir" damaged_blocks)" 0 "damaged blocks in round $n"
	[ "$(info "$dir" kept_from)" = null ] || moved=$((moved + 1))
	rc=0
	"$CTBPF" verify --json "$dir" >"$T/verdict" 2>"$T/why" || rc=$?
	assert_eq $rc 5 "verify in round $n ($(cat "$T/why"))"
	python3 - "$T/verdict" <<'PY' || fail "round $n: $(cat "$T/verdict" "$T/why")"
import json, sys
v = json.load(open(sys.argv[1]))
*proven, last = [s["verdict"] for s in v["stretches"]]
ok = all(s == "VERIFIED" for s in proven) and last in ("UNPROVEN", "VERIFIED") and proven
ok = ok and all("recorder died" in p or "was not closed" in p or "unfinished" in p for p in v["problems"])
print(len(proven), "stretches verified, the last", last)
sys.exit(not ok)
PY
done
assert_ge $moved 3 "rounds in which something had been removed"
answers_end
