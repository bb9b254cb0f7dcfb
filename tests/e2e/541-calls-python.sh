#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of a running CPython are exactly those the program makes: names, files, lines, exceptions, generators, deep
# recursion; afterwards the interpreter is what it was.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"

mkdir "$T/größe"
cat >"$T/größe/shop.py" <<'PY'
import threading, time

def leaf(n):
    return n + 1

def fails(n):
    raise KeyError(n)

def numbers(n):
    for i in range(n):
        yield i

class Order:
    def total(self, n):
        return leaf(n)

def recursive(n):
    return recursive(n - 1) + 1 if n else 0

def größe(n):
    return n

def request(n):
    leaf(n)
    try:
        fails(n)
    except KeyError:
        pass
    for i in numbers(2):
        leaf(i)
    Order().total(n)
    größe(n)
    recursive(n % 5)
    if n % 20 == 0:
        recursive(120)

def works(name):
    n = 0
    while True:
        request(n)
        n += 1
        if n % 20 == 0:
            time.sleep(0.01)

print("ready", flush=True)
threading.Thread(target=works, args=("second",), daemon=True).start()
works("first")
PY
cat >"$T/check.py" <<'PY'
import sys
import shop_calls

TOTAL = "Order.total" if int(sys.argv[3]) >= 11 else "total" # code objects did not know what they are part of

def request(n):
    yield 1, "request"
    yield 2, "leaf"
    yield 2, "fails"
    yield 2, "numbers"
    yield 2, "leaf"
    yield 2, "numbers"
    yield 2, "leaf"
    yield 2, "numbers"
    yield 2, TOTAL
    yield 3, "leaf"
    yield 2, "größe"
    for deep in [n % 5] + ([120] if n % 20 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "recursive"

# Which request it is shows in how deep it recurses: all of 20 in a row.
cycle = [list(request(n)) for n in range(20)]
source = open(sys.argv[2]).read().splitlines()
functions, threads = shop_calls.read(sys.argv[1])
for f in functions.values():
    assert f["language"] == "python", f
    if f["file"] == sys.argv[2]:
        assert source[f["line"] - 1].split("(")[0].split()[1] == f["name"].split(".")[-1], f
assert len(threads) == 2, list(threads)
for tid, events in threads.items():
    # The standard library's own calls are none of these.
    events = [e for e in events if functions[e["function"]]["file"] == sys.argv[2]]
    whole = shop_calls.requests(events, cycle, tid)
    raised = shop_calls.raised(events)
    for e in events:
        assert e["type"] == "call" or e["raised"] == (e["name"] == "fails"), e
    assert raised["fails"] >= whole - 1, (raised, whole)
PY

one() { # PYTHON
	step "$("$1" --version 2>&1)"
	start_target shop env PYTHONUTF8=1 "$1" "$T/größe/shop.py"
	wait_for 10 grep -q ready "$T/shop.log"
	sleep 0.3
	local before text
	before=$(shape "$PID_shop") text=$(text_sum "$PID_shop")
	rm -rf "$T/r.ctr"
	record "$T/r.ctr" "$PID_shop" 0.6 --calls
	assert_matches "$OUT" "[1-9][0-9]* calls of Python 3\."
	! grep -q "NOT recorded" <<<"$OUT" || fail "$OUT"
	assert_eq "$(text_sum "$PID_shop")" "$text" "its code afterwards"
	assert_shape "$PID_shop" "$before"
	"$CTBPF" dump --json --type function,call,return "$T/r.ctr" >"$T/calls"
	PYTHONPATH=tests/e2e python3 -B "$T/check.py" "$T/calls" "$T/größe/shop.py" \
		"$("$1" -c 'import sys; print(sys.version_info[1])')" || fail "not the calls that were made"
	stop "$PID_shop"
}
for version in 3.9 3.13 3.14 3.8 3.10; do
	# No suite of Debian has these.
	python=$(scripts/interpreter python $version) || { [[ $version =~ ^3\.(8|10)$ ]] && continue; }
	one "$python"
done
one /usr/bin/python3.11

# What the interpreter has as its own evaluation function, 0: none. Where that is, CPython's own code tells.
pointer() { # PID
	python3 - "$1" <<-'PY'
		import re, struct, subprocess, sys
		def run(*args):
		    return subprocess.run(args, stdout=subprocess.PIPE, check=True).stdout.decode()
		exe = f"/proc/{sys.argv[1]}/exe"
		symbols = {l.split()[2].split("@")[0]: int(l.split()[0], 16) for l in run("nm", "-D", "--defined-only", exe).splitlines()}
		getter = symbols["_PyInterpreterState_GetEvalFrameFunc"]
		code = run("objdump", "-d", f"--start-address={getter}", f"--stop-address={getter + 16}", exe)
		offset = int(re.search(r"mov +0x([0-9a-f]+)\(%rdi\)", code)[1], 16)
		mem = open(f"/proc/{sys.argv[1]}/mem", "rb", buffering=0)
		def word(addr):
		    mem.seek(addr)
		    return struct.unpack("<Q", mem.read(8))[0]
		print(word(word(symbols["_PyRuntime"] + 40) + offset))
	PY
}

step "one recorder at a time; what a killed one leaves is undone"
need nm objdump
cat >"$T/forks.py" <<'PY'
import os, time
def work():
    return 1
print("ready", flush=True)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
os.fork()
while True:
    work()
    time.sleep(0.01)
PY
start_target forks env GO="$T/go" /usr/bin/python3.11 "$T/forks.py"
wait_for 10 grep -q ready "$T/forks.log"
assert_eq "$(pointer "$PID_forks")" 0 "before"
start_target recorder "$CTBPF" record --no-replay --calls -p "$PID_forks" -o "$T/killed.ctr"
wait_for 20 [ -e "$RUN_DIR/$PID_forks.calls" ]
wait_for 5 [ -s "$T/killed.ctr/segments/000001.ctseg" ]
assert_status 1 "$CTBPF" record --no-replay --calls -p "$PID_forks" -o "$T/second.ctr"
assert_contains "$OUT" "already"
assert_status 1 "$CTBPF" detach -p "$PID_forks"
stop "$PID_recorder" KILL
[ "$(pointer "$PID_forks")" != 0 ] || fail "the calls were not recorded"
assert_status 0 "$CTBPF" detach -p "$PID_forks"
assert_contains "$OUT" "restored"
assert_eq "$(pointer "$PID_forks")" 0 "after detach"
[ ! -e "$RUN_DIR/$PID_forks.calls" ] || fail "$RUN_DIR/$PID_forks.calls is left"

step "a child that is made meanwhile is left as it would be, too"
start_target recorder "$CTBPF" record --no-replay --calls -p "$PID_forks" -o "$T/forks.ctr"
wait_for 20 [ -e "$RUN_DIR/$PID_forks.calls" ]
wait_for 5 [ -s "$T/forks.ctr/segments/000001.ctseg" ]
touch "$T/go"
wait_for 10 pgrep -P "$PID_forks"
child=$(pgrep -P "$PID_forks")
STARTED+=("$child")
assert stop_recorder
assert_eq "$(pointer "$PID_forks") $(pointer "$child")" "0 0" "afterwards"

step "no interpreter is said, and nothing is left"
start_target sleeper sleep 100
assert_status 3 "$CTBPF" record --no-replay --calls -p "$PID_sleeper" -o "$T/none.ctr"
assert_contains "$OUT" "no interpreter"
[ ! -e "$T/none.ctr" ] || fail "a recording is left"
assert_status 2 "$CTBPF" record --no-replay --calls -- true
assert_status 2 "$CTBPF" record --no-replay --calls=cobol -p "$PID_sleeper"
