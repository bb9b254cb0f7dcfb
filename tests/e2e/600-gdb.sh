# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of the gdb server share. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh
source "$(dirname "${BASH_SOURCE[0]}")/100-common.sh"

need gdb ss
cat >"$T/helpers.py" <<'PY'
import gdb, hashlib, os, random, re

gdb.execute("set pagination off")
last = [None]
gdb.events.stop.connect(lambda event: last.__setitem__(0, event))

def run(command):
    return gdb.execute(command, to_string=True)
def go(command, expect=None):
    """Runs until the next stop; why it stopped: a signal's name, "breakpoint", or "" (a step, the end of history)."""
    gdb.execute(command)
    why = getattr(last[0], "stop_signal", "breakpoint" if isinstance(last[0], gdb.BreakpointEvent) else "")
    assert expect is None or why == expect, "%s: %s instead of %s" % (command, why, expect)
    return why
def value(expression, up=0):
    frame = gdb.selected_frame()
    f = frame
    for i in range(up):
        f = f.older()
    f.select()
    v = int(gdb.parse_and_eval(expression))
    frame.select()
    return v
def text(expression):
    return run("output " + expression)
def registers():
    f = gdb.newest_frame()
    return {r.name: int(f.read_register(r)) for r in f.architecture().registers("general")
            if r.name not in ("eflags",) and not r.name.startswith("k")}
def memory():
    """Digests of the first 64 KiB of every range that can be written to, however the kernel has it in pieces."""
    ranges = []
    for line in run("info proc mappings").splitlines():
        f = line.split()
        if len(f) > 4 and f[0].startswith("0x") and f[4].startswith("rw"):
            start, end = int(f[0], 16), int(f[1], 16)
            if ranges and ranges[-1][1] == start:
                start = ranges.pop()[0]
            ranges.append((start, end))
    read = gdb.selected_inferior().read_memory
    return {"%x-%x" % r: hashlib.blake2b(read(r[0], min(r[1] - r[0], 65536)), digest_size=8).hexdigest() for r in ranges}
def everyone():
    """Registers of all threads."""
    return run("thread apply all -q info registers rip rsp rbp rax rbx rcx rdx rsi rdi r8 r12 r15")
def random_moves(seed, least=0):
    """Goes to and fro: whatever the way, the same position shows the same. How many moves: CTBPF_TEST_MOVES."""
    moves, dice = int(os.environ.get("CTBPF_TEST_MOVES", "20")), random.Random(seed)
    seen, again = {}, 0
    begin, end = (int(x) for x in re.search(r"of events (\d+) to (\d+)", run("when")).groups())
    for move in range(moves):
        what = dice.choice(["continue", "reverse-continue", "event", "before", "before", "stepi", "reverse-stepi"])
        if what == "event":
            what = "seek e:%d" % dice.randint(begin, end)
        elif what == "before" and seen:
            what = "seek " + dice.choice(sorted(seen))
        elif what == "before":
            continue
        elif what.endswith("stepi"):
            what += " %d" % dice.randint(1, 12 if what[0] == "s" else 4)
        run(what)
        where = run("when").split()[0]
        if "#more" in where:
            continue
        now = (everyone(), memory())
        again += where in seen
        before = seen.setdefault(where, now)
        assert before == now, "move %d, %s: %s is not as before:\n%s\n%s\n%s" % (
            move, what, where, before[0], now[0], sorted(set(before[1].items()) ^ set(now[1].items())))
    assert again >= least, "only %d of %d moves came to a place again" % (again, moves)
def both_ways(most):
    """Breakpoints are hit at the same places backwards as forwards, from the beginning on."""
    run("seek start")
    hits = []
    while len(hits) < most and go("continue") == "breakpoint":
        hits.append((gdb.selected_thread().ptid[1], registers()))
    assert hits
    if len(hits) == most:
        hits.pop() # it stands there
    for n, h in enumerate(reversed(hits)):
        assert go("reverse-continue") == "breakpoint", "hit %d from the end" % n
        assert (gdb.selected_thread().ptid[1], registers()) == h, "hit %d from the end" % n
    assert go("reverse-continue") == ""
    return len(hits)
def bt():
    names, f = [], gdb.newest_frame()
    while f and len(names) < 30:
        names.append(f.name())
        f = f.older()
    return names
PY

# Runs gdb's commands on stdin with a recording, with helpers.py; any error of theirs is one of the test.
in_gdb() { # RECORDING
	{
		echo "source $T/helpers.py"
		cat
		echo 'echo all commands done\n'
	} >"$T/script.gdb"
	timeout "${TIMEOUT:-100}" "$CTBPF" replay --gdb --batch -x "$T/script.gdb" "$1" >"$T/gdb.log" 2>&1 </dev/null || true
	grep -qx 'all commands done' "$T/gdb.log" || fail "gdb: $(tail -n 25 "$T/gdb.log")"
}
