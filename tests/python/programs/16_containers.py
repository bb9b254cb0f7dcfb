"""Containers changed in place: lists, dicts, sets, deques, nested ones."""
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple


def fill():
    items = []
    for i in range(4):
        items.append(i)
    items[1] = "one"
    items.insert(0, -1)
    del items[2]
    items.extend([7, 8])
    items.reverse()
    items.sort(key=str)
    return items


def tables():
    d = {}
    d["a"] = 1
    d["b"] = [2]
    d["b"].append(3)
    d.update(c=4)
    d.pop("a")
    d.setdefault("z", {})["deep"] = True
    e = d
    e["alias"] = None
    return d


def sets():
    s = set()
    s.add(1)
    s |= {2, 3}
    s.discard(1)
    f = frozenset(s)
    return s, f


def others():
    q = deque([1, 2, 3], maxlen=3)
    q.append(4)
    c = Counter("mississippi")
    o = OrderedDict(a=1)
    o["b"] = 2
    o.move_to_end("a")
    dd = defaultdict(list)
    dd["k"].append(1)
    P = namedtuple("P", "x y")
    p = P(1, 2)
    p = p._replace(y=5)
    b = bytearray(b"abc")
    b[0] = 65
    return list(q), c.most_common(1), list(o), dict(dd), p, bytes(b)


print(fill(), tables(), sets(), others())
m = [[0] * 3 for _ in range(2)]
m[1][2] = 5
print(m, m[::-1], m[0][:2])
