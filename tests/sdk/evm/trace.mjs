// SPDX-License-Identifier: MIT
// The same scenario in a node (anvil), whose debug_traceTransaction tells of each instruction: JSON on stdout, trace, a list
// of {what, failed, steps: [[depth, pc], ...], ops: [name, ...]}, and what the compiler said.
// usage: NPM_DIR=... node trace.mjs CONTRACTS.sol URL
import { compile } from "./solidity.mjs";
import { scenario, creation, calling } from "./scenario.mjs";

const [path, url] = process.argv.slice(2), program = compile(path, path), all = [];

async function rpc(method, ...params) {
	const r = await fetch(url, {
		method: "POST",
		headers: { "content-type": "application/json" },
		body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
	});
	const { result, error } = await r.json();
	if (error)
		throw new Error(`${method}: ${error.message}`);
	return result;
}

const [from] = await rpc("eth_accounts");
async function run(what, to, data) {
	const hash = await rpc("eth_sendTransaction", { from, to, data, gas: "0x989680" });
	let receipt;
	while (!(receipt = await rpc("eth_getTransactionReceipt", hash)));
	const trace = await rpc("debug_traceTransaction", hash, { disableStorage: true, disableStack: true, enableMemory: false });
	all.push({ what, failed: trace.failed, steps: trace.structLogs.map((s) => [s.depth, s.pc]),
		ops: trace.structLogs.map((s) => s.op) });
	return receipt;
}
for (const { contract, create, calls } of scenario) {
	const c = program.contracts.find((x) => x.name === contract);
	const { contractAddress } = await run(`${contract}.constructor`, undefined, creation(c, create));
	for (const call of calls)
		await run(`${contract}.${call[0]}`, contractAddress, calling(c, call));
}
console.log(JSON.stringify({ trace: all, solc: program.out }));
