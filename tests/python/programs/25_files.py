"""Files and paths: written, read by line, binary, in memory, csv, pickle, struct."""
import csv
import io
import os
import pickle
import struct
import tempfile


class Upper(io.TextIOBase):
    def __init__(self):
        self.got = []

    def write(self, s):
        self.got.append(s.upper())
        return len(s)


class Pickled:
    def __init__(self, a):
        self.a = a

    def __getstate__(self):
        return {"a": self.a + 1}

    def __setstate__(self, s):
        self.a = s["a"] * 10


with tempfile.TemporaryDirectory() as d:
    path = os.path.join(d, "f.txt")
    with open(path, "w") as f:
        f.write("one\ntwo\n")
        print("three", file=f)
    with open(path) as f:
        for i, line in enumerate(f):
            print(i, line.rstrip())
    print(os.path.getsize(path), sorted(os.listdir(d)))
u = Upper()
print("hello", file=u)
print(u.got)
out = io.StringIO()
w = csv.writer(out)
w.writerow([1, "a,b"])
print(next(csv.reader(io.StringIO(out.getvalue()))))
p = pickle.loads(pickle.dumps(Pickled(1)))
print(p.a, struct.unpack("<Hb", struct.pack("<Hb", 500, -3)))
