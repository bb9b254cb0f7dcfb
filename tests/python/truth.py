# SPDX-License-Identifier: MIT
"""What sys.settrace says of a program, as ground truth: python3 truth.py PROGRAM OUT
OUT: one line for each event: THREAD<tab>EVENT<tab>LINE<tab>FUNCTION[<tab>NAME=REPR...]; local values with line events,
those of simple types only."""
import os
import sys
import threading
import types

PATH, OUT = sys.argv[1:3]
DEPTH, ITEMS, BYTES = 3, 16, 80
events = []
threads = {}
if sys.version_info[:2] == (3, 12):
    import ctypes
    get_var = ctypes.pythonapi.PyFrame_GetVar
    get_var.restype, get_var.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.py_object]


def simple(v, depth=0):
    """Its repr, None if it is not one of the types whose notation we promise, or is larger than the limits."""
    t = type(v)
    if v is None or t in (bool, float):
        return repr(v)
    if t is int:
        return repr(v) if v.bit_length() < 8 * BYTES else None
    if t in (str, bytes, bytearray):
        return repr(v) if len(v) <= BYTES and all(" " <= c <= "~" for c in (v if t is str else v.decode("latin-1"))) else None
    if t in (list, tuple):
        if len(v) > ITEMS or depth >= DEPTH:
            return None
        parts = [simple(x, depth + 1) for x in v]
        if None in parts:
            return None
        if t is list:
            return "[" + ", ".join(parts) + "]"
        return "(" + ", ".join(parts) + (",)" if len(parts) == 1 else ")")
    if t is dict:
        if len(v) > ITEMS or depth >= DEPTH:
            return None
        parts = [(simple(k, depth + 1), simple(x, depth + 1)) for k, x in v.items()]
        if any(None in p for p in parts):
            return None
        return "{" + ", ".join(f"{k}: {x}" for k, x in parts) + "}"
    return None


def outer_locals(frame):
    """f_locals of a module's or class's frame. In 3.12 a look at it binds to None, for the program too, variables of
    comprehensions that have none yet (PEP 709 has made them hidden locals of the module)."""
    if sys.version_info[:2] != (3, 12) or frame.f_code.co_name != "<module>":
        return frame.f_locals
    names = dict(frame.f_globals)
    for name in frame.f_code.co_varnames + frame.f_code.co_cellvars:
        try:
            names[name] = get_var(frame, name)
        except NameError:
            pass
    return names


def values(frame):
    code = frame.f_code
    if code.co_flags & 1:  # CO_OPTIMIZED
        names = frame.f_locals
    else:
        names = {k: v for k, v in outer_locals(frame).items() if not k.startswith("__")}
    for k, v in list(names.items()):
        if isinstance(v, (types.ModuleType, types.FunctionType, type)):
            continue
        r = simple(v)
        if r is not None:
            yield f"{k}={r}"


def trace(frame, event, arg):
    code = frame.f_code
    if code.co_filename != PATH:
        return None
    me = threads.setdefault(threading.get_ident() if not forked else -1, len(threads))
    line = [str(me), event, str(frame.f_lineno), getattr(code, "co_qualname", code.co_name)]
    if event == "line":
        line.extend(values(frame))
    elif event == "exception" and arg[0] in (StopIteration, StopAsyncIteration, GeneratorExit):
        line.append("maybe")
    events.append("\t".join(line))
    return trace


forked = False


def in_child():
    global forked
    forked = True
    events.clear()


def leave(status, really=os._exit):
    if forked:
        with open(OUT + ".child", "w") as f:
            f.write("\n".join(events) + "\n")
    really(status)


os.register_at_fork(after_in_child=in_child)
os._exit = leave


def start():
    # A thread's identity is used again when it has ended: a number of its own for each.
    me = threading.get_ident()
    if me in threads:
        threads[("ended", len(threads))] = threads.pop(me)


bootstrap = threading.Thread._bootstrap_inner


def run(self):
    start()
    bootstrap(self)


threading.Thread._bootstrap_inner = run
with open(PATH) as f:
    code = compile(f.read(), PATH, "exec")
main = types.ModuleType("__main__")
main.__file__ = PATH
sys.modules["__main__"] = main
sys.argv = [PATH]
sys.path[0] = PATH.rpartition("/")[0]
threads[threading.get_ident()] = 0
threading.settrace(trace)
sys.settrace(trace)
try:
    exec(code, main.__dict__)
finally:
    sys.settrace(None)
    threading.settrace(None)
    if not forked:
        with open(OUT, "w") as f:
            f.write("\n".join(events) + "\n")
