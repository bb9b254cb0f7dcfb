#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf replay` executes recordings again, to positions, and reproduces output; `record --verify`; what cannot be replayed.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

step "output, of children and copied descriptors too, is the same"
cat >"$T/talk" <<'SH'
echo one
echo problem >&2
exec 5>&1 6>&2
echo five >&5
echo six >&6
(echo sub; exec 1>&6; echo moved)
ls /dev/null | cat
exec 1>/dev/null
echo nobody sees this
exec 1>&5
printf 'last'
SH
"$CTBPF" record -q -o "$T/talk.ctr" -- sh "$T/talk" >"$T/out" 2>"$T/err"
assert_recording "$T/talk.ctr"
"$CTBPF" replay --output --quiet "$T/talk.ctr" >"$T/out2" 2>"$T/err2"
diff "$T/out" "$T/out2" || fail "standard output is not the same"
diff "$T/err" "$T/err2" || fail "standard error is not the same"
assert_eq "$(head -n 1 "$T/out2")" one "first line of output"

step "large writes by writev, and nothing is really written again"
assert_status 0 "$CTBPF" record -q -o "$T/py.ctr" -- python3 -c '
import os
os.writev(1, [b"x" * 70000 + b"\n", b"", b"second\n"])
with open("'"$T"'/made", "a") as f: f.write("once\n")'
"$CTBPF" replay -Oq "$T/py.ctr" >"$T/out2"
assert_eq "$(wc -c <"$T/out2")" 70008 "bytes of output"
assert_eq "$(tail -n 1 "$T/out2")" second "last line"
assert_eq "$(cat "$T/made")" once "what the program wrote to a file"

step "summary, positions"
assert_status 0 "$CTBPF" replay "$T/talk.ctr"
assert_matches "$OUT" "replayed [0-9,]+ events in .* recorded in .* times as long"
assert_status 0 "$CTBPF" replay --json "$T/talk.ctr"
events=$(json events <<<"$OUT")
assert_ge "$events" 100 "events replayed"
assert_status 0 "$CTBPF" replay --json --to e:50 "$T/talk.ctr"
assert_eq "$(json next <<<"$OUT")" 51 "event that follows"
assert_status 0 "$CTBPF" replay --to 50 "$T/talk.ctr"
line=$("$CTBPF" dump --from 51 --to 51 "$T/talk.ctr")
assert_contains "$OUT" "next is $line"
assert_status 0 "$CTBPF" replay --json --to t:+0.000001s "$T/talk.ctr"
assert_le "$(json events <<<"$OUT")" 20 "events in the first microsecond"
assert_status 0 "$CTBPF" replay --json --to end "$T/talk.ctr"
assert_status 0 "$CTBPF" replay --quiet --from-snapshot 1 "$T/talk.ctr"
assert_eq "$OUT" "" "output with --quiet"

step "a target attached to in mid-run: only what it wrote meanwhile"
start_answers
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 0.5 --verify -o "$T/mid.ctr"
answers_end
assert_eq "$(json verify.verdict <"$T/mid.ctr/manifest.json")" VERIFIED "verdict in the manifest"
"$CTBPF" replay -Oq "$T/mid.ctr" >"$T/out2"
assert_matches "$(head -n 1 "$T/out2")" "^tick [0-9]+ errors 0"
grep -qxF "$(head -n 1 "$T/out2")" "$T/answers.log" || fail "the replay wrote a line that the target did not"

step "record --verify"
assert_status 7 "$CTBPF" record --verify -o "$T/seven.ctr" -- sh -c 'exit 7'
assert_contains "$OUT" "VERIFIED, 1 stretch"
assert_status 0 "$CTBPF" record --json --verify -q -o "$T/json.ctr" -- true
assert_eq "$(json verdict <<<"$OUT")" VERIFIED "verdict in the summary"
assert_status 2 "$CTBPF" record --verify --no-replay -- true

step "verify: one stretch, JSON, a recording that cannot be written to"
assert_status 0 "$CTBPF" verify --json --no-store "$T/talk.ctr"
assert_eq "$(json verdict <<<"$OUT")" VERIFIED "verdict"
assert_eq "$(json stretches.0.verdict <<<"$OUT")" VERIFIED "verdict of the stretch"
assert_ge "$(json files <<<"$OUT")" 2 "kept files checked"
grep -q '"verify"' "$T/talk.ctr/manifest.json" && fail "--no-store has stored"
assert_status 0 "$CTBPF" verify --stretch 1 "$T/talk.ctr"
grep -q '"verify"' "$T/talk.ctr/manifest.json" && fail "--stretch has stored"
assert_status 2 "$CTBPF" verify --stretch 2 "$T/talk.ctr"
mkdir "$T/ro"
mount --bind "$T/talk.ctr" "$T/ro"
mount -o remount,bind,ro "$T/ro"
assert_status 0 "$CTBPF" verify "$T/ro"
umount "$T/ro"
assert_contains "$OUT" "could not be kept in the recording"
assert_contains "$OUT" "Read-only file system"
assert_status 0 "$CTBPF" verify -q "$T/talk.ctr"
assert_eq "$(json verify.stretches.0.verdict <"$T/talk.ctr/manifest.json")" VERIFIED "verdict kept"
assert_eq "$(info "$T/talk.ctr" replayable)" true "replayable, with a new manifest"
assert_eq "$(info "$T/talk.ctr" verdict)" VERIFIED "verdict that info tells"
assert_matches "$("$CTBPF" info "$T/talk.ctr")" "verify +VERIFIED on 20"

step "a part that cannot be replayed, between parts that can"
if command -v perl >/dev/null; then
	# process_vm_writev (311) of nothing succeeds, and is refused by any replay.
	assert_status 0 "$CTBPF" record -q -o "$T/part.ctr" -- perl -e '$| = 1; print "first\n"; syscall(311, $$, 0, 0, 0, 0, 0);
		for (1 .. 8) { select(undef, undef, undef, 0.2); print "later\n" }'
	assert_eq "$(info "$T/part.ctr" stretches)" 2 "stretches"
	assert_status 5 "$CTBPF" verify "$T/part.ctr"
	assert_matches "$OUT" "stretch 1\.\.[0-9]+: BROKEN at e:[0-9]+: event [0-9]+: system call process_vm_writev"
	assert_matches "$OUT" "stretch [0-9]+\.\.[0-9]+: VERIFIED"
	assert_eq "$(json verify.verdict <"$T/part.ctr/manifest.json")" BROKEN "verdict kept"
	assert_eq "$(json verify.stretches.1.verdict <"$T/part.ctr/manifest.json")" VERIFIED "verdict of the second"
	assert_status 0 "$CTBPF" verify --stretch 2 "$T/part.ctr"
	second=$(json verify.stretches.1.from <"$T/part.ctr/manifest.json")
	assert_status 0 "$CTBPF" replay -Oq --from-snapshot "$second" "$T/part.ctr"
	assert_matches "$OUT" "^later"
	assert_status 5 "$CTBPF" replay -O "$T/part.ctr"
	assert_matches "$OUT" "^first"
	assert_contains "$OUT" "going on at snapshot $second"
	assert_contains "$OUT" "not all of it could be replayed"
fi

step "what cannot be replayed says why"
for command in replay verify; do
	assert_status 1 "$CTBPF" $command "$T/none.ctr"
	assert_contains "$OUT" "No such file"
done
assert_status 0 "$CTBPF" record -q --no-replay -o "$T/events.ctr" -- true
for command in replay verify; do
	assert_status 1 "$CTBPF" $command "$T/events.ctr"
	assert_contains "$OUT" "recorded with --no-replay: only events; nothing to replay"
done
assert_status 2 "$CTBPF" replay --to s:4 "$T/talk.ctr"
assert_status 2 "$CTBPF" replay --to nonsense "$T/talk.ctr"
assert_status 2 "$CTBPF" replay --from-snapshot 9 "$T/talk.ctr"
assert_status 2 "$CTBPF" replay --output --json "$T/talk.ctr"

step "while it is recorded, and after the recorder was killed"
start_answers late
start_recorder "$T/killed.ctr" -q -p "$PID_late"
for command in replay verify; do
	assert_status 1 "$CTBPF" $command "$T/killed.ctr"
	assert_contains "$OUT" "still being recorded"
done
kill -KILL "$PID_recorder"
wait "$PID_recorder" 2>/dev/null || true
"$CTBPF" detach -p "$PID_late" >/dev/null 2>&1 || true
assert_status 5 "$CTBPF" verify "$T/killed.ctr"
assert_contains "$OUT" UNPROVEN
assert_contains "$OUT" "the recorder died before its end was written"
assert_status 0 "$CTBPF" replay "$T/killed.ctr"
