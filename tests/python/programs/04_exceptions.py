# since 3.11
"""Exceptions: raised, caught, chained, re-raised, in finally, through frames, in groups."""


class Custom(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


def deep(n):
    if n == 0:
        raise Custom(42)
    deep(n - 1)


def translate():
    try:
        deep(3)
    except Custom as e:
        raise ValueError("translated") from e


def cleanup(log):
    try:
        log.append("try")
        return "value"
    finally:
        log.append("finally")


def override():
    try:
        raise KeyError("lost")
    finally:
        return "finally wins"


def retry(n):
    for i in range(n):
        try:
            if i < n - 1:
                raise OSError(i)
            return i
        except OSError:
            continue
        else:
            pass


def reraise():
    try:
        try:
            1 / 0
        except ZeroDivisionError:
            raise
    except ArithmeticError as e:
        return type(e).__name__


try:
    translate()
except ValueError as e:
    print(e, repr(e.__cause__))
log = []
print(cleanup(log), log, override(), retry(3), reraise())
try:
    try:
        raise ExceptionGroup("group", [ValueError(1), TypeError(2), KeyError(3)])
    except* ValueError as e:
        print("values", e.exceptions)
    except* TypeError as e:
        print("types", e.exceptions)
except ExceptionGroup as e:
    print("rest", e.exceptions)
for x in (1, 0, "a"):
    try:
        print(10 / x)
    except ZeroDivisionError:
        print("zero")
    except (TypeError, ValueError) as e:
        print("type")
    else:
        print("fine")
    finally:
        print("always")
try:
    [][1]
except IndexError:
    pass
try:
    {}["k"]
except LookupError:
    pass
try:
    int("x")
except ValueError as e:
    print(e)
try:
    assert 1 == 2, "unequal"
except AssertionError as e:
    print(e)
