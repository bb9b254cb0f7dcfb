#!/bin/bash
# SPDX-License-Identifier: MIT
# Snapshots that copy only what has changed: exact whatever a program does to its memory, with nothing in it that it could
# see, and nothing left of them, also after a recorder that was killed; without them where they are not wanted.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

can=0
! "$CTBPF" check | has_line '^ *ok .*PAGEMAP_SCAN' || can=1
further() { json "further_snapshots.$2" <"$1/manifest.json"; }
# Areas that are still registered; the kernel names that flag uw.
registered() { grep -c '^VmFlags:.* uw' "/proc/$1/smaps" || true; }
runs() { grep -q '^round 3$' "$T/$1.log"; }
ends() { # NAME
	local rc=0
	name=PID_$1
	kill -TERM "${!name}"
	wait "${!name}" || rc=$?
	assert_eq $rc 0 "exit status of $1 ($(tail -n 1 "$T/$1.log"))"
	! grep WRONG "$T/$1.log" || fail "$1 found something wrong"
}

step "exact, and gone afterwards"
start_target pages "$PROGRAMS/pages" 128
wait_for 30 runs pages || fail "the target does not start"
fds=$(fds "$PID_pages")
start_recorder "$T/a.ctr" -p "$PID_pages" --incremental --snapshot-every 200ms
enough() { [ -e "$T/a.ctr/snapshots/000005/state" ]; }
wait_for 60 enough || fail "no snapshots"
assert_eq "$(fds "$PID_pages")" "$fds" "descriptors while it is recorded"
[ "$can" = 0 ] || assert_ge "$(registered "$PID_pages")" 1 "registered areas"
stop_recorder
assert_eq "$(registered "$PID_pages")" 0 "registered areas afterwards"
assert_eq "$(fds "$PID_pages")" "$fds" descriptors
goes_on pages
assert_ge "$(further "$T/a.ctr" incremental)" $can "snapshots of what had changed"
assert_status 0 "$CTBPF" verify "$T/a.ctr"
assert_contains "$OUT" "VERIFIED, $(further "$T/a.ctr" count) stretches"

step "what is kept depends on nothing that is gone"
assert_status 0 "$CTBPF" record -q -p "$PID_pages" -d 3 --keep 1s --incremental --snapshot-every 200ms -o "$T/b.ctr"
assert_ge "$(info "$T/b.ctr" kept_from)" 2 "first snapshot kept"
assert_ge "$(further "$T/b.ctr" incremental)" $can "snapshots of what had changed"
assert_status 0 "$CTBPF" verify "$T/b.ctr"
goes_on pages

step "not wanted"
assert_status 0 "$CTBPF" record -q -p "$PID_pages" -d 1 --snapshot-every 200ms -o "$T/c.ctr"
assert_eq "$(further "$T/c.ctr" incremental)" 0 "snapshots of what had changed"
assert_status 0 "$CTBPF" verify "$T/c.ctr"

step "the recorder is killed"
start_recorder "$T/d.ctr" -p "$PID_pages" --incremental --snapshot-every 200ms
[ "$can" = 0 ] || wait_for 30 test -e "$T/d.ctr/snapshots/000003/state" || fail "no snapshots"
kill -KILL "$PID_recorder"
wait "$PID_recorder" || true
wait_for 10 gone "$PID_recorder"
assert_eq "$(registered "$PID_pages")" 0 "registered areas afterwards"
goes_on pages
assert_status 0 "$CTBPF" detach -p "$PID_pages"
ends pages

step "from its first instruction, and through an execve"
assert_status 0 "$CTBPF" record -q --incremental --snapshot-every 300ms -o "$T/e.ctr" -- sh -c "\"$PROGRAMS/pages\" 20 1 >$T/e1.log; exec \"$PROGRAMS/pages\" 20 1 >$T/e2.log"
! grep WRONG "$T/e1.log" "$T/e2.log" || fail "a target found something wrong"
assert_status 0 "$CTBPF" verify "$T/e.ctr"
