#!/bin/bash
# SPDX-License-Identifier: MIT
# A recorded crash in gdb: forward to it, then backwards to the store that is guilty; variables, calls, positions.
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
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
assert "is behind the end: the last position is e:" in run("monitor seek e:99999")
assert "is not a position" in run("monitor seek e:1@x")
assert registers() == here
assert value("$fs_base") and value("$xmm15.v2_int64[0]") is not None and value("$mxcsr") == 0x1f80
assert "libc.so.6" in run("info sharedlibrary") and "AT_PHDR" in run("info auxv")
end
GDB

step "a gdb that connects by itself gets the files by the protocol, too; other users get nothing"
need setpriv
start_target server "$CTBPF" replay -s 0 "$T/c.ctr"
wait_for 20 grep -q 'target remote 127.0.0.1:' "$T/server.log"
port=$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$T/server.log")
assert_eq "$(ss -Hltn "sport = :$port" | awk '{print $4}')" "127.0.0.1:$port" "what it listens on"
for host in 127.0.0.1 ::ffff:127.0.0.1; do
	setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 - $host "$port" <<-'PY' || fail "another user gets an answer by $host"
		import socket, sys
		s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
		s.settimeout(20)
		try:
		    s.sendall(b"$?#3f")
		    got = s.recv(100)
		except ConnectionError:
		    got = b""
		sys.exit(got != b"")
	PY
done
wait_for 5 grep -q "another user's has been refused" "$T/server.log" || fail "nothing is said about it"
gdb -q -nx -batch -ex 'set remotetimeout 60' -ex 'set sysroot target:' -ex "target remote 127.0.0.1:$port" -ex 'break fill' -ex 'continue' \
	-ex 'backtrace' -ex 'print n' >"$T/out" 2>&1 </dev/null || fail "$(cat "$T/out")"
assert_matches "$(cat "$T/out")" 'fill \(it=.*, from=1000, n=4\)'
assert_contains "$(cat "$T/out")" '$1 = 4'
wait_for 10 gone "$PID_server" || fail "the server stays"

step "a peer that sends anything at all"
start_target hostile "$CTBPF" replay -s 0 "$T/c.ctr"
wait_for 20 grep -q 'target remote 127.0.0.1:' "$T/hostile.log"
port=$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$T/hostile.log")
python3 - "$port" <<'PY'
import random, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(60)
def ask(body):
    s.sendall(b"$" + body + b"#%02x" % (sum(body) & 255))
    got = b""
    while b"#" not in got[:-2]:
        more = s.recv(65536)
        assert more, "the server is gone after %r" % body
        got += more
    return got
def still_there():
    assert b"QC" in ask(b"qC")
random.seed(7)
for body in (b"m", b"m0,0", b"m0,ffffffffffffffff", b"mffffffffffffffff,ffff", b"M0,8:00", b"X0,fffffffffffffff:", b"G00", b"Gzz",
             b"P", b"Pffff=00", b"pffffffffffffffff", b"Z0", b"Z0,0,1", b"Z2,0,0", b"Z2,fffffffffffffff8,18", b"Z4,1,ffffffff",
             b"z9,0,0", b"H", b"Hg-5", b"Hgp1.zz", b"Tp0.0", b"vCont", b"vCont;", b"vCont;r", b"vCont;s:1", b"vCont;c:pzz", b"bx",
             b"qXfer:features:read:x:ffffffffffffffff,ffffffffffffffff", b"qXfer:threads:read::8000000000000000,1",
             b"qXfer:siginfo:read::0,0", b"qXfer::read", b"vFile:open:2f,0,0", b"vFile:open:" + b"41" * 9000, b"vFile:pread:0,1,0",
             b"vFile:pread:ffffffffffffffff,1,0", b"vFile:fstat:-1", b"vFile:close:40", b"qRcmd,zz", b"qRcmd,", b"qRcmd," + b"41" * 4000,
             b"qRcmd," + b"seek e:99999999999999999999@0#0".hex().encode(), b"qRcmd," + b"events -5".hex().encode(),
             *(b"qRcmd," + command.hex().encode() for command in (b"restart 1", b"checkpoint", b"forget 99999999999999", b"restart",
                                                                  b"forget 1", b"forget 1", b"checkpoints x", b"restart 1")),
             *(b"vFile:" + call + path.hex().encode() + rest for call, rest in ((b"open:", b",0,0"), (b"readlink:", b""))
               for path in (b"/proc/1/maps", b"/proc/1/exe", b"/proc/1/task/1/", b"/proc/", b"/etc/shadow", b"/proc/self/cmdline")),
             b"vFile:readlink:", b"vFile:readlink:" + b"2f" * 5000,
             b"QPassSignals:" + b"ff;" * 5000, b"QCatchSyscalls", b"qSupported" + b":;" * 3000, b"!" * 100000, bytes(range(128, 250))):
    ask(body)
    still_there()
for i in range(2000):
    s.sendall(bytes(random.randrange(256) for _ in range(random.randrange(40))).replace(b"$k", b"").replace(b"$D", b""))
s.sendall(b"$" + b"a" * 300000 + b"#00")
s.close()
PY
wait_for 20 gone "$PID_hostile" || fail "the server stays"
wait "$PID_hostile" || fail "the server ends with $?: $(tail -n 3 "$T/hostile.log")"

step "usage, and no gdb"
assert_status 2 "$CTBPF" replay --batch "$T/c.ctr"
assert_status 2 "$CTBPF" replay --gdb --output "$T/c.ctr"
assert_status 2 "$CTBPF" replay -s 70000 "$T/c.ctr"
PATH=/nowhere assert_status 77 "$CTBPF" replay --gdb "$T/c.ctr"
assert_contains "$OUT" "gdb is not installed"
