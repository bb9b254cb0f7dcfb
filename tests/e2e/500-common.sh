# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the end-to-end tests of step databases share: interpreters attached to, damaged databases. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "${BASH_SOURCE[0]}")/100-common.sh"

# One recording in which the interpreter runs each of the programs: to record and to index 31 of them takes far longer.
record_each() { # RECORDING INTERPRETER ARGUMENT... -- PROGRAM...
	local recording=$1 run=()
	shift
	while [ "$1" != -- ]; do run+=("$1") && shift; done
	shift
	printf 'set -e\n' >"$T/each.sh"
	while [ $# != 0 ]; do printf '%q ' "${run[@]}" "$1" >>"$T/each.sh" && echo >>"$T/each.sh" && shift; done
	for _ in 1 2 3; do # a busy machine may have let a program go before its snapshot, which the recording then says
		rm -rf "$recording"
		assert_status 0 timeout -s INT -k 5 200 "$CTBPF" record -q -o "$recording" -- sh "$T/each.sh"
		"$CTBPF" info "$recording" 2>&1 | has_line 'ran before a snapshot' || break
	done
}

# What `index --print` said of such a recording, to DIRECTORY/PROGRAM.steps: a thread is of one program.
split_steps() { # STEPS DIRECTORY
	awk -v dir="$2" '
		$2 !~ /^<native>:/ && match($0, /^[0-9]+ [^ ].*:[0-9]+ /) {
			file = substr($0, length($1) + 2, RLENGTH - length($1) - 2)
			sub(/:[0-9]+$/, "", file); sub(/.*\//, "", file); sub(/\.[a-z]+$/, "", file)
			if (!($1 in of)) {
				printf "%s", held[$1] > (dir "/" file ".steps")
				of[$1] = file
			}
		}
		!($1 in of) { held[$1] = held[$1] $0 "\n"; next } # a fork returns first
		{ print > (dir "/" of[$1] ".steps") }' "$1"
}

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
