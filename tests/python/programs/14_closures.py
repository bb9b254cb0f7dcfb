"""Closures: nonlocal, global, late binding, default arguments, nested functions."""
counter = 0


def make(start):
    n = start

    def inc(by=1):
        nonlocal n
        n += by
        return n

    def get():
        return n

    return inc, get


def bump():
    global counter
    counter += 1
    return counter


def late():
    return [lambda: i for i in range(3)], [lambda i=i: i for i in range(3)]


def three(a):
    def two(b):
        def one(c):
            return a + b + c

        return one

    return two


inc, get = make(10)
inc()
inc(by=5)
print(get(), bump(), bump())
x, y = late()
print([f() for f in x], [f() for f in y], three(1)(2)(3))


def swap(a, b):
    a, b = b, a
    c = a
    del a
    return b, c


print(swap(1, 2))
