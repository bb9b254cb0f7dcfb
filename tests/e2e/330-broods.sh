#!/bin/bash
# SPDX-License-Identifier: MIT
# Targets with many short-lived children or threads: attached in the midst of it, and a thousand children recorded.
# alone: nothing may be lost of all that its threads can do
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016,SC2034
# Environment: ROUNDS of attaching (2), CHILDREN of one program (1000)
source "$(dirname "$0")/100-common.sh"

cp "$PROGRAMS/brood" "$T/brood" # its own name: nothing else runs this file
processes() {
	find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$T/brood" 2>/dev/null | wc -l
}
left_behind() { # undo files of processes that are not there any more
	local f
	for f in "$RUN_DIR"/[0-9]*.json; do
		grep -qs '"comm":"brood"' "$f" && [ ! -d "/proc/$(basename "$f" .json)" ] && echo "$f"
	done
	return 0
}

children=${CHILDREN:-1000}
step "$children children"
assert_status 0 "$CTBPF" record -q -o "$T/thousand.ctr" -- "$T/brood" fork 30 "$children"
assert_contains "$OUT" "end $children"
assert_recording "$T/thousand.ctr"
assert_eq "$(info "$T/thousand.ctr" processes)" $((children + 1)) processes
assert_eq "$(info "$T/thousand.ctr" events_by_type.fork)" "$children" forks
assert_eq "$("$CTBPF" dump --type exit "$T/thousand.ctr" | grep -c 'process ')" $((children + 1)) "ends of processes"
# Each child made its twenty calls.
assert_eq "$("$CTBPF" dump --syscall getpid "$T/thousand.ctr" | grep -c 'getpid()')" $((children * 20)) "calls of the children"
rm -r "$T/thousand.ctr"
assert_eq "$(left_behind)" "" "undo files"

for what in 'fork 30' 'threads 8'; do
	# shellcheck disable=SC2086
	start_target brood "$T/brood" $what
	pid=$PID
	wait_for 10 grep -q '^made' "$T/brood.log" || fail "the target does not start"
	cpus=$(cpus "$pid") vdso=$(vdso_sum "$pid") fds=$(fds "$pid")
	for ((i = 1; i <= ${ROUNDS:-2}; i++)); do
		step "$what, attached, round $i"
		sleep "0.0$((RANDOM % 90 + 10))"
		assert_status 0 "$CTBPF" record -p "$pid" -d "0.$((RANDOM % 5 + 1))" -o "$T/$i.ctr"
		assert_recording "$T/$i.ctr"
		goes_on brood
		assert_released "$pid"
		# Children that were made while it was recorded have gone by now.
		wait_for 10 eval '[ "$(cpus "$pid")" = "$cpus" ]' || fail "allowed CPUs: $(cpus "$pid")"
		assert_eq "$(vdso_sum "$pid")" "$vdso" vDSO
		assert_eq "$(fds "$pid")" "$fds" descriptors
		rm -r "$T/$i.ctr"
	done
	kill -TERM "$pid"
	rc=0
	wait "$pid" || rc=$?
	assert_eq $rc 0 "exit status of the target ($(tail -n 2 "$T/brood.log"))"
	assert_eq "$(grep WRONG "$T/brood.log")" ""
	wait_for 10 eval '[ "$(processes)" = 0 ]' || fail "processes are left"
	assert_eq "$(left_behind)" "" "undo files"
done
