#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of a running Lua are exactly those the program makes: names, files, lines; methods, closures, tail calls, coroutines,
# errors, metamethods, callbacks of C functions; afterwards its code is what it was.
# timeout: 120
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
LUA=${LUA:-/usr/bin/lua5.4}
need "$LUA"

mkdir "$T/größe"
cat >"$T/größe/shop.lua" <<'LUA'
local function leaf(n) return n + 1 end
local function fails(n) error("no " .. n) end
function ensures(n)
  local guard <close> = setmetatable({}, {__close = function() leaf(n) end})
  fails(n)
end
local Order = {}
Order.__index = function(t, k) leaf(1) return rawget(Order, k) end
Order.__add = function(a, b) return leaf(2) end
Order.__concat = function(a, b) return "text" end
Order.__call = function(self, n) return n end
function Order:total(n)
  local r = leaf(n)
  return r
end
function Order.new(n) return setmetatable({n = n}, Order) end
local function target(n) leaf(n) return 1 end
local function tail(n) return target(n) end
local function ctail(n) return rawlen({}) end
local function variadic(...) local r = leaf(select("#", ...)) return r end
local function recursive(n) if n > 0 then return recursive(n - 1) + 1 end return 0 end
local function numbers(n)
  for i = 1, n do coroutine.yield(leaf(i)) end
end
local function compares(a, b) return a < b end
local function each(t) return function(_, i) i = i + 1 if t[i] then return i end end, t, 0 end
local shared = leaf
function request(n)
  leaf(n)
  local ok = pcall(fails, n)
  leaf(n)
  ok = pcall(ensures, n)
  local o = Order.new(n)
  o:total(n)
  local r = o + 1
  r = o .. "x"
  o(3)
  tail(n)
  ctail(n)
  variadic(1, 2, 3)
  table.sort({2, 1}, compares)
  r = string.gsub("ab", ".", function(c) leaf(1) end)
  local co = coroutine.wrap(numbers)
  co(2) leaf(1) co() co()
  for i in each({5, 6}) do leaf(i) end
  load("local x = ...; return x", "=text")(1)
  xpcall(fails, function(m) leaf(7) return m end, n)
  shared(n)
  recursive(n % 5)
  if n % 20 == 0 then recursive(120) end
end
print("ready")
io.stdout:flush()
local n = 0
while true do
  request(n)
  n = n + 1
  if n % 20 == 0 then os.execute("sleep 0.01") end
end
LUA
cat >"$T/check.py" <<'PY'
import collections, sys
import shop_calls

LEAF = "leaf"
path = sys.argv[2]
source = open(path).read().splitlines()
def at(text):
    return f"function <{path}:{1 + next(i for i, l in enumerate(source) if text in l)}>"
def with_leaf(name, depth=2):
    yield depth, name
    yield depth + 1, LEAF

# Functions that C functions or tail calls call have no name.
def request(n):
    yield 1, "request"
    yield 2, LEAF
    yield 2, at("function fails")
    yield 2, LEAF
    yield 2, at("function ensures")
    yield 3, at("function fails")
    # What is to be closed is when the error has been caught.
    yield from with_leaf(at("__close"))
    yield 2, "new"
    yield from with_leaf("__index")
    yield from with_leaf("total")
    yield 2, "__add"
    yield 2, LEAF # a tail call
    yield 2, "__concat"
    yield 2, "o"
    yield 2, "tail"
    yield from with_leaf(at("function target"))
    yield 2, "ctail"
    yield from with_leaf("variadic")
    yield 2, at("function compares")
    for i in range(2):
        yield from with_leaf(at("gsub"))
    # A coroutine's functions are called anew when it goes on.
    yield from with_leaf(at("function numbers"))
    yield 2, LEAF
    yield from with_leaf(at("function numbers"))
    yield 2, at("function numbers")
    yield 2, "each"
    for i in range(2):
        yield 2, "for iterator"
        yield 2, LEAF
    yield 2, "for iterator"
    yield 2, "main chunk"
    yield 2, at("function fails")
    yield from with_leaf(at("xpcall"), 3)
    yield 2, LEAF
    for deep in [n % 5] + ([120] if n % 20 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "recursive"

functions, threads = shop_calls.read(sys.argv[1])
names = collections.Counter(f["name"] for f in functions.values())
assert names.pop("main chunk") >= 1, names
assert set(names.values()) == {1}, names
for f in functions.values():
    assert f["language"] == "lua", f
    assert f["file"] == ("text" if f["name"] == "main chunk" else path), f
    assert f["name"] == "main chunk" or "function" in source[f["line"] - 1], f
cycle = [list(request(n)) for n in range(20)]
shop_calls.one_thread(threads, cycle, at("function fails"), at("function ensures"), 3)
PY

step "a known sequence, from its middle on"
known_sequence lua "Lua 5.4" "$T/größe/shop.lua" "$LUA"

step "filters: by file, not by name"
printf '[scope]\ndefault_exec = "skip"\n[[scope.rules]]\nselector = "file:*shop.lua"\nexec = "trace"\n' >"$T/f.toml"
record "$T/file.ctr" "$PID_shop" 0.2 --calls=lua --filter "$T/f.toml"
assert_eq "$("$CTBPF" dump --json --type function "$T/file.ctr" | grep -c "main chunk")" 0 "chunks of another name"
assert_ge "$(calls "$T/file.ctr" | wc -l)" 100 "records"
printf '[[scope.rules]]\nselector = "obj:leaf"\nexec = "skip"\n' >"$T/f.toml"
assert_status 1 "$CTBPF" record --no-replay --calls=lua --filter "$T/f.toml" -p "$PID_shop" -o "$T/none.ctr"
assert_contains "$OUT" "use file or pkg"
