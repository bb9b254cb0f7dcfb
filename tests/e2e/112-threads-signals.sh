#!/bin/bash
# SPDX-License-Identifier: MIT
# A threaded C program with signals and timers is recorded: its own checks find nothing, it is exactly as before.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_answers answers 4
before=$(shape "$PID_answers")
assert_status 0 "$CTBPF" record -p "$PID_answers" -d 2 -o "$T/r.ctr"
answers_well
assert_shape "$PID_answers" "$before"
assert_recording "$T/r.ctr"
assert_eq "$(info "$T/r.ctr" threads)" 7 threads
for type in signal frame switch; do
	assert_ge "$(info "$T/r.ctr" "events_by_type.$type")" 20 "records of type $type"
done
assert_contains "$("$CTBPF" dump --type signal "$T/r.ctr" | head -n 50)" "SIGRT"

step "a second time, ended by Ctrl-C"
start_recorder "$T/s.ctr" -p "$PID_answers"
answers_now=$(tail -n 1 "$T/answers.log")
assert_matches "$answers_now" "errors 0 eintr 0"
assert stop_recorder
answers_well
assert_shape "$PID_answers" "$before" "after Ctrl-C"
assert_recording "$T/s.ctr"
answers_end
