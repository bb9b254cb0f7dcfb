#!/bin/bash
# SPDX-License-Identifier: MIT
# Where a recording goes: default name, an existing directory is refused untouched, modes, --json and -q summaries.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_target sleep sleep 1000
before=$(shape "$PID_sleep")

step "default name"
(cd "$T" && "$CTBPF" record -p "$PID_sleep" -d 0.2 2>"$T/err")
path=$(cd "$T" && echo ctbpf-sleep-"$PID_sleep"-*.ctr)
assert_matches "$path" "^ctbpf-sleep-$PID_sleep-[0-9]{8}T[0-9]{6}Z\.ctr$"
assert_recording "$T/$path"
assert_contains "$(cat "$T/err")" "$path"
assert_eq "$(stat -c %a "$T/$path")" 700 "mode of the recording"
assert_eq "$(find "$T/$path" -type f ! -perm 600)" "" "files others may read"

step "an existing directory, file or link is refused before anything is touched"
mkdir "$T/dir" && echo mine >"$T/dir/file"
echo mine >"$T/file"
ln -s nowhere "$T/link"
for o in dir file link "$path"; do
	sum=$(find "$T/$path" "$T/dir" -type f -exec md5sum {} + | sort)
	assert_status 1 "$CTBPF" record -p "$PID_sleep" -d 0.2 -o "$T/$o"
	assert_contains "$OUT" "$T/$o"
	assert_matches "$OUT" "exist"
	assert_eq "$(find "$T/$path" "$T/dir" -type f -exec md5sum {} + | sort)" "$sum"
	assert_shape "$PID_sleep" "$before" "after a refusal"
done
assert_eq "$(cat "$T/file")" mine
assert_eq "$(readlink "$T/link")" nowhere

step "a directory that cannot be made"
assert_status 1 "$CTBPF" record -p "$PID_sleep" -d 0.2 -o "$T/missing/r.ctr"
assert_contains "$OUT" "$T/missing"

step "summaries"
"$CTBPF" record --json -p "$PID_sleep" -d 0.2 -o "$T/j.ctr" >"$T/json" 2>"$T/err"
assert_eq "$(cat "$T/err")" "" "words beside the JSON"
for key in events bytes lost duration_s pause_ms; do
	json $key <"$T/json" >"$T/value"
done
assert_eq "$(json path <"$T/json")" "$T/j.ctr"
assert_eq "$(json lost <"$T/json")" 0
assert_eq "$(json events <"$T/json")" "$(info "$T/j.ctr" events)" "events of summary and info"
assert_status 0 "$CTBPF" record -q -p "$PID_sleep" -d 0.2 -o "$T/q.ctr"
assert_eq "$OUT" "" "words with -q"
assert_shape "$PID_sleep" "$before"

step "escape sequences in the name of a process and of its files do not come to the terminal"
start_target named env -C "$T" python3 -c 'import ctypes, time
f = open("\033[31mred", "w")
ctypes.CDLL(None).prctl(15, b"\033[31mred") # PR_SET_NAME
print("ready", flush=True)
time.sleep(1000)'
wait_for 10 test -s "$T/named.log"
assert_status 0 "$CTBPF" record -q -p "$PID_named" -d 0.2 -o "$T/named.ctr"
for c in "check -p $PID_named" "stack -p $PID_named" "info $T/named.ctr" "dump $T/named.ctr" "dump --snapshot 1 $T/named.ctr"; do
	# shellcheck disable=SC2086 # arguments
	assert_status 0 "$CTBPF" $c
	assert_eq "$(tr -d '\n\t -~\200-\377' <<<"$OUT")" "" "control characters of ctbpf $c"
done
assert_contains "$OUT" '[31m'
