"""Files and paths: written, read by line, binary, in memory, csv, pickle, struct."""
import csv
import io
import pathlib
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


u = Upper()
with tempfile.TemporaryDirectory() as u.name:  # it is another one every time
    d = pathlib.Path(u.name)
    path = d / "f.txt"
    with open(path, "w") as f:
        f.write("one\ntwo\n")
        print("three", file=f)
    with open(path) as f:
        for i, line in enumerate(f):
            print(i, line.rstrip())
    print(path.stat().st_size, sorted(p.name for p in d.iterdir()))
print("hello", file=u)
print(u.got)
out = io.StringIO()
w = csv.writer(out)
w.writerow([1, "a,b"])
print(next(csv.reader(io.StringIO(out.getvalue()))))
p = pickle.loads(pickle.dumps(Pickled(1)))
print(p.a, struct.unpack("<Hb", struct.pack("<Hb", 500, -3)))
