# SPDX-License-Identifier: MIT
"""Work for the benchmark of step databases: calls, loops, objects, strings, exceptions.

    interpreted.py ROUNDS [settrace|monitoring|profile|cProfile]

Prints the seconds of CPU the work took, with an empty function of that kind watching."""
import sys
import time


class Account:
    def __init__(self, name):
        self.name = name
        self.balance = 0

    def deposit(self, amount):
        if amount < 0:
            raise ValueError(amount)
        self.balance += amount
        return self.balance


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def count(text):
    seen = {}
    for word in text.split():
        seen[word] = seen.get(word, 0) + 1
    return seen


def rounds(n):
    accounts = [Account(f"a{i}") for i in range(10)]
    total = 0
    for i in range(n):
        total += fib(8)
        for account in accounts:
            try:
                total += account.deposit(i % 7 - 1)
            except ValueError:
                total -= 1
        total += len(count("the quick brown fox jumps over the lazy dog and the cat"))
    return total


def watch(kind):
    if kind == "settrace":
        def line(frame, event, arg):
            return line
        sys.settrace(line)
    elif kind == "monitoring":
        mon = sys.monitoring
        mon.use_tool_id(3, "bench")
        events = mon.events.LINE | mon.events.PY_START | mon.events.PY_RETURN
        for event in (mon.events.LINE, mon.events.PY_START, mon.events.PY_RETURN):
            mon.register_callback(3, event, lambda *args: None)
        mon.set_events(3, events)
    elif kind == "profile":
        sys.setprofile(lambda frame, event, arg: None)
    elif kind == "cProfile":
        import cProfile
        profile = cProfile.Profile()
        profile.enable()
        return profile.disable
    return lambda: (sys.settrace(None), sys.setprofile(None))


def main():
    n = int(sys.argv[1])
    unwatch = watch(sys.argv[2] if len(sys.argv) > 2 else "")
    begin = time.process_time()
    rounds(n)
    cpu = time.process_time() - begin
    unwatch()
    print(cpu)


main()
