"""Threads, one after the other and together, with locks and queues."""
import queue
import threading


def worker(n, out):
    total = 0
    for i in range(n):
        total += i * i
    out.append(total)


def producer(q, n):
    for i in range(n):
        q.put(i)
    q.put(None)


def consumer(q, got):
    while True:
        x = q.get()
        if x is None:
            break
        got.append(x)


out = []
for n in (3, 4):
    t = threading.Thread(target=worker, args=(n, out))
    t.start()
    t.join()
print(out)
q = queue.Queue()
got = []
a = threading.Thread(target=producer, args=(q, 5))
b = threading.Thread(target=consumer, args=(q, got))
a.start()
b.start()
a.join()
b.join()
print(got)
lock = threading.Lock()


class Shared:
    n = 0


def bump(times):
    for _ in range(times):
        with lock:
            Shared.n += 1


threads = [threading.Thread(target=bump, args=(50,)) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(Shared.n)
