"""Decorators with and without arguments, on functions, methods and classes."""
import functools


def logged(f):
    @functools.wraps(f)
    def inner(*args, **kwargs):
        calls.append(f.__name__)
        return f(*args, **kwargs)

    return inner


def times(n):
    def outer(f):
        def inner(x):
            for _ in range(n):
                x = f(x)
            return x

        return inner

    return outer


def register(cls):
    classes[cls.__name__] = cls
    return cls


calls = []
classes = {}


@logged
@times(3)
def double(x):
    return x * 2


@register
class Thing:
    @logged
    def name(self):
        return "thing"

    @staticmethod
    def s(a):
        return a + 1

    @classmethod
    def c(cls, a):
        return cls.__name__, a


@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(double(1), Thing().name(), Thing.s(1), Thing.c(2), calls, sorted(classes))
print(fib(10), fib.cache_info().hits)
