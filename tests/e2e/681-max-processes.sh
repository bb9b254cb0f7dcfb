#!/bin/bash
# SPDX-License-Identifier: MIT
# --max-processes: of children beyond it only the events are recorded, and said to be; they run as if nobody recorded
# them; the others verify. One that shares memory with them is refused by name.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need python3
assert_status 2 "$CTBPF" record --max-processes 0 -- true
assert_status 2 "$CTBPF" record --max-processes 2 --no-replay -- true
assert_contains "$OUT" "nothing to limit"

# Makes children that live on, one after the other, and runs programs meanwhile; tells of each child that answers.
cat >"$T/parent.py" <<'PY'
import mmap, os, subprocess, sys, time
shared = mmap.mmap(-1, 4096) if "share" in sys.argv else None
lives = []
def child():
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        n = 0
        while True:
            n += sum(range(1000))
            if shared:
                shared[:8] = n.to_bytes(8, "little")
            os.write(w, b"%d\n" % n)
            time.sleep(0.01)
    os.close(w)
    lives.append((pid, os.fdopen(r)))
while not os.path.exists(sys.argv[1] + "/go"):
    time.sleep(0.01)
for i in range(4):
    child()
    ok = subprocess.run(["/bin/echo", str(i)], capture_output=True, text=True).stdout
    print("child", lives[-1][0], "says", lives[-1][1].readline().strip(), "program", ok.strip(), flush=True)
while True:
    total = sum(len(f.readline()) for pid, f in lives)
    if shared:
        total += shared[0]
    print("tick", total, flush=True)
    time.sleep(0.02)
PY
children() { sed -n 's/^child \([0-9]*\) .*/\1/p' "$T/parent.log"; }
grows() { [ "$(grep -c ^tick "$T/parent.log")" -gt "$1" ]; }
ticks_on() { wait_for 20 grows "$(($(grep -c ^tick "$T/parent.log") + 3))" || fail "the service does not go on"; }
unpinned() { # PID...
	local p
	for p; do [ "$(cpus "$p")" = "$(cpus $$)" ] || return 1; done
}

step "two are replayed, the parent and its first child; of three and all programs only the events"
start_target parent python3 "$T/parent.py" "$T"
before="$(cpus "$PID_parent") $(vdso_sum "$PID_parent")"
start_recorder "$T/two.ctr" -p "$PID_parent" --max-processes 2 --snapshot-every 700ms
touch "$T/go"
wait_for 20 grows 3 || fail "no children: $(cat "$T/parent.log")"
mapfile -t pids < <(children)
assert_eq ${#pids[@]} 4
wait_for 10 unpinned "${pids[@]:1}" || fail "a child that is not replayed is still pinned"
assert_eq "$(cpus "${pids[0]}" | wc -w)" 1 "CPUs of the one that is replayed"
wait_for 20 test -s "$T/two.ctr/snapshots/000003/state" || fail "no further snapshots"
ticks_on
stop_recorder
assert_recording "$T/two.ctr"
assert_eq "$(cpus "$PID_parent") $(vdso_sum "$PID_parent")" "$before"
unpinned "${pids[@]}" || fail "a child is still pinned"
ticks_on
for p in "${pids[@]}"; do
	assert_released "$p"
	stop "$p" KILL
done
assert_eq "$(info "$T/two.ctr" events_only)" 7
assert_contains "$("$CTBPF" info "$T/two.ctr")" "of 7 processes beyond --max-processes only the events are recorded"
assert_status 0 "$CTBPF" verify "$T/two.ctr"
assert_contains "$OUT" VERIFIED
assert_matches "$OUT" 'not replayed: [0-9]+ events of processes beyond --max-processes'
assert_contains "$OUT" "in 2 processes identical"
assert_status 0 "$CTBPF" replay "$T/two.ctr"
dump=$("$CTBPF" dump "$T/two.ctr")
assert_matches "$dump" "new process ${pids[2]}, events only"
assert_matches "$dump" "${pids[3]}[^
]*write\([^
]*\[not replayed\]"

step "memory shared with one that is not replayed: said, with its number"
rm "$T/go"
stop "$PID_parent" KILL
start_target parent python3 "$T/parent.py" "$T" share
start_recorder "$T/share.ctr" -p "$PID_parent" --max-processes 2 --snapshot-every 700ms
touch "$T/go"
wait_for 20 grows 3 || fail "no children: $(cat "$T/parent.log")"
mapfile -t pids < <(children)
wait_for 20 test -s "$T/share.ctr/snapshots/000004/state" || fail "no further snapshots"
stop_recorder || true
assert_eq "$(info "$T/share.ctr" replayable)" false
assert_matches "$(info "$T/share.ctr" replayable_reason)" "child ${pids[1]}, of which only events are recorded"
assert_matches "$("$CTBPF" dump --type unsound "$T/share.ctr")" "[0-9]+ \(python3\) can write to shared memory \(anonymous shared memory\) and is not replayed"
stop "$PID_parent" KILL
for p in "${pids[@]}"; do stop "$p" KILL; done

step "children that come and go while all are attached to: none is left out that writes to their memory"
cat >"$T/busy.py" <<'PY'
import mmap, os, signal, sys, time
open("/proc/self/comm", "w").write(sys.argv[1])
shared = mmap.mmap(-1, 4096)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.fork()
n = 0
while True:
    n += 1
    if not os.fork():
        for i in range(10):
            shared[:8] = (int.from_bytes(shared[:8], "little") * 3 + os.getpid()).to_bytes(8, "little")
            time.sleep(0.005)
        os._exit(0)
    if n % 20 == 0:
        print("tick", n, shared[0], flush=True)
    time.sleep(0.04)
PY
start_target busy python3 -S "$T/busy.py" "ct-busy-$$"
wait_for 10 grep -q ^tick "$T/busy.log" || fail "it does not start"
for i in 1 2; do
	assert_status 0 "$CTBPF" record -q --comm "ct-busy-$$" -d 0.5 -o "$T/busy$i.ctr"
	assert_recording "$T/busy$i.ctr"
	assert_status 0 "$CTBPF" verify "$T/busy$i.ctr"
done
pkill -KILL -x "ct-busy-$$"
