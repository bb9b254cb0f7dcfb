# SPDX-License-Identifier: MIT
# compare.py TRUTH STEPS: whether `ctbpf index --print` tells of the lines and integers that gdb saw, and its calls are
# paired. What a variable holds before the first line that gives it a value is not compared: it is left from others.
import re
import sys

truth = [line.split() for line in open(sys.argv[1])]
steps, stack, calls = [], [], 0
for line in open(sys.argv[2]):
    line = line.rstrip("\n")
    if m := re.match(r"\d+   (?:argument|value) (\S+) = (-?\d+)$", line):
        stack[-1][1][m[1]] = m[2]
    elif m := re.match(r"\d+   unbound (\S+)$", line):
        stack[-1][1].pop(m[1], None)
    elif m := re.match(r"\d+ \S+:(\d+) (.+?) (call|resume|line|return|unwind|exception)( .*)?$", line):
        if m[3] in ("call", "resume"):
            stack.append((m[2], {}))
            calls += 1
            continue
        if not stack or stack[-1][0] != m[2]:
            sys.exit(f"not in the function that was called last: {line}")
        if m[3] == "line":
            steps.append((m[2], m[1], dict(stack[-1][1]), len(stack)))
        elif m[3] != "exception":
            stack.pop()
if stack:
    sys.exit(f"calls that do not end: {[name for name, _ in stack]}")

first = {}
wrong = 0
compared = 0
for i in range(max(len(truth), len(steps))):
    have = " ".join(steps[i][:2]) if i < len(steps) else "nothing"
    want = " ".join(truth[i][:2]) if i < len(truth) else "nothing"
    # What a lambda is in is left out by gdb.
    if have != want and not have.endswith("::" + want):
        sys.exit(f"line {i}: {have} instead of {want}")
    values = dict(v.split("=") for v in truth[i][2:])
    depth = steps[i][3]
    first = {k: v for k, v in first.items() if k[0] <= depth}
    for name, value in values.items():
        key = (depth, steps[i][0], name)
        before = first.setdefault(key, (value, steps[i][2].get(name)))
        if before == (value, steps[i][2].get(name)) and before[0] != before[1]:
            continue
        compared += 1
        if steps[i][2].get(name) != value:
            print(f"line {i}: {have}: {name} is {steps[i][2].get(name)}, not {value}")
            wrong += 1
print(f"{len(steps)} lines, {calls} calls, {compared} values")
sys.exit(wrong != 0)
