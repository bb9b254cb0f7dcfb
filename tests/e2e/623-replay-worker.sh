#!/bin/bash
# SPDX-License-Identifier: MIT
# replay-worker: a client of CodeTracer's protocol goes through a recorded C program, forwards and backwards.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"
mkdir "$T/trace"
ln -s "$T/c.ctr" "$T/trace/rr"
export CODETRACER_RUNTIME_DIR=$T/run CODETRACER_RUN_ID=42
start_target worker "$CTBPF" replay-worker --name stable --index 0 "$T/trace"
python3 - "$T/run/run-42/ct_native_replay_stable_0_from_.sock" "$PWD/tests/programs/corrupt.c" <<'PY' || fail "$(cat "$T/worker.log")"
import json, os, random, socket, sys, time

path, source = sys.argv[1:]
end = time.monotonic() + 30
while not os.path.exists(path):
    assert time.monotonic() < end, "there is no socket"
    time.sleep(0.02)
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.settimeout(60)
answers = s.makefile("r")

def raw(line):
    s.sendall(line + b"\n")
    return answers.readline().rstrip("\n")

def ask(kind, **fields):
    a = raw(json.dumps({"kind": kind, **fields}).encode())
    assert not a.startswith("error:"), (kind, fields, a)
    return json.loads(a)

def where():
    at = ask("LoadLocation")
    return at["functionName"], at["line"]

STEP_IN, STEP_OUT, NEXT, CONTINUE = 0, 1, 2, 3
def step(action, forward=True):
    return ask("Step", action=action, forward=forward)

def local(name):
    every = ask("LoadLocals", arg={"rrTicks": 0, "countBudget": 0, "minCountLimit": 0, "lang": 0, "watchExpressions": ["checksum"],
                                   "depthLimit": -1})
    return next(v["value"] for v in every if v["expression"] == name)

ask("RunToEntry")
ask("DeleteBreakpoints")
assert where() == ("main", 32), where()
assert ask("LoadLocationWithSourcemap")["location"]["path"] == source
b = ask("AddBreakpoint", path=source, line=38)
assert b["enabled"] and step(CONTINUE), b
first = ask("LoadLocation")
assert (first["functionName"], first["line"], first["functionFirst"]) == ("main", 38, 31), first
assert local("round")["i"] == 0 and local("round")["typ"] == {"kind": 7, "lang_type": "int", "specific_info": {"kind": "None"}}
assert local("checksum")["i"] == 0
for i in range(3):
    assert step(CONTINUE)
assert local("round")["i"] == 3
item = ask("LoadValue", expression="*items[3]", lang=0, depth_limit=None)
assert item["kind"] == "Struct" and [v["kind"] for v in item["field_values"]] == ["Sequence", "Raw"], item
assert [v["i"] for v in item["field_values"][0]["elements"]] == [1003, 1004, 1005, 1006]
assert ask("EvaluateWithAddress", expression="checksum", lang=0, depth_limit=None)["size"] == 8
assert step(CONTINUE, False) and local("round")["i"] == 2
ask("LocationJump", location=first)
assert ask("LoadLocation") == first
ask("DeleteBreakpoint", breakpoint=b)
assert step(NEXT) and where() == ("main", 39)
assert step(NEXT, False) and ask("LoadLocation") == first
assert step(STEP_IN) and where() == ("work", 23)
stack = ask("LoadCallstack")
assert [c["content"]["call"]["rawName"] for c in stack[:2]] == ["work", "main"]
inside = ask("LoadLocation")
assert step(STEP_OUT) and where()[0] == "main"
assert ask("JumpToCall", location=inside)["functionName"] == "work"
ask("CallstackJump", depth=1)
assert where() == ("main", 38)

# The crash, and all values that the corrupted word has had.
ask("SeekToTicks", ticks=ask("GetRecordingHead")["rrTicks"])
ask("AddBreakpoint", path=source, line=42)
ask("RunToEntry")
assert step(CONTINUE) and where() == ("main", 42)
word = ask("EvaluateWithAddress", expression="items[5]->name", lang=0, depth_limit=None)
history, address = ask("LoadHistory", arg={"expression": "items[5]->name", "location": ask("LoadLocation"), "isForward": False})
assert address == word["address"]
assert history[-1]["location"]["functionName"] == "fill" and history[-1]["value"]["r"].startswith("0x409")
assert where() == ("main", 42)
w = ask("AddWatchpoint", address=address, size=8, is_write=True)
assert ask("ReverseContinue") == {"reason": "watchpoint", "watchpointId": w["id"]}
assert where() == ("fill", 18) and local("i")["i"] == 4
ask("DeleteWatchpoints")
here = ask("LoadLocation")
assert ask("RestoreAt", geid=first["rrTicks"], tid=None, tick=None, phase=None) is True
assert ask("LoadLocation") == first
assert ask("SeekToGeid", geid=here["rrTicks"] >> 20) is True and ask("LoadLocation")["rrTicks"] == here["rrTicks"] >> 20 << 20
ask("SeekToTicks", ticks=here["rrTicks"])
assert ask("LoadLocation") == here
there = ask("LoadLocation")
work = ask("AddBreakpoint", path=source, line=26)
assert step(CONTINUE, forward=False) and where() == ("work", 26), where()
before = ask("LoadLocation")
result = ask("LoadReturnValue", lang=0, depth_limit=None)
assert result["kind"] == "Int" and result["typ"]["lang_type"] == "long int", result
assert ask("LoadLocation") == before
ask("DeleteBreakpoint", breakpoint=work)
assert step(STEP_OUT) and where()[0] == "main"
assert ask("LoadValue", expression="$rax", lang=0, depth_limit=None)["i"] % 2**64 == result["i"] % 2**64
sum_ = ask("TtdTracepointEvaluate", request={"mode": "read_only_expression", "expression": "checksum", "function_call": None})
assert sum_["value"]["kind"] == "Int" and sum_["diagnostic"] is None and sum_["replay_state_preserved"], sum_
def call(text):
    return ask("TtdTracepointEvaluate", request={"mode": "emulated_function", "expression": None, "function_call": {
        "target_expression": "", "call_expression": text, "signature": None, "arguments": [], "return_address": None}})
here = ask("LoadLocation"), ask("LoadValue", expression="$rax", lang=0, depth_limit=None)
called = call("work(1 + 2)")
assert called["value"]["i"] == 1 * 31 + 2 and called["diagnostic"] is None, called
assert called["invocation"]["target_expression"] == "work" and called["invocation"]["argument_count"] == 1, called
for text, why in (("work(", "has no end"), ("nobody(1)", "no function"), ("work(1.5)", "cannot be passed"), ("work", "not a call"),
                  ("work(1) + 1", "more than one call"), ("fill(0, 1, 2)", "signal 11")):
    refused = call(text)
    assert refused["value"] is None and why in refused["diagnostic"]["message"], (text, refused)
assert (ask("LoadLocation"), ask("LoadValue", expression="$rax", lang=0, depth_limit=None)) == here
assert raw(b'{"kind":"TtdTracepointEvaluate"}').startswith("error: ")
assert raw(b'{"kind":"MaterializeInterval","tick_lo":0,"tick_hi":9}').startswith("error: ")
ask("SeekToTicks", ticks=there["rrTicks"])
late = ask("AddBreakpoint", path=source, line=18)
assert ask("ReverseContinue")["reason"] == "breakpoint"
ask("DeleteBreakpoint", breakpoint=late)
ask("DeleteBreakpoints")
assert ask("ReverseContinue") == {"reason": "recording-start"}
ask("RunToEntry")

events = ask("LoadAllEvents")["events"]
rounds = [e for e in events if e["content"].startswith("round ")]
assert len(rounds) == 40 and rounds[7]["stdout"]
ask("EventJump", program_event=rounds[7])
assert any(c["content"]["call"]["rawName"] == "main" for c in ask("LoadCallstack"))
assert ask("LoadValue", expression="$rsp", lang=0, depth_limit=None)["i"] > 0
assert ask("GetProcessInfo")[0]["command"].endswith("/corrupt")
assert ask("CurrentThread") == ask("GetProcessInfo")[0]["pid"] and ask("CurrentPc") > 0

# Nothing that is sent ends it.
for bad in (b"", b"{", b"[]", b"7", b'{"kind":"Fly"}', b'{"kind":"Step","action":99}', b'{"kind":"Step"}' + b" " * 5000,
            b'{"kind":"AddBreakpoint","path":7,"line":"x"}', b'{"kind":"LocationJump","location":{"rrTicks":-5}}',
            b'{"kind":"LoadValue","expression":"((((("}', b'{"kind":"AddWatchpoint","address":-1,"size":1000}',
            b'{"kind":"SelectThread","tid":1}', b'{"kind":"ToggleBreakpoint"}', b"\xff\xfe"):
    a = raw(bad)
    assert a.startswith("error: ") or a in ("true", "false"), (bad, a)
random.seed(5)
kinds = ["Step", "LoadLocals", "LoadValue", "LoadHistory", "JumpToCall", "RestoreAt", "DeleteBreakpoint", "LoadCallstack", "EventJump"]
for i in range(300):
    q = {k: random.choice([None, -1, 0, 2**62, "x", [], {}, {"rrTicks": 2**40}, True]) for k in
         ("arg", "location", "expression", "geid", "tick", "depth", "breakpoint", "program_event")}
    assert raw(json.dumps({"kind": random.choice(kinds), "action": 99, **q}).encode())
assert where()
PY
wait_for 20 gone "$PID_worker" || fail "the worker stays"
wait "$PID_worker" || fail "the worker ends with $?: $(cat "$T/worker.log")"
assert_status 2 "$CTBPF" replay-worker "$T/trace"
assert_status 1 "$CTBPF" replay-worker --name a --index 0 "$T/nothing"
