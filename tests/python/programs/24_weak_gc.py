"""Finalisers, weak references, cycles collected."""
import gc
import weakref


class Node:
    def __init__(self, name):
        self.name = name
        self.other = None

    def __del__(self):
        gone.append(self.name)


gone = []
n = Node("a")
del n
print(gone)
x, y = Node("x"), Node("y")
x.other, y.other = y, x
r = weakref.ref(x, lambda ref: gone.append("callback"))
del x, y
gc.collect()
print(sorted(gone), r() is None)
d = weakref.WeakValueDictionary()
k = Node("k")
d["k"] = k
print(len(d))
k = None
print(len(d), gone[-1])
w = weakref.finalize(Node, print, "never")
w.detach()
