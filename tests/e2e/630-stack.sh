#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf stack` shows native and interpreted frames of live processes as those processes themselves see them, with
# variables; `ctbpf top` shows where the time goes; neither is noticed by who is looked at.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

stack() { assert_status 0 timeout 60 "$CTBPF" stack "$@"; }
# What frames of this kind the thread has: FUNCTION:LINE..., innermost first.
frames() { # KIND TID
	"$PY" -c 'import json, sys
d = json.load(sys.stdin)
print(*["%s:%d" % (f["function"], f["line"] or 0) for t in d["threads"] if t["tid"] == int(sys.argv[2])
        for f in t["frames"] if f["kind"] == sys.argv[1]])' "$1" "$2" <<<"$OUT"
}
PY=/usr/bin/python3.11
need $PY ruby

step "native frames"
start_target native "$PROGRAMS/stacks"
wait_for 10 grep -q waiting "$T/native.log" || fail "the target does not start"
for _ in 1 2 3 4 5; do
	stack -p "$PID_native"
	[[ $OUT =~ '#0   epoll_wait+0x'[^#]*'#1   inner+0x'[^#]*'stacks.c:'[0-9]+'  (stacks)'[^#]*'#2   outer'[^#]*'#3   main+' ]] || fail "stack of the first thread: $OUT"
	[[ $OUT =~ 'running'[^#]*'#0   '(hot|cold|work)'+0x'.*'start_thread'.* ]] || fail "stack of the other: $OUT"
done
assert_status 0 timeout 60 "$CTBPF" top -p "$PID_native" -d 1
assert_eq "$(awk 'NR == 3 { print $3 }' <<<"$OUT")" hot "the function that most of the time is spent in ($OUT)"
assert_contains "$OUT" "looks in"
alive "$PID_native" || fail "the target has ended: $(cat "$T/native.log")"
start_target idle "$PROGRAMS/stacks" idle
wait_for 10 grep -q waiting "$T/idle.log" || fail "the target does not start"
assert_status 0 timeout 60 "$CTBPF" top -p "$PID_idle" -d 0.2 -n 2
assert_eq "$(grep -c "nothing ran" <<<"$OUT")" 2 "tables of a process that waits"

step "a stopped process stays stopped"
kill -STOP "$PID_idle"
wait_for 5 eval '[ "$(state "$PID_idle")" = T ]' || fail "it does not stop"
stack -p "$PID_idle"
assert_contains "$OUT" "inner+0x"
assert_eq "$(state "$PID_idle")" T "its state"
kill -CONT "$PID_idle"
wait_for 5 eval '[ "$(state "$PID_idle")" = S ]' || fail "it does not go on"
alive "$PID_idle" || fail "the target has ended: $(cat "$T/idle.log")"

for version in 3.11 3.9 3.13 3.14 3.8 3.10; do
	case $version in
	3.11) PYTHON=$PY ;;
	3.8 | 3.10) PYTHON=$(scripts/interpreter python $version 2>/dev/null) || continue ;;
	*) PYTHON=$(scripts/interpreter python $version) ;;
	esac
	step "CPython $version"
	name=python${version/./_}
	start_target "$name" "$PYTHON" tests/python/stacks.py
	wait_for 20 eval '[ "$(wc -l <"$T/$name.log")" = 2 ]' || fail "the target does not start: $(cat "$T/$name.log")"
	main=$PID
	second=$(ls "/proc/$main/task" | grep -vx "$main")
	stack -p "$main" --json
	assert_eq "$(frames python "$main")" "$(sed -n 's/^MainThread //p' "$T/$name.log")" "frames of the first thread"
	assert_eq "$(frames python "$second")" "$(sed -n 's/^second //p' "$T/$name.log")" "frames of the other"
	assert_contains "$OUT" "CPython $version."
	# Native and Python's frames are one stack: what sorts lies between who asks and who compares.
	stack -p "$main" --all -t "$main"
	"$PY" - "$OUT" <<-'END' || fail "how frames lie in one another: $OUT"
		import re, sys
		lines = [l for l in sys.argv[1].splitlines() if re.match(r"  #\d", l)]
		at = lambda name: [i for i, l in enumerate(lines) if re.search(r"\b%s  .*stacks\.py" % name, l)]
		lt, run, wait = at("__lt__"), at("run"), at("wait")
		sys.exit(not (wait[0] > 0 and wait[0] < lt[0] and lt[0] + 1 < run[0] and lines[-1].split()[1] != "<module>"))
	END
	stack -p "$main" --locals
	for want in "big = -1180591620717411303424" "text = 'häh'" "job = Job(n=3, tags=['a', 2.5, {...}])" "what = 'tea'" "n = 20" "cell = 3"; do
		grep -qxF "         $want" <<<"$OUT" || fail "no '$want' in $OUT"
	done
	assert_status 0 "$CTBPF" check -p "$main"
	assert_contains "$OUT" "CPython $version."
	assert_contains "$OUT" "frames and variables of the live process"
	alive "$main" || fail "the target has ended"
done

for RUBY in ruby "$(scripts/interpreter ruby 3.3)"; do
	step "$("$RUBY" -e 'puts "Ruby " + RUBY_VERSION')"
	start_target ruby "$RUBY" tests/ruby/stacks.rb
	wait_for 20 eval '[ "$(grep -c waiting "$T/ruby.log")" = 2 ]' || fail "the target does not start: $(cat "$T/ruby.log")"
	stack -p "$PID" --json
	assert_eq "$(frames ruby "$PID")" \
		"wait:29 Job#<=>:10 block in Job#run:15 Job#run:15 Job.make:20 deep:34 deep:34 deep:34 <main>:38" "frames of the first thread"
	stack -p "$PID" --locals -t "$PID"
	for want in "big = -1180591620717411303424" "text = 'häh'" "i = 1" "n = 2" "job = Job("; do
		grep -qF "         $want" <<<"$OUT" || fail "no '$want' in $OUT"
	done
	alive "$PID" || fail "the target has ended"
	kill "$PID"
done

step "who is looked at may end at any time"
for i in 1 2 3 4 5 6 7 8; do
	start_target short "$PY" -S -c 'import time; time.sleep(0.0'"$i"')'
	sleep 0.02
	rc=0
	timeout 60 "$CTBPF" stack -p "$PID" --locals >"$T/out" 2>&1 || rc=$?
	[[ $rc = [013] ]] || fail "exit status $rc: $(cat "$T/out")"
done
for life in 0.7 6 40; do # on a busy machine it may have ended before it is looked at
	start_target busy "$PY" -S -c "import time
end = time.monotonic() + $life
while time.monotonic() < end: pass"
	sleep 0.2
	rc=0
	timeout 90 "$CTBPF" top -p "$PID" -d 60 >"$T/out" 2>&1 || rc=$?
	if [ $rc != 3 ]; then break; fi
done
assert_eq "$rc" 0 "exit status of top: $(cat "$T/out")"
assert_contains "$(cat "$T/out")" "<module>"
start_target idle sleep 100
assert_status 2 "$CTBPF" stack -p "$PID" -t 1
assert_status 3 "$CTBPF" stack -p 4194304
assert_status 3 "$CTBPF" top -p 4194304
assert_status 3 "$CTBPF" stack -p 2
assert_status 2 "$CTBPF" stack
assert_status 2 "$CTBPF" top -p 1 -d 0
