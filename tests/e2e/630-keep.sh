#!/bin/bash
# SPDX-License-Identifier: MIT
# --keep: only the newest part of a recording stays, it verifies, takes no more disk than it may, and depends on nothing
# that is gone: neither log, nor pages, nor kept files.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

verified() { # DIR
	assert_status 0 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}
files() { find "$1/files" -type f -printf '%f\n' | sort; }
named() { "$CTBPF" dump --json --type file "$1" | grep -oE '"hash":"[0-9a-f]{32}"' | cut -d '"' -f 4 | sort -u; }
# Records PID for so many seconds, of which it keeps the last one.
keep_last() { # NAME SECONDS INTERVAL
	local dir=$T/$1.ctr
	wait_for 15 test -e "$T/$1.log" || fail "$1 does not start"
	goes_on "$1"
	assert_status 0 "$CTBPF" record -q -p "$PID" -d "$2" --keep 1s --snapshot-every "$3" -o "$dir"
	goes_on "$1"
	stop "$PID"
	assert_recording "$dir"
	assert_ge "$(info "$dir" kept_from)" 2 "first snapshot kept"
	verified "$dir"
	# What nothing names has been removed.
	assert_eq "$(comm -23 <(files "$dir") <(named "$dir"))" "" "kept files that no record names"
}
bytes() { du -s --block-size=1 "$1" | cut -f 1; }

step "by time"
start_answers answers 3
before=$(shape "$PID_answers")
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 4 --keep 2s --snapshot-every 300ms -o "$T/time.ctr"
answers_well
assert_shape "$PID_answers" "$before"
assert_recording "$T/time.ctr"
assert_ge "$(info "$T/time.ctr" kept_from)" 2 "first snapshot kept"
assert_ge "$(info "$T/time.ctr" duration_s)" 2 "kept seconds"
assert_ge "$(info "$T/time.ctr" stretches)" 2 stretches
assert_matches "$("$CTBPF" info "$T/time.ctr")" 'kept +e:[0-9]+ to e:[0-9]+, from snapshot [0-9]+ on'
assert_matches "$(info "$T/time.ctr" first_pos)" '^e:[0-9]{2,}$'
[ ! -e "$T/time.ctr/segments/000001.ctseg" ] || fail "the first segment is still there"
verified "$T/time.ctr"
pos=$(info "$T/time.ctr" first_pos)
assert_status 0 "$CTBPF" replay --to "$pos" "$T/time.ctr"
assert_status 0 "$CTBPF" replay "$T/time.ctr"
answers_end

step "by bytes, both"
start_target storm "$PROGRAMS/flood" 1
wait_for 15 test -e "$T/storm.log" || fail "the target does not start"
goes_on storm
start_recorder "$T/bytes.ctr" -p "$PID" --keep 16M --keep 1h
most=0
moved_on() { # looks at the disk, too; the third removal has been made
	local n
	n=$(bytes "$T/bytes.ctr" 2>/dev/null) || n=0
	[ "$n" -le $most ] || most=$n
	[ -z "$(find "$T/bytes.ctr/segments" -name '00000[1-7].ctseg')" ]
}
wait_for 60 moved_on || fail "old segments stay"
stop_recorder
echo "at most $most bytes, at last $(bytes "$T/bytes.ctr")"
assert_le "$(bytes "$T/bytes.ctr")" $((16 << 20)) "bytes on disk"
assert_le $most $((16 << 20)) "bytes on disk while it was recorded"
assert_recording "$T/bytes.ctr"
assert_ge "$(info "$T/bytes.ctr" kept_from)" 2 "first snapshot kept"
verified "$T/bytes.ctr"
stop "$PID_storm"

step "what is mapped and read: kept files come and go"
cat >"$T/files.py" <<'PY'
import mmap, os, time
with open("big", "wb") as f:
    f.write(os.urandom(300000))
big = open("big", "rb")
held = mmap.mmap(big.fileno(), 0, prot=mmap.PROT_READ)
sum_, i = 0, 0
while True:
    i += 1
    name = "f%d" % (i % 7)
    with open(name + ".new", "wb") as f:
        f.write(str(i).encode() * 20000)
    os.rename(name + ".new", name)
    with open(name, "rb") as f:
        m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        sum_ += m[i % 1000] + m[-1]
        m.close()
    big.seek(0)
    sum_ += sum(big.read(65536)) + held[i % 300000]
    if i % 20 == 0:
        print("tick", i, sum_, flush=True)
    time.sleep(0.005)
PY
cd "$T" || exit 1
start_target files python3 "$T/files.py"
keep_last files 2 200ms

step "children, execve, with several processes"
start_target brood "$PROGRAMS/brood" fork 3
keep_last brood 1.5 200ms

step "timers interrupt it all the time, and each other"
start_target timers "$PROGRAMS/timers"
keep_last timers 1.5 200ms

step "one program after the other: snapshots in the middle of execve"
start_target shell bash -c 'while :; do /bin/true; /bin/echo on; done'
# The machine may be late for one of so many new programs, if other recorders' targets are held on the CPU that this one's
# threads need: then that stretch is BROKEN, and says so. Nothing else is an excuse.
wait_for 15 test -e "$T/shell.log" || fail "the shell does not start"
goes_on shell
assert_status 0 "$CTBPF" record -q -p "$PID" -d 3 --keep 1s --snapshot-every 100ms -o "$T/shell.ctr"
goes_on shell
stop "$PID"
"$CTBPF" verify --json "$T/shell.ctr" >"$T/verdict" || true
python3 - "$T/verdict" <<'PY' || fail "$(cut -c 1-3000 "$T/verdict")"
import json, sys
stretches = json.load(open(sys.argv[1]))["stretches"]
late = [s for s in stretches if s["verdict"] == "BROKEN" and "before a snapshot of it" in s.get("error", "")]
good = [s for s in stretches if s["verdict"] == "VERIFIED"]
print(len(good), "stretches verified,", len(late), "broken")
sys.exit(not good or len(good) + len(late) != len(stretches))
PY

step "what makes no sense"
assert_status 2 "$CTBPF" record --keep 5 -p 1
assert_status 2 "$CTBPF" record --keep 1M -p 1
assert_status 2 "$CTBPF" record --keep 10m --no-replay -p 1
