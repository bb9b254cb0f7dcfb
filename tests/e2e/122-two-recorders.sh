#!/bin/bash
# SPDX-License-Identifier: MIT
# Who records what: two recorders that start at once on one process, children that go on after it, and signals that end
# a recorder.
# alone: it looks at who gets which CPU
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need python3 taskset

step "two at the same moment: one of them"
start_answers
before=$(looks "$PID_answers")
for n in 1 2 3 4; do
	rc1=0 rc2=0
	"$CTBPF" record -q -p "$PID_answers" -d 0.5 -o "$T/a$n.ctr" >"$T/a.log" 2>&1 &
	a=$!
	"$CTBPF" record -q -p "$PID_answers" -d 0.5 -o "$T/b$n.ctr" >"$T/b.log" 2>&1 &
	b=$!
	wait $a || rc1=$?
	wait $b || rc2=$?
	case $rc1,$rc2 in
	0,3 | 3,0) ;;
	0,0) ;; # one began when the other had ended
	*) fail "status $rc1 and $rc2: $(cat "$T/a.log" "$T/b.log")" ;;
	esac
	answers_well
	assert_eq "$(looks "$PID_answers")" "$before" "the target"
done
answers_end

step "recorders leave one CPU to themselves"
if [ "$(nproc)" -gt 1 ]; then
	start_answers
	start_answers second
	taskset -c 0,1 "$CTBPF" record -q -p "$PID_answers" --cpu 1 -o "$T/first.ctr" &
	rec=$!
	wait_for 20 test -s "$T/first.ctr/snapshots/000001/state"
	for _ in 1 2 3; do # it runs here and there
		rm -rf "$T/second.ctr"
		assert_status 0 taskset -c 0,1 "$CTBPF" record -q -p "$PID_second" -d 0.1 -o "$T/second.ctr"
		assert_eq "$(json options.cpu <"$T/second.ctr/manifest.json")" 1 "CPU of the second"
	done
	kill -INT $rec
	wait $rec
	assert_recording "$T/first.ctr"
	assert_recording "$T/second.ctr"
	answers_end
	answers_end second
fi

step "children made while it was recorded are unpinned, too"
cat >"$T/brood.py" <<'P'
import os, time
end = time.time() + 60
while time.time() < end:
    time.sleep(0.2)
    if os.fork() == 0:
        time.sleep(max(0, end - time.time()))
        os._exit(0)
P
last=$(($(nproc) - 1))
start_target brood python3 "$T/brood.py"
brood=$PID mask=$(taskset -p "$PID")
assert_status 0 "$CTBPF" record -q -p "$brood" -d 1.5 --cpu $last --real-time -o "$T/brood.ctr"
kill -STOP "$brood"
read -r -a children <"/proc/$brood/task/$brood/children" || true # no newline at its end
assert_ge ${#children[@]} 3 "children"
for c in "${children[@]}"; do
	assert_eq "$(taskset -p "$c" | sed 's/.*: //')" "${mask##*: }" "affinity of child $c"
	assert_matches "$(chrt -p "$c")" 'SCHED_OTHER'
	assert_released "$c"
	kill -KILL "$c"
done
kill -KILL "$brood"

step "signals that kill by default end the recording, and the target is as it was"
start_answers again
before=$(looks "$PID_again")
for sig in XCPU USR1 ALRM HUP; do
	"$CTBPF" record -q -p "$PID_again" -o "$T/s$sig.ctr" &
	rec=$!
	wait_for 20 test -s "$T/s$sig.ctr/snapshots/000001/state"
	kill -$sig $rec
	rc=0
	wait $rec || rc=$?
	assert_eq $rc 0 "status after $sig"
	assert_recording "$T/s$sig.ctr"
done
assert_status 0 bash -c "ulimit -f 4000; exec '$CTBPF' record -q -p $PID_again -d 0.3 -o '$T/limit.ctr'"
rc=0
bash -c "ulimit -f 100; exec '$CTBPF' record -p $PID_again -d 1 --compress none -o '$T/small.ctr'" >"$T/small.log" 2>&1 || rc=$?
assert_eq $rc 1 "status when files may not grow"
assert_matches "$(cat "$T/small.log")" 'File too large|file size limit is reached'
answers_well again
assert_eq "$(looks "$PID_again")" "$before" "the target"
assert_released "$PID_again"
answers_end again

step "a storm of new programs does not keep it from ending"
cat >"$T/storm.sh" <<'S'
for _ in 1 2 3 4 5 6; do
	(while :; do /bin/true; done) &
done
wait
S
setsid bash "$T/storm.sh" &
storm=$!
sleep 0.3
began=$SECONDS
assert_status 0 "$CTBPF" record -q -p $storm -d 1.5 -o "$T/storm.ctr"
assert_le $((SECONDS - began)) 60 "seconds a recording of 1.5 seconds took"
kill -KILL -- -$storm
assert_eq "$(info "$T/storm.ctr" state)" complete

step "content that is missing is not claimed to be there"
cp -r "$T/limit.ctr" "$T/gone.ctr"
rm "$T/gone.ctr/files/$(ls "$T/gone.ctr/files" | head -n 1)"
assert_eq "$(info "$T/gone.ctr" replayable)" false
rm "$T/gone.ctr"/segments/*
assert_status 1 "$CTBPF" dump "$T/gone.ctr"
