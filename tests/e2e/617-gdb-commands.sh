#!/bin/bash
# SPDX-License-Identifier: MIT
# gdb: every kind of breakpoint and catchpoint, every backward command, checkpoints, names of threads, `info proc`, sources.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/600-gdb.sh"

assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"

step "hardware breakpoints, read and access watchpoints, catchpoints: the same stops both ways"
in_gdb "$T/c.ctr" <<'GDB'
python
def both(command):
    """Registers at eight stops of this one, and then at those backwards, in the same order."""
    gdb.execute("seek start")
    gdb.execute(command)
    forth, back = [], []
    while len(forth) < 8:
        go("continue", "breakpoint")
        forth.append(registers())
    while go("reverse-continue") == "breakpoint":
        back.append(registers())
    gdb.execute("delete")
    return forth, back[::-1]
for command in ("hbreak fill", "catch syscall write", "catch syscall"):
    forth, back = both(command)
    assert forth[:-1] == back, (command, len(back)) # it stood at the last one
# Backwards it stops before an access, not behind it: but as often.
for kind in ("watch", "rwatch", "awatch"):
    forth, back = both("%s checksum" % kind)
    assert len(back) == 8, (kind, len(back))
end
GDB

step "each forward command is undone by its backward one"
in_gdb "$T/c.ctr" <<'GDB'
python
def line():
    return gdb.selected_frame().name(), gdb.selected_frame().find_sal().line
gdb.execute("tbreak main")
go("continue")
gdb.execute("tbreak 37")
go("continue")
assert line() == ("main", 37)
for there, back in (("next", "reverse-next"), ("step 3", "reverse-step 2"), ("stepi 3", "reverse-stepi 3"),
                    ("nexti 9", "reverse-nexti 9"), ("until", "reverse-next"), ("advance 39", "reverse-next 2")):
    here = registers()
    go(there)
    assert registers() != here, there
    go(back)
    assert line() == ("main", 37), (there, back, line())
go("next")
go("step")
assert line() == ("work", 23), line()
go("reverse-finish")
assert line() == ("main", 38), line()
gdb.execute("set exec-direction reverse")
go("next 2")
assert line() == ("main", 37), line()
gdb.execute("set exec-direction forward")
end
GDB

step "the same commands in a live process, by gdb's own recorder"
cat >"$T/walk.py" <<'PY'
import gdb
for c in ("step", "step", "next", "next", "step 2", "reverse-step", "reverse-next", "next", "stepi 3", "reverse-stepi 2", "nexti 4",
          "reverse-nexti 3", "until", "reverse-step 2", "stepi 9", "reverse-step", "finish", "reverse-step", "reverse-finish",
          "step", "tbreak 18", "continue", "reverse-next", "advance 19", "reverse-step", "finish", "reverse-next"):
    gdb.execute(c, to_string=True)
    f = gdb.selected_frame()
    print("WALK", c, f.name(), f.find_sal().line, "%#x" % (f.pc() & 0xfff))
PY
in_gdb "$T/c.ctr" <<-GDB
	tbreak 37
	continue
	source $T/walk.py
GDB
grep ^WALK "$T/gdb.log" >"$T/recorded"
timeout 60 gdb -q -nx -batch -ex 'tbreak 37' -ex run -ex record -ex 'tbreak work' -ex continue \
	-ex reverse-continue -x "$T/walk.py" "$PROGRAMS/corrupt" >"$T/live.log" 2>&1 </dev/null ||
	fail "$(tail -3 "$T/live.log")"
diff <(grep ^WALK "$T/live.log") "$T/recorded" || fail "another way"
assert_ge "$(wc -l <"$T/recorded")" 27

step "checkpoints; what /proc says; memory by file"
in_gdb "$T/c.ctr" <<GDB
python
assert "no checkpoints" in run("info checkpoints")
gdb.execute("break work")
places = []
for i in range(3):
    go("continue")
    go("stepi")
    places.append((registers(), memory()))
    assert "checkpoint %d at e:" % (i + 1) in run("checkpoint")
assert [l.split()[0] for l in run("info checkpoints").splitlines()] == ["1", "2", "3"]
for i in (1, 0, 2, 0):
    gdb.execute("restart %d" % (i + 1))
    assert (registers(), memory()) == places[i], i
gdb.execute("delete checkpoint 2")
assert "there is no checkpoint '2'" in run("restart 2")
assert (registers(), memory()) == places[0]
proc = run("info proc")
assert "cmdline = '$PROGRAMS/corrupt'" in proc and "exe = '$PROGRAMS/corrupt'" in proc and "cwd = '$PWD'" in proc, proc
assert "$PROGRAMS/corrupt" in run("info proc mappings")
end
GDB

step "an execve: another program, with its own symbols"
assert_status 139 "$CTBPF" record -q -o "$T/e.ctr" -- /bin/sh -c "exec '$PROGRAMS/corrupt'"
in_gdb "$T/e.ctr" <<'GDB'
python
gdb.execute("catch exec")
go("continue", "breakpoint")
gdb.execute("delete")
gdb.execute("break fill")
go("continue", "breakpoint")
assert bt()[0] == "fill", bt()
end
GDB
assert_contains "$(cat "$T/gdb.log")" "exec'd $PROGRAMS/corrupt"

step "threads have the names they have given themselves, then"
cat >"$T/named.c" <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *work(void *name)
{
	prctl(PR_SET_NAME, name);
	for (;;)
		pause();
}

static void here(void)
{
}

int main(void)
{
	pthread_t t[2];

	pthread_setname_np(pthread_self(), "the <first>");
	pthread_create(&t[0], NULL, work, "writer");
	pthread_create(&t[1], NULL, work, "a name that is cut");
	usleep(100000);
	here();
	pthread_setname_np(pthread_self(), "leaving");
	here();
	return 0;
}
C
mkdir "$T/ran"
gcc -g -pthread -o "$T/named" "$T/named.c" -ffile-prefix-map="$T=."
mv "$T/named.c" "$T/ran/"
(cd "$T/ran" && exec "$CTBPF" record -q -o "$T/n.ctr" -- "$T/named") || fail "cannot record it"
in_gdb "$T/n.ctr" <<'GDB'
python
def names():
    return sorted(t.name for t in gdb.selected_inferior().threads())
assert names() == ["named"], names()
gdb.execute("break here")
go("continue")
assert names() == ["a name that is ", "the <first>", "writer"], names()
go("continue")
assert names() == ["a name that is ", "leaving", "writer"], names()
go("reverse-continue")
assert names() == ["a name that is ", "the <first>", "writer"], names()
assert "static void here" in run("list here"), run("list here")
end
GDB
