"""Exceptions without groups: caught, chained, raised again, through frames, generators and what must be done at the end."""
log = []


def deep(n):
    if not n:
        raise KeyError("bottom")
    deep(n - 1)


def chained():
    try:
        deep(2)
    except KeyError as e:
        raise ValueError("top") from e


def again():
    try:
        chained()
    except ValueError:
        log.append("again")
        raise
    finally:
        log.append("finally")


def several(kind):
    try:
        try:
            raise kind("x")
        except (TypeError, ValueError) as e:
            return str(e)
        except KeyError:
            x = 1 / 0
        else:
            log.append("never")
    except ZeroDivisionError: log.append("zero")
    return None


def looping():
    seen = []
    for i in range(4):
        try:
            if i == 1:
                continue
            if i == 3:
                break
            seen.append(10 // (i - 2) if i != 2 else 10 // 0)
        except ZeroDivisionError:
            seen.append("zero")
            continue
        finally:
            seen.append(i)
    return seen


class Swallow:
    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        return kind is not None


def swallowed():
    with Swallow(): raise RuntimeError("one line")
    with Swallow():
        with Swallow() as s:
            deep(1)
        s = None
        deep(1)
    return s


def source():
    got = []
    while True:
        try:
            got.append((yield len(got)))
        except ValueError as e:
            got.append(e)
        except GeneratorExit:
            log.append("closed")
            return


def delegate():
    try:
        yield from source()
    finally:
        log.append("delegated")


def thrown():
    g = delegate()
    next(g)
    g.send("a")
    g.throw(ValueError("b"))
    g.close()
    early = source()
    try:
        early.throw(ValueError("early"))
    except ValueError as e:
        return str(e)


try:
    again()
except ValueError as e:
    cause = type(e.__cause__).__name__
several(TypeError)
several(KeyError)
looping()
swallowed()
thrown()
for i in range(3):
    try: deep(i)
    except KeyError: pass
print(len(log))
