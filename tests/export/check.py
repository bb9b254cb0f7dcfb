# SPDX-License-Identifier: MIT
"""Reads an export as its own format's reader would, and compares it with the answers of `ctbpf query`.

usage: check.py FORMAT EXPORT RECORDING [lines|log]        CTBPF: the program, PB: directory of generated modules"""
import collections
import gzip
import json
import os
import subprocess
import sys

sys.path[:0] = [os.environ.get("PB", "."), os.path.dirname(os.path.abspath(__file__))]
HERE = os.path.dirname(os.path.abspath(__file__))
Counter = collections.Counter


def query(sql):
    out = subprocess.run(
        [os.environ["CTBPF"], "query", "--json", RECORDING, sql], stdout=subprocess.PIPE, check=True
    ).stdout
    return [tuple(json.loads(line).values()) for line in out.splitlines()]


def value(sql):
    return query(sql)[0][0]


def same(got, want, what):
    if got != want:
        sys.exit("%s: %s: got %.2000r, expected %.2000r" % (sys.argv[1], what, got, want))


def schema(document, name):
    import jsonschema

    with open(os.path.join(HERE, name)) as f:
        jsonschema.Draft7Validator(json.load(f)).validate(document)


def calls_by_function():
    return Counter(dict(query("SELECT f.name, count(*) FROM calls c JOIN functions f ON f.id = function_id GROUP BY f.name")))


def threads():
    return query("SELECT id, tid, pid FROM threads WHERE id IN (SELECT thread_id FROM calls) ORDER BY id")


# ---- Tracks: perfetto and chrome become lists of (phase, time, name, category, args) for each track ----


def check_calls(tracks):
    """tracks: {tid: [(phase, time, name, category, args)]} with slices of calls in the order of the file."""
    begun, depth, deepest, ends = Counter(), 0, 0, Counter()
    for tid, events in tracks.items():
        stack, now = [], None
        for phase, time, name, category, args in events:
            if category not in ("call", None):
                continue
            assert now is None or time >= now, "time goes back"
            now = time
            if phase == "B":
                stack.append(name)
                if "resumed" not in args:
                    begun[name] += 1
                deepest = max(deepest, len(stack))
            elif phase == "E":
                assert stack, "an end without a beginning"
                stack.pop()
                for key in args:
                    ends[key] += 1
        assert not stack, "slices that do not end"
    same(begun, calls_by_function(), "calls of each function")
    same(deepest, value("SELECT max(depth) FROM calls"), "depth")
    same(ends["exception"], value("SELECT count(*) FROM calls WHERE state = 'raised'"), "calls left by an exception")
    same(ends["open"], value("SELECT count(*) FROM calls WHERE state = 'open'"), "open calls")


def check_times(tracks, first_ns):
    """Begin and end of the first calls are those of the database."""
    for thread, tid, _ in threads():
        events = [e for e in tracks[tid] if e[3] in ("call", None)]
        stack, spans = [], {}
        for phase, time, _, _, args in events:
            if phase == "B":
                stack.append((args["call"], time, "resumed" in args))
            elif phase == "E":
                call, begin, again = stack.pop()
                spans.setdefault(call, []).append((begin, time))
        generators = {c for c, in query("SELECT DISTINCT call_id FROM values WHERE kind IN ('yield', 'resume')")}
        for call, enter, leave in query(
            "SELECT id, enter_ns, exit_ns FROM calls WHERE thread_id = %d AND state != 'open'" % thread
        ):
            if call not in generators:
                same(spans[call], [(enter - first_ns, leave - first_ns)], "times of call %d" % call)


def check_log(tracks, counters, recording, running):
    same(
        sum(1 for t in tracks.values() for e in t if e[0] == "i" and e[3] == "syscall"),
        value("SELECT count(*) FROM events WHERE type IN ('syscall', 'enter')"),
        "system calls",
    )
    names = Counter(e[2] for t in tracks.values() for e in t if e[0] == "i" and e[3] == "syscall")
    same(
        names,
        Counter(dict(query("SELECT name, count(*) FROM events WHERE type IN ('syscall', 'enter') GROUP BY name"))),
        "names of system calls",
    )
    for kind, category in (("signal", "signal"), ("lost", "lost"), ("snapshot", "snapshot"), ("unsound", "unsound")):
        same(
            sum(1 for t in [*tracks.values(), recording] for e in t if e[3] == category),
            value("SELECT count(*) FROM events WHERE type = '%s'" % kind),
            kind,
        )
    begun = [e for e in running if e[0] == "B"]
    same(len(begun), len([e for e in running if e[0] == "E"]), "ends of slices of the CPU")
    same(len(begun), value("SELECT count(*) FROM events WHERE type = 'switch'"), "switches")
    assert counters["events/s"] and all(v >= 0 for _, v in counters["events/s"])
    same(sum(v for _, v in counters["events/s"]) // 100, value("SELECT count(*) FROM events"), "counted events")
    if not LOG:
        same(sum(v for _, v in counters["lines/s"]) // 100, value("SELECT count(*) FROM steps"), "counted lines")


def check_perfetto(path):
    import perfetto_pb2

    trace = perfetto_pb2.Trace()
    with open(path, "rb") as f:
        trace.ParseFromString(f.read())
    assert not trace.UnknownFields() if hasattr(trace, "UnknownFields") else True
    descriptors, names, keys, sources, categories, clocks = {}, {}, {}, {}, {}, {}
    tracks, counters, other = collections.defaultdict(list), collections.defaultdict(list), collections.defaultdict(list)
    cleared = set()
    snapshot = {c.clock_id: c.timestamp for p in trace.packet for c in p.clock_snapshot.clocks}
    assert {3, 6} <= set(snapshot), "a snapshot of both clocks"
    kinds = {1: "B", 2: "E", 3: "i"}
    for p in trace.packet:
        seq = p.trusted_packet_sequence_id
        assert seq > 0
        if p.HasField("track_descriptor"):
            assert p.track_descriptor.uuid not in descriptors, "a track twice"
            parent = p.track_descriptor.parent_uuid
            assert not parent or parent in descriptors
            descriptors[p.track_descriptor.uuid] = p.track_descriptor
        if not p.HasField("track_event"):
            continue
        if p.sequence_flags & 1:
            assert seq not in cleared
            cleared.add(seq)
        assert p.sequence_flags & 2 and seq in cleared, "state that was not begun"
        if p.HasField("trace_packet_defaults"):
            clocks[seq] = p.trace_packet_defaults.timestamp_clock_id
        same(clocks[seq], 3, "clock of a sequence")
        for table, field in ((names, "event_names"), (keys, "debug_annotation_names"), (categories, "event_categories")):
            for item in getattr(p.interned_data, field):
                assert (seq, item.iid) not in table and item.iid
                table[seq, item.iid] = item.name
        for item in p.interned_data.source_locations:
            sources[seq, item.iid] = (item.file_name, item.function_name, item.line_number)
        e = p.track_event
        track = descriptors[e.track_uuid]
        if e.type == 4:
            assert track.HasField("counter")
            counters[track.name].append((p.timestamp, e.counter_value))
            continue
        name = names[seq, e.name_iid] if e.name_iid else e.name
        if e.source_location_iid:
            same(sources[seq, e.source_location_iid][1], name, "source of a call")
        args = {
            keys[seq, a.name_iid]: a.string_value if a.HasField("string_value") else a.int_value
            for a in e.debug_annotations
        }
        assert len(e.category_iids) == (e.type != 2)
        category = categories[seq, e.category_iids[0]] if e.category_iids else None
        to = tracks[track.thread.tid] if track.HasField("thread") else other[track.name]
        to.append((kinds[e.type], p.timestamp, name, category, args))
    check_log(tracks, counters, other["recording"], other["running"])
    if not LOG:
        check_calls(tracks)
        check_times(tracks, 0)
        functions = set(query("SELECT coalesce(path, '?'), f.name, coalesce(line, 0) FROM functions f LEFT JOIN files ON files.id = file_id WHERE f.id IN (SELECT function_id FROM calls)"))
        same(set(sources.values()), functions, "sources")


def check_chrome(path):
    with open(path) as f:
        trace = json.load(f)
    schema(trace, "chrome.schema.json")
    tracks, counters, named = collections.defaultdict(list), collections.defaultdict(list), {}
    for e in trace["traceEvents"]:
        if e["ph"] == "M":
            named[e["name"], e["pid"], e["tid"]] = e["args"]["name"]
        elif e["ph"] == "C":
            counters[e["name"]].append((e["ts"], e["args"]["value"]))
        else:
            assert ("thread_name", e["pid"], e["tid"]) in named, "a thread without a name"
            time = round(e["ts"] * 1000)
            tracks[e["pid"], e["tid"]].append((e["ph"], time, e.get("name"), e.get("cat"), e.get("args", {})))
    other = {named["thread_name", pid, tid]: v for (pid, tid), v in tracks.items() if pid == 0}
    tracks = {tid: v for (pid, tid), v in tracks.items() if pid}
    check_log(tracks, counters, other["recording"], other.get("running", []))
    if not LOG:
        check_calls(tracks)
        check_times(tracks, int(trace["otherData"]["start_monotonic_ns"]))


# ---- Profiles ----


def check_speedscope(path):
    with open(path) as f:
        document = json.load(f)
    schema(document, "speedscope.schema.json")
    frames = document["shared"]["frames"]
    same(
        [(f["name"], f.get("file", "?"), f.get("line", 0)) for f in frames],
        query("SELECT f.name, coalesce(path, '?'), coalesce(line, 0) FROM functions f LEFT JOIN files ON files.id = file_id ORDER BY f.id"),
        "frames",
    )
    opened, deepest, self_time = Counter(), 0, Counter()
    same(len(document["profiles"]), value("SELECT count(*) FROM threads"), "profiles")
    for profile in document["profiles"]:
        stack, now = [], profile["startValue"]
        for e in profile["events"]:
            assert e["at"] >= now, "time goes back"
            if stack:
                self_time[frames[stack[-1]]["name"]] += e["at"] - now
            now = e["at"]
            if e["type"] == "O":
                stack.append(e["frame"])
                opened[frames[e["frame"]]["name"]] += 1
                deepest = max(deepest, len(stack))
            else:
                same(stack.pop(), e["frame"], "the frame that closes")
        assert not stack and profile["endValue"] >= now
    resumed = value("SELECT count(*) FROM values WHERE kind = 'resume'")
    same(sum(opened.values()), value("SELECT count(*) FROM calls") + resumed, "calls and resumptions")
    same(deepest, value("SELECT max(depth) FROM calls"), "depth")
    column = "steps" if LINES else "self_ns"
    if LINES:
        same(sum(self_time.values()), value("SELECT count(*) FROM steps"), "lines")
    want = query("SELECT f.name, sum(%s) AS n FROM stats JOIN functions f ON f.id = function_id GROUP BY f.name HAVING n" % column)
    if LINES or not resumed:
        same(+self_time, Counter(dict(want)), column)


def check_folded(path):
    total, leaf = 0, Counter()
    with open(path) as f:
        for line in f.read().splitlines():
            stack, _, amount = line.rpartition(" ")
            assert int(amount) > 0
            frames = stack.split(";")
            assert frames[0].startswith("thread ")
            leaf[frames[-1]] += int(amount)
            total += int(amount)
    column = "steps" if LINES else "self_ns"
    if LINES:
        same(total, value("SELECT count(*) FROM steps"), "lines")
    if LINES or not value("SELECT count(*) FROM values WHERE kind = 'resume'"):
        want = query("SELECT f.name, sum(%s) AS n FROM stats JOIN functions f ON f.id = function_id GROUP BY f.name HAVING n" % column)
        same(leaf, Counter(dict(want)), column)


def check_pprof(path):
    import profile_pb2

    with open(path, "rb") as f:
        data = f.read()
    assert data[:2] == b"\x1f\x8b", "gzip"
    p = profile_pb2.Profile()
    p.ParseFromString(gzip.decompress(data))
    s = p.string_table
    same(s[0], "", "first string")
    same([(s[t.type], s[t.unit]) for t in p.sample_type], [("calls", "count"), ("lines", "count"), ("time", "nanoseconds")], "types")
    same(s[p.default_sample_type], "time", "default type")
    functions = {f.id: f for f in p.function}
    locations = {l.id: l for l in p.location}
    assert len(functions) == len(p.function) and len(locations) == len(p.location) and 0 not in locations
    places = {}
    for l in p.location:
        (line,) = l.line
        f = functions[line.function_id]
        places[l.id] = (s[f.name], s[f.filename], line.line)
    lines = value("SELECT count(*) FROM lines")
    calls, hits, self_ns, edges, seen = Counter(), Counter(), Counter(), Counter(), set()
    for sample in p.sample:
        same(len(sample.value), 3, "values of a sample")
        labels = {s[l.key]: l.num for l in sample.label}
        key = (tuple(sample.location_id), labels["thread_id"])
        assert key not in seen and labels["tid"]
        seen.add(key)
        name, file, line = places[sample.location_id[0]]
        calls[name] += sample.value[0]
        hits[name, file, line] += sample.value[1]
        self_ns[name] += sample.value[2]
        # A caller that was there before the recording has no line yet.
        if sample.value[0] and len(sample.location_id) > 1 and sample.location_id[1] <= lines:
            edges[places[sample.location_id[1]] + (name,)] += sample.value[0]
    same(+calls, calls_by_function(), "calls")
    same(
        +hits,
        Counter({(n, p, l): h for n, p, l, h in query(
            "SELECT f.name, path, l.line, sum(hits) FROM lines l JOIN functions f ON f.id = function_id "
            "JOIN files ON files.id = l.file_id GROUP BY 1, 2, 3")}),
        "hits of lines",
    )
    same(
        +edges,
        Counter({(n, p, l, c): k for n, p, l, c, k in query(
            "SELECT a.name AS caller, path, s.line, b.name AS callee, sum(s.calls) AS n FROM sites s JOIN functions a ON a.id = caller_id "
            "JOIN functions b ON b.id = s.function_id JOIN files ON files.id = s.file_id GROUP BY 1, 2, 3, 4")}),
        "who calls whom from where",
    )
    if not value("SELECT count(*) FROM values WHERE kind = 'resume'"):
        want = query("SELECT f.name, sum(self_ns) AS n FROM stats JOIN functions f ON f.id = function_id GROUP BY f.name HAVING n")
        same(+self_ns, Counter(dict(want)), "time")
    first, last = query("SELECT min(time_ns), max(time_ns) FROM events")[0]
    same(p.duration_nanos, last - first, "duration")


# ---- CodeTracer ----


def shown(v):
    """A value as `query` writes it, for the kinds that have one way."""
    kind = v["kind"]
    if kind == "Int":
        return str(v["i"])
    if kind == "Bool":
        return str(v["b"])
    if kind == "None":
        return "None"
    if kind == "Raw":
        return v["r"]
    if kind == "Tuple" and len(v["elements"]) > 1 or kind == "Sequence" and v["elements"]:
        parts = [shown(e) for e in v["elements"]]
        if None not in parts and not any(e["kind"] == "Tuple" for e in v["elements"]):
            return ("(%s)" if kind == "Tuple" else "[%s]") % ", ".join(parts)
    return None


def same_value(got, text, what):
    """A set is a sequence in CodeTracer's traces."""
    got = shown(got)
    if got is not None and "..." not in text and got != text.replace("{", "[").replace("}", "]"):
        same(got, text, what)


def where(step):
    out = subprocess.run(
        [os.environ["CTBPF"], "query", "--json", "--where", "s:%d" % step, RECORDING], stdout=subprocess.PIPE, check=True
    ).stdout
    frame = json.loads(out)["frames"][0]
    return {l["name"]: l["value"] for l in frame["locals"]}


def check_codetracer(folder):
    import ctfs

    same(sorted(os.listdir(folder)), sorted("thread-%d" % t for t, _, _ in threads()), "folders")
    resumes = Counter(dict(query("SELECT c.thread_id, count(*) FROM values v JOIN calls c ON c.id = v.call_id WHERE v.kind = 'resume' GROUP BY 1")))
    ids = set()
    for thread, tid, _ in threads():
        sub = os.path.join(folder, "thread-%d" % thread)
        for root, dirs, files in os.walk(sub):
            for name in dirs + files:
                mode = os.lstat(os.path.join(root, name)).st_mode & 0o7777
                same(mode, 0o700 if name in dirs else 0o600, "mode of " + name)
        container = os.path.exists(os.path.join(sub, "trace.ct"))
        trace = ctfs.read_container(sub) if container else ctfs.read_folder(sub)
        ids.add(trace["id"])
        assert len(trace["id"]) == 36 and trace["id"][14] == "7" and trace["id"][19] in "89ab"
        same(trace["tid"], tid, "tid")
        if container:
            same((trace["container"], trace["meta"]), (4, 3), "versions")
        calls, steps = trace["calls"], trace["steps"]
        firsts = {c["first"] for c in calls}
        own = [s for i, s in enumerate(steps) if i not in firsts]
        want = query("SELECT s.id, path, line FROM steps s JOIN files ON files.id = file_id WHERE thread_id = %d ORDER BY s.id" % thread)
        same([s[:2] for s in own], [w[1:] for w in want], "lines of thread %d" % thread)
        rows = query(
            "SELECT c.id, f.name, path, f.line, depth, first_step, last_step FROM calls c JOIN functions f ON f.id = function_id "
            "LEFT JOIN files ON files.id = f.file_id WHERE thread_id = %d ORDER BY c.id" % thread
        )
        again = len(calls) - 1 - len(rows)
        same(again, resumes[thread], "resumed calls of thread %d" % thread)
        for i, call in enumerate(calls):
            assert 0 <= call["first"] <= call["last"] < len(steps)
            if i:
                parent = calls[call["parent"]]
                assert call["parent"] < i and call["depth"] == parent["depth"] + 1
                assert parent["first"] <= call["first"] and call["last"] <= parent["last"]
        same(calls[0]["function"], "<toplevel>", "outermost")
        if not again:
            same([(c["function"], c["depth"]) for c in calls[1:]], [(r[1], r[4]) for r in rows], "calls of thread %d" % thread)
            same([steps[c["first"]][:2] for c in calls[1:]], [(r[2] or "?", r[3] or 0) for r in rows], "where calls begin")
            line_of = [w[0] for w in want]
            position = {s: k for k, s in enumerate(line_of)}
            index = [i for i in range(len(steps)) if i not in firsts]
            for call, row in zip(calls[1:], rows):
                own_steps = [k for k in range(call["first"], call["last"] + 1) if k not in firsts]
                same(bool(own_steps), row[6] is not None, "lines within call %d" % row[0])
                if own_steps and row[5]:
                    assert index[position[row[5]]] >= own_steps[0]
                    same(own_steps[-1], index[position[row[6]]], "last line of call %d" % row[0])
            for i, row in enumerate(rows):
                args = dict(query("SELECT name, repr FROM values WHERE call_id = %d AND kind = 'argument'" % row[0])) if i < 12 else None
                if args is not None:
                    same(set(calls[1 + i]["args"]), set(args), "arguments of call %d" % row[0])
                    for name, v in calls[1 + i]["args"].items():
                        same_value(v, args[name], "argument %s of call %d" % (name, row[0]))
                    for kind, text in query("SELECT kind, repr FROM values WHERE call_id = %d AND kind = 'return'" % row[0]):
                        same_value(calls[1 + i]["value"], text, "result of call %d" % row[0])
        raised = value("SELECT count(*) FROM calls WHERE state = 'raised' AND thread_id = %d" % thread)
        same(sum(1 for c in calls if c["error"]), raised, "calls left by an exception")
        every = max(1, len(want) // 10)
        for k in range(0, len(want), every):
            got = {n: v for n, v in own[k][2].items() if n != "<exception>"}
            locals_ = where(want[k][0])
            same(set(got), {n for n, v in locals_.items() if v != "<unset>"}, "variables at step %d" % want[k][0])
            for name, v in got.items():
                same_value(v, locals_[name], "%s at step %d" % (name, want[k][0]))
        wrote = query("SELECT count(*) FROM events WHERE type = 'syscall' AND name IN ('write', 'writev', 'pwrite64', 'pwritev', 'read', 'readv', 'pread64', 'preadv', 'open', 'openat', 'openat2', 'creat', 'sendto', 'sendmsg', 'recvfrom', 'recvmsg', 'connect', 'accept', 'accept4') AND result >= 0 AND thread_id = %d" % thread)
        same(len(trace["events"]), wrote[0][0], "input and output of thread %d" % thread)
    same(len(ids), len(threads()), "different ids")


def check_same(first, second):
    """The folder and the container of one recording say the same."""
    import ctfs

    for name in sorted(os.listdir(first)):
        a = ctfs.read_container(os.path.join(first, name))
        b = ctfs.read_folder(os.path.join(second, name))
        for key in ("id", "program", "args", "workdir", "tid", "steps"):
            same(b[key], a[key], key)
        none = {"kind": "None"}
        for x, y in zip(a["calls"], b["calls"]):
            same({**y, "value": y["value"] or none}, {**x, "value": x["value"] or none}, "a call")
        same(len(b["calls"]), len(a["calls"]), "calls")
        same([e[0] for e in b["events"]], [e[0] for e in a["events"]], "lines of events")


RECORDING = sys.argv[3]
LINES, LOG = sys.argv[4:] == ["lines"], sys.argv[4:] == ["log"]
if sys.argv[1] == "same":
    check_same(sys.argv[2], sys.argv[3])
else:
    globals()["check_" + sys.argv[1]](sys.argv[2])
