#!/bin/bash
# SPDX-License-Identifier: MIT
# Solidity contracts in an EVM that tells of itself (@ethereumjs/evm, by ctbpf.h's addon for Node.js): the instructions
# that were recorded are those of debug_traceTransaction, their lines those of the compiler's source map; the step
# database and an export have them.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=548-common.sh disable=SC2154
source "$(dirname "$0")/548-common.sh"
sdk_packages
sdk_addon
SOL=$PWD/tests/sdk/evm/contracts.sol

step "the same transactions in a node"
daemon_port
start_target anvil "$NPM_DIR/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil" --port "$port" --steps-tracing --hardfork cancun
wait_for 60 grep -q Listening "$T/anvil.log" || fail "$(cat "$T/anvil.log")"
node tests/sdk/evm/trace.mjs "$SOL" "http://127.0.0.1:$port" >"$T/trace"
stop "$PID_anvil"
python3 tests/sdk/evm/sourcemap.py "$T/trace" "$SOL" >"$T/code"

step "recorded, in mid-run"
record_rounds evm 3 node tests/sdk/evm/run.mjs "$SOL" "$ADDON"
stop "$PID_evm"
"$CTBPF" dump --json --type call,return,lines,message "$T/r.ctr" | python3 tests/sdk/evm/check.py "$T/trace" "$T/code" >"$T/seen" ||
	fail "not what the node says"
read -r seen steps <"$T/seen"
echo "$seen rounds of $steps instructions"
assert_ge "$steps" 10000 "instructions"

step "the step database"
R=$T/r.ctr
rows() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }
assert_status 0 "$CTBPF" index "$R"
assert_eq "$(rows 'SELECT DISTINCT language FROM functions')" solidity
assert_eq "$(rows "SELECT DISTINCT path FROM steps JOIN functions f ON f.id = function_id JOIN files ON files.id = f.file_id")" "$SOL"
# Sums.add's arguments and its result, those of the loop to 40.
assert_eq "$(rows "SELECT count(*) > 0 AND count(*) = sum(a.value + b.value = r.value) FROM calls c JOIN functions f ON f.id = c.function_id
	JOIN values a ON a.call_id = c.id AND a.name = 'a' JOIN values b ON b.call_id = c.id AND b.name = 'b'
	JOIN values r ON r.call_id = c.id AND r.kind = 'return' WHERE f.name = 'Sums.add'")" 1 "sums"
line=$(grep -n 'total = add(total, i);' "$SOL" | cut -d: -f1)
assert_ge "$(rows "SELECT count(*) FROM steps s JOIN functions f ON f.id = s.function_id WHERE f.name = 'Sums.sum' AND s.line = $line")" 43 "steps on the loop's line"
assert_contains "$("$CTBPF" report --functions "$R" 2>&1)" "Token.move"
for format in codetracer perfetto; do
	assert_status 0 "$CTBPF" export -f $format -o "$T/out.$format" "$R"
done
