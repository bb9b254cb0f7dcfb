#!/bin/bash
# SPDX-License-Identifier: MIT
# dap: a public client debugs a recorded Python program, forwards and backwards.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
dap_client

step "a whole session"
program=$PWD/tests/python/debugged.py
"$CTBPF" record -q -o "$T/r.ctr" -- "$PYTHON" "$program" >"$T/stdout" 2>"$T/stderr" || true
assert_eq "$(sed -n 2p "$T/stdout")" "answer (210, 10, 120, 1000, 1)"
assert_status 0 "$CTBPF" index --files "$program" "$T/r.ctr"
assert_status 0 node tests/e2e/620-dap.js "$CTBPF" "$T/r.ctr" "$program" "$T/stdout"

step "a long recording"
cat >"$T/long.py" <<'PY'
def add(i, acc):
    acc = acc + i % 7
    return acc


def run(n):
    acc = 0
    for i in range(n):
        acc = add(i, acc)
        last = i
    return acc


done = run(60000)
print(done)
PY
"$CTBPF" record -q -o "$T/long.ctr" -- "$PYTHON" "$T/long.py" >"$T/long.out"
assert_status 0 "$CTBPF" index --files long.py "$T/long.ctr"
assert_status 0 node tests/e2e/620-dap.js "$CTBPF" "$T/long.ctr" "$T/long.py" /dev/null long
