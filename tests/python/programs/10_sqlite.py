"""sqlite3 with functions, aggregates and row factories written in Python."""
import sqlite3


class Median:
    def __init__(self):
        self.v = []

    def step(self, x):
        self.v.append(x)

    def finalize(self):
        self.v.sort()
        return self.v[len(self.v) // 2]


def row(cursor, r):
    return {d[0]: v for d, v in zip(cursor.description, r)}


db = sqlite3.connect(":memory:")
db.create_function("twice", 1, lambda x: x * 2)
db.create_aggregate("median", 1, Median)
db.execute("create table t (a integer, b text)")
with db:
    db.executemany("insert into t values (?, ?)", [(i, f"n{i}") for i in range(5)])
print(db.execute("select twice(a) from t where a > 2").fetchall())
print(db.execute("select median(a) from t").fetchone())
db.row_factory = row
for r in db.execute("select a, b from t limit 2"):
    print(r)
try:
    db.execute("select nothing from nowhere")
except sqlite3.OperationalError as e:
    print(e)
db.close()
