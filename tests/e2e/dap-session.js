// SPDX-License-Identifier: MIT
// A debug session with `ctbpf dap` by the client of @vscode/debugadapter-testsupport, for the tests of it. Their arguments:
// CTBPF RECORDING PROGRAM ...
const assert = require("assert");
const fs = require("fs");
const { spawn } = require("child_process");
const { DebugClient } = require("@vscode/debugadapter-testsupport");

const [ctbpf, recording, program] = process.argv.slice(2);
const WAIT = 60000;

class Session {
  constructor() {
    this.server = spawn(ctbpf, ["dap"], { stdio: ["pipe", "pipe", "inherit"] });
    this.client = new DebugClient("", "", "ctbpf");
    this.client.defaultTimeout = WAIT;
    this.client.connect(this.server.stdout, this.server.stdin);
    this.output = { stdout: "", stderr: "", console: "" };
    this.client.on("output", (e) => (this.output[e.body.category] += e.body.output));
  }
  async start(launch, configure) {
    const caps = (await this.client.initializeRequest()).body;
    const ready = this.client.waitForEvent("initialized");
    await this.client.launchRequest({ recording, ...launch });
    await ready;
    if (configure) await configure();
    const stopped = this.client.waitForEvent("stopped");
    await this.client.configurationDoneRequest();
    this.stop = (await stopped).body;
    return caps;
  }
  // A request that moves, and where it led: "function:line".
  async go(command, args) {
    const stopped = this.client.waitForEvent("stopped", WAIT);
    await this.client.send(command, args || { threadId: this.stop.threadId });
    this.stop = (await stopped).body;
    return this.place();
  }
  async frames() {
    return (await this.client.stackTraceRequest({ threadId: this.stop.threadId })).body.stackFrames;
  }
  async place() {
    const f = (await this.frames())[0];
    return `${f.name}:${f.line}`;
  }
  async step() {
    const { step, position } = (await this.client.send("ctbpf/when", {})).body;
    return step ?? position;
  }
  async scope(frame, name) {
    const scopes = (await this.client.scopesRequest({ frameId: frame.id })).body.scopes;
    const scope = scopes.find((s) => s.name.startsWith(name));
    return scope ? this.children(scope.variablesReference) : {};
  }
  async children(variablesReference, args) {
    const list = (await this.client.send("variables", { variablesReference, ...args })).body.variables;
    return Object.fromEntries(list.map((v) => [v.name, v]));
  }
  async locals(n = 0) {
    const all = await this.scope((await this.frames())[n], "Locals");
    return Object.fromEntries(Object.entries(all).map(([k, v]) => [k, v.value]));
  }
  async ask(expression, context = "repl") {
    const frameId = (await this.frames())[0].id;
    return (await this.client.evaluateRequest({ expression, frameId, context })).body.result;
  }
  async refused(promise, text) {
    await assert.rejects(promise, (e) => e.message.includes(text) || assert.fail(`"${text}" is not in: ${e.message}`));
  }
  async lines(list) {
    const r = await this.client.setBreakpointsRequest({ source: { path: program }, breakpoints: list });
    return r.body.breakpoints;
  }
  async exceptions(...filters) {
    await this.client.setExceptionBreakpointsRequest({ filters });
  }
  async data(...list) {
    return (await this.client.send("setDataBreakpoints", { breakpoints: list })).body.breakpoints;
  }
  // All stops in one direction, from one end to the other.
  async all(command) {
    const stops = [];
    await this.go("ctbpf/seek", { position: command === "continue" ? "start" : "end" });
    for (;;) {
      const place = await this.go(command);
      if (this.stop.reason === "end" || this.stop.reason === "entry") return stops;
      stops.push({ place, text: this.stop.text, step: await this.step() });
    }
  }
  async bothWays() {
    const forth = await this.all("continue"), back = await this.all("reverseContinue");
    assert.strictEqual(back.length, forth.length, "hits backwards and forwards");
    return { forth, back: back.reverse() };
  }
  bytesRead() {
    return Number(/rchar: (\d+)/.exec(fs.readFileSync(`/proc/${this.server.pid}/io`, "utf8"))[1]);
  }
}

module.exports = { Session, recording, program };
