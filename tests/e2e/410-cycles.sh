#!/bin/bash
# SPDX-License-Identifier: MIT
# A loaded redis is attached to and detached from many times: no client error, and nothing of it is left in redis.
# timeout: 600
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
# Environment: CYCLES (12)
source "$(dirname "$0")/100-common.sh"

# A client that checks every answer, on several connections; it ends with status 1 at the first that is wrong.
cat >"$T/client.py" <<'PY'
import signal, socket, sys, time
stop = False
def end(*_):
    global stop
    stop = True
signal.signal(signal.SIGTERM, end)
socks = []
for _ in range(4):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.settimeout(30)
    socks.append(s)
def ask(s, *words):
    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
def answer(s, want):
    got = b""
    while len(got) < len(want):
        part = s.recv(65536)
        if not part:
            sys.exit("the connection was closed")
        got += part
    if got != want:
        sys.exit(f"wrong answer {got[:80]} instead of {want[:80]}")
n = 0
while not stop:
    n += 1
    for i, s in enumerate(socks):
        ask(s, b"INCR", b"n%d" % i)
    for s in socks:
        answer(s, b":%d\r\n" % n)
    value = b"%d" % n * (n % 500)
    for i, s in enumerate(socks):
        ask(s, b"SET", b"v%d" % i, value)
    for s in socks:
        answer(s, b"+OK\r\n")
    for i, s in enumerate(socks):
        ask(s, b"GET", b"v%d" % i)
    for s in socks:
        answer(s, b"$%d\r\n%s\r\n" % (len(value), value))
    if n % 200 == 0:
        print(n, flush=True)
print("end", n)
PY
start_redis --maxclients 200
start_target client python3 "$T/client.py" "$SOCK"
wait_for 20 test -s "$T/client.log" || fail "the client does not start: $(cat "$T/client.log")"
# Once before counting: redis and its C library map what they need when they are busy.
assert_status 0 "$CTBPF" record -q -p "$PID_redis" -d 0.2 -o "$T/0.ctr"
rm -r "$T/0.ctr"
state_of() { # all that must stay, but for what redis itself allocates
	looks "$PID_redis"
	"$PROGRAMS/peek" "$PID_redis"
	sed -n '/^Sig[BIC]/p' "/proc/$PID_redis"/task/*/status
	echo "zombies $(zombies_of "$PID_redis") children $(children_of "$PID_redis")"
}
before=$(state_of) maps=$(own_maps "$PID_redis" | wc -l) cycles=${CYCLES:-12}
own_maps "$PID_redis" >"$T/maps"
uprobes=$(grep -c '\[uprobes' "/proc/$PID_redis/maps" || true)
for ((i = 1; i <= cycles; i++)); do
	assert_status 0 "$CTBPF" record -q -p "$PID_redis" -d 0.2 -o "$T/$i.ctr"
	assert_eq "$(info "$T/$i.ctr" state)" complete # on a busy machine events may be lost
	assert alive "$PID_client"
	assert_released "$PID_redis"
	rm -r "$T/$i.ctr"
done
echo "$cycles cycles; mappings $maps -> $(own_maps "$PID_redis" | wc -l)," \
	"for probes $uprobes -> $(grep -c '\[uprobes' "/proc/$PID_redis/maps" || true)"
kill -TERM "$PID_client"
rc=0
wait "$PID_client" || rc=$?
assert_eq $rc 0 "exit status of the client ($(tail -n 2 "$T/client.log"))"
assert_matches "$(tail -n 1 "$T/client.log")" '^end [0-9]+$'

# The client's four connections and their descriptors have gone.
after=$(state_of)
fds_before=$(sed -n 's/.* fds \([0-9]*\) .*/\1/p' <<<"$before")
wait_for 10 eval '[ "$(fds "$PID_redis")" = $((fds_before - 4)) ]' ||
	fail "descriptors: $(fds "$PID_redis"), expected $((fds_before - 4))"
# shellcheck disable=SC2001
no_fds() { sed 's/ fds [0-9]* / /' <<<"$1"; }
assert_eq "$(no_fds "$after")" "$(no_fds "$before")" "redis"
assert_le "$(own_maps "$PID_redis" | wc -l)" $((maps + 2)) "mappings ($(own_maps "$PID_redis" | diff "$T/maps" - || true))"
assert_le "$(grep -c '\[uprobes' "/proc/$PID_redis/maps" || true)" 1 "mappings for probes"
stop "$PID_redis"
