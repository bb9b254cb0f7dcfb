"""Arguments: positional only, keyword only, defaults, starred, unpacked, in any order, over several lines."""


def f(a, b=2, /, c=3, *args, d, e=5, **kw):
    return a, b, c, args, d, e, kw


def g(x, y):
    return x - y


def h(*, flag=False, **rest):
    return flag, rest


print(f(1, d=4))
print(f(1, 2, 3, 4, 5, d=6, z=7))
print(f(*[1, 2], **{"c": 9, "d": 1}))
print(g(y=1, x=5))
print(h(flag=True, a=1))
print(
    g(
        10,
        y=3,
    ),
    g(
        1,
        2,
    ),
)
try:
    g(1)
except TypeError as e:
    print(e)
args = (lambda *a, **k: (a, k))(1, 2, three=3)
print(args)
