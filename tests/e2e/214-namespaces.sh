#!/bin/bash
# SPDX-License-Identifier: MIT
# Processes in other PID and mount namespaces are recorded like any: unharmed, no zombies, also the first of a namespace.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need unshare pgrep

step "in a PID and mount namespace of its own"
start_target space unshare -pfm --mount-proc "$PROGRAMS/answers" 2
wait_for 10 grep -q '^tick 2 ' "$T/space.log"
inner=$(pgrep -P "$PID_space")
STARTED+=("$inner")
before=$(shape "$inner")
assert_status 0 "$CTBPF" record -p "$inner" -d 0.7 -o "$T/space.ctr"
assert_recording "$T/space.ctr"
answers_well space
assert_shape "$inner" "$before"
# In its own namespace it is process 1.
assert_contains "$("$CTBPF" dump --snapshot 1 "$T/space.ctr")" "$inner"
kill -TERM "$inner"
wait "$PID_space"

step "children in a PID namespace: their ids there are other ones"
start_target fork unshare -pf "$PROGRAMS/storm" fork
wait_for 10 test -s "$T/fork.log"
inner=$(pgrep -P "$PID_fork")
STARTED+=("$inner")
assert_status 0 "$CTBPF" record -p "$inner" -d 0.7 -o "$T/fork.ctr"
assert_recording "$T/fork.ctr"
goes_on fork
kill -TERM "$inner"
wait "$PID_fork"

step "a process that adopts orphans gets none of ours"
cat >"$T/reaper.py" <<'PY'
import ctypes, os, signal, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
signals = 0
def on_child(*_):
    global signals
    signals += 1
signal.signal(signal.SIGCHLD, on_child)
while True:
    time.sleep(0.02)
    try:
        got = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        got = None
    print("tick", signals, got, flush=True)
PY
start_target reaper python3 "$T/reaper.py"
wait_for 10 test -s "$T/reaper.log"
reaper=$PID_reaper
assert_status 0 "$CTBPF" record -p "$reaper" -d 0.7 -o "$T/reaper.ctr"
goes_on reaper
assert_eq "$(sort -u "$T/reaper.log")" "tick 0 None" "what the reaper saw"
assert_eq "$(zombies_of "$reaper")" 0 zombies
assert_recording "$T/reaper.ctr"

step "a kernel that hides its type information"
mkdir "$T/empty"
start_target plain sleep 60
assert_status 77 unshare -m sh -c "mount --bind '$T/empty' /sys/kernel/btf && '$CTBPF' record -p $PID -d 0.2 -o '$T/nobtf.ctr'"
assert_matches "$OUT" 'no type information.*CONFIG_DEBUG_INFO_BTF'
[ ! -e "$T/nobtf.ctr" ] || fail "a directory is left"
assert alive "$PID"

step "a recorder in a PID namespace knows no process by the number that the kernel side sees: refused by name"
assert_status 77 unshare -pfm --mount-proc "$CTBPF" record -q -o "$T/inside.ctr" -- true
assert_contains "$OUT" "PID namespace"
[ ! -e "$T/inside.ctr" ] || fail "a recording was made"
assert_matches "$(unshare -pfm --mount-proc "$CTBPF" check || true)" 'PID namespace'
