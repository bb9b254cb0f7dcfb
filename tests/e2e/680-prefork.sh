#!/bin/bash
# SPDX-License-Identifier: MIT
# A server with several processes that share memory: nginx with four workers is attached to as one recording, which verifies.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need nginx curl pgrep
chmod 711 "$T"
cat >"$T/nginx.conf" <<CONF
worker_processes 4;
daemon off;
pid $T/nginx.pid;
error_log $T/error.log;
events {}
http {
	access_log off;
	client_body_temp_path $T/b; proxy_temp_path $T/p; fastcgi_temp_path $T/f; uwsgi_temp_path $T/u; scgi_temp_path $T/s;
	limit_req_zone \$server_name zone=all:1m rate=10000r/s;
	server { listen unix:$T/sock; location / { limit_req zone=all burst=1000; return 200 "hello\n"; } }
}
CONF
start_target nginx nginx -c "$T/nginx.conf"
workers() { [ "$(pgrep -cP "$PID_nginx")" = 4 ]; }
wait_for 10 workers || fail "nginx does not start: $(cat "$T/nginx.log")"
answers() { [ "$(curl -s --unix-socket "$T/sock" http://x/)" = hello ]; }
wait_for 10 answers
pids=$PID_nginx,$(pgrep -P "$PID_nginx" -d ,)

step "a worker alone shares memory with others that can write to it"
assert_status 3 "$CTBPF" record -p "${pids##*,}" -d 1 -o "$T/one.ctr"
assert_contains "$OUT" "shares memory"

step "all of them"
start_recorder "$T/all.ctr" -p "$pids" --snapshot-every 500ms
for ((i = 0; i < 40; i++)); do answers || fail "request $i fails"; done
wait_for 20 test -s "$T/all.ctr/snapshots/000003/state" || fail "no further snapshots"
stop_recorder
answers || fail "it does not answer any more"
assert_recording "$T/all.ctr"
assert_ge "$(info "$T/all.ctr" events)" 200 events
assert_status 0 "$CTBPF" verify "$T/all.ctr"
assert_contains "$OUT" VERIFIED
assert_contains "$OUT" "in 5 processes identical"
