#!/bin/bash
# SPDX-License-Identifier: MIT
# The target gets no CPU for seconds, while it is attached to, snapshotted and released: all of that waits for it.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

cpu=$(taskset -cp $$ | sed 's/.*[:,-] *//')
hog() { # SECONDS
	nice -n -20 taskset -c "$cpu" timeout "$1" sh -c 'while :; do :; done' || true
}
start_target answers nice -n 19 taskset -c "$cpu" "$PROGRAMS/answers" 2
wait_for 20 grep -q '^tick 2 ' "$T/answers.log"
before=$(shape "$PID_answers")

step "at the attach, and at the end"
for _ in 1 2 3; do
	hog 6
	sleep 1
done &
hogs=$!
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 4 -o "$T/r.ctr"
wait $hogs
assert_recording "$T/r.ctr"
assert_shape "$PID_answers" "$before"
answers_end
assert_status 0 timeout 120 "$CTBPF" verify "$T/r.ctr"
