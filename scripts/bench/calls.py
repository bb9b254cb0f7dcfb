# SPDX-License-Identifier: MIT
"""Benchmark target: calls a Python function over and over and says what a call costs, as calls.c does.

For every line on stdin ("KIND MS RATE"; RATE is not looked at): KIND python, or profile: with an empty sys.setprofile."""
import sys
import time


def bench_python(n):
    return n


def loop(ms):
    calls, cpu, end = 0, time.thread_time_ns(), time.monotonic_ns() + ms * 1000000
    while time.monotonic_ns() < end:
        for i in range(200):
            bench_python(i)
        calls += 200
    return (time.thread_time_ns() - cpu) / max(calls, 1), calls


for line in sys.stdin:
    kind, length, _ = line.split()
    if kind == "profile":
        sys.setprofile(lambda *args: None)
    ns, count = loop(int(length))
    sys.setprofile(None)
    print(kind, f"{ns:.3f}", count, flush=True)
