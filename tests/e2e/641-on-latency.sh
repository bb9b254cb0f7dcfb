#!/bin/bash
# SPDX-License-Identifier: MIT
# --on-latency: a call of a native function that takes long makes a recording; what is recorded with the probes in place
# replays and verifies, and the program is as it was afterwards.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

verified() { # DIR
	assert_recording "$1"
	assert_status 0 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}

step "a slow call among many quick ones"
mkfifo "$T/in"
sleep 1000 >"$T/in" &
STARTED+=($!)
"$PROGRAMS/slow" <"$T/in" >"$T/slow.log" 2>&1 &
PID_slow=$!
STARTED+=($PID_slow)
wait_for 15 test -s "$T/slow.log" || fail "the target does not start"
before=$(own_maps "$PID_slow")
start_recorder "$T/a.ctr" -p "$PID_slow" --keep 5s --snapshot-every 400ms --on-latency 'handle_request>100ms' --post-trigger 300ms
goes_on slow
echo slow >"$T/in"
kept() { compgen -G "$T/a-latency-*Z.ctr" >/dev/null; }
wait_for 30 kept || fail "no recording: $(cat "$T/recorder.log")"
goes_on slow
stop_recorder
goes_on slow
assert_eq "$(own_maps "$PID_slow")" "$before" "its memory map"
kept=$(compgen -G "$T/a-latency-*Z.ctr" | head -n 1)
verified "$kept"
reason=$(info "$kept" trigger_reason)
assert_matches "$reason" '^a call of handle_request in thread [0-9]+ took [0-9]{3,}\.[0-9]{3} ms$'
echo "$reason"
at=$(info "$kept" trigger_pos)
assert_matches "$("$CTBPF" dump --type return "$kept" | grep -c .)" '^[1-9]'
assert_status 0 "$CTBPF" replay --to "$at" "$kept"
verified "$T/a.ctr"
stop "$PID_slow"

step "a command; none is slow"
assert_status 0 "$CTBPF" record -q -o "$T/b.ctr" --on-latency 'handle_request>30s' -- "$PROGRAMS/slow" </dev/null
verified "$T/b.ctr"
assert_eq "$("$CTBPF" dump --type return "$T/b.ctr" | grep -c . || true)" 0 "calls told of"
! compgen -G "$T/b-*.ctr" || fail "something was kept"

step "what makes no sense"
assert_status 2 "$CTBPF" record --on-latency 'handle_request' -- true
assert_status 2 "$CTBPF" record --on-latency '>1ms' -- true
assert_status 2 "$CTBPF" record --no-replay --on-latency 'f>1ms' -- true
assert_status 3 "$CTBPF" record -o "$T/c.ctr" --on-latency 'no_such_function>1ms' -- "$PROGRAMS/slow"
