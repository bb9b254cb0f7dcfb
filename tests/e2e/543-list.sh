#!/bin/bash
# SPDX-License-Identifier: MIT
# list says what can be probed and at which cost; record does just that, with thousands of functions at a time too.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
need gcc objcopy xz nm

# What the compiler made of it is not what counts here: each function is one case.
cat >"$T/cases.S" <<'ASM'
.macro function name
.globl \name
.type \name, @function
.p2align 4
\name:
.endm
.macro done name
ret
.size \name, .-\name
.endm
.text
function case_push
	push %rbx
	mov %rdi, %rax
	pop %rbx
done case_push
function case_endbr
	endbr64
	mov %rdi, %rax
	push %rbx
	pop %rbx
done case_endbr
function case_nop5		/* the kernel makes a call of it: only because it is the first */
	.byte 0x0f, 0x1f, 0x44, 0, 0
	lea 1(%rdi), %rax
done case_nop5
function case_inner_nop5	/* data below the stack pointer is live here */
	mov %rdi, -8(%rsp)
	.byte 0x0f, 0x1f, 0x44, 0, 0
	mov -8(%rsp), %rax
done case_inner_nop5
function case_loop		/* comes back to its first instruction */
1:	test %rdi, %rdi
	jz 2f
	dec %rdi
	jmp 1b
2:	mov $7, %eax
done case_loop
function case_branch		/* this one once */
	test %rdi, %rdi
	jz 1f
	lea 3(%rdi), %rax
	ret
1:	mov $9, %eax
done case_branch
function case_stack
	sub $24, %rsp
	mov %rdi, 8(%rsp)
	mov 8(%rsp), %rax
	add $24, %rsp
done case_stack
function case_lock		/* refused by the kernel */
	lock incl locked(%rip)
	ret
done case_lock
.local locked
.comm locked, 4
function case_data
	.byte 0x06, 0x06		/* no instructions */
done case_data
.section .note.GNU-stack,"",@progbits
ASM
cat >"$T/main.c" <<'C'
#include <stdio.h>
#include <unistd.h>
long case_push(long), case_endbr(long), case_nop5(long), case_inner_nop5(long), case_loop(long), case_branch(long), case_stack(long);
int main(void)
{
	puts("ready");
	fflush(stdout);
	for (long n = 0, sum = 0;; n++, usleep(200)) {
		sum = case_push(n) + case_endbr(n) + case_nop5(n) + case_inner_nop5(n) + case_loop(3) + case_branch(n) + case_stack(n);
		if (sum != 5 * n + 1 + 7 + (n ? n + 3 : 9)) {
			printf("WRONG %ld %ld\n", n, sum);
			return 1;
		}
	}
}
C
gcc -O2 -o "$T/cases" "$T/main.c" "$T/cases.S"

step "costs"
start_target cases "$T/cases"
wait_for 5 grep -q ready "$T/cases.log"
assert_status 0 "$CTBPF" list -p "$PID_cases" 'case_*'
costs() { awk '{ print $2 "=" $1 }' <<<"$OUT" | LC_ALL=C sort | paste -sd' '; }
costs=$(costs)
assert_eq "$costs" \
	"case_branch=cheap case_data=no case_endbr=cheap case_inner_nop5=stepped case_lock=no case_loop=no case_nop5=stepped case_push=cheap case_stack=stepped"
assert_status 0 "$CTBPF" list --json -p "$PID_cases" 'case_push'
assert_eq "$(json cost <<<"$OUT")" cheap
assert_status 0 "$CTBPF" list -p "$PID_cases"
assert_contains "$OUT" "libc.so"
assert_status 3 "$CTBPF" list -p "$PID_cases" 'no_such_*'
assert_status 2 "$CTBPF" list 'x'

step "each of them is seen once a round, and is unharmed"
text=$(text_sum "$PID_cases")
record "$T/r.ctr" "$PID_cases" 0.5 --functions 'case_*'
assert_contains "$OUT" "3 functions are not probed"
assert alive "$PID_cases"
assert_eq "$(text_sum "$PID_cases")" "$text" "its code afterwards"
assert_eq "$("$CTBPF" dump --json --type syscall "$T/r.ctr" | sed 's/.*"name":"\([a-z_]*\)".*/\1/' | sort -u)" clock_nanosleep \
	"system calls of the program"
calls "$T/r.ctr" | python3 -c '
import json, sys
order = ["case_push", "case_endbr", "case_nop5", "case_inner_nop5", "case_branch", "case_stack"]
events = [json.loads(l) for l in sys.stdin]
first = next(i for i, e in enumerate(events) if e["type"] == "call" and e["name"] == order[0])
assert first < 20, first
events = events[first:]
assert len(events) > 200, len(events)
for i, e in enumerate(events):
    want = order[i // 2 % 6], "return" if i % 2 else "call"
    assert (e["name"], e["type"], e["depth"]) == (*want, 1), (i, e)
    if e["type"] == "return" and e["name"] in ("case_push", "case_stack", "case_inner_nop5", "case_endbr"):
        assert e["value"] == events[i - 1]["args"][0], (e, events[i - 1])
' || fail "not the calls that were made"

step "a stripped program with .gnu_debugdata"
nm "$T/cases" --format=posix --defined-only | awk '$2 == "T" { print $1 }' >"$T/keep"
objcopy --keep-symbols="$T/keep" "$T/cases" "$T/mini" && objcopy --only-keep-debug "$T/mini" "$T/mini.debug"
xz -k "$T/mini.debug"
objcopy --strip-all --add-section .gnu_debugdata="$T/mini.debug.xz" "$T/cases" "$T/stripped"
start_target stripped "$T/stripped"
wait_for 5 grep -q ready "$T/stripped.log"
assert_status 0 "$CTBPF" list -p "$PID_stripped" 'case_*'
assert_eq "$(costs)" "$costs"

step "thousands"
{
	echo '#include <unistd.h>'
	for i in {1..2000}; do echo "__attribute__((noinline)) int many_$i(int n) { __asm__ volatile(\"push %rbx; pop %rbx\"); return n + $i; }"; done
	echo 'int main(void) { for (;; usleep(1000)) {'
	for i in {1..2000}; do echo "many_$i(1);"; done
	echo '} }'
} >"$T/many.c"
gcc -O1 -o "$T/many" "$T/many.c"
start_target many "$T/many"
text=$(text_sum "$PID_many")
OUT=$("$CTBPF" record --json --no-replay -p "$PID_many" -d 0.5 -o "$T/many.ctr" --functions 'many_*')
assert_eq "$(json calls.functions <<<"$OUT")" 2000
assert_eq "$(json calls.left_out <<<"$OUT")" 0
assert_ge "$(json calls.calls <<<"$OUT")" 2000
assert_eq "$(calls "$T/many.ctr" | sed -n 's/.*"type":"call".*"name":"\(many_[0-9]*\)".*/\1/p' | sort -u | wc -l)" 2000 "different functions"
assert_eq "$(text_sum "$PID_many")" "$text" "its code afterwards"
