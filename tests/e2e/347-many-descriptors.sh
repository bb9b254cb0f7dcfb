#!/bin/bash
# SPDX-License-Identifier: MIT
# A recorder that opens hundreds of descriptors: its table of them never grows while a process is held, which would
# wait for that process.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_answers
"$CTBPF" record -q -p "$PID_answers" -o "$T/r.ctr" &
rec=$!
wait_for 20 recording "$T/r.ctr"

step "the table has its full size from the start"
room=$(sed -n 's/^Max open files *[^ ]* *\([0-9]*\).*/\1/p' /proc/$rec/limits)
size=$(sed -n 's/^FDSize:\t//p' /proc/$rec/status)
[ "$size" -ge $((room < 131072 ? room : 131072)) ] || fail "its table has $size places, it may need $room"
kill -INT $rec
wait $rec
answers_end

step "many programs, each probed: in the order of their times"
for run in 1 2 3; do
	assert_status 0 timeout 60 "$CTBPF" record -q -o "$T/$run.ctr" -- bash -c 'for i in $(seq 150); do /bin/true; done'
	assert_recording "$T/$run.ctr"
	"$CTBPF" dump --json "$T/$run.ctr" | python3 -c '
import json, sys
times = [json.loads(line)["time_ns"] for line in sys.stdin]
sys.exit(times != sorted(times))' || fail "times go backwards"
done
