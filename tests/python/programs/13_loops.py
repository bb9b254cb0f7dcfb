"""Loops: while, for, else, break, continue, nested, over several lines, enumerate and zip."""


def primes(n):
    out = []
    for i in range(2, n):
        for p in out:
            if i % p == 0:
                break
        else:
            out.append(i)
    return out


def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    else:
        steps += 100
    return steps


def search(grid, want):
    for y, row in enumerate(grid):
        for x, v in enumerate(row):
            if v == want:
                return x, y
            if v < 0:
                continue
    return None


print(primes(30), collatz(27), search([[1, -2], [3, 4]], 4))
i = 0
while True:
    i += 1
    if i == 2: continue
    if i > 5: break
print(i)
for a, (b, c) in zip([1, 2], [(3, 4), (5, 6)]):
    print(a, b, c)
total = 0
for x in [
    1,
    2,
    3,
]:
    total += x
print(total)
for x in range(3): total += x
while total > 0: total -= 5
print(total)
it = iter([1, 2, 3])
for x in it:
    print(x, next(it, None))
n = 100
while n > 3: n -= 7
s = ""
for ch in "abc":
    s = (
        s
        + ch
    )
print(n, s)
