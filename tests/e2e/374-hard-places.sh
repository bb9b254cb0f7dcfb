#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf verify` finds the places that are hard to find: inside of repeated string instructions, in loops that count in
# memory only, in nested handlers, at random number instructions, and between the steps of the recorder's own probes.
# timeout: 400
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

verified() { # DIR
	assert_recording "$1"
	assert_status 0 timeout -k 5 60 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}
attached() { # NAME COMMAND...: recorded in mid-run
	step "$*"
	start_target "$@"
	wait_for 5 busy "$1"
	pid=PID_$1
	assert_status 0 "$CTBPF" record -q -p "${!pid}" -d 0.3 -o "$T/$1.ctr"
	stop "${!pid}"
	wait "${!pid}" || fail "$1 ended with status $?: $(tail -n 1 "$T/$1.log")"
	verified "$T/$1.ctr"
}
busy() { # NAME: it has set up its handlers and is at work
	local pid=PID_$1
	[ "$(awk '{ print $14 + $15 }' "/proc/${!pid}/stat")" -ge 5 ]
}

for what in movs stos scas cmps lods back all; do
	attached "strings_$what" "$PROGRAMS/strings" "$what"
	assert_ge "$(info "$T/strings_$what.ctr" events_by_type.signal)" 1 signals
done
for mode in nested jump faults context spin count vectors dense step; do
	attached "handlers_$mode" "$PROGRAMS/handlers" "$mode"
	assert_ge "$(info "$T/handlers_$mode.ctr" events_by_type.frame)" 1 "signal frames"
done
replayed=$("$CTBPF" verify --json "$T/handlers_dense.ctr" | json stretches.0.replayed)
# Without a narrow jump: one for each of some ten thousand rounds.
assert_ge "$((500 * $(json positions <<<"$replayed")))" "$(json passes <<<"$replayed")" "passes that were stops"

for i in 1 2 3 4; do # some two of five times it is stopped between an int3 and the delivery of its signal
	attached "traps_$i" "$PROGRAMS/handlers" traps
done

step "several views of one memory"
(cd "$T" && exec "$PROGRAMS/aliases") &
STARTED+=($!)
sleep 0.2
assert_status 0 "$CTBPF" record -q -p $! -d 0.3 -o "$T/aliases.ctr"
verified "$T/aliases.ctr"

attached sequences "$PROGRAMS/sequences" 3
assert_ge "$(info "$T/sequences.ctr" events_by_type.switch)" 1 switches
attached registers "$PROGRAMS/registers"

step "a dying thread was the last one on the CPU when all were stopped"
start_target dying "$PROGRAMS/dying"
assert_status 0 "$CTBPF" record -q -p "$PID_dying" --snapshot-every 100ms -d 4 -o "$T/dying.ctr"
stop "$PID_dying"
verified "$T/dying.ctr"

step "from the beginning, calls and queues"
for mode in restart mask queue vdso; do
	assert_status 0 "$CTBPF" record -q -o "$T/begin_$mode.ctr" -- "$PROGRAMS/handlers" $mode 60
	verified "$T/begin_$mode.ctr"
done

step "random numbers and time stamps"
assert_status 0 "$CTBPF" record -q -o "$T/insn.ctr" -- "$PROGRAMS/insn_rdtsc" 20 1
verified "$T/insn.ctr"
if grep -qw rdrand /proc/cpuinfo; then
	assert_contains "$("$CTBPF" dump --type insn "$T/insn.ctr")" rdrand
fi

step "processes that share the CPU while the loader runs probed instructions"
for i in 1 2 3 4 5 6; do
	assert_status 0 "$CTBPF" record -q -o "$T/tree$i.ctr" -- sh -c 'ls /usr/lib | sort | uniq | wc -l'
	verified "$T/tree$i.ctr"
done

step "attached to while a handler has interrupted the vDSO"
start_target clockwork "$PROGRAMS/clockwork"
wait_for 5 busy clockwork
for i in 1 2 3 4 5; do
	assert_status 0 "$CTBPF" record -q -p "$PID_clockwork" -d 0.1 -o "$T/clockwork$i.ctr"
	verified "$T/clockwork$i.ctr"
done

step "a place that is passed several times alike"
assert_status 0 "$CTBPF" record -q -o "$T/same.ctr" -- "$PROGRAMS/behave/sig-same-place"
assert_ge "$("$CTBPF" verify --json "$T/same.ctr" | json stretches.0.replayed.later_passes)" 1 "positions that are later passes"
verified "$T/same.ctr"
assert_status 0 "$CTBPF" replay -q "$T/same.ctr" # by what verify has found

step "a program that checks its own code: never verified"
assert_status 0 "$CTBPF" record -q -o "$T/selfcheck.ctr" -- "$PROGRAMS/selfcheck"
assert_status 5 timeout -k 5 100 "$CTBPF" verify "$T/selfcheck.ctr"
assert_contains "$OUT" DIVERGED
