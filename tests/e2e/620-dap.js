// SPDX-License-Identifier: MIT
// A whole debug session of tests/python/debugged.py, by the client of @vscode/debugadapter-testsupport, without an editor.
// node 620-dap.js CTBPF RECORDING PROGRAM EXPECTED_STDOUT_FILE
const assert = require("assert");
const fs = require("fs");
const { Session, recording, program } = require("./dap-session.js");

const stdoutFile = process.argv[5];

async function whole() {
  const s = new Session(), c = s.client;
  const caps = await s.start({}, async () => {
    const [b, none] = await s.lines([{ line: 15, condition: "amount == 7 and self.balance > 20" }, { line: 21 }]);
    assert.ok(b.verified);
    assert.ok(!none.verified && none.message.includes("not run"), "a line that was not run");
    await s.exceptions();
  });
  for (const can of ["StepBack", "DataBreakpoints", "LogPoints", "GotoTargetsRequest", "ConditionalBreakpoints"])
    assert.strictEqual(caps[`supports${can}`] ?? caps[`supports${can}Request`], true, can);
  assert.strictEqual(caps.supportsSetVariable, undefined);
  assert.deepStrictEqual([s.stop.reason, await s.place()], ["entry", "<module>:1"]);

  console.log("a breakpoint with a condition: stack and variables");
  assert.strictEqual(await s.go("continue"), "Account.deposit:15");
  assert.strictEqual(s.stop.reason, "breakpoint");
  const frames = await s.frames();
  assert.deepStrictEqual(frames.map((f) => `${f.name}:${f.line}`), ["Account.deposit:15", "work:46", "<module>:59"]);
  assert.strictEqual(frames[0].source.path, program);
  const locals = await s.locals();
  assert.strictEqual(locals.self, "Account(owner='ann', balance=21, log=[1, 2, 3, 4, 5, 6])");
  assert.deepStrictEqual([locals.amount, locals.before], ["7", "21"]);
  assert.strictEqual((await s.locals(1)).i, "6");
  const self = (await s.scope(frames[0], "Locals")).self;
  const parts = await s.children(self.variablesReference);
  assert.strictEqual(parts.balance.value, "21");
  const log = await s.children(parts.log.variablesReference, { filter: "indexed", start: 2, count: 2 });
  assert.deepStrictEqual(Object.values(log).map((v) => [v.name, v.value]), [["2", "3"], ["3", "4"]]);

  console.log("steps over, out, in, and back");
  const count = (await s.lines([])).length;
  assert.strictEqual(count, 0);
  assert.strictEqual(await s.go("next"), "Account.deposit:16");
  assert.strictEqual(s.stop.reason, "step");
  assert.strictEqual((await s.locals()).self, "Account(owner='ann', balance=28, log=[1, 2, 3, 4, 5, 6])");
  assert.strictEqual(await s.go("stepBack"), "Account.deposit:15");
  assert.strictEqual(await s.go("next"), "Account.deposit:16");
  assert.strictEqual(await s.go("stepOut"), "work:45");
  assert.strictEqual((await s.scope((await s.frames())[0], "Returned"))["Account.deposit()"].value, "28");
  assert.strictEqual(await s.go("next"), "work:46");
  assert.strictEqual(await s.go("next"), "work:45", "over the call");
  assert.strictEqual(await s.go("stepBack"), "work:46", "back over the call");
  assert.strictEqual(await s.go("stepIn"), "Account.deposit:12");
  assert.strictEqual(await s.go("ctbpf/stepBackOut"), "work:46");
  await s.go("stepIn");
  assert.strictEqual(await s.go("ctbpf/stepBackIn"), "work:46");
  const way = [];
  for (let i = 0; i < 40; i++) way.push([await s.go("stepIn"), JSON.stringify(await s.locals())]);
  for (let i = 38; i >= 0; i--)
    assert.deepStrictEqual([await s.go("ctbpf/stepBackIn"), JSON.stringify(await s.locals())], way[i], "the same backwards");

  console.log("expressions");
  await s.lines([{ line: 53 }]);
  assert.strictEqual(await s.go("continue"), "work:53");
  assert.strictEqual(await s.ask("account.balance * 2 + len(many)"), "1420");
  assert.strictEqual(await s.ask("nested['a'][2]['b']"), "'deep'");
  await s.refused(s.ask("many[500]"), "was not recorded");
  await s.refused(s.ask("account.deposit(3)"), "cannot be run");
  await s.refused(s.ask("account.balance = 3"), "nothing can be changed");
  await s.refused(s.ask("nowhere"), "no value of 'nowhere'");
  await s.refused(c.send("setVariable", { variablesReference: 1, name: "a", value: "1" }), "not supported");
  const many = (await s.scope((await s.frames())[0], "Locals")).many;
  assert.match((await s.children(many.variablesReference))["..."].value, /^984 more, not recorded$/);
  assert.match(await s.ask("when"), /^s:\d+ of \d+, after event \d+/);

  console.log("as many hits backwards as forwards");
  await s.lines([{ line: 14 }]);
  assert.strictEqual((await s.bothWays()).forth.length, 20);
  await s.lines([{ line: 33 }]);
  const turns = await s.bothWays();
  assert.deepStrictEqual(turns.forth, turns.back);
  assert.strictEqual(turns.forth.length, 4);
  await s.lines([{ line: 14, hitCondition: "% 5" }, { line: 27, condition: "value % 2 == 0", hitCondition: ">= 3" }]);
  const counted = await s.bothWays();
  assert.deepStrictEqual(counted.forth, counted.back);
  assert.strictEqual(counted.forth.length, 4 + 10);
  await s.lines([]);
  await c.setFunctionBreakpointsRequest({ breakpoints: [{ name: "factorial" }, { name: "countdown" }] });
  const entries = await s.bothWays();
  assert.deepStrictEqual(entries.forth, entries.back);
  await s.go("continue");
  assert.strictEqual(s.stop.reason, "function breakpoint");
  assert.deepStrictEqual(entries.forth.map((h) => h.place), ["countdown:32", ...Array(5).fill("factorial:38")]);
  await c.setFunctionBreakpointsRequest({ breakpoints: [] });
  await s.exceptions("raised");
  const raised = await s.bothWays();
  assert.deepStrictEqual(raised.forth, raised.back);
  assert.deepStrictEqual(raised.forth.map((h) => h.place), ["Account.deposit:13", "<module>:62"]);

  console.log("who changed this? back to it");
  await s.exceptions("uncaught");
  await s.go("ctbpf/seek", { position: "start" });
  assert.strictEqual(await s.go("continue"), "<module>:62");
  assert.strictEqual(s.stop.reason, "exception");
  const info = (await c.send("exceptionInfo", { threadId: s.stop.threadId })).body;
  assert.deepStrictEqual([info.exceptionId, info.breakMode], ["KeyError", "unhandled"]);
  await s.exceptions();
  await s.lines([{ line: 28 }]);
  await s.go("reverseContinue");
  assert.strictEqual((await s.locals()).result, "210");
  const locs = (await c.scopesRequest({ frameId: (await s.frames())[0].id })).body.scopes[0].variablesReference;
  const data = (await c.send("dataBreakpointInfo", { variablesReference: locs, name: "result" })).body;
  assert.ok((await s.data({ dataId: data.dataId, accessType: "write" }))[0].verified);
  await s.lines([]);
  assert.strictEqual(await s.go("reverseContinue"), "total:27");
  assert.strictEqual(s.stop.reason, "data breakpoint");
  assert.strictEqual(s.stop.text, "result: 190 -> 210");
  assert.deepStrictEqual([(await s.locals()).result, (await s.locals()).value], ["190", "20"], "before it is written");
  assert.strictEqual(await s.go("continue"), "total:26", "and forwards: when it has been");
  assert.strictEqual((await s.locals()).result, "210");
  const changes = await s.bothWays();
  assert.strictEqual(changes.forth.length, 21);
  assert.deepStrictEqual(changes.forth.map((h) => h.text), changes.back.map((h) => h.text));
  await s.data({ dataId: "Account.deposit:before", condition: "before > 150" });
  assert.deepStrictEqual((await s.bothWays()).forth.map((h) => h.text.split(" ").pop()), ["153", "171", "190"]);
  await s.data();

  console.log("log points, goto");
  s.output.console = "";
  await s.lines([{ line: 15, logMessage: "{amount} to {self.balance}", condition: "amount > 18" }]);
  await s.go("ctbpf/seek", { position: "start" });
  await s.go("continue");
  assert.strictEqual(s.output.console, "19 to 171\n20 to 190\n");
  await s.lines([]);
  const targets = (await c.send("gotoTargets", { source: { path: program }, line: 53 })).body.targets;
  assert.strictEqual(await s.go("goto", { threadId: 1, targetId: targets[0].id }), "work:53");
  assert.strictEqual(s.stop.reason, "goto");
  const where = (await c.send("breakpointLocations", { source: { path: program }, line: 19, endLine: 27 })).body;
  assert.deepStrictEqual(where.breakpoints.map((b) => b.line), [20, 24, 25, 26, 27]);
  const sources = (await c.send("loadedSources", {})).body.sources;
  assert.deepStrictEqual(sources.map((x) => x.path), [program]);

  console.log("the end");
  const ended = c.waitForEvent("stopped");
  await c.send("continue", { threadId: 1 });
  s.stop = (await ended).body;
  assert.strictEqual(s.stop.reason, "end");
  assert.strictEqual(s.output.stdout, fs.readFileSync(stdoutFile, "utf8"), "its output");
  assert.match(s.output.stderr, /^caught: bad amount -1\nTraceback [^]*KeyError: 'missing'\n$/);
  assert.strictEqual(await s.go("stepBack"), "<module>:62", "and back from it");
  await s.go("continue");
  const terminated = c.waitForEvent("terminated");
  await c.send("continue", { threadId: 1 });
  await terminated;
  await c.disconnectRequest({});
  await new Promise((done) => (s.server.exitCode === null ? s.server.on("exit", done) : done()));
  assert.strictEqual(s.server.exitCode, 0);
}

// A step over all of a long recording reads next to nothing of it.
async function long() {
  const s = new Session(), size = fs.statSync(`${recording}/steps/steps.ctcol`).size;
  await s.start({}, () => s.exceptions());
  const before = s.bytesRead();
  for (const command of ["next", "next", "next", "stepBack", "stepIn", "stepOut", "stepBack"]) await s.go(command);
  assert.ok(s.bytesRead() - before < size / 4, `${s.bytesRead() - before} bytes read of ${size}`);
  await s.lines([{ line: 10, condition: "i == 59000" }]);
  const found = await s.bothWays();
  assert.deepStrictEqual(found.forth, found.back);
  assert.strictEqual(found.forth.length, 1);
  await s.client.disconnectRequest({});
}

(process.argv[6] === "long" ? long() : whole()).catch((e) => {
  console.error(e);
  process.exit(1);
});
