#!/bin/bash
# SPDX-License-Identifier: MIT
# CPython and redis in gdb: stacks, breakpoints both ways, back to the beginning.
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/600-gdb.sh"

step "CPython"
need /usr/bin/python3
cat >"$T/p.py" <<'PY'
import json
with open("/dev/null", "w") as null:
    for i in range(20):
        null.write(json.dumps(list(range(i * 100))))
        null.flush()
raise SystemExit(3)
PY
assert_status 3 "$CTBPF" record -q -o "$T/p.ctr" -- /usr/bin/python3 "$T/p.py"
assert_recording "$T/p.ctr"
in_gdb "$T/p.ctr" <<'GDB'
python
start = registers()
gdb.execute("set breakpoint pending on")
gdb.execute("break write")
hits = []
while go("continue") == "breakpoint":
    hits.append(registers())
assert len(hits) >= 19, hits
gdb.execute("reverse-stepi")
assert len(bt()) >= 3, bt()
for h in list(reversed(hits))[:8]:
    go("reverse-continue", "breakpoint")
    assert registers() == h
assert len(bt()) >= 6, bt()
gdb.execute("delete")
go("reverse-continue", "")
assert registers() == start
end
GDB

step "redis under load"
start_redis
start_redis_load
sleep 0.5
assert_status 0 "$CTBPF" record -q -p "$PID_redis" -d 1 -o "$T/r.ctr"
stop "$PID_load"
in_gdb "$T/r.ctr" <<'GDB'
python
import time
assert len(gdb.selected_inferior().threads()) >= 4
start = registers()
assert "main" in bt(), bt()
gdb.execute("break write if $rdi > 5")
hits = []
for i in range(10):
    go("continue", "breakpoint")
    hits.append(registers())
    assert "main" in bt(), bt()
gdb.execute("seek end")
gdb.execute("seek e:500")
for i in range(3):
    go("reverse-stepi", "")
gdb.execute("seek start")
assert registers() == start
for h in hits:
    go("continue", "breakpoint")
    assert registers() == h
for h in list(reversed(hits))[1:]:
    go("reverse-continue", "breakpoint")
    assert registers() == h
gdb.execute("delete")
go("reverse-continue", "")
assert registers() == start
end
GDB
