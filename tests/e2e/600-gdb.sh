# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of the gdb server share. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=100-common.sh
source "$(dirname "${BASH_SOURCE[0]}")/100-common.sh"

need gdb ss
cat >"$T/helpers.py" <<'PY'
import gdb

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
	timeout 100 "$CTBPF" replay --gdb --batch -x "$T/script.gdb" "$1" >"$T/gdb.log" 2>&1 </dev/null || true
	grep -qx 'all commands done' "$T/gdb.log" || fail "gdb: $(tail -n 25 "$T/gdb.log")"
}
