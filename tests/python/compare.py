# SPDX-License-Identifier: MIT
"""Compares what ctbpf index printed with what sys.settrace said: python3 compare.py TRUTH STEPS [--suffix]
Each thread's calls, lines, exceptions and returns must be the same, in order, and at each line every local value that
the truth knows. --suffix: the recording began in mid-run, its events must be the end of the truth's."""
import os
import re
import sys

MOST = 8
KIND = {"call": "call", "resume": "call", "line": "line", "return": "return", "yield": "return", "unwind": "return",
        "exception": "exception"}
STEP = re.compile(r"(\d+) (.*?):(\d+) (.+?) (call|resume|line|return|yield|unwind|exception)(?: (.*))?$")
NATIVE = re.compile(r"(\d+) <native>:0 (\S+) (call|return|unwind)(?: (.*))?$")
VALUE = re.compile(r"(\d+)   (argument|value|unbound) (\S+)(?: = (.*))?$")


def read_truth(path):
    threads = {}
    for text in [t for p in (path, path + ".child") if os.path.exists(p) for t in open(p)]:
        thread, event, line, function, *values = text.rstrip("\n").split("\t")
        # Where a call or return is said to be is a matter of taste; which function it is of is not.
        key = (event, function, int(line) if event in ("line", "exception") else 0)
        maybe = event == "exception" and values and values[0] == "maybe"
        threads.setdefault(thread, []).append((key, {} if maybe else dict(v.split("=", 1) for v in values), maybe))
    return list(threads.values())


def read_steps(path):
    threads, stacks, runs = {}, {}, {}
    for text in open(path, errors="replace"):
        text = text.rstrip("\n")
        m = NATIVE.match(text)  # has a place on the stack, and arguments
        if m:
            stack = stacks.setdefault(m[1], [])
            if m[3] == "call":
                stack.append({})
            elif stack:  # begun in a process that forked, it is the parent's
                stack.pop()
            continue
        m = VALUE.match(text)
        if m:
            stack = stacks.setdefault(m[1], [])
            if stack:
                if m[2] == "unbound":
                    stack[-1].pop(m[3], None)
                else:
                    stack[-1][m[3]] = m[4]
            continue
        m = STEP.match(text)
        if not m:
            sys.exit(f"cannot read: {text}")
        tid, _, line, function, what, rest = m.groups()
        stack = stacks.setdefault(tid, [])
        if what in ("call", "resume"):
            stack.append(runs.setdefault(rest, {}))
        if what in ("line", "exception"):
            key = (what, function, int(line))
        else:
            key = (KIND[what], function, 0)
        threads.setdefault(tid, []).append((key, dict(stack[-1]) if stack and what == "line" else {}, what))
        if what in ("return", "yield", "unwind") and stack:
            stack.pop()
    return list(threads.values())


def show(events, i):
    return "\n".join(f"    {'>' if k == i else ' '} {events[k][0]}" for k in range(max(0, i - 4), min(len(events), i + 5)))


def compare(truth, steps, suffix):
    if suffix:
        while steps and steps[0][2] == "resume":  # where it was when it was attached to
            del steps[0]
        end, left = [], len(steps)
        for event in reversed(truth):
            if left and (not event[2] or event[0] == steps[left - 1][0]):
                end.append(event)
                left -= 1
        truth = end[::-1]
        if len(truth) < 100:
            sys.exit(f"only {len(truth)} events were recorded")
    wrong = 0
    # settrace tells of the StopIteration by which a loop over a C iterator ends; nobody raises or catches it.
    i = 0
    while i < len(truth):
        # Nor is a generator woken up to be closed if it could not notice; it is while it is traced (3.13 and later).
        if ([e[0][0] for e in truth[i:i + 3]] == ["call", "exception", "return"] and truth[i + 1][2]
                and [e[0] for e in truth[i:i + 3]] != [e[0] for e in steps[i:i + 3]]):
            del truth[i:i + 3]
            continue
        if truth[i][2] and (i >= len(steps) or steps[i][0] != truth[i][0]):
            del truth[i]
        else:
            i += 1
    whole = steps[0][2] == "call"  # else it began in a process that forked, or before the recording
    for i in range(max(len(truth), len(steps))):
        if i >= len(steps) or i >= len(truth) or truth[i][0] != steps[i][0]:
            print(f"  event {i} of {len(truth)}: truth\n{show(truth, i)}\n  recorded ({len(steps)})\n{show(steps, i)}")
            return 1
        for name, want in truth[i][1].items():
            got = steps[i][1].get(name)
            if got != want and not (got is None and (suffix or not whole)):
                wrong += 1
                if wrong <= MOST:
                    print(f"  event {i} {truth[i][0]}: {name} is {want}, recorded {got}")
    return 1 if wrong else 0


def main():
    suffix = "--suffix" in sys.argv
    truth, steps = read_truth(sys.argv[1]), read_steps(sys.argv[2])
    if not truth or not steps:
        sys.exit(f"nothing to compare: {len(truth)} and {len(steps)} threads")
    # What runs when the interpreter shuts down comes after the truth's end.
    main_end = [i for i, e in enumerate(steps[0]) if e[0] == ("return", "<module>", 0)]
    if main_end:
        steps[0] = steps[0][: main_end[0] + 1]
    order = lambda events: [e[0] for e in events]  # threads start in any order
    named = lambda events: [e for e in order(events) if e[0] != "exception"]
    truth, steps = sorted(truth, key=named), sorted(steps, key=named)
    if len(truth) != len(steps):
        sys.exit(f"{len(truth)} threads ran, {len(steps)} are in the recording")
    bad = sum(compare(a, b, suffix) for a, b in zip(truth, steps))
    if not bad:
        print(f"{sum(map(len, truth))} events and {sum(len(e[1]) for t in truth for e in t)} values agree")
    sys.exit(1 if bad else 0)


main()
