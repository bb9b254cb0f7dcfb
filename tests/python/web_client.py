# SPDX-License-Identifier: MIT
"""web_client.py PORT TAG ROUNDS: requests by three clients at once. Prints what a recording of web.py must have of each
request: function, lines as sys.settrace has them, result or exception; one a line, sorted."""
import json
import sys
import threading
import urllib.error
import urllib.request

import web

PORT, TAG, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3])
found = []


def lines(function, *args):
    """Which of its lines run."""
    seen = []

    def trace(frame, event, arg):
        if frame.f_code is not function.__code__:
            return None
        if event == "line":
            seen.append(frame.f_lineno)
        return trace

    sys.settrace(trace)
    try:
        function(*args)
    except (KeyError, ValueError):
        pass
    finally:
        sys.settrace(None)
    return ",".join(map(str, seen))


def get(path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}") as answer:
            return answer.read()
    except urllib.error.HTTPError as e:
        return e.read()


def client(n):
    for i in range(ROUNDS):
        answer = json.loads(get(f"/greet?name={TAG}{n}"))
        found.append(("greet", GREET, repr(answer)))
        answer = json.loads(get(f"/add?n={i}&n={n}&n=5"))
        found.append(("add", ADD, repr(answer)))
        assert get("/add?n=1&n=x").startswith(b"ValueError")
        found.append(("add", WRONG, "ValueError"))
        assert get("/nothing").startswith(b"KeyError")


GREET = lines(web.greet, {"name": ["someone"]})
ADD = lines(web.add, {"n": ["1", "2", "3"]})
WRONG = lines(web.add, {"n": ["1", "x"]})
threads = [threading.Thread(target=client, args=(n,)) for n in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert len(found) == 9 * ROUNDS
print("\n".join(sorted("\t".join(f) for f in found)))
