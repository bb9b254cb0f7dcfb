#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf verify` proves recordings of several programs, and finds a single altered byte.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

verified() { # DIR
	assert_recording "$1"
	assert_status 0 timeout 60 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}
step "a command"
assert_status 0 "$CTBPF" record -q -o "$T/echo.ctr" -- /bin/echo hi
verified "$T/echo.ctr"

step "a pipeline"
assert_status 0 "$CTBPF" record -q -o "$T/pipe.ctr" -- sh -c 'ls /usr/lib | sort | uniq | wc -l'
verified "$T/pipe.ctr"

step "scripts that run scripts through env"
printf '#!/usr/bin/env bash\nx=$("%s/inner"); y=$("%s/inner"); echo "$x$y"\n' "$T" "$T" >"$T/outer"
printf '#!/usr/bin/env bash\nz=$(/bin/echo a | cat); echo "$z"\n' >"$T/inner"
chmod +x "$T/outer" "$T/inner"
assert_status 0 timeout -s INT -k 5 20 "$CTBPF" record -q -o "$T/scripts.ctr" -- "$T/outer"
assert_contains "$OUT" aa
verified "$T/scripts.ctr"

step "python"
assert_status 0 timeout -s INT -k 5 20 "$CTBPF" record -q -o "$T/python.ctr" -- python3 -c 'print(sum(i * i for i in range(1000)))'
verified "$T/python.ctr"

step "redis"
start_redis
start_redis_load -c 2
wait_for 5 redis_load_ok
assert_status 0 "$CTBPF" record -q -p "$PID_redis" -d 0.5 -o "$T/redis.ctr"
stop "$PID_load"
stop "$PID_redis"
verified "$T/redis.ctr"

step "one byte altered"
alter() { # FILE OFFSET (negative: from the end; a decimal below 1: a part of the file)
	python3 - "$@" <<'PY'
import os, sys
f = open(sys.argv[1], "r+b")
size = os.fstat(f.fileno()).st_size
at = int(float(sys.argv[2]) * size)
f.seek(at)
b = f.read(1)
f.seek(at)
f.write(bytes([b[0] ^ 0x10]))
PY
}
for file in segments/000001.ctseg snapshots/000001/pages snapshots/000002/pages snapshots/000001/state; do
	for part in 0.3 0.6; do
		rm -rf "$T/bad.ctr"
		cp -r "$T/pipe.ctr" "$T/bad.ctr"
		[ -s "$T/bad.ctr/$file" ] || continue
		alter "$T/bad.ctr/$file" $part
		rc=0
		OUT=$(timeout 60 "$CTBPF" verify "$T/bad.ctr" 2>&1 </dev/null) || rc=$?
		[ $rc = 1 ] || [ $rc = 5 ] || fail "exit status $rc with a byte of $file altered at $part: $OUT"
	done
done
