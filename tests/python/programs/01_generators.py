"""Generators: plain, delegating, sent to, thrown into, closed."""


def count(n):
    for i in range(n):
        got = yield i
        if got:
            yield got * 10


def delegate(n):
    total = yield from count(n)
    yield total
    yield from [1, 2]


def guarded():
    try:
        while True:
            try:
                yield "in"
            except ValueError as e:
                yield f"caught {e}"
    finally:
        done.append("closed")


def plain_close():
    yield 1
    yield 2


done = []
print(list(count(3)))
g = count(5)
print(next(g), g.send(7), next(g))
print(list(delegate(2)))
g = guarded()
print(next(g), g.throw(ValueError("x")), next(g))
g.close()
print(done)
g = plain_close()
next(g)
g.close()
g = plain_close()
next(g)
try:
    g.throw(KeyError("k"))
except KeyError as e:
    print("out", e)
print(sum(x * x for x in range(4) if x % 2))


def infinite():
    n = 0
    while True:
        n += 1
        yield n


for v in infinite():
    if v > 3:
        break
a, b, *rest = count(5)
print(a, b, rest)
