#!/bin/bash
# SPDX-License-Identifier: MIT
# Random moves in gdb: the same position always shows the same registers and memory, breakpoints are as many both ways.
# CTBPF_TEST_MOVES=1000 is the long version (20 without it); TIMEOUT for one session's seconds then.
# timeout: 3600
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/600-gdb.sh"

step "a C program with a heap corruption"
assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"
in_gdb "$T/c.ctr" <<'GDB'
python
gdb.execute("break work")
gdb.execute("break write")
random_moves(1, 2)
assert both_ways(1000 if "CTBPF_TEST_MOVES" in os.environ else 25) >= 20
end
GDB

step "racing threads"
start_target racy "$PROGRAMS/racy"
sleep 0.3
assert_status 0 "$CTBPF" record -q -p "$PID_racy" -d 0.3 -o "$T/racy.ctr"
stop "$PID_racy" KILL
in_gdb "$T/racy.ctr" <<'GDB'
python
gdb.execute("break pthread_cond_wait")
random_moves(2, 2)
both_ways(int(os.environ.get("CTBPF_TEST_MOVES", "15")))
end
GDB

step "redis"
start_redis
start_redis_load
sleep 0.5
assert_status 0 "$CTBPF" record -q -p "$PID_redis" -d 0.5 -o "$T/r.ctr"
stop "$PID_load"
in_gdb "$T/r.ctr" <<'GDB'
python
gdb.execute("break epoll_wait")
random_moves(3, 2)
both_ways(int(os.environ.get("CTBPF_TEST_MOVES", "15")))
end
GDB

step "CPython"
need /usr/bin/python3
assert_status 0 "$CTBPF" record -q -o "$T/p.ctr" -- /usr/bin/python3 -c '
import json
with open("/dev/null", "w") as null:
    for i in range(20):
        null.write(json.dumps(list(range(i * 100))))
        null.flush()'
in_gdb "$T/p.ctr" <<'GDB'
python
gdb.execute("break write")
random_moves(4, 2)
both_ways(1000 if "CTBPF_TEST_MOVES" in os.environ else 15)
end
GDB
