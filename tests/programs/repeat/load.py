# SPDX-License-Identifier: MIT
"""Endless work of one kind, for tests/repeat: load.py json|regex|sqlite|threads|subprocess."""
import json, os, queue, random, re, signal, sqlite3, subprocess, sys, threading, time, zlib

def json_(n):
    tree = {str(i): [i * 1.5, "x" * (i % 50), None, {"k": random.random()}] for i in range(200)}
    text = json.dumps(tree, indent=n % 3)
    assert json.loads(text) == tree

def regex(n):
    text = " ".join(f"{random.randrange(10**6)}@{i}.example.org" for i in range(300))
    found = re.findall(r"(\d+)@((?:\w+\.)+\w+)", text)
    assert len(found) == 300
    re.sub(r"(\d)(?=(?:\d{3})+@)", r"\1,", text)

db = None
def sqlite(n):
    global db
    if db is None:
        db = sqlite3.connect(":memory:" if len(sys.argv) < 3 else sys.argv[2])
        db.execute("create table if not exists t(k integer primary key, v text, r real)")
    with db:
        db.executemany("insert into t(v, r) values(?, ?)", ((os.urandom(8).hex(), random.random()) for _ in range(50)))
    db.execute("select count(*), avg(r), max(v) from t where v like '%a%'").fetchone()
    if n % 20 == 0:
        with db:
            db.execute("delete from t where k % 3 = 0")

work, done = queue.Queue(20), queue.Queue()
shared = [0]
def worker():
    while True:
        data = work.get()
        shared[0] += 1
        done.put(zlib.crc32(zlib.compress(data)))
        if shared[0] % 100 == 0:
            time.sleep(0.001)
def threads(n):
    if n == 0:
        for _ in range(4):
            threading.Thread(target=worker, daemon=True).start()
        signal.signal(signal.SIGPROF, lambda *a: shared.append(0) or shared.pop())
        signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)
    for i in range(20):
        work.put(os.urandom(2000) * 4)
    for i in range(20):
        done.get()

def subprocess_(n):
    out = subprocess.run(["/bin/sh", "-c", f"echo {n} | tr 0-9 a-j; exit {n % 5}"], capture_output=True)
    assert out.returncode == n % 5 and len(out.stdout) == len(str(n)) + 1
    with subprocess.Popen(["/usr/bin/sort", "-n"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.communicate(b"3\n1\n2\n")[0] == b"1\n2\n3\n"

kind = {"json": json_, "regex": regex, "sqlite": sqlite, "threads": threads, "subprocess": subprocess_}[sys.argv[1]]
n = 0
while True:
    kind(n)
    n += 1
    if n == 3:
        print("ready", flush=True)
