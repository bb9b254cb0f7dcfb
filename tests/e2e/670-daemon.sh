#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon: two targets are recorded, one ends and is recorded anew when it is back, a killed recorder is replaced and
# what it left put back; requests, metrics, health, reload, a configuration that others may write; all of it verifies.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need curl systemd-analyze
EINTR='[0-9]+'
daemon_port
# Names of their own: other processes of the machine are none of the daemon's business.
mkdir "$T/etc"
cp "$PROGRAMS/answers" "$T/ct-one-$$"
cp "$PROGRAMS/answers" "$T/ct-two-$$"
begin() { # one|two
	start_target "$1" "$T/ct-$1-$$" 2
	wait_for 15 grep -q '^tick 2 ' "$T/$1.log" || fail "the target does not start"
}
configure() { # OPTIONS-OF-TWO
	cat >"$T/etc/daemon.conf" <<-CONF
		# two services
		[daemon]
		directory = $T/rec
		metrics = $port
		recordings = 3

		[target one]
		comm = ct-one-$$
		options = --keep 1s --snapshot-every '300ms'
		[target two]
		comm = ct-two-$$
		$1
	CONF
}
target() { # NAME KEY
	"$CTBPF" daemon status --json | python3 -c 'import json, sys
for t in json.load(sys.stdin)["targets"]:
    if t["name"] == sys.argv[1]:
        for k in sys.argv[2].split("."):
            t = t[k]
        print(t if isinstance(t, str) else json.dumps(t))' "$1" "$2"
}
is() { [ "$(target "$1" "$2")" = "$3" ]; } # NAME KEY VALUE
on() { is "$1" state recording && is "$1" attached_to "[$2]"; } # NAME PID: its recorder has answered
comes_on() { wait_for 30 on "$1" "$2" || fail "$1 is not recorded: $("$CTBPF" daemon status) $(tail -n 5 "$T/daemon.log")"; }
page() { curl -sS --max-time 10 "127.0.0.1:$port$1"; }
verified() { # DIR
	assert_recording "$1"
	assert_status 0 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}

step "what is refused: a configuration that others may write, one with errors"
configure 'options = --compress none'
chmod g+w "$T/etc/daemon.conf"
assert_status 1 "$CTBPF" daemon --config "$T/etc/daemon.conf"
assert_contains "$OUT" "nobody else may write it"
chmod g-w "$T/etc/daemon.conf"
chmod o+w "$T/etc"
assert_status 1 "$CTBPF" daemon --config "$T/etc/daemon.conf"
chmod o-w "$T/etc"
ln -s daemon.conf "$T/etc/link"
assert_status 1 "$CTBPF" daemon --config "$T/etc/link"
configure 'options = -o /elsewhere'
assert_status 2 "$CTBPF" daemon --config "$T/etc/daemon.conf"
assert_contains "$OUT" "daemon.conf:12: "
assert_status 2 "$CTBPF" daemon dance
assert_status 3 "$CTBPF" daemon status

step "both are recorded; the service manager is told"
python3 - "$T/notify" >"$T/notified" <<'PY' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)
PY
STARTED+=($!)
wait_for 10 test -S "$T/notify"
configure 'options = --compress none'
begin one
begin two
one_before=$(shape "$PID_one")
start_target daemon env NOTIFY_SOCKET="$T/notify" "$CTBPF" daemon --config "$T/etc/daemon.conf"
comes_on one "$PID_one"
comes_on two "$PID_two"
wait_for 10 grep -q '^READY=1' "$T/notified" || fail "not told"
wait_for 10 grep -q '^WATCHDOG=1 STATUS=2 of 2' "$T/notified" || fail "no watchdog: $(tail -n 1 "$T/notified")"
assert_eq "$(stat -c '%a %a' $RUN_DIR/daemon)" "600 600"
assert_eq "$(stat -c %a "$T/rec")" 700 "mode of the recordings' directory"
assert_status 1 "$CTBPF" daemon --config "$T/etc/daemon.conf" # a second one

step "metrics and health"
assert_contains "$(page /healthz)" ok
wait_for 20 grep -q 'ctbpf_events_total{target="two"} [1-9]' <(page /metrics)
metrics=$(page /metrics)
assert_contains "$metrics" 'ctbpf_recording{target="one"} 1'
assert_contains "$metrics" '# TYPE ctbpf_lost_events_total counter'
assert_eq "$(curl -s -o /dev/null -w '%{http_code}' "127.0.0.1:$port/etc/passwd")" 404
! ss -Hltn "sport = :$port" | grep -v "127.0.0.1:$port" || fail "it listens elsewhere, too"

step "one ends, and is recorded again when it is back"
first=$(target two recording)
two_was=$PID_two
answers_end two
wait_for 20 is two state waiting || fail "its end is not seen: $("$CTBPF" daemon status)"
assert_eq "$(page /healthz)" ok
begin two
comes_on two "$PID_two"
[ "$(target two recording)" != "$first" ] || fail "the same recording"
assert_eq "$(target two failures)" 0
verified "$first"

step "requests: trigger, rotate, stop, start, detach"
assert_status 0 "$CTBPF" daemon trigger one event
kept=$OUT
assert_eq "$kept" "$(target one recording | sed 's/\.ctr$//')-event.ctr"
first=$(target one recording)
assert_status 0 "$CTBPF" daemon rotate one
[ "$OUT" != "$first" ] && [ -d "$OUT" ] || fail "not another one: $OUT"
verified "$kept"
verified "$first"
assert_status 0 "$CTBPF" daemon stop one
assert_status 1 "$CTBPF" daemon trigger one late
assert_eq "$(target one state)" stopped
assert_shape "$PID_one" "$one_before"
verified "$(target one recording)"
assert_status 0 "$CTBPF" daemon start one
comes_on one "$PID_one"
assert_status 1 "$CTBPF" daemon stop nobody
assert_status 0 "$CTBPF" daemon detach one
assert_shape "$PID_one" "$one_before"
assert_status 0 "$CTBPF" daemon start one
comes_on one "$PID_one"
# No more of them than may be.
assert_eq "$(find "$T/rec" -maxdepth 1 -name 'one-*Z.ctr' | wc -l)" 3 recordings

step "its recorder is killed"
recorder=$(json recorder <"$RUN_DIR/$PID_one.json")
kill -KILL "$recorder"
wait_for 20 is one failures 1 || fail "its death is not seen"
comes_on one "$PID_one"
goes_on one

step "reload: changed options, a target less; one with errors changes nothing"
first=$(target two recording)
echo "nonsense" >>"$T/etc/daemon.conf"
kill -HUP "$PID_daemon"
wait_for 10 grep -q 'not reloaded: .*daemon.conf:' "$T/daemon.log" || fail "errors are not seen"
assert_eq "$(target two recording)" "$first"
configure 'options = --keep 5s --snapshot-every 1s'
kill -HUP "$PID_daemon"
wait_for 10 grep -q '^reloaded' "$T/daemon.log" || fail "not reloaded: $(tail -n 3 "$T/daemon.log")"
comes_back() { [ "$(target two recording)" != "$first" ] && on two "$PID_two"; }
wait_for 30 comes_back || fail "the new options are not used"
verified "$first"

step "the end: both are as they were, what there is verifies"
one=$(target one recording)
two=$(target two recording)
kill -TERM "$PID_daemon"
wait "$PID_daemon"
assert_contains "$(cat "$T/notified")" STOPPING=1
assert_shape "$PID_one" "$one_before"
assert_released "$PID_two"
[ ! -e "$RUN_DIR/$two_was.json" ] || fail "$RUN_DIR/$two_was.json is left"
[ ! -e $RUN_DIR/daemon ] || fail "the socket is left"
verified "$one"
verified "$two"
answers_end one
answers_end two

step "the unit file"
sed "s|/usr/local/bin/ctbpf|$CTBPF|; /^Documentation/d" docs/systemd/ctbpf.service >"$T/ctbpf.service"
assert_status 0 systemd-analyze verify "$T/ctbpf.service"
assert_eq "$OUT" ""
