# SPDX-License-Identifier: MIT
"""Turns of work with calls, exceptions, generators and growing objects, each with some system calls: loop.py TURNS"""
import sys


class Box:
    def __init__(self):
        self.items = []

    def add(self, n):
        self.items.append(n)
        if len(self.items) > 5:
            del self.items[:]


def count(n):
    k = 0
    while True:
        k += n
        yield k


def check(n):
    if n % 7 == 0:
        raise ValueError(n)
    return [x * n for x in range(3)]


def main(turns):
    box = Box()
    counts = [count(i) for i in range(20)]
    for turn in range(turns):
        for j in range(200):
            box.add(j)
            try:
                check(j)
            except ValueError as e:
                last = str(e)
        total = sum(next(c) for c in counts)
        open("/dev/null").close()
        if turn % 2:
            del last
    return total


print(main(int(sys.argv[1])))
