# SPDX-License-Identifier: MIT
"""Works without end: objects, dicts, strings, exceptions, generators, in two threads."""
import json
import threading
import time


class Thing:
    def __init__(self, x):
        self.x = x

    def bump(self):
        self.x += 1
        if self.x % 7 == 0:
            raise ValueError(self.x)


def work(n):
    total = 0
    d = {}
    for i in range(n):
        total += i * i
        d[str(i)] = [i, total]
    return json.dumps(d)


def gen(n):
    for i in range(n):
        yield i


def background():
    k = 0
    while True:
        k += 1
        if k % 1000 == 0:
            time.sleep(0.001)


def main():
    thing = Thing(0)
    while True:
        work(20)
        try:
            thing.bump()
        except ValueError as e:
            last = str(e)
        sum(gen(10))
        time.sleep(0.0001)


threading.Thread(target=background, daemon=True).start()
print("ready", flush=True)
main()
