#!/bin/bash
# SPDX-License-Identifier: MIT
# A trace-filter file says which calls are recorded: of Python, of native functions, of what programs tell; from the
# first call on. What it asks for and cannot be done is refused.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"

names() { calls "$1" | sed -n 's/.*"type":"call".*"name":"\([^"]*\)".*/\1/p' | LC_ALL=C sort -u | paste -sd' '; }

step "Python: by file, package and function; later rules override"
mkdir -p "$T/shop/orders" "$T/größe"
touch "$T/shop/__init__.py"
echo 'def order(n): return price(n) + tax(n)
def price(n): return n
def tax(n): return n' >"$T/shop/orders/__init__.py"
echo 'def log(n): return n' >"$T/shop/journal.py"
echo 'def größer(n): return n' >"$T/größe/maß.py"
cat >"$T/main.py" <<'PY'
import time
from shop import journal, orders
from größe import maß
def turn(n):
    orders.order(n)
    journal.log(n)
    maß.größer(n)
print("ready", flush=True)
n = 0
while True:
    turn(n)
    n += 1
    time.sleep(0.001)
PY
start_target shop env PYTHONUTF8=1 /usr/bin/python3.11 "$T/main.py"
wait_for 10 grep -q ready "$T/shop.log"
one() { # EXPECTED
	rm -rf "$T/py.ctr"
	record "$T/py.ctr" "$PID_shop" 0.2 --calls=python --filter "$T/f.toml"
	assert_eq "$(names "$T/py.ctr")" "$1" "functions"
}
cat >"$T/f.toml" <<'TOML'
[meta]
name = "shop" # of no consequence
labels = ["a",
  'b']
[scope]
default_exec = "skip"
[[scope.rules]]
selector = "pkg:glob:shop.*"
exec = "trace"
[[scope.rules]]
reason = "too many"
exec = "skip"
selector = "obj:literal:tax"
TOML
one "log order price"
# What is left out does not count as a call around others.
assert_eq "$(calls "$T/py.ctr" | sed -n 's/.*"type":"call".*"name":"\([^"]*\)","depth":\([0-9]*\).*/\1 \2/p' | LC_ALL=C sort -u | paste -sd,)" \
	"log 1,order 1,price 2" "depths"
printf '[scope]\ndefault_exec = "skip"\n[[scope.rules]]\nselector = "pkg:shop.journal"\nexec = "trace"\n' >"$T/f.toml"
one log
printf '[[scope.rules]]\nselector = "file:orders/*"\nexec = "skip"\n[[scope.rules]]\nselector = "obj:t?rn"\nexec = "skip"\n' >"$T/f.toml"
one "größer log"
printf '[scope]\ndefault_exec = "skip"\n[[scope.rules]]\nselector = "obj:gr*er"\nexec = "trace"\n' >"$T/f.toml"
one "größer"
assert_eq "$(json options.calls.filter <"$T/py.ctr/manifest.json")" "$T/f.toml"

step "native functions, and their values"
start_target seq "$PROGRAMS/callseq" 1
wait_for 5 grep -q ready "$T/seq.log"
cat >"$T/f.toml" <<'TOML'
[[scope.rules]]
selector = "obj:seq_leaf"
value_default = "redact"
[[scope.rules]]
selector = "obj:seq_recursive"
exec = "skip"
TOML
record "$T/n.ctr" "$PID_seq" 0.2 --functions 'seq_*' --filter "$T/f.toml"
assert_contains "$OUT" "7 functions in 1 file"
calls "$T/n.ctr" | python3 -c '
import json, sys
seen = set()
for e in map(json.loads, sys.stdin):
    seen.add(e["name"])
    if e["name"] == "seq_leaf":
        assert not e.get("args") and e.get("value") is None, e
    elif e["name"] == "seq_round" and e["type"] == "call":
        assert e["args"], e
assert {"seq_leaf", "seq_round"} <= seen and "seq_recursive" not in seen, seen
' || fail "not as the filter says"

step "programs that tell of themselves"
start_target vm "$PROGRAMS/sdk" 1
wait_for 5 grep -q ready "$T/vm.log"
cat >"$T/f.toml" <<'TOML'
[scope]
default_value_action = "drop"
[[scope.rules]]
selector = "file:math.toy"
value_default = "allow"
[[scope.rules]]
selector = "obj:fail"
exec = "skip"
TOML
record "$T/sdk.ctr" "$PID_vm" 0.2 --calls=sdk --filter "$T/f.toml"
assert_eq "$(names "$T/sdk.ctr")" "loop math.add native_round round"
assert_eq "$("$CTBPF" dump --json --type value "$T/sdk.ctr" | sed 's/.*"name":"\([^"]*\)".*/\1/' | LC_ALL=C sort -u | paste -sd' ')" "loop math.add" "functions with values"

step "one by one: values, regular expressions, all that such files may have"
cat >"$T/f.toml" <<'TOML'
# As CodeTracer's own: what is not said here is as it would be without.
meta = { name = "shop", version = 1, labels = [ "a", [ "b" ] ], made = 2026-11-23 10:00:00 }
[scope]
"default_exec" = 'trace'
default_value_action = "allow"
rules = [
  { selector = "obj:regex:^(round|fail)$", exec = "skip", reason = """
several
lines""" },
  { selector = "pkg:regex:^math$", exec = "trace" }, # /src/math.toy
  { selector = 'obj:glob:math.{add,sub}', value_patterns = [
    { selector = "arg:literal:a", action = "allow" },
    { selector = "arg:glob:*", action = "redact" },
    { selector = "ret:*", action = "drop" },
  ] },
  { selector = "obj:loop", value_default = "redact" },
]
TOML
record "$T/one.ctr" "$PID_vm" 0.3 --calls=sdk --filter "$T/f.toml"
assert_eq "$(names "$T/one.ctr")" "loop math.add native_round"
"$CTBPF" dump --json --type call,return,value,lines "$T/one.ctr" | python3 -c '
import json, sys
seen, calls = set(), 0
for e in map(json.loads, sys.stdin):
    assert e["name"] in ("loop", "math.add", "native_round"), e
    calls += e["type"] == "call"
    if e["type"] == "value" and e["name"] == "math.add":
        assert e["role"] == "argument", e
        assert (e["value"] == "<redacted>") == (e["variable"] == "b"), e
        seen.add(e["variable"])
    elif e["type"] == "value" and e["name"] == "loop":
        assert e["value"] == "<redacted>", e
        seen.add("loop")
assert seen == {"a", "b", "loop"}, seen
assert calls == int(sys.argv[1]), (calls, sys.argv)
' "$(sed -n 's/^\([0-9]*\) calls of .*/\1/p' <<<"$OUT")" || fail "not as the filter says"
assert_status 0 "$CTBPF" index "$T/one.ctr"
record "$T/n2.ctr" "$PID_seq" 0.2 --functions 'seq_*' --filter <(printf '[[scope.rules]]\nselector = "obj:regex:^seq_[a-k]"\nexec = "skip"\n')
assert_contains "$OUT" "5 functions in 1 file"

step "what is not understood is refused"
refused() { # TOML MESSAGE
	printf '%b' "$1" >"$T/f.toml"
	assert_status 2 "$CTBPF" record --no-replay --calls -p "$PID_vm" --filter "$T/f.toml" -o "$T/none.ctr"
	assert_contains "$OUT" "$2"
}
refused '[scope]\ndefault_exec = "maybe"\n' "f.toml:2: default_exec is trace or skip, not 'maybe'"
refused '[[scope.rules]]\nselector = "obj:regex:a(+"\n' "'a(+'"
refused '[[scope.rules]]\nselector = "obj:f"\n[[scope.rules.value_patterns]]\nselector = "obj:x"\naction = "drop"\n' "f.toml:4: a value's selector"
refused '[[scope.rules]]\nselector = "thread:main"\n' "pkg, file or obj"
refused '[scope]\ndefault_exec = "skip' "without an end"
refused '[scope]\ncolour = 1\n' "'colour'"
refused 'x' "neither a table"
assert_status 2 "$CTBPF" record --no-replay --calls -p "$PID_vm" --filter "$T/none.toml" -o "$T/none.ctr"
