#!/bin/bash
# SPDX-License-Identifier: MIT
# The target is killed, exits, crashes or runs another program, while it is attached and while it is recorded.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
# Environment: ROUNDS of each kind (2)
source "$(dirname "$0")/100-common.sh"

# Starts the recorder and gives the order at a random moment within WINDOW ms of: its start, the moment its directory is
# there (just before it stops the target), the moment the first snapshot is written. Its exit status is the recorder's.
cat >"$T/fate.py" <<'PY'
import glob, os, random, signal, subprocess, sys, time
order, moment, window, out, target, orders = sys.argv[1:7]
reached = {"start": lambda: True, "attach": lambda: os.path.exists(out),
           "recorded": lambda: glob.glob(out + "/snapshots/[0-9]*")}[moment]
p = subprocess.Popen(sys.argv[7:])
while not reached() and p.poll() is None:
    pass
until = time.monotonic() + random.random() * float(window) / 1000
while time.monotonic() < until:
    pass
if order == "kill":
    os.kill(int(target), signal.SIGKILL)
else:
    with open(orders, "wb", 0) as f:
        f.write(order.encode())
try:
    sys.exit(p.wait(timeout=30))
except subprocess.TimeoutExpired:
    p.kill()
    sys.exit(99)
PY
cp "$PROGRAMS/mortal" "$T/mortal" # its own name: nothing else runs this file
processes() { # how many run it
	find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$T/mortal" 2>/dev/null | wc -l
}
vdso=$(vdso_sum $$) cpus=$(cpus $$)
other_thread() { # of PID, than its first
	find "/proc/$1/task" -mindepth 1 -maxdepth 1 -not -name "$1" -printf '%f\n' | sort -n | tail -n 1
}
n=0 whole=0 refused=0
round() { # ORDER MOMENT WINDOW
	local dir=$T/$((++n)).ctr what="round $n ($1, $2)" rc=0 pid status=0
	rm -f "$T/orders"
	mkfifo "$T/orders"
	exec {keep}<>"$T/orders"
	start_target mortal bash -c 'exec "$0" 2 <"$1"' "$T/mortal" "$T/orders"
	pid=$PID
	wait_for 10 grep -q '^tick 1$' "$T/mortal.log" || fail "the target does not start"
	python3 "$T/fate.py" "$1" "$2" "$3" "$dir" "$pid" "$T/orders" \
		"$CTBPF" record -p "$pid" -d 0.3 -o "$dir" >"$T/out" 2>&1 || rc=$?
	case $rc in
	0)
		whole=$((whole + 1))
		assert_eq "$(info "$dir" state)" complete "$what: state"
		assert_eq "$(info "$dir" lost)" 0 "$what: lost"
		assert_eq "$(info "$dir" problems)" "[]" "$what: problems"
		assert_status 0 "$CTBPF" dump "$dir"
		assert_status 0 "$CTBPF" verify "$dir"
		rm -r "$dir"
		;;
	3)
		refused=$((refused + 1))
		assert_matches "$(cat "$T/out")" '(exited|o such process|does not exist|zombie|vanished)'
		assert_eq "$(wc -l <"$T/out")" 1 "$what: lines of the message"
		[ ! -e "$dir" ] || fail "$what: an empty recording is left"
		;;
	*) fail "$what: exit status $rc of record: $(cat "$T/out")" ;;
	esac
	[ -z "$(compgen -G "$RUN_DIR/$pid.json*")" ] || fail "$what: something is left in $RUN_DIR"
	case $1 in
	[rRl])
		assert alive "$(other_thread "$pid")"
		wait_for 10 more_ticks "$T/mortal.log" $(($(grep -c ^tick "$T/mortal.log") + 3)) ||
			fail "$what: the target does not go on: $(tail -n 3 "$T/mortal.log")"
		[ "$1" = l ] || wait_for 10 grep -q '^up 1$' "$T/mortal.log" || fail "$what: execve has not happened"
		assert_eq "$(tracer "$(other_thread "$pid")")" 0 "$what: tracer"
		assert_eq "$(cpus "$pid")" "$cpus" "$what: allowed CPUs"
		assert_eq "$(vdso_sum "$(other_thread "$pid")")" "$vdso" "$what: vDSO"
		kill -TERM "$pid"
		;;
	esac
	wait "$pid" || status=$?
	case $1 in
	kill) assert_eq $status 137 "$what: status" ;;
	e | E) assert_eq $status 7 "$what: status" ;;
	c | C) assert_eq $status 139 "$what: status" ;;
	*) assert_eq $status 0 "$what: status" ;;
	esac
	wait_for 5 eval '[ "$(processes)" = 0 ]' || fail "$what: processes are left"
	STARTED=()
	exec {keep}>&-
}

for ((i = 0; i < ${ROUNDS:-2}; i++)); do
	either=('e c r' 'E C R')
	for order in kill ${either[i % 2]}; do
		round "$order" start 60
		round "$order" attach 90
		round "$order" recorded 200
	done
done
echo "$n rounds: $whole recordings, $refused refused"
assert_ge $whole "${ROUNDS:-2}"
assert_ge $refused "${ROUNDS:-2}"

step "the first thread ends, the others go on"
round l attach 90
round l recorded 200
