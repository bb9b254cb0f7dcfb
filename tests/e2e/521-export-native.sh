#!/bin/bash
# SPDX-License-Identifier: MIT
# Step databases of C and C++ programs: every format of `ctbpf export` says what `ctbpf query` says, and `ctbpf dap` goes
# through their steps, both ways.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=../export/common.sh disable=SC2154
source "$(dirname "$0")/../export/common.sh"

TESTS=$PWD/tests/native
need gcc g++
gcc -g -O0 -pthread -o "$T/together" "$TESTS/together.c"
gcc -g -O0 -o "$T/calls" "$TESTS/calls.c"
g++ -g -O0 -o "$T/throws" "$TESTS/throws.cc"
for program in together calls throws; do
	step "$program"
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/$program.ctr" -- "$T/$program"
	assert_status 0 timeout 100 "$CTBPF" index --files "$program.c*" "$T/$program.ctr"
	for f in codetracer perfetto chrome speedscope folded pprof; do
		export_to $f "$T/$program.$f" "$T/$program.ctr"
		check $f "$T/$program.$f" "$T/$program.ctr"
	done
	export_to codetracer "$T/$program.legacy" "$T/$program.ctr" --container legacy
	check codetracer "$T/$program.legacy" "$T/$program.ctr"
	check same "$T/$program.codetracer" "$T/$program.legacy"
done

step "a debug session"
dap_client
assert_status 0 node tests/e2e/521-dap-native-steps.js "$CTBPF" "$T/calls.ctr" "$TESTS/calls.c"
