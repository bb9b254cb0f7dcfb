"""Recursion: trees, hanoi, mutual, ackermann, deep with an exception at the end."""

def hanoi(n, a, b, c, moves):
    if n:
        hanoi(n - 1, a, c, b, moves)
        moves.append((a, c))
        hanoi(n - 1, b, a, c, moves)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


def walk(tree):
    if tree is None:
        return
    left, value, right = tree
    yield from walk(left)
    yield value
    yield from walk(right)


def permutations(items):
    if not items:
        return [[]]
    out = []
    for i, x in enumerate(items):
        for p in permutations(items[:i] + items[i + 1:]):
            out.append([x] + p)
    return out


def forever(n):
    if n > 60:
        raise RecursionError(n)
    return forever(n + 1)


moves = []
hanoi(4, "a", "b", "c", moves)
print(len(moves), even(10), ackermann(2, 2))
print(list(walk(((None, 1, None), 2, ((None, 3, None), 4, None)))))
print(len(permutations([1, 2, 3, 4])))
try:
    forever(0)
except RecursionError as e:
    print("too deep")
