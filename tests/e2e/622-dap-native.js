// SPDX-License-Identifier: MIT
// A whole debug session of tests/programs/corrupt.c, executed again: forwards to the crash, back to the guilty store.
// node 622-dap-native.js CTBPF RECORDING PROGRAM EXPECTED_STDOUT_FILE
const assert = require("assert");
const fs = require("fs");
const { Session, program } = require("./dap-session.js");

const stdoutFile = process.argv[5];

async function whole() {
  const s = new Session(), c = s.client;
  await s.start({}, async () => {
    const [work, behind] = await s.lines([{ line: 38, condition: "round == 7" }, { line: 35 }]);
    assert.ok(work.verified && work.line === 38);
    assert.strictEqual(behind.line, 36, "a line without code: the next one that has some");
    const f = (await c.setFunctionBreakpointsRequest({ breakpoints: [{ name: "nowhere" }] })).body.breakpoints[0];
    assert.ok(!f.verified && f.message.includes("no function 'nowhere'"));
    await s.exceptions("uncaught");
  });
  assert.strictEqual(s.stop.reason, "entry");

  console.log("a breakpoint with a condition: stack, variables");
  await s.lines([{ line: 38, condition: "round == 7" }]);
  assert.strictEqual(await s.go("continue"), "main:38");
  assert.strictEqual((await s.locals()).round, "7");
  const frames = await s.frames();
  assert.strictEqual(frames[0].source.path, program);
  assert.ok(frames.some((f) => f.name === "_start"));
  assert.strictEqual(await s.ask("checksum == 0"), "0");
  assert.strictEqual(await s.ask("items[round % 8]->values[1]"), "1008");
  assert.match(await s.ask("items[7]->name"), /^0x[0-9a-f]+ "item"$/);
  assert.strictEqual(await s.ask("*items[7]"), `{values = {1007, 1008, 1009, 1010}, name = ${await s.ask("items[7]->name")}}`);
  assert.strictEqual(await s.ask("sizeof(struct_) + 1").catch((e) => e.message), "there is no variable 'struct_' here");
  await s.refused(s.ask("work(3)"), "cannot be called");
  await s.refused(s.ask("round = 3"), "nothing can be changed");
  const globals = await s.scope(frames[0], "Globals");
  const item = (await s.children(globals.items.variablesReference))["[3]"];
  const parts = await s.children(item.variablesReference);
  assert.deepStrictEqual([parts.values.value, parts.values.type], ["{1003, 1004, 1005, 1006}", "long int[4]"]);
  const some = await s.children(parts.values.variablesReference, { filter: "indexed", start: 2, count: 1 });
  assert.deepStrictEqual(Object.values(some).map((v) => [v.name, v.value]), [["[2]", "1005"]]);
  assert.strictEqual(await s.ask(Object.values(some)[0].evaluateName), "1005");
  assert.strictEqual(BigInt((await s.scope(frames[0], "Registers")).rip.value), BigInt(frames[0].instructionPointerReference));

  console.log("steps, and the same back");
  await s.lines([]);
  assert.strictEqual(await s.go("next"), "main:39", "over the call");
  assert.strictEqual(s.stop.reason, "step");
  assert.strictEqual(await s.go("stepBack"), "main:38", "back over the call");
  assert.strictEqual(await s.go("stepIn"), "work:23");
  assert.strictEqual((await s.locals()).rounds, "20000");
  assert.strictEqual(await s.go("ctbpf/stepBackOut"), "main:38");
  assert.strictEqual(await s.go("stepIn"), "work:23");
  assert.match(await s.go("stepOut"), /^main:38$/);
  assert.strictEqual(await s.go("ctbpf/stepBackIn"), "work:28", "into it from behind");
  assert.strictEqual(await s.go("ctbpf/stepBackOut"), "main:38");
  assert.strictEqual(await s.go("stepBack"), "main:37");
  const way = [];
  for (let i = 0; i < 12; i++) way.push([await s.go("stepIn"), JSON.stringify(await s.locals())]);
  assert.strictEqual(way[0][0], "fill:17");
  for (let i = 10; i >= 0; i--)
    assert.deepStrictEqual([await s.go("ctbpf/stepBackIn"), JSON.stringify(await s.locals())], way[i], "the same backwards");
  const pc = async () => (await s.frames())[0].instructionPointerReference;
  const first = await pc();
  for (let i = 0; i < 5; i++) await s.go("stepIn", { threadId: s.stop.threadId, granularity: "instruction" });
  const insns = (await c.send("disassemble", { memoryReference: first, instructionCount: 4 })).body.instructions;
  for (let i = 0; i < 5; i++) await s.go("stepBack", { threadId: s.stop.threadId, granularity: "instruction" });
  assert.strictEqual(await pc(), first);
  const bytes = Buffer.from((await c.send("readMemory", { memoryReference: first, count: 4 })).body.data, "base64");
  assert.ok(insns.map((i) => i.instructionBytes).join("").startsWith(bytes.toString("hex").match(/../g).join(" ")));
  const again = { breakpoints: [{ instructionReference: insns[1].address }] };
  assert.ok((await c.send("setInstructionBreakpoints", again)).body.breakpoints[0].verified);
  await s.go("continue");
  assert.deepStrictEqual([s.stop.reason, await pc()], ["instruction breakpoint", insns[1].address]);
  await c.send("setInstructionBreakpoints", { breakpoints: [] });

  console.log("as many hits backwards as forwards");
  await s.exceptions();
  await s.lines([{ line: 37, condition: "round % 4 == 1" }]);
  const turns = await s.bothWays();
  assert.strictEqual(turns.forth.length, 10);
  assert.deepStrictEqual(turns.forth, turns.back);
  await s.lines([{ line: 37, hitCondition: "% 16" }]);
  const counted = await s.bothWays();
  assert.strictEqual(counted.forth.length, 2);
  assert.deepStrictEqual(counted.forth, counted.back);
  await s.lines([{ line: 37, condition: "round > 3", hitCondition: "== 5" }, { line: 37, hitCondition: "> 37" }]);
  const two = await s.bothWays();
  assert.strictEqual(two.forth.length, 4);
  assert.deepStrictEqual(two.forth, two.back);
  await s.lines([]);
  const frameId0 = (await s.frames())[0].id;
  const sum = (await c.send("dataBreakpointInfo", { name: "checksum", frameId: frameId0 })).body;
  await s.data({ dataId: sum.dataId, accessType: "write", hitCondition: "% 7" });
  const writes = await s.bothWays();
  assert.ok(writes.forth.length >= 40 / 7 | 0, "writes by number");
  assert.deepStrictEqual(writes.forth.map((w) => w.text), writes.back.map((w) => w.text));
  await s.go("ctbpf/seek", { position: "start" });
  await s.go("continue");
  const written = s.stop.text;
  await s.go("continue");
  await s.go("reverseContinue");
  await s.go("reverseContinue");
  assert.strictEqual(s.stop.text, written, "to and fro across a write");
  await s.go("continue");
  assert.strictEqual(s.stop.text, written);
  await s.data();
  s.output.console = "";
  await s.lines([{ line: 18, condition: "n == 5 && i > 2", logMessage: "{i}: {it->values[i]}" }]);
  await s.go("ctbpf/seek", { position: "start" });
  await s.go("continue");
  assert.strictEqual(s.output.console, `3: 1024\n4: ${BigInt(/0x\w+/.exec(await nameBefore(s))[0])}\n`);
  s.output.console = "";
  await s.lines([{ line: 18, logMessage: "{from} {i}" }, { line: 39, logMessage: "to {round}", condition: "round % 2" }]);
  await s.go("ctbpf/seek", { position: "start" });
  await s.go("continue");
  const said = s.output.console.trim().split("\n");
  assert.strictEqual(said.length, 40 * 4 + 1 + 20);
  s.output.console = "";
  await s.go("reverseContinue");
  assert.deepStrictEqual(s.output.console.trim().split("\n").reverse(), said, "what log points say backwards");
  await s.lines([]);

  console.log("who wrote this? back to it");
  await s.exceptions("uncaught");
  await s.go("ctbpf/seek", { position: "start" });
  assert.strictEqual(await s.go("continue"), "main:43");
  assert.deepStrictEqual([s.stop.reason, s.stop.text], ["exception", "SIGSEGV: Segmentation fault"]);
  assert.strictEqual((await c.send("exceptionInfo", { threadId: s.stop.threadId })).body.exceptionId, "SIGSEGV");
  assert.strictEqual(s.output.stdout, fs.readFileSync(stdoutFile, "utf8"), "its output");
  const frameId = (await s.frames())[0].id;
  const data = (await c.send("dataBreakpointInfo", { name: "items[i]->name", frameId })).body;
  assert.ok((await s.data({ dataId: data.dataId, accessType: "write" }))[0].verified);
  assert.strictEqual((await c.send("dataBreakpointInfo", { name: "items", frameId })).body.dataId, null, "too large");
  await s.exceptions();
  assert.strictEqual(await s.go("reverseContinue"), "fill:18");
  assert.strictEqual(s.stop.reason, "data breakpoint");
  assert.match(s.stop.text, /^items\[i\]->name: 0x[0-9a-f]+ -> 0x409$/);
  assert.deepStrictEqual([(await s.locals()).i, (await s.locals()).n], ["4", "5"]);
  assert.match(await s.ask("it->name"), /"item"$/, "before it is written");
  await s.go("continue");
  assert.match(await s.ask("it->name"), /^0x409 /, "and forwards: when it has been");
  await s.data();

  console.log("positions, goto, the end");
  const { position } = (await c.send("ctbpf/when", {})).body;
  await s.go("ctbpf/seek", { position: "start" });
  await s.go("ctbpf/seek", { position });
  assert.match(await s.ask("it->name"), /^0x409 /);
  const targets = (await c.send("gotoTargets", { source: { path: program }, line: 42 })).body.targets;
  assert.strictEqual(await s.go("goto", { threadId: s.stop.threadId, targetId: targets[0].id }), "main:42");
  const where = (await c.send("breakpointLocations", { source: { path: program }, line: 16, endLine: 19 })).body;
  assert.deepStrictEqual(where.breakpoints.map((b) => b.line), [16, 17, 18, 19]);
  const sources = (await c.send("loadedSources", {})).body.sources;
  assert.ok(sources.some((x) => x.path === program));
  const ended = c.waitForEvent("stopped");
  await c.send("continue", { threadId: s.stop.threadId });
  assert.strictEqual((await ended).body.reason, "end");
  await c.disconnectRequest({});
  await new Promise((done) => (s.server.exitCode === null ? s.server.on("exit", done) : done()));
  assert.strictEqual(s.server.exitCode, 0);
}

// The pointer as it was before it was overwritten: that is what the log point saw.
async function nameBefore(s) {
  await s.go("ctbpf/seek", { position: "start" });
  await s.lines([{ line: 18, condition: "n == 5 && i == 4" }]);
  await s.go("continue");
  return s.ask("it->name");
}

// What a client must not send: nothing crashes, everything is answered.
async function hostile() {
  const s = new Session(), c = s.client;
  await s.start({}, () => s.exceptions());
  const words = ["setBreakpoints", "setFunctionBreakpoints", "setDataBreakpoints", "setInstructionBreakpoints", "setExceptionBreakpoints",
                 "stackTrace", "scopes", "variables", "evaluate", "disassemble", "readMemory", "dataBreakpointInfo", "source", "next",
                 "stepIn", "stepOut", "exceptionInfo", "goto", "breakpointLocations", "threads"];
  const keys = ["threadId", "frameId", "variablesReference", "expression", "breakpoints", "source", "path", "line", "condition", "name",
                "hitCondition", "dataId", "filters", "filterOptions", "memoryReference", "instructionReference", "offset", "count",
                "instructionCount", "instructionOffset", "start", "levels", "granularity", "targetId"];
  let seed = 5;
  const pick = (list) => list[(seed = (seed * 1103515245 + 12345) % 2147483648) % list.length];
  const anything = (depth) => {
    const kind = pick([0, 1, 2, 3, 4, 5]);
    if (kind === 0) return pick([null, 0, 1, 2, -1, 2 ** 31, 2 ** 53, true]);
    if (kind < 4 || depth > 2)
      return pick([program, "fill", "items[2]->name", "*items", "((((", "x[", "1/0", "0xffffffffffffffff", "0x10", "0x1/24 x",
                   "0x7/99999", "0/8", "&main", "instruction", "% 0", "uncaught", "\u20ac", ""]);
    return kind === 4 ? [anything(depth + 1), anything(depth + 1)]
                      : Object.fromEntries([1, 2, 3, 4].map(() => [pick(keys), anything(depth + 1)]));
  };
  for (let i = 0; i < 400; i++) {
    const args = Object.fromEntries([1, 2, 3, 4, 5].map(() => [pick(keys), anything(0)]));
    await c.send(pick(words), args).catch(() => {});
  }
  await c.disconnectRequest({});
  await new Promise((done) => (s.server.exitCode === null ? s.server.on("exit", done) : done()));
  assert.strictEqual(s.server.exitCode, 0);
}

whole().then(hostile).catch((e) => {
  console.error(e);
  process.exit(1);
});
