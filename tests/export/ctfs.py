# SPDX-License-Identifier: MIT
"""Reads CodeTracer's traces, the container and the folder with trace.json, to one form. Knows the formats only.

A trace: steps [(path, line, {name: value})], calls [{function, parent, first, last, depth, args, value, error}],
events [(step, fd text, content)]. A value: the map that the trace has, without type_id."""
import ctypes
import json
import os
import struct

zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
zstd.ZSTD_decompress.restype = ctypes.c_size_t


def unpack_frame(data):
    size = zstd.ZSTD_getFrameContentSize(data, ctypes.c_size_t(len(data)))
    assert size < 2**32, "a frame must say its size"
    out = ctypes.create_string_buffer(size + 1)
    got = zstd.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    assert got == size, "bad zstd frame"
    return out.raw[:size]


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        assert n <= self.left(), "cut short"
        self.at += n
        return self.data[self.at - n : self.at]

    def byte(self):
        return self.take(1)[0]

    def uint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def sint(self):
        v = self.uint()
        return v >> 1 if v % 2 == 0 else -(v >> 1) - 1

    def text(self):
        return self.take(self.uint()).decode()

    def cbor(self):
        head = self.byte()
        major, n = head >> 5, head & 31
        if major == 7:
            if n == 27:
                return struct.unpack(">d", self.take(8))[0]
            return {20: False, 21: True, 22: None}[n]
        if n >= 24:
            n = int.from_bytes(self.take(1 << (n - 24)), "big")
        if major == 0:
            return n
        if major == 1:
            return -1 - n
        if major == 2:
            return self.take(n)
        if major == 3:
            return self.take(n).decode()
        if major == 4:
            return [self.cbor() for _ in range(n)]
        assert major == 5, "no such CBOR in values"
        pairs = [(self.cbor(), self.cbor()) for _ in range(n)]
        assert pairs[0][0] == "kind" and pairs[-1][0] == "type_id"
        return dict(pairs)


class Container:
    """Named streams in blocks."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        head = self.data[:16]
        assert head[:5] == bytes((0xC0, 0xDE, 0x72, 0xAC, 0xE2)), "magic"
        self.version = head[5]
        assert head[6] == 0 and head[7] == 0, "encrypted or sharded"
        self.block, entries = struct.unpack_from("<II", head, 8)
        assert len(self.data) % self.block == 0, "not whole blocks"
        self.used = {0}
        self.streams = {}
        for i in range(entries):
            size, mapping, name = struct.unpack_from("<QQQ", self.data, 16 + 24 * i)
            if name:
                self.streams[self.name(name)] = self.read(size, mapping)
        assert self.used == set(range(len(self.data) // self.block)), "blocks that belong to nothing"

    @staticmethod
    def name(v):
        alphabet = "\0" + "0123456789abcdefghijklmnopqrstuvwxyz./-"
        text = ""
        while v:
            text += alphabet[v % 40]
            v //= 40
        return text

    def numbers(self, block):
        assert 0 < block < len(self.data) // self.block, "a mapping that leads out of the file"
        self.used.add(block)
        return struct.unpack_from("<%dQ" % (self.block // 8), self.data, block * self.block)

    def data_blocks(self, block, level):
        """Of a mapping block and the levels behind it: data blocks in their order."""
        numbers = self.numbers(block)
        yield from self.below(numbers[:-1], level - 1)
        if numbers[-1]:
            yield from self.data_blocks(numbers[-1], level + 1)

    def below(self, numbers, level):
        for n in numbers:
            if n == 0:
                return
            if level == 0:
                yield n
            else:
                yield from self.below(self.numbers(n)[:-1], level - 1)

    def read(self, size, mapping):
        blocks = list(self.data_blocks(mapping, 1))
        assert len(blocks) == -(-size // self.block), "blocks do not fit the size"
        assert not self.used & set(blocks), "a block twice"
        self.used.update(blocks)
        return b"".join(self.data[b * self.block : (b + 1) * self.block] for b in blocks)[:size]

    def chunks(self, name):
        index, data = self.streams[name + ".idx"], self.streams[name + ".dat"]
        (per_chunk,) = struct.unpack_from("<I", index)
        offsets = list(struct.unpack_from("<%dQ" % ((len(index) - 4) // 8), index, 4)) + [len(data)]
        for begin, end in zip(offsets, offsets[1:]):
            yield per_chunk, Bytes(unpack_frame(data[begin:end]))

    def records(self, name):
        for per_chunk, chunk in self.chunks(name):
            n = 0
            while chunk.left():
                yield Bytes(chunk.take(chunk.uint()))
                n += 1
            assert 0 < n <= per_chunk

    def names(self, name):
        offsets, data = self.streams[name + ".off"], self.streams[name + ".dat"]
        at = struct.unpack("<%dQ" % (len(offsets) // 8), offsets)
        assert at[0] == 0 and at[-1] == len(data)
        return [data[a:b].decode() for a, b in zip(at, at[1:])]


def plain(value):
    """Without numbers of types, which depend on the order of definitions, and what only one form has."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    value = {k: plain(v) for k, v in value.items() if k != "type_id"}
    if value["kind"] == "Bool":
        value.pop("text", None)
    if value["kind"] == "Float":
        value["f"] = repr(float(value["f"]))
    return value


def read_container(folder):
    c = Container(os.path.join(folder, "trace.ct"))
    paths, functions, types, names = (c.names(n) for n in ("paths", "funcs", "types", "varnames"))
    meta = Bytes(c.streams["meta.dat"])
    assert meta.take(4) == b"CTMD"
    version, flags = struct.unpack("<HH", meta.take(4))
    trace = {"container": c.version, "meta": version, "id": meta.text(), "program": meta.text()}
    trace["args"] = [meta.text() for _ in range(meta.uint())]
    trace["workdir"], trace["recorder"] = meta.text(), meta.text()
    assert [meta.text() for _ in range(meta.uint())] == paths and meta.left() == 0
    assert flags == 0x1F00 and types[0] == "None" and functions[0] == "<toplevel>"

    def value(b):
        raw = Bytes(b.take(b.uint()))
        v = raw.cbor()
        assert raw.left() == 0 and v["type_id"] < len(types)
        return plain(v)

    places = []
    for per_chunk, chunk in c.chunks("steps"):
        line, n = None, 0
        while chunk.left():
            tag = chunk.byte()
            if tag == 0:
                line = chunk.uint()
            elif tag == 1:
                assert line is not None, "a chunk must begin with a whole place"
                line += chunk.sint()
            else:
                assert tag == 5, "thread start"
                trace["tid"] = chunk.uint()
            places.append((paths[line // 100000], line % 100000) if tag < 2 else None)
            n += 1
        assert n <= per_chunk
    values = []
    for record in c.records("values"):
        variables = {}
        if record.left():
            assert record.byte() == 0
            for _ in range(record.uint()):
                name = names[record.uint()]
                assert name not in variables
                variables[name] = value(record)
            assert record.left() == 0
        values.append(variables)
    assert len(values) == len(places)
    trace["steps"] = [p and (p[0], p[1], v) for p, v in zip(places, values)]
    calls, kids = [], []
    for record in c.records("calls"):
        call = {"function": functions[record.uint()], "parent": record.sint(), "first": record.uint()}
        call["last"], call["depth"] = record.uint(), record.uint()
        call["args"] = {}
        for _ in range(record.uint()):
            name = names[record.uint()]
            call["args"][name] = value(record)
        result = record.take(record.uint())
        call["value"] = None if result == b"\xff" else plain(Bytes(result).cbor())
        call["error"] = record.text()
        kids.append([record.uint() for _ in range(record.uint())])
        assert record.left() == 0
        calls.append(call)
    made = [[] for _ in calls]
    for i, call in enumerate(calls):
        assert call["parent"] < i
        if i:
            made[call["parent"]].append(i)
    assert kids == made
    trace["calls"] = calls
    trace["events"] = []
    for record in c.records("events"):
        kind, step, meta, length = record.byte(), record.uint(), record.text(), record.uint()
        assert kind in (0, 4, 12) and step < len(places)
        trace["events"].append((step, meta, record.take(length)))
        assert record.left() == 0
    return trace


def read_folder(folder):
    with open(os.path.join(folder, "trace.json")) as f:
        events = json.load(f)
    with open(os.path.join(folder, "trace_metadata.json")) as f:
        meta = json.load(f)
    with open(os.path.join(folder, "trace_paths.json")) as f:
        all_paths = json.load(f)
    trace = {"id": meta["recording_id"], "program": meta["program"], "args": meta["args"]}
    trace["workdir"] = meta["workdir"]
    paths, functions, types, names = [], [], [], []
    steps, calls, happened, stack = [None], [], [], []

    def value(v):
        if isinstance(v, dict):
            assert v["kind"] == "Cell" or v["type_id"] < len(types)
            for child in v.values():
                value(child)
        elif isinstance(v, list):
            for child in v:
                value(child)
        return plain(v) if isinstance(v, dict) else v

    for event in events:
        ((kind, body),) = event.items()
        if kind == "Path":
            paths.append(body)
        elif kind == "Function":
            assert body["path_id"] < len(paths)
            functions.append(body)
        elif kind == "Type":
            types.append(body["lang_type"])
        elif kind == "VariableName":
            names.append(body)
        elif kind == "ThreadStart":
            trace["tid"] = body
        elif kind == "Step":
            steps.append((paths[body["path_id"]], body["line"], {}))
        elif kind == "Value":
            name = names[body["variable_id"]]
            assert name not in steps[-1][2]
            steps[-1][2][name] = value(body["value"])
        elif kind == "Call":
            call = {"function": functions[body["function_id"]]["name"], "first": len(steps) - 1}
            call["parent"], call["depth"] = stack[-1] if stack else -1, len(stack)
            call["args"] = {names[a["variable_id"]]: value(a["value"]) for a in body["args"]}
            call["value"], call["error"], call["last"] = None, "", None
            stack.append(len(calls))
            calls.append(call)
        elif kind == "Return":
            call = calls[stack.pop()]
            result = value(body["return_value"])
            if result["kind"] == "Error":
                call["error"] = result["msg"]
            else:
                call["value"] = result
            call["last"] = len(steps) - 1
        else:
            assert kind == "Event", kind
            happened.append((len(steps) - 1, body["metadata"], body["content"]))
    assert paths == all_paths and types[0] == "None" and stack[:1] == [0]
    for i in stack:
        calls[i]["last"] = len(steps) - 1
    trace["steps"], trace["calls"], trace["events"] = steps, calls, happened
    return trace
