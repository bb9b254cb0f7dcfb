#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf verify` proves recordings of several programs, and finds a single altered byte.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

verified() { # DIR
	assert_recording "$1"
	assert_status 0 timeout 60 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}
# How many of the first stretch's calls were answered inside the replica, in percent.
answered() { # DIR
	local n
	n=$("$CTBPF" verify --json --no-store "$1")
	echo $((100 * $(json stretches.0.replayed.answered <<<"$n") / $(json stretches.0.replayed.syscalls <<<"$n")))
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

step "more programs than a replay has room for between its low descriptors"
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/many.ctr" -- bash -c 'for i in $(seq 150); do /bin/true; done'
verified "$T/many.ctr"

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
assert_ge "$(answered "$T/redis.ctr")" 95 "percent of redis' calls answered without a stop"

step "two gigabytes that children do not get, hardly used: neither read nor filled"
start_target sparse "$PROGRAMS/sparse"
wait_for 5 grep -q ready "$T/sparse.log"
assert_status 0 "$CTBPF" record -q -p "$PID_sparse" -d 0.3 -o "$T/sparse.ctr"
assert_le "$(sed -n 's/^VmPTE:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$PID_sparse/status")" 1000 "kB of page tables"
stop "$PID_sparse"
verified "$T/sparse.ctr"

step "calls that change memory"
python=$(python3 -c "import sys; print(sys.executable)") # itself, not a script that looks for it
assert_status 0 timeout -s INT -k 5 30 "$CTBPF" record -q -o "$T/memory.ctr" -- "$python" -c '
import mmap
for i in range(3000):
    m = mmap.mmap(-1, 1 << 16, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m[:5] = b"hello"
    m.madvise(mmap.MADV_DONTNEED)
    assert m[:5] == bytes(5)
    m.resize(1 << 17)
    m.close()'
verified "$T/memory.ctr"
assert_ge "$(answered "$T/memory.ctr")" 75 "percent of calls answered without a stop"
assert_ge "$("$CTBPF" verify --json -n "$T/memory.ctr" | json stretches.0.replayed.executed)" 12000 "calls really made"

step "a forked process has the patches of its parent, and others of its own"
assert_status 0 timeout -s INT -k 5 30 "$CTBPF" record -q -o "$T/fork.ctr" -- "$python" -c '
import os
for i in range(300):
    os.getppid()
pids = []
for n in range(4):
    pid = os.fork()
    if not pid:
        for i in range(300 + 100 * n):
            os.getppid()
            os.getpgid(0)
        os._exit(n)
    pids.append(pid)
    os.umask(0o22)
assert sorted(os.waitpid(p, 0)[1] >> 8 for p in pids) == [0, 1, 2, 3]'
verified "$T/fork.ctr"
assert_ge "$(answered "$T/fork.ctr")" 60 "percent of calls answered without a stop"

step "threads and signals"
start_answers answers 4
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 1 -o "$T/answers.ctr"
answers_end
verified "$T/answers.ctr"

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
