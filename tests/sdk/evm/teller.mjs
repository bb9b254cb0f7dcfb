// SPDX-License-Identifier: MIT
// An EVM (@ethereumjs/evm) tells what it runs, by ctbpf.h: calls of contracts and of their Solidity functions with
// arguments and results, lines, storage that is written; and each instruction's place in the code.
import { show } from "./solidity.mjs";

const STEPS = 600; // in a message of text, which has room for 4096 bytes
const SSTORE = 0x55;

export class Teller {
	constructor(evm, program, ct) {
		Object.assign(this, { evm, program, ct, frames: [], depth: 0, known: new Map() });
		const on = (name, f) => evm.events.on(name, (data, done) => Promise.resolve(f.call(this, data)).then(() => done?.()));
		on("beforeMessage", this.enterFrame);
		on("afterMessage", this.leaveFrame);
		on("step", this.step);
	}

	define(name, line) {
		if (!this.known.has(name))
			this.known.set(name, this.ct.define(name, this.program.file, "solidity", line));
		return this.known.get(name);
	}

	enter(frame, name, line) {
		const call = { f: this.define(name, line), depth: ++this.depth, line: 0 };
		this.ct.entry(call.f, call.depth);
		frame.calls.push(call);
		return call;
	}

	leave(frame, raised) {
		const call = frame.calls.pop();
		if (call.f) {
			this.ct.exit(call.f, call.depth, raised);
			this.depth--;
		}
	}

	tellSteps(frame) {
		if (frame?.steps.length)
			this.ct.message("evm.steps", this.ct.ABOUT, frame.steps.join(" "));
		if (frame)
			frame.steps = [];
	}

	async enterFrame(message) {
		const creates = message.to === undefined, frame = { calls: [], steps: [] };
		const bytes = creates ? message.data : await this.evm.stateManager.getCode(message.codeAddress);
		const found = this.program.find(Buffer.from(bytes), creates);
		this.tellSteps(this.frames.at(-1));
		this.frames.push(frame);
		Object.assign(frame, found);
		this.enter(frame, found ? `${found.contract.name} (${creates ? "creation" : "call"})` : "unknown contract", found?.contract.line ?? 0);
	}

	leaveFrame(result) {
		const frame = this.frames.pop(), raised = result.execResult.exceptionError !== undefined;
		this.tellSteps(frame);
		const { f, depth } = frame.calls[0];
		while (frame.calls.length > 1)
			this.leave(frame, raised);
		this.ct.value(f, depth, this.ct.RESULT, "", "bytes", Buffer.from(result.execResult.returnValue));
		this.leave(frame, raised);
	}

	// The last values on the stack, but for `above` of them.
	tellStack(call, role, variables, stack, above) {
		const first = stack.length - above - variables.length;
		variables.forEach((v, i) => {
			if (v.plain)
				this.ct.value(call.f, call.depth, role, v.name, v.type, show(v.type, stack[first + i]));
		});
	}

	step({ pc, opcode, stack }) {
		const frame = this.frames.at(-1), at = frame.code?.at.get(pc);
		frame.steps.push(pc);
		if (frame.steps.length === STEPS)
			this.tellSteps(frame);
		if (!at)
			return;
		if (frame.enters) {
			// Functions that the compiler has added are not told of, nor their lines.
			const call = at.f ? this.enter(frame, at.f.name, at.f.line) : { f: null };
			if (!at.f)
				frame.calls.push(call);
			else if (at.f.args?.every((v) => v.plain))
				this.tellStack(call, this.ct.ARGUMENT, at.f.args, stack, 0);
			call.info = at.f;
			frame.enters = false;
		}
		const call = frame.calls.at(-1);
		if (call.f && at.line && at.line !== call.line)
			this.ct.line(call.f, call.depth, (call.line = at.line));
		if (opcode.code === SSTORE) {
			const owner = frame.calls.findLast((c) => c.f), slot = stack.at(-1), v = frame.contract.storage.get(slot);
			this.ct.value(owner.f, owner.depth, this.ct.VARIABLE, v?.name ?? `storage[0x${slot.toString(16)}]`, v?.type ?? "uint256",
				show(v?.type ?? "uint256", stack.at(-2)));
		}
		if (at.jump === "i" && opcode.name.startsWith("JUMP"))
			frame.enters = true;
		if (at.jump === "o" && opcode.name.startsWith("JUMP") && frame.calls.length > 1) {
			if (call.info?.results?.every((v) => v.plain))
				this.tellStack(call, this.ct.RESULT, call.info.results, stack, 1);
			this.leave(frame, false);
		}
	}
}
