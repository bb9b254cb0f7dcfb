"""Comprehensions of all kinds, nested and over several lines."""
squares = [x * x for x in range(5)]
evens = {x for x in squares if x % 2 == 0}
table = {k: v for k, v in zip("abc", squares)}
lazy = (x + 1 for x in squares)
grid = [[i * j for j in range(3)] for i in range(3)]
flat = [
    c
    for row in grid
    for c in row
    if c
]
pairs = [(a, b) for a in range(3) for b in range(a)]
print(squares, sorted(evens), table, list(lazy), grid, flat, pairs)


def outer(n):
    k = n * 2
    return [
        (lambda q: q + k)(i)
        for i in range(n)
        if i != 1
    ]


print(outer(4))
print(any(x > 3 for x in squares), all(x < 3 for x in squares), max((x for x in squares), key=lambda x: -x))
print({**table, "z": 1}, [*squares, *flat], [y := 5, y * 2])
words = "the quick brown fox jumps over the lazy dog".split()
print({w: len(w) for w in sorted(set(words)) if len(w) > 3})
