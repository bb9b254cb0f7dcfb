# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What end-to-end tests share: start targets, wait for things, check things, clean up. Source it first:
#
#   #!/bin/bash
#   # SPDX-License-Identifier: MIT
#   # What this test shows, in one line.          (and, if 120 s are too short: "# timeout: 300")
#   source "$(dirname "$0")/lib.sh"
#
# $T is a fresh directory, $CTBPF the program, $PROGRAMS the directory of tests/programs' binaries.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${B:=build}" "${CTBPF:=$PWD/ctbpf}" "${PROGRAMS:=$(realpath -m "$B/tests/programs")}"
T=$(mktemp -d "${TMPDIR:-/tmp}/ctbpf-test.XXXXXX")
STARTED=()

# --- the end ----------------------------------------------------------------------------------------------
cleanup() {
	local rc=$? p
	trap - EXIT
	for p in "${STARTED[@]}"; do kill -TERM "$p" 2>/dev/null || true; done
	for p in "${STARTED[@]}"; do
		wait_for 3 gone "$p" || kill -KILL "$p" 2>/dev/null || true
	done
	awk -v t="$T/" 'index($2, t) == 1 { print $2 }' /proc/self/mounts | tac | xargs -r umount -l
	if [ -n "${KEEP-}" ]; then echo "kept: $T"; else rm -rf "$T"; fi
	exit $rc
}
trap cleanup EXIT
trap 'exit 143' TERM INT
trap 'echo "failed: ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

fail() { # MESSAGE
	echo "FAILED: $* (at ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]-})" >&2
	exit 1
}
skip() { # REASON: this machine has no hardware counters, the only thing a test may do without
	echo "$*"
	exit 77
}
step() { echo "--- $*"; }
need() { # COMMAND...
	local c
	for c; do command -v "$c" >/dev/null || fail "needs $c: run scripts/setup"; done
}
[ $EUID = 0 ] || fail "needs root"

# Beside what follows, one at a time: runs COMMAND when the one before has ended. beside (without one) waits for the last.
# The names of those that failed are in BESIDE.
BESIDE=() BESIDE_PID= BESIDE_NAME=
beside() { # [NAME COMMAND...]
	if [ -n "$BESIDE_PID" ] && ! wait "$BESIDE_PID"; then BESIDE+=("$BESIDE_NAME"); fi
	BESIDE_PID=
	[ $# != 0 ] || return 0
	BESIDE_NAME=$1
	(trap - EXIT && "${@:2}") &
	BESIDE_PID=$!
}

# --- processes --------------------------------------------------------------------------------------------
# Starts a target in the background: its pid is in $PID and in $PID_NAME, its output in $T/NAME.log.
start_target() { # NAME COMMAND...
	local name=$1
	shift
	: >"$T/$name.log" # at once: nobody shall read that of a target before this one
	"$@" >"$T/$name.log" 2>&1 </dev/null &
	PID=$!
	STARTED+=("$PID")
	printf -v "PID_$name" %s "$PID"
}
state() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true; }
gone() { case $(state "$1") in '' | Z | X) return 0 ;; esac; return 1; }
alive() { ! gone "$1"; }
stop() { # PID [SIGNAL]: and waits until it is gone
	kill "-${2:-TERM}" "$1" 2>/dev/null || true
	wait_for 10 gone "$1" || fail "process $1 does not end on ${2:-TERM}"
}
wait_for() { # SECONDS COMMAND...: until the command succeeds
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@" 2>/dev/null; do
		[ "${EPOCHREALTIME/[.,]/}" -lt $end ] || return 1
		sleep 0.05
	done
}
# A private redis on a socket of its own; talk to it with `redis COMMAND`.
start_redis() { # [ARGS...]
	need redis-server redis-cli redis-benchmark
	SOCK=$T/redis.sock
	start_target redis redis-server --port 0 --unixsocket "$SOCK" --save '' --appendonly no --dir "$T" "$@"
	wait_for 10 redis_answers || fail "redis does not start: $(tail -3 "$T/redis.log")"
}
redis() { redis-cli -s "$SOCK" "$@"; }
redis_answers() { [ "$(redis ping 2>/dev/null)" = PONG ]; }
# Endless load on it, in the background; `redis_load_ok` says that no client has failed so far.
start_redis_load() { # [ARGS...]
	start_target load redis-benchmark -s "$SOCK" -l -q -t set,get -n 100000 -c 20 "$@"
}
redis_load_ok() { alive "${PID_load:?}" && ! grep -qiE 'error|refused|closed|reset' "$T/load.log"; }

# --- what a process looks like: compare before and after ----------------------------------------------------
cpus() { # allowed CPUs of every thread, different ones only
	local pid=$1
	sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "/proc/$pid"/task/*/status 2>/dev/null | sort -u | paste -sd' '
}
tracer() { sed -n 's/^TracerPid:[[:space:]]*//p' "/proc/$1/status"; }
fds() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
maps() { cut -d' ' -f1,2,6- "/proc/$1/maps"; }
vdso_sum() { # checksum of its vDSO's bytes
	python3 - "$1" <<-'PY'
		import sys, zlib
		for line in open(f"/proc/{sys.argv[1]}/maps"):
		    if "[vdso]" in line:
		        lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
		        with open(f"/proc/{sys.argv[1]}/mem", "rb") as mem:
		            mem.seek(lo)
		            print(f"{zlib.crc32(mem.read(hi - lo)):08x}")
	PY
}
# All of it but the memory map as one text: "$(looks PID)" before and after must be equal.
looks() {
	echo "cpus $(cpus "$1") tracer $(tracer "$1") fds $(fds "$1") vdso $(vdso_sum "$1") policy $(chrt -ap "$1" | sed 's/^pid [0-9]*//' | sort -u | paste -sd' ')"
}

# Whether there is such a line. As grep -q, but it reads all of its input: with pipefail, who still writes would make the
# pipeline fail by SIGPIPE.
has_line() { grep "$@" >/dev/null; }

# --- recordings -------------------------------------------------------------------------------------------
info() { # DIR KEY: one value of `ctbpf info --json`
	"$CTBPF" info --json "$1" | json "$2"
}
json() { # KEY[.KEY...]: of the JSON text on stdin; true/false/null as JSON writes them
	python3 -c 'import sys, json
v = json.load(sys.stdin)
for k in sys.argv[1].split("."):
    v = v[int(k)] if isinstance(v, list) else v[k]
print(v if isinstance(v, str) else json.dumps(v))' "$1"
}
# Records in the background until `stop_recorder`; returns when the target runs again, recorded.
start_recorder() { # DIR ARGS...
	local dir=$1
	shift
	start_target recorder "$CTBPF" record -o "$dir" "$@"
	if ! wait_for 20 recorder_settled "$dir" || gone "${PID_recorder:?}"; then
		fail "recording does not start: $(tail -5 "$T/recorder.log")"
	fi
}
recorder_settled() { # DIR: the first snapshot is being written, or the recorder has given up
	gone "${PID_recorder:?}" || { [ -s "$1/segments/000001.ctseg" ] && compgen -G "$1/snapshots/[0-9]*" >/dev/null; }
}
stop_recorder() { # its exit status is this function's
	kill -INT "$PID_recorder" 2>/dev/null || true
	wait "$PID_recorder"
}
# A recording ended in order, nothing lost; REPLAYABLE is "true" unless given.
assert_recording() { # DIR [REPLAYABLE]
	assert_eq "$(info "$1" state)" complete "state of $1"
	assert_eq "$(info "$1" lost)" 0 "events lost in $1"
	assert_ge "$(info "$1" events)" 1 "events in $1"
	[ "$(info "$1" replayable)" = "${2:-true}" ] ||
		fail "replayable, in $1: expected ${2:-true}; $(info "$1" replayable_reason)
$("$CTBPF" dump --type unsound "$1" | head)"
}

# --- assertions -------------------------------------------------------------------------------------------
assert() { # COMMAND...
	"$@" || fail "not so: $*"
}
assert_eq() { # GOT EXPECTED [WHAT]
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', expected '$2'"
}
assert_ge() { # GOT LEAST [WHAT]; decimals are fine
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 >= b + 0) }' || fail "${3:-value}: got $1, expected at least $2"
}
assert_le() { # GOT MOST [WHAT]
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 <= b + 0) }' || fail "${3:-value}: got $1, expected at most $2"
}
assert_contains() { # TEXT PART
	[[ $1 = *"$2"* ]] || fail "'$2' is not in: $1"
}
assert_matches() { # TEXT REGEX
	[[ $1 =~ $2 ]] || fail "does not match '$2': $1"
}
# Runs a command that must end with this status; its stdout and stderr are in $OUT.
assert_status() { # STATUS COMMAND...
	local want=$1 rc=0
	shift
	OUT=$("$@" 2>&1 </dev/null) || rc=$?
	[ $rc = "$want" ] || fail "exit status $rc instead of $want of: $*
$OUT"
}
