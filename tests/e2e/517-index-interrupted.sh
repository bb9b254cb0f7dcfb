#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf index` killed at any moment, interrupted, or out of space: the recording is as before, and the same command goes on;
# what comes out is what comes out at once.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
# In a mount namespace of its own: what is mounted here goes with it.
[ -n "${OWN_MOUNTS-}" ] || OWN_MOUNTS=1 exec unshare --mount "$0"
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" script
R=$T/r.ctr
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$R" -- "$PYTHON" "$PWD/tests/python/loop.py" 1500
all() { # RECORDING: every row, in its place
	for q in 'count(*), sum(id % 1009 * line), sum(id % 997 * event_seq), sum(id % 991 * call_id), sum(time_ns % 10007) FROM steps' \
		'count(*), sum(id % 1009 * parent_id), sum(id % 997 * ifnull(first_step, 0)), sum(id % 991 * ifnull(last_step, 0)),
			sum(id % 983 * depth), sum(id % 977 * state), count(exception), sum(id % 971 * exit_seq) FROM calls' \
		'count(*), sum(id % 1009 * step_id), sum(id % 997 * call_id), sum(id % 991 * length(repr)), count(DISTINCT name) FROM values'; do
		"$CTBPF" query --csv "$1" "SELECT $q"
	done
}
sums() { (cd "$1" && find . -path ./steps -prune -o -type f -print0 | sort -z | xargs -0 sha256sum); }
steps() { "$CTBPF" query --csv "$1" 'SELECT count(*) FROM steps' | tail -n 1 | tr -d '\r'; }
more_steps() { [ "$(steps "$1")" -gt "$2" ]; }

before=$(sums "$R")
assert_status 0 "$CTBPF" index --files loop.py "$R"
want=$(all "$R")
rm -r "$R/steps"

step "killed"
had=0
for i in 1 2 3; do
	"$CTBPF" index --files loop.py "$R" >"$T/out" 2>>"$T/err" &
	pid=$!
	# The first time when something has been saved, then whenever.
	[ $i != 1 ] || wait_for 60 more_steps "$R" 0 || fail "nothing is saved"
	sleep 0.$((RANDOM % 90 + 10))
	kill -9 $pid 2>/dev/null || true
	done=
	wait $pid && done=1
	have=$(steps "$R")
	assert_ge "$have" "$had" "steps after $i"
	had=$have
	# It was faster, if only by the moment between its last file and its end; the next one begins anew.
	[ -z "$done" ] && [ "$("$CTBPF" query --json "$R" | json complete)" != 1 ] || had=0
done
assert_eq "$(sums "$R")" "$before" recording
grep -q 'going on from event' "$T/err" || fail "it does not go on: $(cat "$T/err")"
rm -f "$T/err"
"$CTBPF" index --files loop.py "$R" >"$T/out" 2>&1 || fail "it does not go on: $(cat "$T/out")"
assert_eq "$(all "$R")" "$want" "what came out"

step "interrupted, on a terminal; asked for something else then"
rm -r "$R/steps"
script -qefc "exec '$CTBPF' index --files loop.py '$R'" "$T/terminal" >/dev/null </dev/null &
pid=$!
wait_for 60 more_steps "$R" 0 || fail "nothing is saved"
kill -INT $(pgrep -P $pid -x ctbpf) || fail "it is done already"
wait $pid && fail "it ends as if nothing had been"
grep -q '%, ' "$T/terminal" || fail "no progress: $(cat "$T/terminal")"
grep -q 'the same command goes on from here' "$T/terminal" || fail "it does not say how to go on: $(cat "$T/terminal")"
assert_status 0 "$CTBPF" index --files loop.py "$R"
assert_eq "$(all "$R")" "$want" "what came out"

step "no space"
mkdir "$T/small"
mount -t tmpfs -o size=64m tmpfs "$T/small"
cp -r "$R" "$T/small/r.ctr"
rm -r "$T/small/r.ctr/steps"
head -c $(($(df --output=avail -k "$T/small" | tail -n 1) - 2500))k /dev/zero >"$T/small/other"
rc=0
"$CTBPF" index --files loop.py "$T/small/r.ctr" >"$T/out" 2>&1 || rc=$?
assert_eq $rc 1 "exit status without space"
assert_contains "$(cat "$T/out")" "full"
assert_eq "$(sums "$T/small/r.ctr")" "$before" recording
steps "$T/small/r.ctr" >/dev/null
rm "$T/small/other"
assert_status 0 "$CTBPF" index --files loop.py "$T/small/r.ctr"
assert_eq "$(all "$T/small/r.ctr")" "$want" "what came out"
umount "$T/small"
