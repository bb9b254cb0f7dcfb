#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads that race and signals that interrupt anything, in gdb: the same stops forwards and backwards.
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154
source "$(dirname "$0")/600-gdb.sh"

step "racing threads"
start_target racy "$PROGRAMS/racy"
sleep 0.3
assert_status 0 "$CTBPF" record -q -p "$PID_racy" -d 0.4 -o "$T/racy.ctr"
stop "$PID_racy" KILL
assert_recording "$T/racy.ctr"
in_gdb "$T/racy.ctr" <<'GDB'
python
threads = gdb.selected_inferior().threads()
assert len(threads) == 7, threads
assert '"racy"' in run("info threads")
gdb.execute("watch head")
forward = []
for i in range(25):
    go("continue", "breakpoint")
    forward.append((value("head"), value("tail"), gdb.selected_thread().ptid[1], registers()))
assert [f[0] for f in forward] == list(range(forward[0][0], forward[0][0] + 25)), forward
# Before the write of the next one is after that of the one before.
for f in reversed(forward):
    go("reverse-continue", "breakpoint")
    assert value("head") == f[0] - 1 and gdb.selected_thread().ptid[1] == f[2]
gdb.execute("delete")
gdb.execute("break consume")
gdb.execute("break free")
stops = []
for i in range(40):
    go("continue", "breakpoint")
    stops.append((gdb.selected_thread().ptid[1], registers()))
assert len({s[0] for s in stops}) > 1, "only one thread"
for s in reversed(stops[:-1]):
    go("reverse-continue", "breakpoint")
    assert (gdb.selected_thread().ptid[1], registers()) == s
for t in gdb.selected_inferior().threads():
    t.switch()
    assert len(bt()) >= 2, bt()
gdb.execute("delete")
gdb.execute("seek end")
end_ = [run("thread apply all -q info registers rip rsp rax")]
go("reverse-continue", "")
go("continue", "")
end_.append(run("thread apply all -q info registers rip rsp rax"))
assert end_[0] == end_[1]
end
GDB

step "signals"
assert_status 0 "$CTBPF" record -q -o "$T/s.ctr" -- "$PROGRAMS/handlers" nested 12
assert_recording "$T/s.ctr"
in_gdb "$T/s.ctr" <<'GDB'
python
gdb.execute("handle all stop nopass")
gdb.execute("handle SIGALRM SIGUSR1 SIGUSR2 SIGTRAP SIGINT stop pass")
stops = []
while True:
    why = go("continue")
    if not why:
        break
    stops.append((why, registers()))
assert len(stops) >= 12, stops
for i, s in enumerate(reversed(stops)):
    why = go("reverse-continue")
    assert (why, registers()) == s, (i, why, s[0])
go("reverse-continue", "")
# Into a handler by steps, and out of it again.
gdb.execute("handle all nostop noprint")
go("continue", "")
go("reverse-continue", "")
end
GDB
