# SPDX-License-Identifier: MIT
"""Calls of C functions as sys.setprofile has them, against those that ctbpf index printed.
python3 profile.py PROGRAM OUT runs a program and writes them; profile.py --compare TRUTH STEPS tells of differences."""
import itertools
import re
import sys
import threading
import types

STEP = re.compile(r"(\d+) (.*?):(\d+) (.+?) (call|resume|line|return|yield|unwind|exception)(?: (.*))?$")
WHAT = {"call": "c_call", "return": "c_return", "unwind": "c_exception"}


def names(f):
    """What it may be called: a method of a class is one of the class that has it, which may be a base."""
    if isinstance(f.__module__, str):
        return [f"{f.__module__}.{f.__name__}"]
    me = f.__self__
    classes = me.__mro__ if isinstance(me, type) else type(me).__mro__
    full = [c.__qualname__ if c.__module__ == "builtins" else f"{c.__module__}.{c.__qualname__}" for c in classes]
    return [f"{c}.{f.__name__}" for c in full] + [f"{c.__name__}.{f.__name__}" for c in classes]


def run(path, out):
    events = []
    numbers = itertools.count()
    thread = threading.local()  # their identities are used again

    def profile(frame, event, arg):
        if event in WHAT.values() and frame.f_code.co_filename == path and arg is not sys.setprofile:
            if not hasattr(thread, "number"):
                thread.number = next(numbers)
            caller = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
            events.append(f"{thread.number}\t{event}\t{caller}\t{' '.join(names(arg))}")

    with open(path) as f:
        code = compile(f.read(), path, "exec")
    main = types.ModuleType("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    sys.argv = [path]
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        exec(code, main.__dict__)
    finally:
        sys.setprofile(None)
        with open(out, "w") as f:
            f.write("\n".join(events) + "\n")


def by_thread(events):
    threads = {}
    for thread, event in events:
        threads.setdefault(thread, []).append(event)
    return sorted(threads.values(), key=len)


def read_truth(path):
    for text in open(path):
        thread, event, function, *rest = text.rstrip("\n").split("\t")
        yield thread, (event, function, rest[0].split())


def read_steps(path):
    stacks = {}
    for text in open(path, errors="replace"):
        m = STEP.match(text.rstrip("\n"))
        if not m:
            continue
        tid, file, _, function, what, _ = m.groups()
        stack = stacks.setdefault(tid, [])
        if file == "<native>":
            if what == "call":
                stack.append(function)
            elif stack:
                stack.pop()
            yield tid, (WHAT[what], stack[-2] if what == "call" else stack[-1], function)
        elif what in ("call", "resume"):
            stack.append(function)
        elif what in ("return", "yield", "unwind") and stack:
            stack.pop()


def compare(truth, steps):
    truth, steps = by_thread(read_truth(truth)), by_thread(read_steps(steps))
    n = 0
    if len(truth) != len(steps):
        sys.exit(f"{len(truth)} threads called C functions, {len(steps)} are in the recording")
    for want, have in zip(truth, steps):
        for i in range(max(len(want), len(have))):
            a, b = want[i] if i < len(want) else None, have[i] if i < len(have) else None
            if not a or not b or a[:2] != b[:2] or b[2] not in a[2]:
                sys.exit(f"call {i} of {len(want)} ({len(have)}): truth {a}, recorded {b}")
            n += 1
    print(f"{n} beginnings and ends of calls of C functions agree")


if sys.argv[1] == "--compare":
    compare(*sys.argv[2:4])
else:
    run(*sys.argv[1:3])
