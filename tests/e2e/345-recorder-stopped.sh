#!/bin/bash
# SPDX-License-Identifier: MIT
# The recorder gets no CPU for a while: nobody waits long for it, and what it looks at late it keeps if it is unchanged.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need python3

head -c 300000 /dev/urandom >"$T/old"
head -c 300000 /dev/urandom >"$T/changing"
cat >"$T/map.py" <<'P'
import mmap, subprocess, sys, time
log = open(sys.argv[1] + "/map.log", "w", buffering=1)
maps = []
for line in sys.stdin:
    t = time.monotonic()
    what, name = line.split()
    if what == "map":
        f = open(name, "rb")
        maps.append(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE))
        print("sum", sum(maps[-1][:4096]), file=log)
    else:
        subprocess.run([name])
    print(what, "done in", int((time.monotonic() - t) * 1000), "ms", file=log)
P
said() { grep -q "$1" "$T/map.log"; }

session() { # NAME COMMANDS-WHILE-STOPPED...
	local name=$1 rec
	shift
	step "$name"
	mkfifo "$T/in"
	"$PYTHON" "$T/map.py" "$T" <"$T/in" &
	PID=$!
	exec 7>"$T/in"
	rm "$T/in"
	"$CTBPF" record -q -p $PID -o "$T/$name.ctr" &
	rec=$!
	wait_for 20 recording "$T/$name.ctr"
	kill -STOP $rec
	"$@"
	kill -CONT $rec
	sleep 0.3
	kill -INT $rec
	wait $rec
	stop $PID
	exec 7>&-
}
PYTHON=$(command -v python3)

session unchanged eval 'echo "map $T/old" >&7; wait_for 10 said "map done"; sleep 0.3'
assert_recording "$T/unchanged.ctr"
assert_ge "$(sed -n 's|.*"hold_timeouts": \([0-9]*\).*|\1|p' "$T/unchanged.ctr/manifest.json")" 1 "holds not answered"
assert_status 0 "$CTBPF" verify "$T/unchanged.ctr"

session changed eval 'echo "map $T/changing" >&7; wait_for 10 said "map done"; echo more >>"$T/changing"; sleep 0.3'
assert_recording "$T/changed.ctr" false
assert_matches "$(info "$T/changed.ctr" replayable_reason)" "changing.*looked at too late"

session exec eval 'echo "run /bin/true" >&7; wait_for 10 said "run done"'
assert_recording "$T/exec.ctr" false

# It may wait for what another recorded process holds, which waits for the CPU of the one that is held.
step "only its main thread is stuck, for longer than anyone is held"
"$CTBPF" record -q -o "$T/stuck.ctr" -- sh -c 'for i in $(seq 20); do sleep 0.3; done' &
rec=$!
wait_for 20 recording "$T/stuck.ctr"
"$PROGRAMS/freeze" $rec 6500 || fail "its main thread was not stopped"
wait $rec || fail "record ended with status $?"
assert_recording "$T/stuck.ctr"
assert_status 0 "$CTBPF" verify "$T/stuck.ctr"
assert_contains "$OUT" VERIFIED
