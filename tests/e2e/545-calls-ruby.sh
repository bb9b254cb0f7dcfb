#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of a running Ruby are exactly those the program makes: names, files, lines; exceptions, break, throw, ensure,
# define_method, fibers; afterwards its code is what it was.
# timeout: 120
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
need /usr/bin/ruby3.1

mkdir "$T/größe"
cat >"$T/größe/shop.rb" <<'RB'
module Größe
  def self.of(n) = n
end
def leaf(n) = n + 1
def fails(n)
  raise KeyError, n.to_s
end
def ensures(n)
  yield n
ensure
  leaf(n)
end
class Order
  def total(n) = leaf(n)
  define_method(:made) { |n| leaf(n) }
  def each(n)
    n.times { |i| yield i }
  end
end
class Shared
  TEXT = "def same = leaf(1)"
  A, B = [1, 2].map { Class.new { class_eval TEXT } }
end
def recursive(n) = n > 0 ? recursive(n - 1) + 1 : 0
def optional(a, b = leaf(a), *c, k: 1) = b
def finds(n)
  [1, 2, 3].each { |i| return i if i == 2 }
  0
end
def again(n)
  tries = 0
  begin
    tries += 1
    fails(n) if tries < 2
  rescue KeyError
    retry
  end
end
def request(n)
  leaf(n)
  begin
    fails(n)
  rescue KeyError
    leaf(n)
  end
  begin
    ensures(n) { |x| fails(x) }
  rescue KeyError
  end
  o = Order.new
  o.total(n)
  o.made(n)
  o.each(2) { |i| leaf(i) }
  Größe.of(n)
  optional(n)
  optional(n, 2)
  finds(n)
  again(n)
  [3, 1].each { |x| break if x == 1 }
  catch(:out) { leaf(1); throw :out }
  %w[b a].sort_by { |s| s }
  eval "leaf(2)"
  Shared::A.new.same
  Shared::B.new.same
  f = Fiber.new { leaf(3) }
  f.resume
  leaf(n)
  recursive(n % 5)
  recursive(120) if n % 20 == 0
end
def works
  n = 0
  while true
    request(n)
    n += 1
    sleep 0.01 if n % 20 == 0
  end
end
puts "ready"
$stdout.flush
Thread.new { works }
works
RB
cat >"$T/check.py" <<'PY'
import collections, sys
import shop_calls

def request(n):
    block = "block in request"
    leaf = lambda depth: (depth, "leaf")
    yield 1, "request"
    yield leaf(2)
    yield 2, "fails"
    yield leaf(2)
    yield 2, "ensures"
    yield 3, block
    yield 4, "fails"
    yield leaf(3)
    for name in "Order#total", "Order#made":
        yield 2, name
        yield leaf(3)
    yield 2, "Order#each"
    for i in range(2):
        yield 3, "block in Order#each"
        yield 4, block
        yield leaf(5)
    yield 2, "Größe.of"
    yield 2, "optional"
    yield leaf(3)
    yield 2, "optional"
    yield 2, "finds"
    yield 3, "block in finds"
    yield 3, "block in finds"
    yield 2, "again"
    yield 3, "fails"
    for i in range(2):
        yield 2, block
    yield 2, block
    yield leaf(3)
    for i in range(2):
        yield 2, block
    yield 2, "eval in request"
    yield leaf(3)
    for i in "AB":
        yield 2, f"Shared::{i}#same"
        yield leaf(3)
    yield 2, block
    yield leaf(3)
    yield leaf(2)
    for deep in [n % 5] + ([120] if n % 20 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "recursive"

cycle = [list(request(n)) for n in range(20)]
path = sys.argv[2]
source = open(path).read().splitlines()
functions, threads = shop_calls.read(sys.argv[1])

def own(events):
    """Without the core's methods that are written in Ruby, of which later versions have more."""
    hidden = []
    for e in events:
        hidden = [d for d in hidden if d < e["depth"]]
        if e["function"] in internal:
            if e["type"] == "call":
                hidden.append(e["depth"])
            continue
        yield e | {"depth": e["depth"] - len(hidden)}

internal = {i for i, f in functions.items() if f["file"].startswith("<internal:")}
functions = {i: f for i, f in functions.items() if i not in internal}
threads = {tid: list(own(events)) for tid, events in threads.items()}
names = collections.Counter(f["name"] for f in functions.values())
assert names.pop("block in request") == 6, names
assert names.pop("eval in request") > 1, names # compiled anew each time
assert set(names.values()) == {1}, names
for f in functions.values():
    assert f["language"] == "ruby", f
    block = f["name"].startswith("block")
    name = f["name"].split("#")[-1].split(".")[-1]
    if "#same" in f["name"] or "eval" in name:
        assert f["line"] == 1, f
        continue
    assert f["file"] == path, f
    line = source[f["line"] - 1]
    want = "{ " if block else ":made" if name == "made" else "def " + ("self." if name == "of" else "") + name
    assert want in line, (f, line)
assert len(threads) == 2, list(threads)
for tid, events in threads.items():
    whole = shop_calls.requests(events, cycle, tid)
    raised = shop_calls.raised(
        events[next(i for i, e in enumerate(events) if e["type"] == "call" and e["depth"] == 1):])
    assert set(raised) == {"fails", "ensures", "block in request"}, raised
    assert raised["fails"] >= 3 * raised["ensures"] - 3 >= 3 * whole - 6, (raised, whole)
PY

one() { # RUBY
	step "$("$1" --version)"
	known_sequence ruby "Ruby 3." "$T/größe/shop.rb" env LC_ALL=C.UTF-8 "$1" --disable-gems
}
RUBY33=$(scripts/interpreter ruby 3.3)
one "$RUBY33"
stop "$PID_shop"
one /usr/bin/ruby3.1

step "filters, and native functions among them"
record "$T/depth.ctr" "$PID_shop" 0.2 --calls=ruby --depth 2
depths() { calls "$1" | sed 's/.*"depth":\([0-9]*\).*/\1/' | sort -u | paste -sd' '; }
names() { calls "$1" | sed 's/.*"name":"\([^"]*\)".*/\1/' | sort -u; }
assert_eq "$(depths "$T/depth.ctr")" "1 2" "depths"
record "$T/min.ctr" "$PID_shop" 0.3 --calls=ruby --min-duration 20us
assert_contains "$(names "$T/min.ctr")" request
calls "$T/min.ctr" | python3 -c '
import json, sys
open_calls = {}
for e in map(json.loads, sys.stdin):
    if e["type"] == "call":
        open_calls[e["tid"], e["depth"]] = e
    else:
        assert e["time_ns"] - open_calls[e["tid"], e["depth"]]["entered_ns"] >= 20000, e
' || fail "a call that was too short"
record "$T/native.ctr" "$PID_shop" 0.3 --calls=ruby --functions rb_ary_each --lib 'libruby*'
# finds, rb_ary_each, its block: one stack.
calls "$T/native.ctr" | python3 -c '
import json, sys
seen = set()
open_calls = {}
for e in map(json.loads, sys.stdin):
    if e["type"] == "call":
        open_calls[e["tid"], e["depth"]] = e["name"]
        if e["name"] == "block in finds":
            seen.add(tuple(open_calls.get((e["tid"], d)) for d in range(1, e["depth"])))
assert ("request", "finds", "rb_ary_each") in seen, seen
' || fail "not one stack"
stop "$PID_shop"

step "JIT compilers are refused"
for jit in "/usr/bin/ruby3.1 --mjit" "$RUBY33 --rjit"; do
	# shellcheck disable=SC2086
	start_target jit $jit --disable-gems -e 'puts "ready"; $stdout.flush; sleep'
	wait_for 10 grep -q ready "$T/jit.log"
	assert_status 1 "$CTBPF" record --no-replay --calls=ruby -p "$PID_jit" -o "$T/none.ctr"
	assert_contains "$OUT" "JIT"
	[ ! -e "$T/none.ctr" ] || fail "a recording is left"
	stop "$PID_jit"
done
