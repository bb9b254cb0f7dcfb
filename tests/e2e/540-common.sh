# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of live calls share. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2034,SC2154
source "$(dirname "${BASH_SOURCE[0]}")/100-common.sh"
need python3

# Checksum of everything it can execute that is from a file, as it is in memory. (What a compiler has put elsewhere may
# change at any time, and has no probes.)
text_sum() { # PID
	python3 - "$1" <<-'PY'
		import sys, zlib
		crc = 0
		with open(f"/proc/{sys.argv[1]}/mem", "rb") as mem:
		    for line in open(f"/proc/{sys.argv[1]}/maps"):
		        if "x" in line.split()[1] and "/" in line:
		            lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
		            mem.seek(lo)
		            crc = zlib.crc32(mem.read(hi - lo), crc)
		print(f"{crc:08x}")
	PY
}
record() { # DIR PID SECONDS ARGS...
	local dir=$1 pid=$2 secs=$3
	shift 3
	OUT=$("$CTBPF" record --no-replay -p "$pid" -d "$secs" -o "$dir" "$@" 2>&1) || fail "$OUT"
	assert_recording "$dir" false
}
json_tids() { sed 's/.*"tid":\([0-9]*\),.*/\1/' | sort -u; }
calls() { "$CTBPF" dump --json --type call,return "$1"; }

# A program that says "ready" and runs on as PID_shop: its calls, of --calls=LANGUAGE, are what $T/check.py knows.
known_sequence() { # LANGUAGE AS-IT-IS-CALLED PROGRAM INTERPRETER...
	local text
	start_target shop "${@:4}" "$3"
	wait_for 10 grep -q ready "$T/shop.log"
	assert_contains "$("$CTBPF" list -p "$PID_shop")" "--calls=$1"
	text=$(text_sum "$PID_shop")
	rm -rf "$T/r.ctr"
	record "$T/r.ctr" "$PID_shop" 0.6 --calls
	assert_contains "$OUT" "calls of $2"
	! grep -q "NOT recorded" <<<"$OUT" || fail "$OUT"
	assert_eq "$(text_sum "$PID_shop")" "$text" "its code afterwards"
	"$CTBPF" dump --json --type function,call,return "$T/r.ctr" >"$T/calls"
	PYTHONPATH=tests/e2e python3 -B "$T/check.py" "$T/calls" "$3" || fail "not the calls that were made"
	indexed "$T/r.ctr"
}

# The step database has just the calls of the log.
indexed() { # DIR
	local n
	n=$(calls "$1" | grep -c '"type":"call"')
	assert_status 0 "$CTBPF" index "$1"
	assert_contains "$OUT" "0 lines, $n calls"
}
