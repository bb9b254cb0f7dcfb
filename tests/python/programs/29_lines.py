"""Statements whose instructions are on several lines, or several on one."""


def f(a,
      b=2,
      *c):
    return (a +
            b +
            sum(
                c
            ))


x = f(
    1,
    2,
    *[
        3,
        4,
    ]
); y = 2
z = [
    f(x, y),
    f(y),
    {
        "k":
            f(1),
    },
]
if (x
        and y
        and not z[1] == 0):
    w = 1
else:
    w = 2
t = (x if w
     else y)
u = x < \
    y < \
    w
assert (
    u is
    False
), "no"
a = b = c = [
    w
]
a[
    0
] += 1
v = lambda p: (
    p
    * 2
)
print(x, y, z, w, t, u, a, v(3))
del (
    a,
    b,
)
try: pass
finally: c = None
class K: attribute = 1; other = attribute + 1


def decorated(g):
    return g


@decorated
@decorated
def long(
    a,
    b,
):
    """Documented."""
    if a: return b
    return (
        "a"
        f"{b}"
        "c"
    )


print(long(1, 2), long(0, 2), K.other)
for i in range(2): (
    print(i)
)
while True: break
