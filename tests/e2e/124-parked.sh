#!/bin/bash
# SPDX-License-Identifier: MIT
# A signal handler that has interrupted a patched function of the vDSO, and stays while the process is let go, returns
# to code that is still there.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

for case in plain:0 plain:1 plain:2 reset:2 nested:1 alone:0; do
	how=${case%:*} byte=${case#*:}
	step "$how, byte $byte"
	start_target parked "$PROGRAMS/parked" "$how" "$byte" "$T/$how$byte"
	wait_for 10 grep -q ready "$T/parked.log" || fail "it does not start"
	start_recorder "$T/$how$byte.ctr" -q -p "$PID_parked"
	wait_for 20 grep -q parked "$T/parked.log" || fail "it does not come to the place"
	stop_recorder
	assert_released "$PID_parked"
	touch "$T/$how$byte"
	wait_for 10 gone "$PID_parked" || fail "it does not end"
	rc=0
	wait "$PID_parked" || rc=$?
	assert_eq $rc 0 "exit status of the target"
	assert_contains "$(cat "$T/parked.log")" back
done
