# since 3.10
"""Structural pattern matching."""
from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int


def describe(v):
    match v:
        case 0 | 1:
            return "bit"
        case int(n) if n < 0:
            return "negative"
        case [x]:
            return f"one {x}"
        case [x, *rest]:
            return f"{x} and {len(rest)}"
        case {"kind": kind, **other}:
            return f"{kind} {sorted(other)}"
        case Point(x=0, y=y):
            return f"on axis {y}"
        case Point(a, b):
            return f"point {a},{b}"
        case "a" | "b" as letter:
            return letter
        case None:
            return "none"
        case _:
            return "else"


for v in (0, -5, [1], (1, 2, 3), {"kind": "k", "z": 1}, Point(0, 2), Point(3, 4), "b", None, 3.5):
    print(describe(v))
