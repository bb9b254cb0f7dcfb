// SPDX-License-Identifier: MIT
// Benchmark target, as calls.py: calls a JavaScript function over and over. KIND node. It is to be interpreted: see run.
'use strict';
function bench(n) {
	return n;
}

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
	const [kind, ms] = line.split(' ');
	const begin = process.cpuUsage(), end = process.hrtime.bigint() + BigInt(ms) * 1000000n;
	let calls = 0;
	while (process.hrtime.bigint() < end) {
		for (let i = 0; i < 200; i++)
			bench(i);
		calls += 200;
	}
	const used = process.cpuUsage(begin);
	console.log(kind, ((used.user + used.system) * 1e3 / Math.max(calls, 1)).toFixed(3), calls);
});
