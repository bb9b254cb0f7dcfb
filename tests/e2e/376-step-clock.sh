#!/bin/bash
# SPDX-License-Identifier: MIT
# `record --clock step` gives every position a tick, as a counter would; replays find them by it, and by fingerprints.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

# Positions of the recording (signals, switches in user code; without those of switches that the scheduler's tracepoint
# did not report, which have registers only), and how many of them have a tick.
positions() { "$CTBPF" dump --hex --type signal,switch "$1" | grep 'fingerprint:' | grep -vc ', late' || true; }
ticked() { "$CTBPF" dump --hex --type signal,switch "$1" | grep -c 'fingerprint:.*, tick [0-9]' || true; }
verified_by_both() { # RECORDING
	local clock
	assert_eq "$(json options.clock <"$1/manifest.json") $(json options.ticks <"$1/manifest.json")" "step conditional-branches"
	for clock in step fingerprint; do
		assert_status 0 "$CTBPF" verify -n --clock $clock "$1"
		assert_contains "$OUT" "clock: $clock (asked for)"
	done
}

for what in signals threads; do
	step "$what"
	start_target $what "$PROGRAMS/stepped" $what
	sleep 0.2
	for secs in 0.7 3 10; do # a busy machine executes few instructions in a second
		rm -rf "$T/$what.ctr"
		assert_status 0 "$CTBPF" record --clock step -p "$PID" -d $secs -o "$T/$what.ctr"
		assert_contains "$OUT" "single-stepped while it is recorded"
		[ "$(positions "$T/$what.ctr")" -le 5 ] || break
	done
	goes=$(awk '{print $14}' "/proc/$PID/stat")
	wait_for 10 eval "[ \$(awk '{print \$14}' /proc/$PID/stat) -gt $goes ]" || fail "the target does not go on"
	assert_eq "$(grep -c '^TracerPid:.0$' "/proc/$PID/status")" 1
	stop "$PID"
	[ "$(positions "$T/$what.ctr")" -gt 5 ] || fail "too few positions"
	assert_eq "$(ticked "$T/$what.ctr")" "$(positions "$T/$what.ctr")" "positions with a tick"
	verified_by_both "$T/$what.ctr"
done

step "ticks are positions"
read -r seq tick < <("$CTBPF" dump --hex --type signal "$T/signals.ctr" |
	awk '$1 ~ /^[0-9]+$/ { seq = $1 } match($0, /, tick [0-9]+/) && ++n == 5 { print seq, substr($0, RSTART + 7, RLENGTH - 7) }')
at_tick() { # TICK: the next event there, and where the thread stands
	assert_status 0 "$CTBPF" replay --clock step --to "tick:$1" "$T/signals.ctr"
	sed -n 's/^next is *\([0-9]*\) .*/\1/p; s/^thread .* runs, at //p' <<<"$OUT" | xargs
}
read -r next rip <<<"$(at_tick $((tick + 1)))"
[ "$next" -gt "$seq" ] || fail "tick $((tick + 1)) comes before event $seq, which is at tick $tick"
[ "$(at_tick $((tick - 1)) | cut -d' ' -f1)" -le "$seq" ] || fail "tick $((tick - 1)) comes after event $seq"
printf 'goto tick:%s\nregisters\nwhen\n' $((tick + 1)) >"$T/script"
assert_status 0 "$CTBPF" replay --batch -x "$T/script" "$T/signals.ctr"
assert_contains "$OUT" "$rip"
assert_contains "$OUT" "e:$next"
for p in tick: tick:1x tick:99999999 tick:1/1 e:99999999 t:+1000s; do
	assert_status 2 "$CTBPF" replay --to $p "$T/signals.ctr"
	assert_status 2 "$CTBPF" replay --batch -x /dev/null --to $p "$T/signals.ctr"
done
assert_contains "$OUT" "'t:+1000s' is behind the end: the last position is e:"

step "a command and its children"
assert_status 5 "$CTBPF" record -q --clock step -o "$T/processes.ctr" -- "$PROGRAMS/stepped" processes
assert_eq "$OUT" "$(printf '2\n3')"
verified_by_both "$T/processes.ctr"

step "refused"
assert_status 2 "$CTBPF" record --clock step --no-replay -p $$
assert_status 2 "$CTBPF" record --clock pendulum -p $$
assert_contains "$OUT" "--clock takes auto or step, not 'pendulum'"
