#!/bin/bash
# SPDX-License-Identifier: MIT
# A small project is built by `make -j2` under the recorder: the same result, every compiler process in the recording.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need make gcc

mkdir "$T/p"
for n in 1 2 3; do echo "int f$n(int x) { return x * $n; }" >"$T/p/f$n.c"; done
cat >"$T/p/main.c" <<'C'
#include <stdio.h>
int f1(int), f2(int), f3(int);
int main(void) { printf("%d\n", f1(1) + f2(10) + f3(100)); return 0; }
C
printf 'prog: main.o f1.o f2.o f3.o\n\tgcc -o $@ $^\n' >"$T/p/Makefile"
assert_status 0 env -u MAKEFLAGS -u MAKELEVEL "$CTBPF" record -q -o "$T/r.ctr" -- make -j2 -C "$T/p" prog
assert_eq "$("$T/p/prog")" 321
assert_recording "$T/r.ctr"
# make; for each of 4 files gcc, cc1, as; gcc, collect2, ld
assert_ge "$(info "$T/r.ctr" processes)" 16
"$CTBPF" dump --type exec "$T/r.ctr" >"$T/exec"
for comm in cc1 as collect2 ld; do
	assert grep -q "runs \"$comm" "$T/exec"
done
assert_eq "$(grep -c 'not held' "$T/exec")" 0

step "a build that fails says so"
echo 'syntax error' >"$T/p/f2.c"
assert_status 2 env -u MAKEFLAGS -u MAKELEVEL "$CTBPF" record -q -o "$T/f.ctr" -- make -C "$T/p" prog
assert_recording "$T/f.ctr"
