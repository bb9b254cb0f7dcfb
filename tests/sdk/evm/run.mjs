// SPDX-License-Identifier: MIT
// Runs the scenario again and again in an EVM of its own each time, which tells of itself.
// usage: NPM_DIR=... node run.mjs CONTRACTS.sol CTBPF.node
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { compile } from "./solidity.mjs";
import { Teller } from "./teller.mjs";
import { scenario, creation, calling } from "./scenario.mjs";

const require = createRequire(process.env.NPM_DIR + "/");
const { createEVM } = require("@ethereumjs/evm"), { Common, Hardfork, Mainnet } = require("@ethereumjs/common");
const { createAddressFromString, hexToBytes } = require("@ethereumjs/util");
const [path, addon] = process.argv.slice(2), ct = require(addon), program = compile(path, path);
const caller = createAddressFromString("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");

for (let n = 0; ; n++) {
	const evm = await createEVM({ common: new Common({ chain: Mainnet, hardfork: Hardfork.Cancun }) });
	new Teller(evm, program, ct);
	ct.message("evm.round", ct.ABOUT, `begin ${n}`);
	for (const { contract, create, calls } of scenario) {
		const c = program.contracts.find((x) => x.name === contract);
		const run = async (what, to, data) => {
			ct.message("evm.transaction", ct.IN, what);
			const r = await evm.runCall({ caller, origin: caller, to, data: hexToBytes(data), gasLimit: 10000000n });
			ct.message("evm.transaction", ct.OUT, r.execResult.exceptionError ? "reverted" : "0x" + Buffer.from(r.execResult.returnValue).toString("hex"));
			return r;
		};
		const { createdAddress } = await run(`${contract}.constructor`, undefined, creation(c, create));
		for (const call of calls)
			await run(`${contract}.${call[0]}`, createdAddress, calling(c, call));
	}
	ct.message("evm.round", ct.ABOUT, `end ${n}`);
	ct.flush();
	console.log("ready");
	await sleep(100);
}
