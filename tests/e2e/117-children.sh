#!/bin/bash
# SPDX-License-Identifier: MIT
# Children are recorded too, however they are made: fork, fork + exec, vfork, posix_spawn; also while attached in mid-run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

for how in fork forkexec vfork spawn; do
	step "$how"
	assert_status 0 "$CTBPF" record -q -o "$T/$how.ctr" -- "$PROGRAMS/storm" $how 3
	assert_contains "$OUT" "rounds 3"
	assert_recording "$T/$how.ctr"
	assert_eq "$(info "$T/$how.ctr" processes)" 4 "processes of $how"
	assert_eq "$(info "$T/$how.ctr" events_by_type.fork)" 3
	assert_eq "$("$CTBPF" dump --type exit "$T/$how.ctr" | grep -c 'process ')" 4 "ends of processes"
	[ $how = fork ] || assert_eq "$(info "$T/$how.ctr" events_by_type.exec)" 3 "programs run by $how"
	! "$CTBPF" dump "$T/$how.ctr" | grep -E 'not recorded|not held' || fail "a child was missed"
done

for how in fork spawn; do
	step "$how, attached in mid-run"
	start_target $how "$PROGRAMS/storm" $how
	pid=$PID before=$(looks "$PID")
	assert_status 0 "$CTBPF" record -p "$pid" -d 1 -o "$T/mid-$how.ctr"
	assert_recording "$T/mid-$how.ctr"
	assert_ge "$(info "$T/mid-$how.ctr" processes)" 3
	goes_on $how
	assert_eq "$(looks "$pid")" "$before" "the target"
	assert_released "$pid"
	stop "$pid"
	assert_eq "$(grep WRONG "$T/$how.log")" ""
done

step "not with --no-follow"
assert_status 0 "$CTBPF" record --no-follow -q -o "$T/alone.ctr" -- "$PROGRAMS/storm" fork 3
assert_eq "$(info "$T/alone.ctr" processes)" 1
