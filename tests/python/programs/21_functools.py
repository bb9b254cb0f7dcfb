# since 3.9
"""Functions called from C: sorted, map, filter, reduce, partial, itertools, total_ordering."""
import functools
import itertools
import operator


@functools.total_ordering
class Version:
    def __init__(self, text):
        self.parts = tuple(map(int, text.split(".")))

    def __eq__(self, o):
        return self.parts == o.parts

    def __lt__(self, o):
        return self.parts < o.parts

    def __hash__(self):
        return hash(self.parts)


@functools.singledispatch
def show(x):
    return "object"


@show.register
def _(x: int):
    return f"int {x}"


@show.register(list)
def _(x):
    return [show(i) for i in x]


def by_length(w):
    return len(w), w


print(sorted(["pear", "fig", "apple"], key=by_length), list(map(lambda x: x + 1, [1, 2])))
print(list(filter(lambda x: x % 2, range(6))), functools.reduce(lambda a, b: a * b, [1, 2, 3, 4]))
add3 = functools.partial(operator.add, 3)
print(add3(4), sorted(map(Version, ["1.10", "1.2"]))[0].parts, Version("1.0") >= Version("0.9"))
print(len({Version("1.0"), Version("1.0")}), show(1), show([2, "a"]))
for k, group in itertools.groupby([1, 1, 2, 3, 3], key=lambda x: x):
    print(k, list(group))
print(list(itertools.accumulate([1, 2, 3], lambda a, b: a + b)), list(itertools.takewhile(lambda x: x < 3, itertools.count())))


@functools.cache
def square(x):
    return x * x


print(square(3), square(3))


class Cached:
    @functools.cached_property
    def value(self):
        return 42


c = Cached()
print(c.value, c.value)
print(sorted([3, 1, 2], key=functools.cmp_to_key(lambda a, b: b - a)))
