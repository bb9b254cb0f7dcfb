# SPDX-License-Identifier: MIT
"""Runs for some seconds, always the same way, several calls deep; to be attached to in mid-run."""
import time


class Job:
    def __init__(self, n):
        self.n = n
        self.log = []

    def run(self):
        for part in self.parts():
            try:
                self.log.append(check(part))
            except ValueError as e:
                self.log.append(str(e))
        del self.log[:-3]

    def parts(self):
        for i in range(3):
            yield self.n + i


def check(n):
    if n % 5 == 0:
        raise ValueError(n)
    return [x * n for x in range(3)]


def inner(turns):
    for n in range(turns):
        job = Job(n)
        job.run()
        time.sleep(0.01)
    return turns


def outer():
    held = ["outer"]
    result = inner(300)
    held.append(result)
    return held


print(outer())
