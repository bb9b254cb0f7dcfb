#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon is replaced by a newer program while its target runs, in order and by kill -9: the target goes on, and is
# recorded anew; a target that cannot be recorded is told of by the health check until it can; proofs are in the metrics.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need curl
EINTR='[0-9]+'
daemon_port
mkdir "$T/etc"
cp "$PROGRAMS/answers" "$T/ct-up-$$"
cp "$CTBPF" "$T/ctbpf-1"
cp "$CTBPF" "$T/ctbpf-2"
configure() { # OPTIONS
	cat >"$T/etc/daemon.conf" <<-CONF
		[daemon]
		directory = $T/rec
		metrics = $port
		[target up]
		comm = ct-up-$$
		options = $1
	CONF
}
status() { "$CTBPF" daemon status --json | json "targets.0.$1"; }
is() { [ "$(status "$1")" = "$2" ]; }
on() { is state recording && is attached_to "[$PID_answers]"; }
begin() { # PROGRAM: a daemon, as a service manager starts it
	start_target daemon "$1" daemon --config "$T/etc/daemon.conf"
	wait_for 30 on || fail "not recorded: $(tail -n 5 "$T/daemon.log")"
}
health() { curl -s -o "$T/health" -w '%{http_code}' --max-time 10 "127.0.0.1:$port/healthz"; }
recorder() { json recorder <"$RUN_DIR/$PID_answers.json"; }
verified() { # DIR
	assert_recording "$1"
	assert_status 0 "$CTBPF" verify "$1"
}

step "recorded and proven meanwhile"
start_target answers "$T/ct-up-$$" 2
wait_for 15 grep -q '^tick 2 ' "$T/answers.log" || fail "the target does not start"
before=$(shape "$PID_answers")
configure '--keep 2s --snapshot-every 400ms --verify'
begin "$T/ctbpf-1"
counted() { curl -s --max-time 10 "127.0.0.1:$port/metrics" | has_line 'ctbpf_stretches_verified_total{target="up"} [1-9]'; }
wait_for 60 counted || fail "no proof in the metrics"
curl -s "127.0.0.1:$port/metrics" | grep '^ctbpf_stretches'

step "replaced in order"
first=$(status recording)
kill -TERM "$PID_daemon"
wait "$PID_daemon"
assert_shape "$PID_answers" "$before"
begin "$T/ctbpf-2"
[ "$(status recording)" != "$first" ] || fail "the same recording"
[ "$(readlink "/proc/$(recorder)/exe")" = "$T/ctbpf-2" ] || fail "recorded by the old program"
verified "$first"
answers_ran() { alive "$PID_answers" && ! grep -q WRONG "$T/answers.log"; }
answers_ran || fail "the target is not well"

step "killed: its recorder ends in order by itself, the next daemon goes on"
first=$(status recording)
was=$(recorder)
kill -KILL "$PID_daemon"
wait_for 30 gone "$was" || fail "the recorder does not end"
assert_shape "$PID_answers" "$before"
verified "$first"
begin "$T/ctbpf-1"
assert_eq "$(health)" 200

step "a target that cannot be recorded, until the configuration is mended"
configure '--cpu 1000'
kill -HUP "$PID_daemon"
wait_for 30 is state failing || fail "it does not fail: $(tail -n 5 "$T/daemon.log")"
assert_eq "$(health)" 503
assert_contains "$(cat "$T/health")" "up: cannot be recorded"
assert_contains "$(curl -s "127.0.0.1:$port/metrics")" 'ctbpf_healthy{target="up"} 0'
configure '--keep 2s'
kill -HUP "$PID_daemon"
wait_for 60 on || fail "not recorded again: $(tail -n 5 "$T/daemon.log")"
assert_eq "$(health)" 200
kill -TERM "$PID_daemon"
wait "$PID_daemon"
assert_shape "$PID_answers" "$before"
answers_well
answers_end
