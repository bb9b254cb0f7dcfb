# since 3.9
"""Context managers: classes, generators, several at once, exceptions swallowed."""
import contextlib


class Managed:
    def __init__(self, name, swallow=False):
        self.name = name
        self.swallow = swallow

    def __enter__(self):
        log.append("enter " + self.name)
        return self.name

    def __exit__(self, kind, value, tb):
        log.append("exit " + self.name)
        return self.swallow


@contextlib.contextmanager
def generated(name):
    log.append("begin " + name)
    try:
        yield name.upper()
    except ValueError:
        log.append("caught")
    finally:
        log.append("end " + name)


log = []
with Managed("a") as a, Managed("b") as b:
    print(a, b)
with Managed("c", True):
    raise ValueError("gone")
with generated("g") as g:
    print(g)
with generated("h"):
    raise ValueError("gone too")
with (
    Managed("x") as x,
    generated("y") as y,
):
    print(x, y)
with contextlib.ExitStack() as stack:
    for n in "pq":
        stack.enter_context(Managed(n))


def early():
    for i in range(3):
        with Managed(str(i)):
            if i == 1:
                return i


print(early())
with contextlib.suppress(KeyError):
    {}["no"]
print(log)
