#!/bin/bash
# SPDX-License-Identifier: MIT
# dap: over TCP it listens on loopback only and wants the token; what a client must not send never crashes it.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" ss
program=$PWD/tests/python/debugged.py
"$CTBPF" record -q -o "$T/r.ctr" -- "$PYTHON" "$program" >"$T/stdout" 2>"$T/stderr" || true

step "without a step database it says what to do"
talk() { # one server is told what stands on stdin, a JSON list of (command, arguments)
	python3 -c '
import json, subprocess, sys
data = b""
for n, (command, arguments) in enumerate(json.load(sys.stdin), 1):
    b = json.dumps({"seq": n, "type": "request", "command": command, "arguments": arguments}).encode()
    data += b"Content-Length: %d\r\n\r\n" % len(b) + b
p = subprocess.run(sys.argv[1:], input=data, stdout=subprocess.PIPE)
print(p.stdout.decode())
sys.exit(p.returncode)' "$CTBPF" dap
}
out=$(talk <<<"[[\"initialize\", {}], [\"launch\", {\"recording\": \"$T/r.ctr\", \"mode\": \"steps\"}], [\"disconnect\", {}]]")
assert_contains "$out" "has no step database; run \`ctbpf index $T/r.ctr\` first"
out=$(talk <<<"[[\"initialize\", {}], [\"launch\", {\"recording\": \"$T/r.ctr\", \"mode\": \"magic\"}], [\"disconnect\", {}]]")
assert_contains "$out" "not 'magic'"
out=$(talk <<<'[["threads", {}], ["initialize", {}], ["next", {"threadId": 1}], ["launch", {}], ["flyToTheMoon", {}]]')
assert_contains "$out" "initialize first"
assert_contains "$out" "launch first"
assert_contains "$out" 'has no \"recording\"'
assert_contains "$out" "'flyToTheMoon' is not supported"
out=$(talk <<<"[[\"initialize\", {}], [\"attach\", {\"recording\": \"$T/r.ctr\", \"mode\": \"native\"}], [\"configurationDone\", {}],
	[\"threads\", {}], [\"disconnect\", {}]]")
assert_contains "$out" '"reason":"entry"'
assert_matches "$out" '"name":"python3.11 [0-9]+'

step "a file that is gone is shown as the program read it"
cp "$program" "$T/gone.py"
"$CTBPF" record -q -o "$T/gone.ctr" -- "$PYTHON" "$T/gone.py" >"$T/stdout" 2>"$T/stderr" || true
"$CTBPF" index --files gone.py "$T/gone.ctr" >"$T/index.out"
rm "$T/gone.py"
talk <<<"[[\"initialize\", {}], [\"launch\", {\"recording\": \"$T/gone.ctr\"}], [\"source\", {\"sourceReference\": 1}]]" >"$T/answers"
grep '"command":"source"' "$T/answers" | sed 's/Content-Length.*//' | json body.content >"$T/content"
diff "$program" <(head -c -1 "$T/content") || fail "another content"

step "a port of this machine only, with a token"
"$CTBPF" index --files "$program" "$T/r.ctr" >"$T/index.out"
start_target dap "$CTBPF" dap --port 0
wait_for 10 grep -q listening "$T/dap.log" || fail "it does not listen: $(cat "$T/dap.log")"
read -r port token < <(sed -n 's/.*127.0.0.1:\([0-9]*\), token \(.*\)/\1 \2/p' "$T/dap.log")
assert_eq "${#token}" 32 "length of the token"
assert_eq "$(ss -Hltnp "sport = :$port" | awk '{print $4}')" "127.0.0.1:$port" "where it listens"
cat >"$T/peer.py" <<'PY'
import json, random, socket, sys

port, token, recording, program = int(sys.argv[1]), *sys.argv[2:]

def connect():
    s = socket.create_connection(("127.0.0.1", port), 30)
    return s, s.makefile("rb")

def message(command, arguments):
    b = json.dumps({"seq": 1, "type": "request", "command": command, "arguments": arguments}).encode()
    return b"Content-Length: %d\r\n\r\n" % len(b) + b

def answer(f, command):
    while True:
        head = f.readline()
        if not head:
            return None
        f.readline()
        m = json.loads(f.read(int(head.split(b":")[1])))
        if m.get("command") == command:
            return m

def launched(given):
    s, f = connect()
    s.sendall(message("initialize", {}) + message("launch", {"recording": recording, "token": given}))
    return s, f, answer(f, "launch")

for wrong in (None, "", "0" * 32, token[:-1], token + "0"):
    s, f, m = launched(wrong)
    assert not m["success"] and "token" in m["message"], m
    assert answer(f, "x") is None, "the connection is open still"
# One that keeps silent keeps nobody waiting.
silent = connect()
s, f, m = launched(token)
assert m["success"], m
s.sendall(message("configurationDone", {}) + message("stackTrace", {"threadId": 1}))
assert answer(f, "stackTrace")["body"]["stackFrames"][0]["line"] == 1

# No sense at all, in headers and bodies.
for bad in (b"GET / HTTP/1.0\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: -1\r\n\r\n", b"\r\n\r\n",
            b"x" * 5000, b"Content-Length: 10\r\n\r\n{}"):
    c, g = connect()
    c.sendall(bad)
    c.shutdown(socket.SHUT_WR)
    g.read()
# JSON that is not what it should be.
random.seed(1)
words = ["setBreakpoints", "variables", "scopes", "stackTrace", "evaluate", "goto", "gotoTargets", "setDataBreakpoints", "source",
         "setExceptionBreakpoints", "setFunctionBreakpoints", "dataBreakpointInfo", "continue", "reverseContinue", "stepIn",
         "stepBack", "next", "stepOut", "restart", "pause", "exceptionInfo", "loadedSources", "breakpointLocations", "ctbpf/seek"]
keys = ["threadId", "frameId", "variablesReference", "expression", "breakpoints", "source", "path", "line", "condition", "name",
        "hitCondition", "logMessage", "dataId", "filters", "filterOptions", "targetId", "position", "start", "count", "levels",
        "startFrame", "sourceReference", "context"]

def anything(depth):
    kind = random.randrange(9 if depth < 4 else 6)
    return (None if kind == 0 else random.choice([0, 1, 2, 15, -1, 2**31, 2**53, 2**63 - 1]) if kind < 3
            else random.choice([program, "amount", "self.balance > 3", "total:result", "s:30", "7/self/self.balance", "%", "((((", "x[",
                                "1/0", "\u20ac\ud7ff", "end", "repl"]) if kind < 5
            else random.random() if kind < 6 else [anything(depth + 1) for _ in range(3)] if kind < 7
            else {random.choice(keys): anything(depth + 1) for _ in range(5)})

s.sendall(message("setBreakpoints", {"source": {"path": program}, "breakpoints": [{"line": 15, "condition": "amount > 2"}]}))
for n in range(1500):
    s.sendall(message(random.choice(words), {random.choice(keys): anything(0) for _ in range(6)}))
    if n % 50 == 0:
        s.sendall(message("threads", {}))
        assert answer(f, "threads")["success"]
s.sendall(message("disconnect", {}))
assert answer(f, "disconnect")["success"]
PY
assert_status 0 python3 "$T/peer.py" "$port" "$token" "$T/r.ctr" "$program"
assert alive "$PID_dap"
# Clients' processes that were killed by a signal would have said nothing; those of clients without sense say why.
assert_contains "$(cat "$T/dap.log")" "ctbpf dap: a message"
stop "$PID_dap"
assert_status 2 env CTBPF_DAP_TOKEN=short "$CTBPF" dap --port 0
assert_contains "$OUT" "less than 16 characters"
