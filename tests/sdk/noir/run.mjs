// SPDX-License-Identifier: MIT
// Compiles a Noir circuit (npm's noir_wasm) and executes it again and again (noir_js); its oracles tell what runs.
// usage: NPM_DIR=... node run.mjs MAIN.nr CTBPF.node
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import fs from "node:fs";
import { instrument, teller } from "./instrument.mjs";

const require = createRequire(process.env.NPM_DIR + "/");
const { compile_program, createFileManager } = require("@noir-lang/noir_wasm");
const { Noir } = require("@noir-lang/noir_js");
const [path, addon] = process.argv.slice(2), ct = require(addon);
const { source, functions } = instrument(fs.readFileSync(path, "utf8"));

const dir = fs.mkdtempSync("/tmp/ctbpf-noir-"), files = createFileManager(dir);
const stream = (text) => new Blob([text]).stream();
await files.writeFile("src/main.nr", stream(source));
await files.writeFile("Nargo.toml", stream('[package]\nname = "told"\ntype = "bin"\nauthors = [""]\n[dependencies]\n'));
const { program } = await compile_program(files);
fs.rmSync(dir, { recursive: true });
const noir = new Noir(program), tell = teller(ct, path, functions);
for (let n = 0; ; n++) {
	ct.message("noir.round", ct.ABOUT, `begin ${n}`);
	const { returnValue } = await noir.execute({ x: n, n: n % 6 }, tell);
	ct.message("noir.round", ct.ABOUT, `end ${n} ${BigInt(returnValue)}`);
	ct.flush();
	console.log("ready");
	await sleep(20);
}
