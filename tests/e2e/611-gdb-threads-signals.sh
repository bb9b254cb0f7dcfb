#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads that race and signals that interrupt anything, in gdb: the same stops forwards and backwards.
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
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
for i in range(12):
    go("continue", "breakpoint")
    forward.append((value("head"), value("tail"), gdb.selected_thread().ptid[1], registers()))
assert [f[0] for f in forward] == list(range(forward[0][0], forward[0][0] + 12)), forward
# Before the write of the next one is after that of the one before.
for f in reversed(forward):
    go("reverse-continue", "breakpoint")
    assert value("head") == f[0] - 1 and gdb.selected_thread().ptid[1] == f[2]
gdb.execute("delete")
gdb.execute("break pthread_cond_wait")
gdb.execute("break consume")
stops = []
for i in range(20):
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

step "signals that interrupt anything"
start_target timers "$PROGRAMS/timers"
sleep 0.2
assert_status 0 "$CTBPF" record -q -p "$PID_timers" -d 0.3 -o "$T/t.ctr"
stop "$PID_timers" KILL
assert_recording "$T/t.ctr"
in_gdb "$T/t.ctr" <<'GDB'
python
gdb.execute("handle all stop print pass")
stops = []
for i in range(10):
    why = go("continue")
    assert why.startswith("SIG"), why
    stops.append((why, registers()))
for i, s in enumerate(reversed(stops[:-1])):
    why = go("reverse-continue")
    assert (why, registers()) == s, (i, why, s[0])
# Into the handler, and back to what it has interrupted.
interrupted = registers()
go("stepi")
assert "<signal handler called>" in run("backtrace 2")
assert registers()["rsp"] < interrupted["rsp"]
for i in range(5):
    go("stepi")
for i in range(6):
    go("reverse-stepi")
assert registers() == interrupted
end
GDB

step "signals of the program's own making"
assert_status 0 "$CTBPF" record -q -o "$T/f.ctr" -- "$PROGRAMS/handlers" faults 4
assert_recording "$T/f.ctr"
in_gdb "$T/f.ctr" <<'GDB'
python
gdb.execute("handle all stop print pass")
gdb.execute("handle SIGTRAP stop print pass")
stops = []
why = go("continue") # gdb has no name for a SIGTRAP, nor for the end, where nothing moves any more
while not stops or (why, registers()) != stops[-1]:
    stops.append((why, registers()))
    why = go("continue")
del stops[-1]
assert len(stops) >= 20 and {"SIGSEGV", "SIGFPE", "SIGILL"} < {s[0] for s in stops}, [s[0] for s in stops]
for i, s in enumerate(reversed(stops)):
    why = go("reverse-continue")
    assert (why, registers()) == s, (i, why, s[0])
go("reverse-continue", "")
end
GDB
