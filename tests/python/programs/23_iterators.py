"""Iterators by class, by sentinel, by __getitem__; unpacking; star expressions."""


class Range:
    def __init__(self, n):
        self.n = n
        self.i = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.i >= self.n:
            raise StopIteration
        self.i += 1
        return self.i


class Indexed:
    def __getitem__(self, i):
        if i > 2:
            raise IndexError(i)
        return i * 10

    def __len__(self):
        return 3


class Reversed:
    def __reversed__(self):
        yield 3
        yield 2


print(list(Range(3)), list(Indexed()), [*Range(2)], list(reversed(Reversed())), list(reversed(Indexed())))
a, *b = Range(4)
(c, d), e = (1, 2), 3
print(a, b, c, d, e, 2 in Range(3), max(Range(5)), sum(Indexed()))
values = iter([1, 2, 0, 4])
print(list(iter(lambda: next(values), 0)))
for i, (x, y) in enumerate(zip(Range(2), Indexed()), start=1):
    print(i, x, y)
print(dict(zip("ab", Range(2))), sorted(Range(3), reverse=True))
