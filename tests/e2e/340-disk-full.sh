#!/bin/bash
# SPDX-License-Identifier: MIT
# The disk is full: the recorder says so and ends, the recording can be read, the target is as it was.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
# In a mount namespace of its own: what is mounted here goes with it.
[ -n "${OWN_MOUNTS-}" ] || OWN_MOUNTS=1 exec unshare --mount "$0"
source "$(dirname "$0")/100-common.sh"

mkdir "$T/disk"
for size in 400k 3m 6m; do
	step "a disk of $size"
	mount -t tmpfs -o "size=$size" tmpfs "$T/disk"
	start_target storm "$PROGRAMS/flood"
	pid=$PID
	goes_on storm
	before=$(shape "$pid")
	rc=0
	timeout 30 "$CTBPF" record -p "$pid" -d 5 -o "$T/disk/full.ctr" >"$T/out" 2>&1 || rc=$?
	[ $rc = 1 ] || "$CTBPF" detach -p "$pid"
	assert_eq $rc 1 "exit status ($(cat "$T/out"))"
	assert_contains "$(cat "$T/out")" "No space left on device"
	assert_shape "$pid" "$before"
	goes_on storm
	stop "$pid"
	assert_eq "$(grep WRONG "$T/storm.log")" ""
	if [ -e "$T/disk/full.ctr" ]; then
		# What it says of itself is no more than what it holds.
		assert_status 0 "$CTBPF" info "$T/disk/full.ctr"
		state=$(info "$T/disk/full.ctr" state)
		assert_matches "$state" '^(complete|recovered)$'
		[ "$state" = recovered ] || assert_contains "$OUT" "by an error"
		assert_eq "$(info "$T/disk/full.ctr" replayable)" false "replayable though it is cut off"
		assert_matches "$(info "$T/disk/full.ctr" replayable_reason)" '.'
		assert_status 0 "$CTBPF" dump "$T/disk/full.ctr"
		assert_eq "$("$CTBPF" dump --json "$T/disk/full.ctr" | grep -c '"seq"')" "$(info "$T/disk/full.ctr" events)" events
	fi
	umount "$T/disk"
done

step "full from the start"
mount -t tmpfs -o size=64k tmpfs "$T/disk"
dd if=/dev/zero of="$T/disk/zeros" bs=4k status=none 2>/dev/null || true
start_answers
before=$(shape "$PID_answers")
assert_status 1 "$CTBPF" record -p "$PID_answers" -d 5 -o "$T/disk/full.ctr"
assert_contains "$OUT" "the file system is full"
answers_well
assert_shape "$PID_answers" "$before"
answers_end
umount "$T/disk"
