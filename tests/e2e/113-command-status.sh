#!/bin/bash
# SPDX-License-Identifier: MIT
# `record -- COMMAND` returns the command's status: 0, another, 128 + n for a signal, 2 for one that does not exist.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

assert_status 0 "$CTBPF" record -q -o "$T/0.ctr" -- /bin/true
assert_status 3 "$CTBPF" record -q -o "$T/3.ctr" -- sh -c 'exit 3'
assert_status 137 "$CTBPF" record -q -o "$T/9.ctr" -- sh -c 'kill -KILL $$'
assert_status 143 "$CTBPF" record -q -o "$T/15.ctr" -- sh -c 'kill -TERM $$'
assert_status 139 "$CTBPF" record -q -o "$T/11.ctr" -- "$PROGRAMS/storm" crash 2
for r in 0 3 9 15 11; do
	assert_recording "$T/$r.ctr"
	"$CTBPF" dump --type end "$T/$r.ctr" >"$T/end"
	assert_eq "$(wc -l <"$T/end")" 1
done
assert_contains "$("$CTBPF" dump --type end "$T/3.ctr")" "exited with 3"
assert_contains "$("$CTBPF" dump --type end "$T/9.ctr")" "SIGKILL"
assert_contains "$("$CTBPF" dump --type exit "$T/11.ctr")" "SIGSEGV"

assert_status 2 "$CTBPF" record -q -o "$T/none.ctr" -- "$T/there-is-no-such-program"
assert_contains "$OUT" "there-is-no-such-program"
[ ! -e "$T/none.ctr" ] || fail "an empty recording is left of a command that could not be run"
touch "$T/not-executable"
assert_status 2 "$CTBPF" record -q -o "$T/none.ctr" -- "$T/not-executable"

step "its input and output are the command's"
echo hello | "$CTBPF" record -q -o "$T/cat.ctr" -- cat >"$T/out"
assert_eq "$(cat "$T/out")" hello
step "from the first instruction on: its very first calls are in the log"
assert_contains "$("$CTBPF" dump --syscall brk,mmap,access,openat "$T/0.ctr" | head -n 1)" "brk(NULL)"

step "also of one that ends while it is stopped for a snapshot"
for n in 1 2 3 4 5 6 7 8; do
	rm -rf "$T/busy.ctr"
	assert_status 7 "$CTBPF" record -q --snapshot-every 100ms -o "$T/busy.ctr" -- sh -c 'sleep 0.2; exit 7'
done
