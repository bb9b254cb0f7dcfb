#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares one round of what an EVM has told with what debug_traceTransaction says of the same transactions.

usage: ctbpf dump --json ... | check.py TRACE.json CODE.json  (of trace.mjs and sourcemap.py)
"""
import json, sys

trace = json.load(open(sys.argv[1]))["trace"]
code = json.load(open(sys.argv[2]))  # contract -> "creation"/"runtime" -> pc -> [line, jump, function or null, is a jump]


def rounds(events):
    got = None
    for e in events:
        if e["type"] == "message" and e["topic"] == "evm.round":
            if e["data"].startswith("begin"):
                got = []
            elif got is not None:
                yield got
                got = None
        elif got is not None:
            got.append(e)


def transactions(events):
    for e in events:
        if e["type"] == "message" and e["topic"] == "evm.transaction":
            if e["direction"] == "in":
                name, inside = e["data"], []
            else:
                yield name, e["data"], inside
        else:
            inside.append(e)


def steps(inside):
    """Depth and place of each instruction: calls of contracts are those of functions called '... (call)'."""
    depth = 0
    for e in inside:
        if e["type"] == "call" and e["name"].endswith(("(call)", "(creation)")):
            depth += 1
        elif e["type"] == "return" and e["name"].endswith(("(call)", "(creation)")):
            depth -= 1
        elif e["type"] == "message" and e["topic"] == "evm.steps":
            assert len(e["data"]) == e["length"], e
            yield from ([depth, int(pc)] for pc in e["data"].split())


def told_lines(inside):
    for e in inside:
        if e["type"] == "lines":
            for n in e["lines"]:
                yield e["name"], n


def expected_lines(what, traced):
    """The same from the node's steps and the source maps."""
    contract, call = what.split(".")
    frames = []
    for depth, pc in traced:
        while depth < len(frames):
            frames.pop()
        if depth > len(frames):
            if not frames:
                name, kind = contract, "creation" if call == "constructor" else "runtime"
            else:  # of the scenario: Shop makes a Token, then calls it
                name, kind = "Token", "creation" if contract == "Shop" and call == "constructor" else "runtime"
            shown = f"{name} ({'call' if kind == 'runtime' else 'creation'})"
            frames.append({"code": code[name][kind], "calls": [[shown, 0]], "enters": False})
        f = frames[-1]
        line, jump, function, is_jump = f["code"][str(pc)]
        if f["enters"]:
            f["calls"].append([function, 0])
            f["enters"] = False
        here = f["calls"][-1]
        if here[0] and line and line != here[1]:
            here[1] = line
            yield here[0], line
        if is_jump and jump == "i":
            f["enters"] = True
        elif is_jump and jump == "o" and len(f["calls"]) > 1:
            f["calls"].pop()


seen = 0
for events in rounds(map(json.loads, sys.stdin)):
    done = list(transactions(events))
    assert [name for name, _, _ in done] == [t["what"] for t in trace], [name for name, _, _ in done]
    for (name, result, inside), t in zip(done, trace):
        assert (result == "reverted") == t["failed"], (name, result)
        got = list(steps(inside))
        assert got == t["steps"], (name, len(got), len(t["steps"]), next((a, b) for a, b in zip(got, t["steps"]) if a != b))
        lines, want = list(told_lines(inside)), list(expected_lines(name, t["steps"]))
        assert lines == want, (name, len(lines), len(want), next((i, a, b) for i, (a, b) in enumerate(zip(lines, want)) if a != b))
        calls = [e["type"] for e in inside if e["type"] in ("call", "return")]
        assert calls.count("call") == calls.count("return"), (name, calls)
    seen += 1
assert seen, "no whole round"
print(seen, sum(len(t["steps"]) for t in trace))
