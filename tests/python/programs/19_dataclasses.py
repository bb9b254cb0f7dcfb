# since 3.10
"""Dataclasses and enums."""
import enum
from dataclasses import asdict, dataclass, field, replace


class Color(enum.Enum):
    RED = 1
    GREEN = 2

    def other(self):
        return Color.GREEN if self is Color.RED else Color.RED


class Flag(enum.IntFlag):
    A = 1
    B = 2


@dataclass(order=True)
class Item:
    name: str
    price: float = 1.0
    tags: list = field(default_factory=list)

    def __post_init__(self):
        self.tags.append(self.name[0])

    @property
    def total(self):
        return self.price * len(self.tags)


@dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: int = 2


i = Item("apple", 2.5)
j = replace(i, name="pear")
print(i, j, i < j, asdict(j), i.total)
f = Frozen(1)
try:
    f.a = 3
except Exception as e:
    print(type(e).__name__)
print(f, Color.RED.other(), Color(2).name, Flag.A | Flag.B, [c.value for c in Color])
