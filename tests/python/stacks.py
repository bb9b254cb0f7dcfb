# SPDX-License-Identifier: MIT
"""Threads that wait at the end of deep stacks, having said where they are: THREAD FUNCTION:LINE ..., innermost first."""
import sys
import threading
import time


def here(frame):
    places = []
    while frame:
        code = frame.f_code
        places.append("%s:%d" % (getattr(code, "co_qualname", code.co_name), frame.f_lineno))
        frame = frame.f_back
    sys.stdout.write(" ".join([threading.current_thread().name] + places) + "\n")
    sys.stdout.flush()


class Job:
    def __init__(self, n):
        self.n = n
        self.tags = ["a", 2.5, {"k": (1, None)}]

    def __lt__(self, other):
        wait(self)
        return False

    def run(self):
        return sorted([self, Job(9)])


def wait(job, what="tea"):
    big, text = -2**70, "häh"
    here(sys._getframe()); time.sleep(1000)
    return big, text


def source(job):
    cell = job.n
    def inner():
        yield job.run(), cell
    yield from inner()


def deep(n):
    if n:
        return deep(n - 1)
    return [x for x in source(Job(3))]


threading.Thread(target=deep, args=(20,), name="second", daemon=True).start()
deep(
    2
)
