#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads that are made and joined all the time, before, while and after recording.
# alone: nothing of a storm may be lost, however little of a CPU others leave to the recorder
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_target storm "$PROGRAMS/storm" threads
goes_on storm
cpus=$(cpus "$PID_storm") vdso=$(vdso_sum "$PID_storm") fds=$(fds "$PID_storm")
for n in 1 2 3; do
	assert_status 0 "$CTBPF" record -p "$PID_storm" -d 0.7 -o "$T/$n.ctr"
	assert_recording "$T/$n.ctr"
	assert_ge "$(info "$T/$n.ctr" threads)" 10 threads
	goes_on storm
	assert_released "$PID_storm"
	assert_eq "$(cpus "$PID_storm")" "$cpus" "allowed CPUs"
	assert_eq "$(vdso_sum "$PID_storm")" "$vdso" "vDSO"
	assert_eq "$(fds "$PID_storm")" "$fds" descriptors
	assert_eq "$(zombies_of "$PID_storm")" 0 zombies
done
stop "$PID_storm"
assert_eq "$(grep WRONG "$T/storm.log")" ""
assert_matches "$(tail -n 1 "$T/storm.log")" '^rounds'
