#!/bin/bash
# SPDX-License-Identifier: MIT
# --no-replay logs events only: the target is never stopped, pinned or changed, and info says that it cannot be replayed.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_answers
before=$(shape "$PID_answers")
start_target recorder "$CTBPF" record --no-replay -p "$PID_answers" -o "$T/r.ctr"
wait_for 20 eval '[ -s "$T/r.ctr/segments/000001.ctseg" ]'
sleep 1
assert_eq "$(cpus "$PID_answers")" "$(sed -n '1s/^cpus \(.*\) tracer .*/\1/p' <<<"$before")" "CPUs meanwhile"
assert_eq "$(vdso_sum "$PID_answers")" "$(sed -n '1s/.* vdso \([^ ]*\) .*/\1/p' <<<"$before")" "vDSO meanwhile"
assert stop_recorder
assert_shape "$PID_answers" "$before"
assert_recording "$T/r.ctr" false
assert_contains "$(info "$T/r.ctr" replayable_reason)" "--no-replay"
assert_eq "$(info "$T/r.ctr" snapshots)" 0
assert_ge "$(info "$T/r.ctr" events_by_type.syscall)" 100
assert_ge "$(info "$T/r.ctr" events_by_type.signal)" 10
answers_well
answers_end

step "a command"
assert_status 3 "$CTBPF" record --no-replay -q -o "$T/c.ctr" -- sh -c 'exit 3'
assert_recording "$T/c.ctr" false
