#!/bin/bash
# SPDX-License-Identifier: MIT
# A service under the daemon restarts again and again: it ends, is killed, its recorder is killed, both are at once. Each
# time it is recorded anew, is unharmed as long as it lives, and no recording says anything that is not so.
# Environment: ROUNDS (8)
# timeout: 240
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

EINTR='[0-9]+'
daemon_port
rounds=${ROUNDS:-8}
mkdir "$T/etc"
cp "$PROGRAMS/answers" "$T/ct-again-$$"
cat >"$T/etc/daemon.conf" <<CONF
[daemon]
directory = $T/rec
recordings = $((rounds * 2))
[target again]
comm = ct-again-$$
options = --keep 2s --snapshot-every 300ms
CONF
start_target daemon "$CTBPF" daemon --config "$T/etc/daemon.conf"
comes_on() {
	"$CTBPF" daemon status --json | python3 -c 'import json, sys
t = json.load(sys.stdin)["targets"][0]
sys.exit(t["state"] != "recording" or t["attached_to"] != [int(sys.argv[1])])' "$PID_again"
}
for ((i = 0; i < rounds; i++)); do
	start_target again "$T/ct-again-$$" 2
	wait_for 15 grep -q '^tick 2 ' "$T/again.log" || fail "the target does not start"
	wait_for 60 comes_on || fail "round $i: not recorded: $("$CTBPF" daemon status) $(tail -n 5 "$T/daemon.log")"
	recorder=$(json recorder <"$RUN_DIR/$PID_again.json")
	sleep "0.$((RANDOM % 8 + 1))"
	goes_on again
	case $((i % 4)) in
	0) answers_end again ;;
	1) stop "$PID_again" KILL ;;
	2)
		kill -KILL "$recorder"
		goes_on again
		wait_for 60 comes_on || fail "round $i: its recorder is not replaced: $(tail -n 5 "$T/daemon.log")"
		goes_on again
		answers_end again
		;;
	3) kill -KILL "$PID_again" "$recorder" ;;
	esac
	wait_for 20 gone "$PID_again"
done
ended() { "$CTBPF" daemon status --json | grep -Eq '"state": ?"waiting"'; }
wait_for 60 ended || fail "$("$CTBPF" daemon status)"
kill -TERM "$PID_daemon"
wait "$PID_daemon"
! grep -m 3 WRONG "$T/again.log" || fail "the target found something wrong"
assert_eq "$(compgen -G "$RUN_DIR/*.json" | xargs -r grep -l "ct-again-$$" || true)" "" "undo files"

proven=0
for dir in "$T"/rec/again-*.ctr; do
	assert_eq "$(info "$dir" lost)" 0 "events lost in $dir"
	verdicts=$("$CTBPF" verify --json -n "$dir" | grep -oE '"verdict": ?"[A-Z ]+"' | sort | uniq -c) || true
	[[ $verdicts != *DI[VF]* && $verdicts != *FAILED* ]] || fail "$dir: $verdicts $("$CTBPF" verify -n "$dir" 2>&1 | tail -n 20)"
	[[ $verdicts != *VERIFIED* ]] || proven=$((proven + 1))
done
assert_ge $proven $((rounds / 2)) "recordings with a verified stretch"
