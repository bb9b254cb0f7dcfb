#!/bin/bash
# SPDX-License-Identifier: MIT
# dap: a public client debugs a recorded C program that is executed again, forwards and backwards.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

step "a whole session"
dap_client
assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"
sed -n '/^round/p' <<<"$OUT" >"$T/stdout"
assert_status 0 node tests/e2e/622-dap-native.js "$CTBPF" "$T/c.ctr" "$PWD/tests/programs/corrupt.c" "$T/stdout"
