#!/bin/bash
# SPDX-License-Identifier: MIT
# The recorder is killed with -9 at many moments, most while it attaches: the target goes on, detach repairs it.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016,SC2034
source "$(dirname "$0")/100-common.sh"

# Starts a recorder and kills it: after a random part of WINDOW ms, counted from its start or from the moment at which it
# has begun to change the target (its undo file is there).
cat >"$T/kill.py" <<'PY'
import os, random, signal, subprocess, sys, time
mode, window, undo, argv = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4:]
p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
if mode == "changing":
    end = time.monotonic() + 20
    while not os.path.exists(undo) and p.poll() is None and time.monotonic() < end:
        pass
until = time.monotonic() + random.random() * window / 1000
while time.monotonic() < until:
    pass
p.send_signal(signal.SIGKILL)
p.wait()
PY
EINTR='[0-9]+'
start_answers answers 3
before=$(shape "$PID_answers")
n=0 recovered=0
round() { # MODE WINDOW
	local dir=$T/$((++n)).ctr
	python3 "$T/kill.py" "$1" "$2" "$RUN_DIR/$PID_answers.json" "$CTBPF" record -q -p "$PID_answers" -o "$dir"
	alive "$PID_answers" || fail "round $n ($1): the target is dead: $(tail -n 3 "$T/answers.log")"
	wait_for 15 more_ticks "$T/answers.log" $(($(grep -c ^tick "$T/answers.log") + 2)) ||
		fail "round $n ($1): the target hangs"
	[ ! -e "$RUN_DIR/$PID_answers.json" ] || changed=$((changed + 1))
	assert_status 0 "$CTBPF" detach -p "$PID_answers"
	answers_well
	assert_shape "$PID_answers" "$before" "in round $n ($1)"
	if [ -e "$dir/manifest.json" ]; then
		assert_eq "$(info "$dir" state)" recovered
		assert_status 0 "$CTBPF" dump "$dir"
		recovered=$((recovered + 1))
	fi
}
changed=0
for _ in 1 2 3; do round start 60; done
for _ in 1 2 3 4; do round start 800; done
for _ in 1 2 3 4 5 6 7 8 9 10; do round changing 4; done
for _ in 1 2 3; do round changing 300; done
echo "$n rounds, target changed in $changed, $recovered recordings recovered"
assert_ge $changed 8 "rounds in which the target was changed"
assert_ge $recovered 8

step "it can be recorded again"
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 0.5 -o "$T/again.ctr"
assert_recording "$T/again.ctr"
assert_shape "$PID_answers" "$before" "at the end"
answers_end
