#!/bin/bash
# SPDX-License-Identifier: MIT
# A 32-bit program is refused by name.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

cat >"$T/tiny.S" <<'S'
	.globl _start
_start:	mov $29, %eax	# pause
	int $0x80
	jmp _start
S
gcc -m32 -nostdlib -static -o "$T/tiny" "$T/tiny.S" 2>"$T/gcc" || fail "gcc cannot make 32-bit programs: $(head -n 1 "$T/gcc")"
start_target tiny "$T/tiny"
sleep 0.1
alive "$PID_tiny" || fail "this kernel does not run 32-bit programs"
assert_status 3 "$CTBPF" record -p "$PID_tiny" -d 0.2 -o "$T/x.ctr"
assert_matches "$OUT" '32-bit'
assert_status 3 "$CTBPF" record --no-replay -p "$PID_tiny" -d 0.2 -o "$T/x.ctr"
[ ! -e "$T/x.ctr" ]
assert alive "$PID_tiny"

step "as a command, and as a child of a recorded one"
OUT=$(timeout -k 5 20 "$CTBPF" record -q -d 1 -o "$T/c.ctr" -- "$T/tiny" 2>&1) && fail "a 32-bit command is recorded as if nothing were"
assert_matches "$OUT" '32-bit'
[ ! -e "$T/c.ctr" ] || fail "a recording directory is left"
timeout -k 5 20 "$CTBPF" record -q -d 1 -o "$T/child.ctr" -- sh -c "$T/tiny & sleep 0.5; kill \$!; wait; exit 5" || rc=$?
assert_eq "${rc-0}" 5 "status of the command"
assert_eq "$(info "$T/child.ctr" state)" complete
assert_eq "$(info "$T/child.ctr" replayable)" false "replayable, with a 32-bit child"
