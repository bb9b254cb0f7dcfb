# SPDX-License-Identifier: MIT
"""What the live calls of the shops in 541 and 545 have in common: requests whose calls are known, 20 in a row, for ever."""
import collections
import json


def read(path):
    """(functions by id, {tid: events}) of `ctbpf dump --json --type call,return,function`."""
    functions, threads = {}, collections.defaultdict(list)
    with open(path) as lines:
        for e in map(json.loads, lines):
            if e["type"] == "function":
                functions[e["function"]] = e
            else:
                threads[e["tid"]].append(e)
    return functions, threads


def requests(events, cycle, tid):
    """How many whole requests there are. Each has the calls that come next in the cycle: none is missing, none more."""
    calls = [(e["depth"], e["name"]) for e in events if e["type"] == "call"]
    starts = [i for i, c in enumerate(calls) if c == (1, "request")]
    assert len(starts) > 25, len(starts)
    got = [calls[a:b] for a, b in zip(starts, starts[1:])]
    at = [i for i, g in enumerate(got) if g == cycle[0]]
    assert at, (tid, got[:3], cycle[0])
    for i, g in enumerate(got):
        assert g == cycle[(i - at[0]) % 20], (tid, i, at[0], g, cycle[(i - at[0]) % 20])
    return len(got)


def raised(events):
    """How often each function was left by an exception. Returns are those of the calls they are open with."""
    stack, count = [], collections.Counter()
    for e in events:
        if e["type"] == "call":
            del stack[e["depth"] - 1:]
            stack.append(e)
            continue
        call = stack[e["depth"] - 1]
        del stack[e["depth"] - 1:]
        assert call["function"] == e["function"], (e, call)
        count[e["name"]] += e["raised"]
    return +count


def one_thread(threads, cycle, fails, ensures, times):
    """Only these two are left by exceptions: one so many times in each request, the other once."""
    assert len(threads) == 1, list(threads)
    for tid, events in threads.items():
        whole = requests(events, cycle, tid)
        left = raised(events[next(i for i, e in enumerate(events) if e["type"] == "call" and e["depth"] == 1):])
        assert set(left) == {fails, ensures}, left
        assert left[fails] >= times * (left[ensures] - 1) >= times * (whole - 2), (left, whole)
