#!/bin/bash
# SPDX-License-Identifier: MIT
# Services of several processes that share memory, each recorded as one while it works: a prefork server in Python,
# php-fpm, postgres with its System V and POSIX shared memory and a new process for each connection. All verify.
# timeout: 400
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need python3 curl pgrep setpriv
fpm=$(compgen -G '/usr/sbin/php-fpm*' | head -n 1) || fail "needs php-fpm: run scripts/setup"
pg=$(compgen -G '/usr/lib/postgresql/*/bin' | tail -n 1) || fail "needs postgresql: run scripts/setup"
chmod 711 "$T"

family() { # PID: it and its children
	echo "$1$(pgrep -P "$1" | sed 's/^/,/' | tr -d '\n')"
}
has_children() { [ "$(pgrep -cP "$1")" -ge "$2" ]; } # PID N
# Records the service with main process $PID while WORK runs, over two snapshots; then it works as before.
record() { # NAME WORK...
	local name=$1 pid=$PID dir=$T/$1.ctr
	shift
	start_recorder "$dir" -p "$(family "$pid")" --snapshot-every 400ms
	"$@"
	wait_for 30 test -s "$dir/snapshots/000003/state" || fail "no further snapshots"
	"$@"
	stop_recorder
	"$@"
	assert_recording "$dir"
	assert_status 0 "$CTBPF" verify "$dir"
	assert_contains "$OUT" VERIFIED
	assert_matches "$OUT" 'in [2-9][0-9]* processes identical'
	alive "$pid" || fail "$name has ended"
	assert_released "$pid"
}

step "a prefork server: a socket that all accept on, a counter in shared memory under a lock"
cat >"$T/prefork.py" <<'PY'
import ctypes, http.server, mmap, multiprocessing, os, socketserver, sys
count = multiprocessing.Value(ctypes.c_long)
board = mmap.mmap(-1, 4096)
class Server(socketserver.UnixStreamServer):
    request_queue_size = 64
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with count.get_lock():
            count.value += 1
            board[:8] = (int.from_bytes(board[:8], "little") + os.getpid()).to_bytes(8, "little")
            body = b"hello %d %d\n" % (count.value, os.getpid())
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "-"
    def log_message(self, *args):
        pass
server = Server(sys.argv[1], Handler)
for i in range(3):
    if not os.fork():
        server.serve_forever()
while True:
    os.wait()
    if not os.fork():
        server.serve_forever()
PY
start_target prefork python3 "$T/prefork.py" "$T/prefork.sock"
wait_for 10 has_children "$PID" 3 || fail "the server does not start: $(cat "$T/prefork.log")"
ask() { curl -s --max-time 20 --unix-socket "$T/prefork.sock" http://x/; }
wait_for 10 ask >"$T/first"
requests() {
	local i
	for ((i = 0; i < 20; i++)); do assert_contains "$(ask)" hello; done
	stop "$(pgrep -P "$PID_prefork" | head -n 1)" # another takes its place
	wait_for 20 has_children "$PID_prefork" 3
	assert_contains "$(ask)" hello
}
record prefork requests
mapfile -t workers < <(pgrep -P "$PID_prefork")
stop "$PID_prefork" KILL
for p in "${workers[@]}"; do stop "$p" KILL; done

step "php-fpm"
cat >"$T/fpm.conf" <<CONF
[global]
error_log = $T/fpm.log
daemonize = no
[www]
user = nobody
group = nogroup
listen = $T/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 3
CONF
cat >"$T/page.php" <<'PHP'
<?php $sum = 0; for ($i = 0; $i < 20000; $i++) $sum += crc32("$i"); echo "sum $sum pid ", getmypid(), " at ", microtime(true), "\n";
PHP
chmod 644 "$T/page.php"
# One request of the FastCGI protocol, version 1, each.
cat >"$T/fcgi.py" <<'PY'
import socket, struct, sys
def record(kind, body):
    return struct.pack(">BBHHBB", 1, kind, 1, len(body), 0, 0) + body
def pair(name, value):
    return bytes((len(name), len(value))) + name + value
for i in range(int(sys.argv[3])):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    params = pair(b"SCRIPT_FILENAME", sys.argv[2].encode()) + pair(b"REQUEST_METHOD", b"GET")
    s.sendall(record(1, struct.pack(">HB5x", 1, 0)) + record(4, params) + record(4, b"") + record(5, b""))
    data = b""
    while part := s.recv(65536):
        data += part
    assert b"sum " in data, data
PY
start_target fpm "$fpm" -F -y "$T/fpm.conf" -n
wait_for 10 has_children "$PID" 3 || fail "php-fpm does not start: $(cat "$T/fpm.log")"
pages() { python3 "$T/fcgi.py" "$T/fpm.sock" "$T/page.php" 15; }
pages
record fpm pages
stop "$PID_fpm"

step "postgres"
as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups)
install -d -m 755 -o postgres "$T/pg"
"${as_postgres[@]}" "$pg/initdb" -D "$T/pg/data" -A trust -N >/dev/null
cat >>"$T/pg/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$T/pg'
shared_buffers = 8MB
max_connections = 10
autovacuum_naptime = 1s
CONF
start_target postgres "${as_postgres[@]}" "$pg/postgres" -D "$T/pg/data"
sql() { "${as_postgres[@]}" "$pg/psql" -h "$T/pg" -X -q -A -t postgres "$@"; }
wait_for 30 sql -c 'select 1' >"$T/first" || fail "postgres does not start: $(cat "$T/postgres.log")"
wait_for 30 has_children "$PID" 5 || fail "postgres is not complete"
sql -c 'create table t (id serial primary key, what text)'
queries() {
	local jobs=() n
	n=$(sql -c 'select count(*) from t')
	for i in 1 2 3; do
		sql -c "insert into t (what) select md5(g::text) from generate_series(1, 300) g" -c "select sum(length(what)) from t" \
			-c "update t set what = what || '$i' where id % 5 = 0" >/dev/null &
		jobs+=($!)
	done
	wait "${jobs[@]}"
	sql -c checkpoint
	assert_eq "$(sql -c 'select count(*) from t')" $((n + 900)) rows
}
assert_status 3 "$CTBPF" record -p "$PID_postgres" -d 1 -o "$T/one.ctr"
assert_matches "$OUT" 'shares memory \((anonymous|System V) shared memory\) with [0-9]+ \(postgres\)'
record postgres queries
stop "$PID_postgres" INT
wait "$PID_postgres" || fail "postgres ends with status $?: $(tail -n 3 "$T/postgres.log")"
assert_contains "$(cat "$T/postgres.log")" "database system is shut down"
