# SPDX-License-Identifier: MIT
# What the exports are made of: recursion, exceptions, generators, threads, input and output, time that passes.
import os
import sys
import threading
import time


class Account:
    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("only %d left" % self.balance)
        self.balance -= amount
        return self.balance


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def countdown(n):
    while n:
        got = yield n
        n -= 1
    return "done"


def chain(n):
    result = yield from countdown(n)
    yield result


def wait(seconds):
    time.sleep(seconds)
    return seconds


def copy(text):
    read_end, write_end = os.pipe()
    os.write(write_end, text)
    data = os.read(read_end, 100)
    os.close(read_end)
    os.close(write_end)
    return data


def try_it(account, amounts):
    failures = []
    for amount in amounts:
        try:
            account.withdraw(amount)
        except ValueError as error:
            failures.append(str(error))
    return failures


def worker(number, results):
    total = 0
    for i in range(number):
        total += fib(i)
    wait(0.002)
    results[number] = total


def main():
    word = "h\u00e9llo; world"
    numbers = [fib(i) for i in range(7)]
    parts = list(chain(3)) + [x * 2 for x in countdown(2)]
    account = Account("ann", 100)
    failures = try_it(account, [30, 80, 70, 1])
    echoed = copy(b"through a pipe")
    results = {}
    threads = [threading.Thread(target=worker, args=(n, results)) for n in (4, 6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait(0.003)
    print(word, numbers, parts)
    print(failures, echoed, sorted(results.items()), file=sys.stderr)
    nested = {"a": (1, 2.5, None), "b": [True, b"raw", 10**30], "c": {3}}
    return nested


main()
