#!/bin/bash
# SPDX-License-Identifier: MIT
# A recorded crash in gdb: forward to it, then backwards to the store that is guilty; variables, calls, positions.
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154
source "$(dirname "$0")/600-gdb.sh"

step "a heap corruption"
assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"
assert_recording "$T/c.ctr"

step "from the crash to the guilty store"
in_gdb "$T/c.ctr" <<'GDB'
python
go("continue", "SIGSEGV")
crash = registers()
assert "main" in bt()[0], bt()
gdb.execute("watch items[5]->name")
go("reverse-continue")
assert bt()[0] == "fill" and bt()[1] == "main", bt()
assert value("i") == 4 and value("n") == 5 and value("round", 1) == 29
assert text("items[5]->name").endswith('"item"')
go("stepi")
assert "item" not in text("items[5]->name")
go("continue", "SIGSEGV")
assert registers() == crash
end
GDB

step "breakpoints, steps and finish, in both directions"
in_gdb "$T/c.ctr" <<'GDB'
python
gdb.execute("break fill")
hits = []
go("continue")
while bt()[0] == "fill":
    hits.append((value("from"), registers()))
    go("continue")
assert [h[0] for h in hits] == list(range(1000, 1040)), hits
gdb.execute("handle SIGSEGV nostop noprint")
for h in reversed(hits):
    go("reverse-continue")
    assert (value("from"), registers()) == h
go("reverse-continue", "")
go("continue")
gdb.execute("delete")
go("finish")
after = registers()
go("reverse-stepi")
assert bt()[0] == "fill"
go("stepi")
assert registers() == after
gdb.execute("next")
gdb.execute("next")
line = gdb.selected_frame().find_sal().line
gdb.execute("reverse-next")
gdb.execute("reverse-next")
gdb.execute("next")
gdb.execute("next")
assert gdb.selected_frame().find_sal().line == line
end
GDB

step "what gdb writes and calls does not stay"
in_gdb "$T/c.ctr" <<'GDB'
python
gdb.execute("break fill")
go("continue")
go("continue")
before = registers()
sum = 0
for i in range(10):
    sum = (sum * 31 + i) & (2 ** 64 - 1)
assert value("work(10)") == sum
gdb.execute("set var from = 5")
assert value("from") == 5
assert 'hello' in run('call (int)puts("hello")') + run("call (int)fflush(0)")
gdb.execute("set var $rax = 77")
assert value("$rax") == 77
gdb.execute("set var $rax = %d" % before["rax"])
assert registers() == before
go("continue")
assert value("from") == 1002
go("reverse-continue")
assert value("from") == 1001 and registers() == before
end
GDB

step "positions, and what else only a recording has"
in_gdb "$T/c.ctr" <<'GDB'
python
gdb.execute("break work")
for i in range(20):
    go("continue")
gdb.execute("delete")
for i in range(9):
    go("stepi")
here, place = registers(), run("when").split()[0]
gdb.execute("seek start")
assert registers() != here
gdb.execute("seek " + place)
assert registers() == here, place
assert "round 18" in run("monitor stdout") and "round 19" not in run("monitor stdout")
assert "=> e:" in run("monitor events") and "write = " in run("monitor events 20")
assert " checkpoints, " in run("monitor checkpoint")
assert "monitor when" in run("monitor help") and "there is no" in run("monitor nonsense")
assert "not on this timeline" in run("monitor seek e:99999")
assert "is not a position" in run("monitor seek e:1@x")
assert registers() == here
assert "xmm15" in run("info vector") and "fs_base" in run("info registers fs_base")
assert "libc.so.6" in run("info sharedlibrary") and "AT_PHDR" in run("info auxv")
end
GDB

step "a gdb that connects by itself gets the files by the protocol, too"
start_target server "$CTBPF" replay -s 0 "$T/c.ctr"
wait_for 20 grep -q 'target remote 127.0.0.1:' "$T/server.log"
port=$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$T/server.log")
assert_eq "$(ss -Hltn "sport = :$port" | awk '{print $4}')" "127.0.0.1:$port" "what it listens on"
gdb -q -nx -batch -ex 'set sysroot target:' -ex "target remote 127.0.0.1:$port" -ex 'break fill' -ex 'continue' \
	-ex 'backtrace' -ex 'print n' >"$T/out" 2>&1 </dev/null || fail "$(cat "$T/out")"
assert_matches "$(cat "$T/out")" 'fill \(it=.*, from=1000, n=4\)'
assert_contains "$(cat "$T/out")" '$1 = 4'
wait_for 10 gone "$PID_server" || fail "the server stays"

step "usage, and no gdb"
assert_status 2 "$CTBPF" replay --batch "$T/c.ctr"
assert_status 2 "$CTBPF" replay --gdb --output "$T/c.ctr"
assert_status 2 "$CTBPF" replay -s 70000 "$T/c.ctr"
PATH=/nowhere assert_status 77 "$CTBPF" replay --gdb "$T/c.ctr"
assert_contains "$OUT" "gdb is not installed"
