#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of a running Node.js that V8 interprets are exactly those the program makes: names, files, lines; classes, closures,
# generators, exceptions, callbacks of builtins, eval, threads; afterwards its code is what it was. That compiled code is
# not seen is said.
# timeout: 120
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
need node

mkdir "$T/größe"
cat >"$T/größe/shop.js" <<'JS'
const { Worker } = require('worker_threads');
class Order {
	#n;
	constructor(n) {
		this.#n = n;
	}
	total(n) { return leaf(n) + this.#part(); }
	#part() { return 1; }
	get size() { return leaf(1); }
	static make(n) { return new Order(n); }
}
function leaf(n) {
	return n + 1;
}
function fails() {
	throw new Error('no');
}
function ensures() {
	try {
		fails();
	} finally {
		leaf(3);
	}
}
function größe() { return 1; }
function 数() { return 1; }
function* numbers() {
	for (let i = 0; i < 2; i++)
		yield i;
}
function early() {
	for (const i of numbers())
		return leaf(i);
}
function preset(n = leaf(1), ...rest) { return rest; }
const arrow = (n) =>
	leaf(n);
const made = { method() { return leaf(1); } };
made.handler = function () { return 1; };
function recursive(n) {
	return n ? recursive(n - 1) + 1 : 0;
}
async function later() {
	inner();
	await null;
	inner();
}
function inner() {}
function compares(a, b) { return a - b; }
function request(n) {
	leaf(n);
	try { fails(); } catch { leaf(n); }
	try { ensures(); } catch { }
	const o = Order.make(n);
	o.total(n);
	o.size;
	größe();
	数();
	for (const i of numbers())
		leaf(i);
	early();
	preset();
	preset(1, 2, 3);
	arrow(n);
	made.method();
	made.handler();
	[1, 2].map((i) => leaf(i));
	[2, 1].sort(compares);
	leaf.call(null, 1, 2, 3);
	Reflect.apply(leaf, null, []);
	eval('leaf(8)');
	later();
	recursive(n % 5);
	if (n % 20 == 0)
		recursive(150);
}
let n = 0;
function loop() {
	do
		request(n++);
	while (n % 20);
	setTimeout(loop, 5);
}
new Worker('function inWorker() {}\nsetInterval(() => inWorker(), 5)', { eval: true });
console.log('ready');
loop();
JS
cat >"$T/check.py" <<'PY'
import collections, sys
import shop_calls

def request(n):
    yield 1, "request"
    yield 2, "leaf"
    yield 2, "fails"
    yield 2, "leaf"
    yield 2, "ensures"
    yield 3, "fails"
    yield 3, "leaf"
    yield 2, "make"
    yield 3, "Order"
    yield 4, "<instance_members_initializer>" # V8's own, for #n
    yield 2, "total"
    yield 3, "leaf"
    yield 3, "#part"
    yield 2, "get size"
    yield 3, "leaf"
    yield 2, "größe"
    yield 2, "数"
    # Making it, then each time it goes on.
    yield from [(2, "numbers"), (2, "numbers"), (2, "leaf"), (2, "numbers"), (2, "leaf"), (2, "numbers")]
    yield from [(2, "early"), (3, "numbers"), (3, "numbers"), (3, "leaf"), (3, "numbers")]
    yield from [(2, "preset"), (3, "leaf"), (2, "preset")]
    yield from [(2, "arrow"), (3, "leaf"), (2, "method"), (3, "leaf"), (2, "made.handler")]
    yield from [(2, "(anonymous)"), (3, "leaf")] * 2
    yield 2, "compares"
    yield 2, "leaf"
    yield 2, "leaf"
    yield 2, "(anonymous)" # the text that eval runs, in no file
    yield 3, "leaf"
    for deep in [n % 5] + ([150] if n % 20 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "recursive"

functions, threads = shop_calls.read(sys.argv[1])
source = open(sys.argv[2]).read().splitlines()
for f in functions.values():
    assert f["language"] == "javascript", f
    if f["file"] == sys.argv[2]:
        name = f["name"].split(".")[-1].split()[-1]
        line = source[f["line"] - 1]
        name = {"(anonymous)": "=>", "Order": "constructor", "<instance_members_initializer>": "class"}.get(name, name)
        assert name in line, (f, line)
if sys.argv[3:] == ["part"]:
    left = collections.Counter()
    for events in threads.values():
        left += shop_calls.raised(events)
    assert not {f["name"] for f in functions.values() if f["file"] == sys.argv[2]} & set(left) - {"fails", "ensures"}, left
    sys.exit()
workers = {tid for tid, events in threads.items() for e in events if e["name"] == "inWorker"}
assert len(workers) == 1, workers
shop = {}
for tid, events in threads.items():
    kept, base, later = [], 0, []
    for e in events:
        if functions[e["function"]]["file"] not in (sys.argv[2], "") or e["name"] == "loop":
            continue
        if e["name"] in ("later", "inner"): # goes on behind the request
            later.append(e)
            continue
        if e["type"] == "call" and e["name"] == "request":
            base = e["depth"] - 1
        e["depth"] -= base
        kept.append(e)
    if not kept:
        continue
    shop[tid] = kept
    calls = [e for e in later if e["type"] == "call"]
    for a, b in zip(calls, calls[1:]):
        assert {a["name"], b["name"]} == {"later", "inner"}, (a, b)
        assert b["name"] == "later" or b["depth"] == a["depth"] + 1, (a, b)
assert not set(shop) & workers
shop_calls.one_thread(shop, [list(request(n)) for n in range(20)], "fails", "ensures", 2)
PY

for flags in "--no-opt --no-sparkplug" --jitless; do
	step "a known sequence, from its middle on: $flags"
	printf '#!/bin/sh\nexec node %s "$@"\n' "$flags" >"$T/node"
	chmod +x "$T/node"
	known_sequence node "Node.js 20" "$T/größe/shop.js" "$T/node"
	! grep -q "not all" <<<"$OUT" || fail "$OUT"
	stop "$PID_shop"
done
rm -rf "$T/r.ctr"

step "where V8 compiles, what is seen is right, and that it is not all is said"
start_target shop node "$T/größe/shop.js"
wait_for 10 grep -q ready "$T/shop.log"
assert_contains "$("$CTBPF" check -p "$PID_shop")" "compiles those that are called often"
record "$T/r.ctr" "$PID_shop" 0.6 --calls=node
assert_contains "$OUT" "not all calls: only while V8 interprets a function"
assert_contains "$("$CTBPF" dump --type note "$T/r.ctr")" "not all calls"
"$CTBPF" dump --json --type function,call,return "$T/r.ctr" >"$T/calls"
PYTHONPATH=tests/e2e python3 -B "$T/check.py" "$T/calls" "$T/größe/shop.js" part || fail "not the calls that were made"
stop "$PID_shop"

step "what cannot be had is said"
start_target shop node --interpreted-frames-native-stack "$T/größe/shop.js"
wait_for 10 grep -q ready "$T/shop.log"
assert_status 1 "$CTBPF" record --no-replay --calls=node -p "$PID_shop" -o "$T/none.ctr"
assert_contains "$OUT" "--interpreted-frames-native-stack"
