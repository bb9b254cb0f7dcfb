#!/bin/bash
# SPDX-License-Identifier: MIT
# Contracts on revm, native code that knows nothing of ctbpf (npm's anvil): each instruction of the EVM is a function
# there, and those that were called are what debug_traceTransaction says of the same transactions.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=548-common.sh disable=SC2154
source "$(dirname "$0")/548-common.sh"
sdk_packages

daemon_port
start_target anvil "$NPM_DIR/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil" --port "$port" --steps-tracing --hardfork cancun
wait_for 60 grep -q Listening "$T/anvil.log" || fail "$(cat "$T/anvil.log")"
text=$(text_sum "$PID_anvil")
begin_recorder -p "$PID_anvil" --functions 'revm_interpreter::instructions::*'
node tests/sdk/evm/trace.mjs "$PWD/tests/sdk/evm/contracts.sol" "http://127.0.0.1:$port" >"$T/trace"
end_recorder
assert_eq "$(text_sum "$PID_anvil")" "$text" "its code afterwards"
"$CTBPF" dump --json --type call "$T/r.ctr" | python3 -c '
import json, re, sys
trace = json.load(open(sys.argv[1]))["trace"]
same = {"and": "bitand", "or": "bitor", "xor": "bitxor", "return": "ret", "staticcall": "static_call", "delegatecall": "delegate_call",
        "sha3": "keccak256"}
def plain(op):
    op = op.lower() if op == "PUSH0" else re.sub("^(push|dup|swap|log)[0-9]+$", r"\1", op.lower())
    return same.get(op, op)
want = [plain(op) for t in trace for op in t["ops"]]
# What these functions call themselves is deeper, but for one that they jump to.
got = [e["name"].split("::")[-1] for e in map(json.loads, sys.stdin)
       if e["depth"] == 1 and not e["name"].endswith("::return_inner")]
assert got == want, (len(got), len(want), next((i, a, b) for i, (a, b) in enumerate(zip(got, want)) if a != b))
print(len(got), "instructions")
assert len(got) > 10000
' "$T/trace" || fail "not what the node says"
stop "$PID_anvil"
