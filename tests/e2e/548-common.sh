# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of bindings to ctbpf.h share: the addon for Node.js, what they need from npm. Sourced, not run.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2034,SC2154
source "$(dirname "${BASH_SOURCE[0]}")/540-common.sh"

# Packages by the lock file, in $NPM_DIR: the build directory is this machine's cache.
sdk_packages() {
	need node npm
	NPM_DIR=$(realpath -m "$B/npm-sdk")
	export NPM_DIR
	mkdir -p "$NPM_DIR"
	if ! cmp -s tests/sdk/package-lock.json "$NPM_DIR/node_modules/.ctbpf-lock"; then
		cp tests/sdk/package.json tests/sdk/package-lock.json "$NPM_DIR"
		(cd "$NPM_DIR" && npm ci --silent --no-audit --no-fund --ignore-scripts) || fail "npm cannot install what tests/sdk/package.json names"
		cp tests/sdk/package-lock.json "$NPM_DIR/node_modules/.ctbpf-lock"
	fi
}
# $ADDON: ctbpf.h for Node.js. After sdk_packages.
sdk_addon() {
	need gcc
	ADDON=$T/ctbpf.node
	gcc -shared -fPIC -O2 -Wall -Wextra -Werror -I"$NPM_DIR/node_modules/node-api-headers/include" -I. -o "$ADDON" \
		tests/sdk/node/ctbpf_node.c
}

# Records calls into $T/r.ctr until end_recorder; returns when all probes tell, as the recorder itself answers.
begin_recorder() { # ARGS...
	start_target recorder "$CTBPF" record --no-replay -o "$T/r.ctr" "$@"
	wait_for 120 "$CTBPF" start "$T/r.ctr" >/dev/null || fail "$(cat "$T/recorder.log")"
}
# NAME is a program that says "ready" each round: ROUNDS of them, as it tells them itself, from its middle on.
record_rounds() { # NAME ROUNDS COMMAND...
	start_target "$1" "${@:3}"
	wait_for 90 grep -q ready "$T/$1.log" || fail "$(cat "$T/$1.log")"
	begin_recorder -p "$PID" --calls=sdk
	more_rounds "$T/$1.log" "$2"
	end_recorder
}
end_recorder() {
	kill -INT "$PID_recorder"
	wait "$PID_recorder" || fail "$(cat "$T/recorder.log")"
	assert_recording "$T/r.ctr" false
}
more_rounds() { # LOG N: so many from now on
	local n
	n=$(($(grep -c ready "$1") + $2))
	wait_for 120 at_round "$1" "$n" || fail "no rounds: $(tail -n 3 "$1")"
}
at_round() { [ "$(grep -c ready "$1")" -ge "$2" ]; }
