#!/bin/bash
# SPDX-License-Identifier: MIT
# The ring buffer overflows: the loss is counted, said, in the log, and followed by a new snapshot; --strict, --on-lost stop.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

# Records the storm with a small buffer, and stops the recorder for a while. Its exit status is the recorder's.
overflow() { # DIR ARGS...
	local rc=0
	start_recorder "$1" -p "$pid" --buffer 1M "${@:2}"
	kill -STOP "$PID_recorder"
	sleep 0.3
	kill -CONT "$PID_recorder"
	wait "$PID_recorder" || rc=$?
	return $rc
}
start_target storm "$PROGRAMS/storm" calls
pid=$PID
goes_on storm
before=$(shape "$pid")

step "goes on with a new snapshot"
rc=0
overflow "$T/1.ctr" -d 2 || rc=$?
assert_eq $rc 0 "exit status ($(cat "$T/recorder.log"))"
assert_contains "$(cat "$T/recorder.log")" LOST
assert_shape "$pid" "$before"
goes_on storm
lost=$(info "$T/1.ctr" lost)
assert_ge "$lost" 1 lost
assert_eq "$(info "$T/1.ctr" state)" complete
assert_eq "$(info "$T/1.ctr" damaged_blocks)" 0
assert_eq "$(info "$T/1.ctr" replayable)" false
assert_contains "$(info "$T/1.ctr" replayable_reason)" lost
assert_contains "$("$CTBPF" info "$T/1.ctr")" "not replayable"
"$CTBPF" dump --type lost,snapshot "$T/1.ctr" >"$T/marks"
cat "$T/marks"
# snapshot 1 (attach), LOST, a snapshot because of loss, the final one
grep -A 1000 LOST "$T/marks" | grep -qi 'snapshot.*loss' || fail "no snapshot after the loss"
tail -n 1 "$T/marks" | grep -qi 'snapshot.*final' || fail "no final snapshot"
"$CTBPF" dump --json "$T/1.ctr" >"$T/all.json"
# The numbers: what is missing between the records is what is said to be lost.
python3 - "$T/all.json" "$lost" <<'PY'
import json, sys
seqs, said, missing = [], 0, 0
for line in open(sys.argv[1]):
    e = json.loads(line)
    if seqs:
        missing += e["seq"] - seqs[-1] - 1
        assert e["seq"] > seqs[-1], f"numbers do not rise at {e['seq']}"
    seqs.append(e["seq"])
    if e["type"] == "lost":
        said += e.get("count", e.get("lost", {}).get("count", 0) if isinstance(e.get("lost"), dict) else e.get("lost", 0))
assert missing == said == int(sys.argv[2]), f"missing {missing}, said to be lost {said}, info says {sys.argv[2]}"
PY

step "--strict"
rc=0
overflow "$T/2.ctr" -d 1 --strict || rc=$?
assert_eq $rc 4 "exit status ($(cat "$T/recorder.log"))"

step "--on-lost stop"
rc=0
overflow "$T/3.ctr" -d 15 --on-lost stop || rc=$?
assert_eq $rc 0 "exit status ($(cat "$T/recorder.log"))"
assert_contains "$("$CTBPF" dump --type end "$T/3.ctr")" lost
assert_le "$(info "$T/3.ctr" duration_s)" 14 "duration"
assert_shape "$pid" "$before"
goes_on storm
stop "$pid"
assert_eq "$(grep WRONG "$T/storm.log")" ""
