// SPDX-License-Identifier: MIT
// Solidity compiled by npm's solc, and its source map: which line, and which function's entry or exit, an instruction is.
import { createRequire } from "node:module";
import fs from "node:fs";

const require = createRequire(process.env.NPM_DIR + "/");

export function compile(path, name) {
	const solc = require("solc"), source = fs.readFileSync(path, "utf8");
	const wanted = ["abi", "storageLayout", "evm.methodIdentifiers", "evm.bytecode.object", "evm.bytecode.sourceMap",
		"evm.deployedBytecode.object", "evm.deployedBytecode.sourceMap", "evm.deployedBytecode.immutableReferences"];
	const out = JSON.parse(solc.compile(JSON.stringify({
		language: "Solidity",
		sources: { [name]: { content: source } },
		settings: { evmVersion: "cancun", outputSelection: { "*": { "*": wanted, "": ["ast"] } } },
	})));
	const wrong = (out.errors ?? []).filter((e) => e.severity === "error");
	if (wrong.length)
		throw new Error(wrong[0].formattedMessage);
	return new Program(name, Buffer.from(source), out);
}

// Everything in a source unit that instructions may come from.
class Program {
	constructor(file, source, out) {
		this.file = file;
		this.out = out;
		this.lines = [0];
		for (let i = 0; i < source.length; i++)
			if (source[i] === 10)
				this.lines.push(i + 1);
		this.functions = new Map(); // by its place in the source
		this.collect(out.sources[file].ast, "");
		this.contracts = Object.entries(out.contracts[file]).map(([name, c]) => ({
			name,
			selectors: c.evm.methodIdentifiers,
			storage: slots(c.storageLayout),
			line: this.functions.get(`contract ${name}`).line,
			creation: new Code(this, c.evm.bytecode),
			runtime: new Code(this, c.evm.deployedBytecode),
		}));
	}

	lineAt(offset) {
		let low = 0, high = this.lines.length;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if (this.lines[middle] <= offset)
				low = middle;
			else
				high = middle;
		}
		return low + 1;
	}

	collect(node, contract) {
		if (Array.isArray(node))
			return node.forEach((n) => this.collect(n, contract));
		if (!node || typeof node !== "object")
			return;
		const line = node.src ? this.lineAt(Number(node.src.split(":")[0])) : 0;
		if (node.nodeType === "ContractDefinition") {
			contract = node.name;
			this.functions.set(`contract ${contract}`, { line });
		}
		if (node.nodeType === "FunctionDefinition" || (node.nodeType === "VariableDeclaration" && node.stateVariable))
			this.functions.set(node.src, {
				name: `${contract}.${node.name || node.kind}`,
				line,
				args: node.nodeType === "FunctionDefinition" ? node.parameters.parameters.map(variable) : null,
				results: node.nodeType === "FunctionDefinition" ? node.returnParameters.parameters.map(variable) : null,
			});
		Object.values(node).forEach((n) => this.collect(n, contract));
	}

	// The contract that this code is of, which may have been changed where immutable variables are.
	find(bytes, isCreation) {
		for (const c of this.contracts) {
			const code = isCreation ? c.creation : c.runtime;
			if (isCreation ? bytes.length >= code.bytes.length && !code.bytes.compare(bytes, 0, code.bytes.length)
				       : code.bytes.equals(bytes))
				return { contract: c, code };
		}
		return null;
	}
}

function variable(v) {
	const type = v.typeDescriptions.typeString;
	return { name: v.name, type, plain: /^(u?int\d*|bool|address|address payable|bytes\d+|contract .*|enum .*)$/.test(type) };
}

// Variables that have a slot of storage to themselves.
function slots(layout) {
	const bySlot = new Map();
	for (const v of layout.storage)
		bySlot.set(BigInt(v.slot), bySlot.has(BigInt(v.slot)) ? null : { name: v.label, type: layout.types[v.type].label });
	return bySlot;
}

// Bytecode: what each instruction comes from, by its place in the code.
class Code {
	constructor(program, out) {
		this.bytes = Buffer.from(out.object, "hex");
		this.at = new Map();
		let pc = 0, entry = ["0", "0", "-1", "-", "0"];
		for (const text of out.sourceMap.split(";")) {
			text.split(":").forEach((field, i) => { if (field !== "") entry[i] = field; });
			const [start, length, file, jump] = entry;
			this.at.set(pc, {
				line: file === "0" ? program.lineAt(Number(start)) : 0,
				jump,
				f: file === "0" ? program.functions.get(`${start}:${length}:0`) : undefined,
			});
			const op = this.bytes[pc];
			pc += op >= 0x60 && op <= 0x7f ? op - 0x5e : 1;
		}
	}
}

// As the compiler's numbers on the stack are written in the source.
export function show(type, word) {
	if (type === "bool")
		return word !== 0n;
	if (type.startsWith("int"))
		return BigInt.asIntN(256, word);
	if (type.startsWith("address") || type.startsWith("contract"))
		return "0x" + word.toString(16).padStart(40, "0");
	return word;
}
