# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the end-to-end tests of step databases share: interpreters attached to, damaged databases. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "${BASH_SOURCE[0]}")/100-common.sh"

# Attached to in mid-run, recorded to its end; its steps are in $T/steps then.
print_midrun() { # INTERPRETER... PROGRAM
	local rc=0
	start_target midrun "$@"
	sleep 0.5
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -p "$PID" -o "$T/midrun.ctr"
	timeout 120 "$CTBPF" index --print --files "$(basename "${!#}")" "$T/midrun.ctr" >"$T/steps" || rc=$?
	assert_eq $rc 0 "exit status of index"
}

# A program that goes on for ever: its replay is the same with the agent in it, and so are its lines without values.
assert_agent_unseen() { # INTERPRETER... PROGRAM
	local lines values
	start_target busy "$@"
	wait_for 10 grep -q ready "$T/busy.log" || fail "the target does not start"
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -p "$PID" -d 0.3 -o "$T/busy.ctr"
	assert_recording "$T/busy.ctr"
	assert_status 0 timeout 200 "$CTBPF" verify "$T/busy.ctr"
	assert_status 0 timeout 200 "$CTBPF" index "$T/busy.ctr"
	[[ $OUT =~ ([0-9]+)\ lines,\ ([0-9]+)\ calls,\ ([0-9]+)\ values ]] || fail "no counts: $OUT"
	lines=${BASH_REMATCH[1]} values=${BASH_REMATCH[3]}
	assert_ge "$lines" 1000 lines
	assert_ge "$values" 1000 values
	assert_status 0 timeout 200 "$CTBPF" index --no-values "$T/busy.ctr"
	assert_contains "$OUT" "$lines lines"
	[[ $OUT =~ ([0-9]+)\ values ]] || fail "no counts: $OUT"
	assert_le "${BASH_REMATCH[1]}" $((values / 2)) "values without variables"
}

# $T/bad.ctr is the recording, but for a damaged table of its step database.
damage() { # RECORDING TABLE
	rm -rf "$T/bad.ctr"
	cp -r "$1" "$T/bad.ctr"
	printf '\377%.0s' {1..40} | dd of="$T/bad.ctr/steps/$2.ctcol" bs=1 seek=120 conv=notrunc status=none
}

# With any table damaged the command fails, and says which one it is.
assert_says_damage() { # RECORDING COMMAND...
	local table
	for table in steps calls values; do
		damage "$1" "$table"
		assert_status 1 timeout 20 "${@:2}" "$T/bad.ctr"
		assert_contains "$OUT" "$table.ctcol"
	done
}
