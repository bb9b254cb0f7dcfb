#!/bin/bash
# SPDX-License-Identifier: MIT
# Several processes in one recording: -p A,B and --comm NAME; all are as before afterwards, one may end earlier.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_answers one 2
start_answers two 0
start_target calls "$PROGRAMS/storm" threads
one=$(shape "$PID_one") two=$(shape "$PID_two") third=$(looks "$PID_calls")
assert_status 0 "$CTBPF" record -p "$PID_one,$PID_two,$PID_calls" -d 1.5 -o "$T/p.ctr"
assert_recording "$T/p.ctr"
assert_eq "$(info "$T/p.ctr" processes)" 3 processes
for pid in "$PID_one" "$PID_two" "$PID_calls"; do
	assert_ge "$("$CTBPF" dump --json "$T/p.ctr" | grep -c "\"pid\":$pid,")" 10 "events of process $pid"
done
answers_well one
answers_well two
assert_shape "$PID_one" "$one"
assert_shape "$PID_two" "$two"
assert_eq "$(looks "$PID_calls")" "$third" "the third"
goes_on calls
stop "$PID_calls"

step "one ends, the other goes on"
start_recorder "$T/e.ctr" -p "$PID_one,$PID_two"
answers_end two
sleep 0.5
assert alive "$PID_recorder"
answers_now=$(grep -c ^tick "$T/one.log")
wait_for 10 more_ticks "$T/one.log" $((answers_now + 3))
answers_end one
wait_for 10 gone "$PID_recorder" || fail "the recorder does not end with its last target"
assert wait "$PID_recorder"
assert_recording "$T/e.ctr"
[ ! -e "$RUN_DIR/$PID_one.json" ] && [ ! -e "$RUN_DIR/$PID_two.json" ]

step "by name"
cp /bin/sleep "$T/ct-by-name"
start_target a "$T/ct-by-name" 1000
start_target b "$T/ct-by-name" 1000
wait_for 5 eval '[ "$(cat /proc/'"$PID_b"'/comm)" = ct-by-name ]'
a=$(shape "$PID_a")
assert_status 0 "$CTBPF" record --comm ct-by-name -d 0.5 -o "$T/n.ctr"
assert_recording "$T/n.ctr"
assert_contains "$("$CTBPF" dump --type snapshot "$T/n.ctr")" "of 2 processes"
assert_shape "$PID_a" "$a"
assert_status 3 "$CTBPF" record --comm ct-nobody -d 0.5 -o "$T/x.ctr"
assert_contains "$OUT" ct-nobody
