#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of a running PHP are exactly those the program makes: names, files, lines; methods, closures, generators,
# exceptions, destructors, fibers, include and eval; afterwards its code is what it was.
# timeout: 120
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
PHP=${PHP:-/usr/bin/php8.2}
need "$PHP"

mkdir "$T/größe"
cat >"$T/größe/part.php" <<'PHP'
<?php
return leaf(9);
PHP
cat >"$T/größe/shop.php" <<'PHP'
<?php
namespace Größe { function of($n) { return $n; } }
namespace {
function leaf($n) { return $n + 1; }
function fails($n) {
    throw new RuntimeException("no $n");
}
function ensures($n) {
    try { fails($n); } finally { leaf($n); }
}
trait Named { function named() { return leaf(1); } }
abstract class Base {
    function total($n) { return leaf($n); }
    static function made($n) { return new static; }
    function __call($name, $args) { return leaf(count($args)); }
    static function __callStatic($name, $args) { return leaf(count($args)); }
}
class Order extends Base {
    use Named;
    public $n;
    function __construct($n = 0) { $this->n = $n; }
    function __destruct() { leaf($this->n); }
    function __toString() { return "order"; }
    function __invoke($x) { return leaf($x); }
}
class Pair implements IteratorAggregate {
    function getIterator(): Iterator { yield 1; }
}
function numbers($n) {
    for ($i = 0; $i < $n; $i++) yield leaf($i);
}
function both($n) {
    yield from numbers($n);
    return 5;
}
function breaks() {
    try { yield 1; yield 2; } finally { leaf(0); }
}
function recursive($n) { return $n ? recursive($n - 1) + 1 : 0; }
function optional($a, $b = 3, ...$rest) { return $b; }
function &reference(&$a) { return $a; }
function scope() {
    $o = new Order(7);
    return 1;
}
function request($n) {
    leaf($n);
    try { fails($n); } catch (RuntimeException $e) { leaf($n); }
    try { ensures($n); } catch (RuntimeException $e) { }
    $o = new Order($n);
    $o->total($n);
    $o->named();
    $o->missing(1, 2);
    Order::absent(1);
    $o($n);
    "$o";
    Größe\of($n);
    unset($o);
    scope();
    foreach (numbers(2) as $i) leaf($i);
    foreach (both(1) as $i) ;
    foreach (breaks() as $i) break;
    foreach (new Pair as $i) ;
    array_map(fn($x) => leaf($x), [1, 2]);
    array_map('leaf', [1, 2]);
    $a = [3, 1];
    usort($a, function ($x, $y) { return $x <=> $y; });
    call_user_func('optional', 1, 2, 3, 4);
    call_user_func_array([new class { function inner() { return leaf(4); } }, 'inner'], []);
    optional(1, ...[2, 3]);
    reference($n);
    $f = strrev('fael');
    $f(3);
    (function () { leaf(6); })();
    eval('leaf(8);');
    include __DIR__ . '/part.php';
    $fiber = new Fiber(function ($x) { leaf($x); });
    $fiber->start(5);
    leaf($n);
    recursive($n % 5);
    if ($n % 20 == 0) recursive(120);
}
echo "ready\n";
for ($n = 0; ; $n++) {
    request($n);
    if ($n % 20 == 0) usleep(10000);
}
}
PHP
cat >"$T/check.py" <<'PY'
import collections, sys
import shop_calls

LEAF = "leaf"
def request(n):
    yield 1, "request"
    yield 2, LEAF
    yield 2, "fails"
    yield 2, LEAF
    yield 2, "ensures"
    yield 3, "fails"
    yield 3, LEAF
    yield 2, "Order::__construct"
    yield 2, "Base::total"
    yield 3, LEAF
    yield 2, "Order::named"
    yield 3, LEAF
    for name in "Base::__call", "Base::__callStatic", "Order::__invoke":
        yield 2, name
        yield 3, LEAF
    yield 2, "Order::__toString"
    yield 2, "Größe\\of"
    yield 2, "Order::__destruct"
    yield 3, LEAF
    yield 2, "scope"
    yield 3, "Order::__construct"
    # Variables end when their function is not the innermost one any more.
    yield 2, "Order::__destruct"
    yield 3, LEAF
    # A generator is called anew each time it goes on.
    for i in range(2):
        yield 2, "numbers"
        yield 3, LEAF
        yield 2, LEAF
    yield 2, "numbers"
    yield from both()
    # Its `finally` runs when it is taken away.
    yield 2, "breaks"
    yield 2, "breaks"
    yield 3, LEAF
    yield 2, "Pair::getIterator"
    yield 2, "Pair::getIterator"
    for i in range(2):
        yield 2, "{closure}"
        yield 3, LEAF
    yield 2, LEAF
    yield 2, LEAF
    yield 2, "{closure}"
    yield 2, "optional"
    yield 2, "class@anonymous::inner"
    yield 3, LEAF
    yield 2, "optional"
    yield 2, "reference"
    yield 2, LEAF
    for name in "{closure}", "{main}", "{main}", "{closure}":
        yield 2, name
        yield 3, LEAF
    yield 2, LEAF
    for deep in [n % 5] + ([120] if n % 20 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "recursive"
def both():
    yield 2, "both"
    yield 2, "numbers"
    yield 3, LEAF
    yield 2, "numbers"
    yield 2, "both"

cycle = [list(request(n)) for n in range(20)]
path = sys.argv[2]
source = open(path).read().splitlines()
functions, threads = shop_calls.read(sys.argv[1])
names = collections.Counter(f["name"] for f in functions.values())
assert names.pop("{closure}") == 4, names
assert names.pop("{main}") > 2, names # evaluated text is compiled anew each time
names.pop("class@anonymous::inner")
assert set(names.values()) == {1}, names
for f in functions.values():
    assert f["language"] == "php", f
    if f["name"] == "{main}":
        assert f["line"] == 1 and (f["file"].endswith("/part.php") or "eval()'d" in f["file"]), f
        continue
    assert f["file"] == path, f
    name = f["name"].split("::")[-1].split("\\")[-1]
    line = source[f["line"] - 1]
    assert ("fn(" in line or "function (" in line) if name == "{closure}" else name + "(" in line, (f, line)
shop_calls.one_thread(threads, cycle, "fails", "ensures", 2)
PY

step "a known sequence, from its middle on"
known_sequence php "PHP 8." "$T/größe/shop.php" "$PHP"
stop "$PID_shop"

step "a JIT compiler is refused"
"$PHP" -m | has_line OPcache || fail "needs php-opcache: run scripts/setup"
start_target jit "$PHP" -d opcache.enable_cli=1 -d opcache.jit=tracing -d opcache.jit_buffer_size=16M \
	-r 'echo "ready\n"; sleep(100);'
wait_for 10 grep -q ready "$T/jit.log"
assert_status 1 "$CTBPF" record --no-replay --calls=php -p "$PID_jit" -o "$T/none.ctr"
assert_contains "$OUT" "JIT"
[ ! -e "$T/none.ctr" ] || fail "a recording is left"
