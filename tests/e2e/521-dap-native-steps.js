// SPDX-License-Identifier: MIT
// A debug session of tests/native/calls.c in its step database: node 521-dap-native-steps.js CTBPF RECORDING PROGRAM
const assert = require("assert");
const { Session, program } = require("./dap-session.js");

async function whole() {
  const s = new Session();
  await s.start({ mode: "steps" }, async () => {
    const [b] = await s.lines([{ line: 40, condition: "n == 4" }]);
    assert.ok(b.verified);
  });
  assert.strictEqual(await s.place(), "main:102");
  assert.strictEqual(await s.go("continue"), "factorial:40");
  const frames = await s.frames();
  assert.strictEqual(frames[0].source.path, program);
  assert.strictEqual((await s.locals()).n, "4");
  assert.strictEqual((await s.locals(1)).n, "5");
  assert.strictEqual(await s.go("stepIn"), "factorial:38");
  assert.strictEqual((await s.locals()).n, "3");
  assert.strictEqual(await s.go("ctbpf/stepBackOut"), "factorial:40");
  assert.strictEqual(await s.go("next"), "factorial:41");
  assert.strictEqual((await s.locals()).rest, "6");
  assert.strictEqual(await s.go("stepBack"), "factorial:40");
  await s.lines([{ line: 58 }]);
  const turns = await s.bothWays();
  assert.strictEqual(turns.forth.length, 2);
  assert.deepStrictEqual(turns.forth, turns.back);
  await s.client.disconnectRequest({});
}

whole().catch((e) => {
  console.error(e);
  process.exit(1);
});
