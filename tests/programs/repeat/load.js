// SPDX-License-Identifier: MIT
// Endless work for tests/repeat: V8's JIT and collector, timers, worker threads, zlib on libuv's pool.
const { Worker, isMainThread, parentPort } = require('worker_threads');
const zlib = require('zlib');

function churn(n) {
  const m = new Map();
  for (let i = 0; i < 3000; i++) m.set('k' + (i * n) % 977, { i, s: 'v'.repeat(i % 40), a: [i, n, Math.random()] });
  return JSON.stringify([...m].sort((a, b) => (a[0] < b[0] ? -1 : 1))).length;
}
if (isMainThread) {
  const w = new Worker(__filename);
  let n = 0;
  w.on('message', (m) => w.postMessage(m + churn(m % 100)));
  w.postMessage(1);
  const step = () => {
    const text = Buffer.from('x'.repeat(5000) + churn(n));
    zlib.deflate(text, (e, z) => zlib.inflate(z, (f, back) => {
      if (e || f || !back.equals(text)) throw new Error('zlib');
      if (++n % 50 === 3) console.log('ready', n);
      setTimeout(step, n % 3);
    }));
  };
  step();
} else {
  parentPort.on('message', (m) => parentPort.postMessage((m * 7 + churn(m % 50)) % 1000003));
}
