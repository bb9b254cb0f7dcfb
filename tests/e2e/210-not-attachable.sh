#!/bin/bash
# SPDX-License-Identifier: MIT
# What cannot be attached is refused by name, with exit status 3, and nothing is left behind.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

refused() { # PID PATTERN: by record and by check, with and without --no-replay
	assert_status 3 "$CTBPF" record -p "$1" -d 0.2 -o "$T/x.ctr"
	assert_matches "$OUT" "$2"
	assert_eq "$(wc -l <<<"$OUT")" 1 "lines of the message"
	assert_status 3 "$CTBPF" record --no-replay -p "$1" -d 0.2 -o "$T/x.ctr"
	assert_matches "$OUT" "$2"
	OUT=$("$CTBPF" check -p "$1" 2>&1) && fail "check finds nothing wrong with $1"
	assert_matches "$OUT" "$2"
	[ ! -e "$T/x.ctr" ] || fail "a recording directory is left"
	[ ! -e "$RUN_DIR/$1.json" ] || fail "$RUN_DIR/$1.json is left"
}

step "no such process"
start_target short sleep 1000
stop "$PID_short" KILL
wait "$PID_short" || true
refused "$PID_short" 'no such process'
refused 4194000 'no such process'

step "kernel thread"
refused 2 'kernel thread'

step "zombie"
start_target parent python3 -c 'import os, time
pid = os.fork()
if pid == 0: os._exit(0)
print(pid, flush=True)
time.sleep(1000)'
wait_for 10 test -s "$T/parent.log"
zombie=$(cat "$T/parent.log")
wait_for 5 eval '[ "$(state "$zombie")" = Z ]'
refused "$zombie" 'zombie'
stop "$PID_parent"

step "stopped"
start_answers stopped 1
before=$(looks "$PID_stopped")
kill -STOP "$PID_stopped"
wait_for 5 eval '[ "$(state "$PID_stopped")" = T ]'
assert_status 3 "$CTBPF" record -p "$PID_stopped" -d 0.2 -o "$T/stopped.ctr"
assert_matches "$OUT" "stopped.*kill -CONT $PID_stopped"
assert_status 0 "$CTBPF" record --no-replay -p "$PID_stopped" -d 0.2 -o "$T/stopped.ctr"
assert_eq "$(state "$PID_stopped")" T "state"
kill -CONT "$PID_stopped"
goes_on stopped
assert_eq "$(looks "$PID_stopped")" "$before" "the stopped process"
stop "$PID_stopped"

step "a thread of a process"
start_answers threads 2
tid=$(basename "$(printf '%s\n' "/proc/$PID_threads/task"/* | tail -n 1)")
refused "$tid" "thread of process $PID_threads.*use -p $PID_threads"
answers_end threads

step "already traced"
if command -v strace >/dev/null; then
	start_target traced sleep 1000
	start_target strace strace -q -o /dev/null -p "$PID_traced"
	wait_for 10 eval '[ "$(tracer "$PID_traced")" = "$PID_strace" ]'
	refused "$PID_traced" "traced by $PID_strace \(strace\)"
	assert_eq "$(tracer "$PID_traced")" "$PID_strace" "tracer"
	stop "$PID_strace"
	assert_status 0 "$CTBPF" record -p "$PID_traced" -d 0.2 -o "$T/ok.ctr"
fi
if command -v gdb >/dev/null; then
	start_target debugged sleep 1000
	start_target gdb gdb -q -batch -p "$PID_debugged" -ex 'shell sleep 1000'
	wait_for 20 eval '[ "$(tracer "$PID_debugged")" = "$PID_gdb" ]'
	refused "$PID_debugged" "traced by $PID_gdb \(gdb\)"
	pkill -P "$PID_gdb" -x sleep || true
	stop "$PID_gdb" KILL
fi

step "a vDSO whose header lies"
start_target liar python3 -c 'import time
at = next(int(line.split("-")[0], 16) for line in open("/proc/self/maps") if "[vdso]" in line)
with open("/proc/self/mem", "r+b", buffering=0) as memory:
    memory.seek(at + 32) and memory.write((1 << 46).to_bytes(8, "little")) # e_phoff
    memory.seek(at + 56) and memory.write(b"\xff\xff") # e_phnum
print("ready", flush=True)
time.sleep(1000)'
wait_for 10 test -s "$T/liar.log"
before=$(looks "$PID_liar")
assert_status 1 "$CTBPF" record -p "$PID_liar" -d 0.2 -o "$T/liar.ctr"
assert_contains "$OUT" "the vDSO of $PID_liar (python3) cannot be read"
assert_eq "$(looks "$PID_liar")" "$before" "the process"
stop "$PID_liar"

step "itself recorded already"
start_target twice sleep 1000
start_recorder "$T/first.ctr" -p "$PID_twice"
assert_status 3 "$CTBPF" record -p "$PID_twice" -d 0.2 -o "$T/x.ctr"
assert_contains "$OUT" "being recorded by $PID_recorder"
assert_status 1 "$CTBPF" detach -p "$PID_twice"
assert_contains "$OUT" "$PID_recorder"
assert stop_recorder
assert_recording "$T/first.ctr"

step "ctbpf does not record itself by name"
assert_status 3 "$CTBPF" record --comm "$(basename "$CTBPF")" -d 0.2 -o "$T/x.ctr"
