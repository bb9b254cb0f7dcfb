#!/bin/bash
# SPDX-License-Identifier: MIT
# io_uring, AIO, userfaultfd, memory shared with others: refused by name with a way out, recorded with --no-replay.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

try() { # NAME PATTERN PID
	assert_status 3 "$CTBPF" record -p "$3" -d 0.2 -o "$T/x.ctr"
	assert_matches "$OUT" "$2"
	assert_contains "$OUT" "--no-replay"
	[ ! -e "$T/x.ctr" ] || fail "a recording directory is left"
	OUT=$("$CTBPF" check -p "$3" 2>&1) && fail "check finds nothing wrong"
	assert_matches "$OUT" "$2"
	local before
	before=$(shape "$3")
	assert_status 0 "$CTBPF" record --no-replay -p "$3" -d 0.5 -o "$T/$1.ctr"
	assert_recording "$T/$1.ctr" false
	assert_shape "$3" "$before"
}
for what in io_uring aio userfaultfd; do
	step $what
	start_target $what "$PROGRAMS/special" $what
	wait_for 5 test -s "$T/$what.log"
	if ! grep -q ready "$T/$what.log"; then
		cat "$T/$what.log"
		continue
	fi
	case $what in
	io_uring) try $what 'io_uring' "$PID" ;;
	aio) try $what 'AIO' "$PID" ;;
	userfaultfd) try $what 'userfaultfd' "$PID" ;;
	esac
done

step "set up while it is recorded: the recording says that it cannot be replayed"
for what in io_uring aio userfaultfd; do
	grep -q ready "$T/$what.log" || continue
	rc=0
	timeout 20 "$CTBPF" record -q -d 1 -o "$T/late-$what.ctr" -- timeout 0.5 "$PROGRAMS/special" $what >"$T/out" 2>&1 || rc=$?
	assert_eq $rc 124 "status"
	assert_recording "$T/late-$what.ctr" false
	assert_matches "$(info "$T/late-$what.ctr" replayable_reason)" 'io_uring|AIO|io_setup|userfaultfd|fault'
done

step "shared writable memory"
start_target other "$PROGRAMS/special" shared "$T/shared"
start_target shared "$PROGRAMS/special" shared "$T/shared"
wait_for 5 grep -q ready "$T/shared.log"
try shared "shares memory.*$T/shared.*$PID_other" "$PID_shared"
step "alone with it, it can be recorded"
stop "$PID_other"
before=$(shape "$PID_shared")
assert_status 0 "$CTBPF" record -p "$PID_shared" -d 0.5 -o "$T/alone.ctr"
assert_recording "$T/alone.ctr"
assert_shape "$PID_shared" "$before"
step "--force records it all the same, and says that it cannot be replayed"
start_target other2 "$PROGRAMS/special" shared "$T/shared"
wait_for 5 grep -q ready "$T/other2.log"
assert_status 0 "$CTBPF" record --force -p "$PID_shared" -d 0.5 -o "$T/force.ctr"
assert_recording "$T/force.ctr" false
assert_shape "$PID_shared" "$before"
