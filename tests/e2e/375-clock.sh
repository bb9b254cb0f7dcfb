#!/bin/bash
# SPDX-License-Identifier: MIT
# --clock of verify and replay: the choice is told with its reason, and a clock that cannot work is refused with a cause.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

assert_status 0 "$CTBPF" record -q -o "$T/echo.ctr" -- /bin/echo hi
recorded=$(json options.clock <"$T/echo.ctr/manifest.json")

step "the machine's clock"
assert_status 0 "$CTBPF" check
assert_matches "$OUT" "clock (of .verify. and .replay. is fingerprint|pmu)"

step "without ticks"
if [ "$recorded" = fingerprint ]; then
	assert_status 0 "$CTBPF" verify -n "$T/echo.ctr"
	assert_contains "$OUT" "clock: fingerprint (it was recorded without a branch counter)"
	assert_eq "$("$CTBPF" verify -n --json --clock auto "$T/echo.ctr" | json clock)" fingerprint
	assert_matches "$("$CTBPF" verify -n --json "$T/echo.ctr" | json clock_reason)" "without a branch counter"
	assert_eq "$("$CTBPF" replay --json "$T/echo.ctr" | json clock)" fingerprint
	for clock in pmu step; do
		for command in verify replay; do
			assert_status 2 "$CTBPF" "$command" --clock $clock "$T/echo.ctr"
			assert_contains "$OUT" "clock $clock has no ticks to go by; use --clock fingerprint"
		done
	done
fi
assert_status 2 "$CTBPF" verify --clock sundial "$T/echo.ctr"
assert_contains "$OUT" "--clock takes auto, pmu, fingerprint or step, not 'sundial'"
assert_status 2 "$CTBPF" replay --clock sundial "$T/echo.ctr"
