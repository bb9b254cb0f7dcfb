// SPDX-License-Identifier: MIT
// Noir that tells of itself: a source in which each function calls oracles at its entry, its exit and before each line.
// Lines stay where they are. It wants a source as nargo fmt writes it.

const PRELUDE = [
	"#[oracle(ct_entry)] unconstrained fn ct_entry_oracle(_f: u32) {}",
	"unconstrained fn ct_entry(f: u32) { ct_entry_oracle(f); }",
	"#[oracle(ct_exit)] unconstrained fn ct_exit_oracle(_f: u32) {}",
	"unconstrained fn ct_exit(f: u32) { ct_exit_oracle(f); }",
	"#[oracle(ct_line)] unconstrained fn ct_line_oracle(_n: u32) {}",
	"unconstrained fn ct_line(n: u32) { ct_line_oracle(n); }",
	"#[oracle(ct_value)] unconstrained fn ct_value_oracle(_which: u32, _v: Field) {}",
	"unconstrained fn ct_value(which: u32, v: Field) { ct_value_oracle(which, v); }",
].join(" ");
const RESULT = 0xffff;
const numeric = (type) => /^(Field|[ui]\d+|bool)$/.test(type);

// {source, functions: [{name, line, args: [{name, type}], result}]}; values are numbered by function << 16 | argument.
export function instrument(source) {
	const lines = source.split("\n"), functions = [];
	const out = [];
	let inside = null, previous = "";
	const say = (what) => `unsafe { ${what} };`;
	lines.forEach((text, i) => {
		const head = /^(pub )?fn (\w+)\((.*)\)( -> (pub )?(.*?))? \{$/.exec(text);
		if (head) {
			const id = functions.length, result = head[6] ?? null;
			const args = head[3].split(", ").filter(Boolean).map((a) => {
				const [name, type] = a.split(": ");
				return { name: name.replace(/^mut /, ""), type: type.replace(/^pub /, "") };
			});
			functions.push({ name: head[2], line: i + 1, args, result });
			const tell = (which, v) => say(`ct_value(${which >>> 0}, ${v} as Field)`);
			const told = args.map((a, k) => (numeric(a.type) ? tell((id << 16) | k, a.name) : "")).join(" ");
			const plain = args.map((a) => `${a.name}: ${a.type}`).join(", "), names = args.map((a) => a.name).join(", ");
			const call = `${head[2]}_told(${names})`;
			const body = result
				? `let ct_result = ${call}; ${numeric(result) ? tell((id << 16) | RESULT, "ct_result") : ""} ${say(`ct_exit(${id})`)} ct_result`
				: `${call}; ${say(`ct_exit(${id})`)}`;
			out.push(`${text} ${say(`ct_entry(${id})`)} ${told} ${body} } fn ${head[2]}_told(${plain})${result ? ` -> ${result}` : ""} {`);
			inside = id;
		} else if (text === "}") {
			out.push(text);
			inside = null;
		} else if (inside !== null && /[;{}]$/.test(previous) && !/^\s*(\}|else|\/\/|$)/.test(text)) {
			out.push(`${say(`ct_line(${i + 1})`)} ${text}`);
		} else {
			out.push(text);
		}
		if (text.trim() && !text.trim().startsWith("//"))
			previous = text.trim();
	});
	out[out.length - 1] += PRELUDE;
	return { source: out.join("\n"), functions };
}

// What Noir's executor calls for an oracle: tells it by ctbpf.h.
export function teller(ct, file, functions) {
	const known = functions.map((f) => ct.define(f.name, file, "noir", f.line)), open = [];
	const number = (field) => BigInt(Array.isArray(field) ? field[0] : field);
	return async (name, inputs) => {
		const n = Number(number(inputs[0])), top = open.at(-1);
		switch (name) {
		case "ct_entry":
			open.push(n);
			ct.entry(known[n], open.length);
			break;
		case "ct_exit":
			ct.exit(known[n], open.length, false);
			open.pop();
			break;
		case "ct_line":
			ct.line(known[top], open.length, n);
			break;
		case "ct_value": {
			const f = functions[n >>> 16], k = n & 0xffff, v = k === RESULT ? { name: "", type: f.result } : f.args[k];
			const word = number(inputs[1]);
			ct.value(known[n >>> 16], open.length, k === RESULT ? ct.RESULT : ct.ARGUMENT, v.name, v.type, v.type === "bool" ? word !== 0n : word);
			break;
		}
		default:
			throw new Error(`no such oracle: ${name}`);
		}
		return [];
	};
}
