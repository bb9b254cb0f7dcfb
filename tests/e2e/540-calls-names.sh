#!/bin/bash
# SPDX-License-Identifier: MIT
# Which native functions there are is found out by any symbols a file has, compressed ones too, and by the names of their
# language; thousands of them are attached and detached at once.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154
source "$(dirname "$0")/540-common.sh"
need gcc nim objcopy strip xz

step "symbols in .gnu_debugdata"
cat >"$T/mini.c" <<'C'
#include <unistd.h>
static volatile int sink;
static __attribute__((noinline)) void hidden_name(int n)
{
	sink = n;
}
int main(void)
{
	for (int n = 0;; n++) {
		hidden_name(n);
		usleep(1000);
	}
}
C
gcc -O1 -o "$T/mini" "$T/mini.c"
# As distributions do: the symbols alone, compressed, in a section of the stripped program.
objcopy --only-keep-debug "$T/mini" "$T/mini.debug"
strip -s "$T/mini"
xz -f "$T/mini.debug"
objcopy --add-section .gnu_debugdata="$T/mini.debug.xz" "$T/mini"
start_target mini "$T/mini"
record "$T/mini.ctr" "$PID_mini" 0.3 --functions 'hidden_*'
assert_contains "$OUT" "1 functions in 1 file"
assert_ge "$(calls "$T/mini.ctr" | grep -c '"type":"call".*"name":"hidden_name"')" 10 calls
stop "$PID_mini"

step "Nim's names"
cat >"$T/shop.nim" <<'NIM'
import std/os
proc price(n: int): int {.noinline.} = n * 2
proc order(n: int): int {.noinline.} = price(n) + 1
var n = 0
while true:
  if order(n) != 2 * n + 1: quit(1)
  n += 1
  sleep(1)
NIM
nim c --hints:off --verbosity:0 -d:release --nimcache:"$T/nimcache" -o:"$T/shop" "$T/shop.nim" >"$T/nim.log" 2>&1 || fail "$(cat "$T/nim.log")"
start_target nim "$T/shop"
record "$T/nim.ctr" "$PID_nim" 0.3 --functions 'shop.*' --functions order
assert_eq "$(calls "$T/nim.ctr" | sed -n 's/.*"type":"call".*"name":"\([^"]*\)".*/\1/p' | sort -u | paste -sd' ')" "shop.order shop.price"
assert_contains "$("$CTBPF" list 'order' -p "$PID_nim")" "shop.order"
stop "$PID_nim"

step "thousands at once, and what is dear is said"
start_target py /usr/bin/python3.11 -c 'import time
while True: time.sleep(0.01)'
wait_for 5 grep -q libc /proc/"$PID_py"/maps
text=$(text_sum "$PID_py")
record "$T/py.ctr" "$PID_py" 0.3 --functions '*' --lib '*'
assert_matches "$OUT" "calls of [0-9]{4,} functions in"
assert_contains "$OUT" "attached in"
grep -o 'calls of.*' <<<"$OUT"
assert_eq "$(text_sum "$PID_py")" "$text" "its code afterwards"
alive "$PID_py" || fail "it has ended"
"$CTBPF" list '*' -p "$PID_py" >"$T/list"
assert_ge "$(grep -c stepped "$T/list")" 1 "functions whose probe is single-stepped, as the list says"
