"""The standard library at work: logging, argparse, datetime, textwrap, collections.abc, typing, unittest."""
import argparse
import collections.abc
import datetime
import io
import logging
import textwrap
import unittest
from typing import Generic, TypeVar

T = TypeVar("T")


class Stack(Generic[T]):
    def __init__(self):
        self.items = []

    def push(self, x: T) -> None:
        self.items.append(x)


class Mapping(collections.abc.Mapping):
    def __init__(self, **kw):
        self.kw = kw

    def __getitem__(self, k):
        return self.kw[k]

    def __iter__(self):
        return iter(self.kw)

    def __len__(self):
        return len(self.kw)


class Handler(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())


class Test(unittest.TestCase):
    def setUp(self):
        self.n = 1

    def test_one(self):
        self.assertEqual(self.n, 1)

    def test_two(self):
        with self.assertRaises(ValueError):
            raise ValueError


records = []
log = logging.getLogger("t")
log.setLevel(logging.INFO)
log.addHandler(Handler())
log.info("hello %s", "there")
log.debug("not this")
p = argparse.ArgumentParser()
p.add_argument("-n", type=lambda s: int(s) * 2, default=1)
print(p.parse_args(["-n", "4"]).n, records)
print((datetime.date(2024, 2, 28) + datetime.timedelta(days=2)).isoformat())
print(textwrap.fill("some words that are wrapped", 12))
m = Mapping(a=1, b=2)
print(dict(m), "a" in m, m.get("z", 0), list(m.items()))
s = Stack[int]()
s.push(1)
print(s.items)
result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromTestCase(Test))
print(result.testsRun, result.wasSuccessful())
