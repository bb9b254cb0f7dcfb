"""Imports inside functions, of packages, by name, failing; code from eval, exec and compile."""
import importlib


def lazy():
    import string
    from os import path as p

    return string.digits, p.basename("/a/b")


def missing():
    try:
        import no_such_module_here  # noqa
    except ImportError as e:
        return e.name


print(lazy(), missing(), importlib.import_module("colorsys").rgb_to_hsv(1, 0, 0))
print(eval("1 + x", {"x": 2}))
ns = {}
exec("def f(a):\n    b = a * 2\n    return b\n", ns)
print(ns["f"](4))
for i in range(3):
    code = compile(f"def g():\n    return {i}\n", "<made>", "exec")
    exec(code, ns)
    print(ns["g"]())
