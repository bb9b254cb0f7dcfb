#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# The first process of the virtual machine that scripts/test-kernels boots: records two targets, prints one
# "STEP PASS|FAIL what" line per check and "RESULT ok|fail" at the end, and switches the machine off.
# Recordings of other kernels, /recorded/KERNEL.ctr, are verified; one of this kernel goes out through the second serial
# line as a .tar.gz. With `verify-only` on the kernel's command line nothing is recorded.

/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts /tmp /run /root /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
cd /root || exit

result=ok
step() { # WHAT COMMAND...: the command decides; its output is shown if it fails
	what=$1
	shift
	if "$@" >/tmp/out 2>&1; then
		echo "STEP PASS $what"
	else
		echo "STEP FAIL $what (exit status $?)"
		tail -n 30 /tmp/out | sed 's/^/  | /'
		result=fail
	fi
}
status() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
cpus() { cat /proc/"$1"/task/*/status | sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' | sort -u | tr '\n' ' '; }
untouched() { # PID CPUS: alive, untraced, on its CPUs
	[ -d "/proc/$1" ] || { echo "process $1 is gone" && return 1; }
	[ "$(status "$1" TracerPid)" = 0 ] || { echo "still traced" && return 1; }
	[ "$(cpus "$1")" = "$2" ] || { echo "CPUs were $2, are $(cpus "$1")" && return 1; }
}
has() { # FILE PART: of a JSON file, white space aside
	tr -d ' \t\n' <"$1" | grep -qF "$2" || { cat "$1" && return 1; }
}
lines() { # FILE LEAST
	[ "$(wc -l <"$1")" -ge "$2" ] || { cat "$1" && return 1; }
}
begun() { # RECORDER DIR: or given up
	[ -s "$2/segments/000001.ctseg" ] || ! kill -0 "$1"
}
answers() { [ "$(redis-cli -s /tmp/redis.sock ping)" = PONG ]; }
wait_for() { # SECONDS COMMAND...
	n=$(($1 * 10))
	shift
	until "$@" 2>/dev/null; do
		n=$((n - 1))
		[ $n -gt 0 ] || return 1
		sleep 0.1
	done
}

try() { # NAME PID: record it, look at the recording, detach
	name=$1 pid=$2 rec=/tmp/$1.ctr
	before=$(cpus "$pid")
	step "$name: check" timeout 60 ctbpf check -p "$pid"
	step "$name: record 3 s" timeout 90 ctbpf record -p "$pid" -d 3 -o "$rec" -v
	step "$name: runs on as before" untouched "$pid" "$before"
	timeout 60 ctbpf info --json "$rec" >/tmp/info.json 2>&1
	echo "info $name: $(tr -d '\t\n' </tmp/info.json)"
	step "$name: complete" has /tmp/info.json '"state":"complete"'
	step "$name: nothing lost" has /tmp/info.json '"lost":0,'
	step "$name: replayable" has /tmp/info.json '"replayable":true'
	timeout 60 ctbpf dump "$rec" 2>&1 | head -n 20 >/tmp/dump
	step "$name: dump" lines /tmp/dump 20
	sed -n '1,5s/^/dump | /p' /tmp/dump
	timeout 120 ctbpf verify "$rec" >/tmp/verify 2>&1
	step "$name: verify" has /tmp/verify ':VERIFIED,1stretch'
	sed -n '1,3s/^/  | /p' /tmp/verify

	ctbpf record -p "$pid" -o "$rec.killed" -q >/tmp/killed 2>&1 &
	recorder=$!
	wait_for 60 begun $recorder "$rec.killed"
	sleep 3
	step "$name: recorder is recording" kill -0 $recorder
	kill -9 $recorder 2>/dev/null
	wait $recorder 2>/dev/null
	step "$name: detach after kill -9" timeout 60 ctbpf detach -p "$pid"
	step "$name: runs on as before, again" untouched "$pid" "$before"
	rm -rf "$rec.killed"
}

calls() { # PID: live calls, each left after it is entered
	printf '[[scope.rules]]\nselector = "obj:other*"\nexec = "skip"\n' >/tmp/filter.toml # the programs look at rules, too
	step "calls: record 3 s" timeout 90 ctbpf record --no-replay --calls --functions '[sg]etCommand' --filter /tmp/filter.toml -p "$1" -d 3 -o /tmp/calls.ctr -v
	sed -n '1,9s/^/  | /p' /tmp/out
	step "calls: runs on" kill -0 "$1"
	ctbpf dump --type call,return /tmp/calls.ctr >/tmp/dump 2>&1
	step "calls: some" lines /tmp/dump 20
	sed -n '1,3s/^/dump | /p' /tmp/dump
	step "calls: entry and exit in turn" awk '{ what = $4 } NR > 1 && what == last { exit 1 } { last = what }' /tmp/dump
	rm -rf /tmp/calls.ctr
}

finish() {
	echo "RESULT $result"
	sync
	poweroff -f
}

echo "kernel $(uname -r)"
step "kernel has BTF" test -s /sys/kernel/btf/vmlinux
step "ctbpf --version" ctbpf --version
step "ctbpf check" timeout 60 ctbpf check
cat /tmp/out

for other in /recorded/*.ctr; do
	[ -d "$other" ] || continue
	timeout 180 ctbpf verify "$other" >/tmp/verify 2>&1
	step "a recording of kernel $(basename "$other" .ctr): verify" has /tmp/verify ':VERIFIED,1stretch'
	sed -n '1,3s/^/  | /p' /tmp/verify
done
! grep -qw verify-only /proc/cmdline || finish

bench-syscalls load mix 2000 100000 >/dev/null &
c=$!
redis-server --port 0 --unixsocket /tmp/redis.sock --save '' --appendonly no --dir /tmp >/tmp/redis.log 2>&1 &
redis=$!
wait_for 30 answers
redis-benchmark -s /tmp/redis.sock -l -q -t set,get -n 10000 -c 4 >/dev/null 2>&1 &

calls "$redis"
try c "$c"
mkdir /tmp/out.d && mv /tmp/c.ctr "/tmp/out.d/$(uname -r).ctr"
stty -F /dev/ttyS1 raw -echo
tar -C /tmp/out.d -czf - . >/dev/ttyS1
try redis "$redis"
step "redis answers" answers

finish
