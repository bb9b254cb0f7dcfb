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
start_target storm "$PROGRAMS/flood" 1
pid=$PID
goes_on storm
before=$(shape "$pid")

step "goes on with a new snapshot"
rc=0
overflow "$T/1.ctr" -d 1.5 || rc=$?
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
grep -A 1000 LOST "$T/marks" | has_line -i 'snapshot.*loss' || fail "no snapshot after the loss"
tail -n 1 "$T/marks" | has_line -i 'snapshot.*final' || fail "no final snapshot"
# The log says where, and what is missing there adds up to what is said to be lost.
assert_eq "$("$CTBPF" dump --json --type lost "$T/1.ctr" | python3 -c 'import sys, json
print(sum(json.loads(line)["count"] for line in sys.stdin))')" "$lost" "sum of what LOST records say"

step "--strict"
rc=0
overflow "$T/2.ctr" -d 0.6 --strict || rc=$?
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
