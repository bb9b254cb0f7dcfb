# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the end-to-end tests of recording share beyond lib.sh: the look of an unharmed process. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

RUN_DIR=/run/ctbpf

# A C target that checks itself; its lines are in $T/NAME.log.
start_answers() { # [NAME [WORKERS]]
	start_target "${1:-answers}" "$PROGRAMS/answers" "${2:-3}"
	wait_for 10 grep -q '^tick 2 ' "$T/${1:-answers}.log" || fail "the target does not start"
}
# If nobody is left to make it again, a call that a stop has interrupted fails: EINTR='[0-9]+' allows for that.
# It goes on, has found no error, and its restartable sequences are registered.
answers_well() { # [NAME]
	local log=$T/${1:-answers}.log n
	n=$(grep -c ^tick "$log")
	wait_for 15 more_ticks "$log" $((n + 2)) || fail "the target does not answer any more: $(tail -n 3 "$log")"
	assert_matches "$(grep ^tick "$log" | tail -n 1)" "^tick [0-9]+ errors 0 eintr ${EINTR:-0} cpu_id [0-9]+\$"
	! grep -m 3 WRONG "$log" || fail "the target found something wrong"
}
more_ticks() { [ "$(grep -c ^tick "$1")" -ge "$2" ]; }
# Ends it; it tells by its status whether all was well.
answers_end() { # [NAME]
	local name=${1:-answers} rc=0
	name=PID_$name
	kill -TERM "${!name}"
	wait "${!name}" || rc=$?
	assert_eq $rc 0 "exit status of the target ($(tail -n 1 "$T/${1:-answers}.log"))"
	assert_matches "$(tail -n 1 "$T/${1:-answers}.log")" "^end errors 0 eintr ${EINTR:-0} "
}
# Progress of `storm` and the like: its log grows.
goes_on() { # NAME
	local size
	size=$(stat -c %s "$T/$1.log")
	wait_for 15 grown "$T/$1.log" "$size" || fail "$1 does not go on"
}
grown() { [ "$(stat -c %s "$1")" -gt "$2" ]; }

zombies_of() { # PID: its children that it has yet to wait for, how many
	local f stat n=0
	for f in /proc/[0-9]*/stat; do
		{ read -r stat <"$f"; } 2>/dev/null || continue
		[[ ${stat##*) } = "Z $1 "* ]] && n=$((n + 1))
	done
	echo $n
}
children_of() { # PID: how many live
	local f stat n=0
	for f in /proc/[0-9]*/stat; do
		{ read -r stat <"$f"; } 2>/dev/null || continue
		[[ ${stat##*) } = [RSDTt]" $1 "* ]] && n=$((n + 1))
	done
	echo $n
}
# Mappings without those that the kernel makes for uprobes and never takes away again.
own_maps() { maps "$1" | grep -v '\[uprobes'; }

# Everything that must be the same before a process is recorded and after.
shape() { # PID
	looks "$1"
	"$PROGRAMS/peek" "$1"
	sed -n '/^Sig[BIC]/p' "/proc/$1"/task/*/status
	echo "zombies $(zombies_of "$1") children $(children_of "$1")"
	own_maps "$1"
}
assert_shape() { # PID BEFORE [WHEN]
	local after
	after=$(shape "$1")
	[ "$after" = "$2" ] || fail "process $1 is not as it was${3:+ $3}:
$(diff <(echo "$2") <(echo "$after") || true)"
	assert_released "$1"
}
assert_released() { # PID: nothing is known about it any more
	[ ! -e "$RUN_DIR/$1.json" ] || fail "$RUN_DIR/$1.json is left"
	assert_eq "$(tracer "$1")" 0 "tracer of $1"
}
daemon_port() { # no daemon runs, and none of another test's will: there is one to a machine; $port is free for its metrics
	exec {DAEMON_LOCK}>/run/lock/ctbpf-test-daemon
	flock -w 100 "$DAEMON_LOCK" || fail "another test's daemon runs"
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	[ ! -e $RUN_DIR/daemon ] || assert_status 3 "$CTBPF" daemon status
}
recording() { [ -s "$1/snapshots/000001/state" ]; } # DIR: its first snapshot is complete

# The public client that dap-session.js uses, by npm.
dap_client() {
	local client=@vscode/debugadapter-testsupport@1.68.0
	need node npm
	# Kept for the next time: the build directory is this machine's cache.
	export NODE_PATH=$B/npm/node_modules
	[ -e "$NODE_PATH/${client%@*}/package.json" ] ||
		npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$B/npm" "$client" || fail "npm cannot install $client"
	NODE_PATH=$(realpath "$NODE_PATH")
}
