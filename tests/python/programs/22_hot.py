"""Code that is run often enough to be specialised by the interpreter, with types that change."""


class P:
    def __init__(self, v):
        self.v = v

    def get(self):
        return self.v


def add(a, b):
    return a + b


def compare(a, b):
    if a < b:
        return -1
    if a == b:
        return 0
    return 1


def loop(n):
    total = 0
    p = P(1)
    for i in range(n):
        total = total + p.get()
        p.v = total
        x = [i, total]
        y, z = x
        if (
            y
            > z
        ):
            total -= 1
        if i == 3: p = P(7)
    return total


def concat(n):
    s = ""
    for i in range(n):
        s += "x"
        s = (
            s +
            "y"
        )
    return len(s)


def spread(n):
    out = []
    for i in range(n):
        a = i; b = (
            a
        ); c = b
        out.append(
            c
        )
        d = {"k": i}
        d["k"] = d["k"] + (
            a
        )
    return out


for _ in range(12):
    add(1, 2)
for pair in ((1, 2), (1.5, 2.5), ("a", "b"), ([1], [2])):
    print(add(*pair))
print(loop(20), concat(10), spread(15)[-1])
for _ in range(12):
    compare(1, 2)
print(compare(1.0, 2), compare("a", "a"), compare(3, 2))
for i in range(20):
    q = i
    r = q * 2
    if q < 5:
        r -= 1
    if q == 19: print(r)
