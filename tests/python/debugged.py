"""A small program to be debugged: known values, calls in calls, a generator, exceptions caught and not."""
import sys


class Account:
    def __init__(self, owner):
        self.owner = owner
        self.balance = 0
        self.log = []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError(f"bad amount {amount}")
        before = self.balance
        self.balance = before + amount
        self.log.append(amount)
        return self.balance


def never():
    return "never"


def total(values):
    result = 0
    for value in values:
        result = result + value
    return result


def countdown(n):
    while n:
        yield n
        n = n - 1


def factorial(n):
    if n < 2:
        return 1
    return n * factorial(n - 1)


def work(rounds):
    account = Account("ann")
    for i in range(rounds):
        account.deposit(i + 1)
    try:
        account.deposit(-1)
    except ValueError as e:
        print("caught:", e, file=sys.stderr)
    many = list(range(1000))
    nested = {"a": [1, 2, {"b": "deep"}], "owner": account.owner}
    downs = total(countdown(4))
    product = factorial(5)
    return total(account.log), downs, product, len(many), nested["a"][0]


print("begin")
answer = work(20)
print("answer", answer)
sys.stdout.flush()
{}["missing"]
