#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A reader of step databases written after docs/stepdb.md alone: prints every row. Usage: stepdb_reader.py STEPS_DIR

Shares no code with ctbpf: what it prints is what the page says the bytes mean. Ends with an error if a check fails.
"""
import ctypes
import sqlite3
import struct
import sys

TABLE = [0] * 256
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    TABLE[i] = c
M64 = (1 << 64) - 1


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = TABLE[(c ^ b) & 255] ^ c >> 8
    return c ^ 0xFFFFFFFF


def unzstd(data, size):
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    lib.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(size + 1)
    assert lib.ZSTD_decompress(out, size, data, len(data)) == size
    return out.raw[:size]


class Bytes:
    def __init__(self, data):
        self.data, self.pos = data, 0

    def varint(self):
        value = shift = 0
        while True:
            b = self.data[self.pos]
            self.pos += 1
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value & M64

    def take(self, n):
        self.pos += n
        return self.data[self.pos - n:self.pos]


def unzigzag(v):
    return (v >> 1) ^ -(v & 1)


# --- the catalogue -----------------------------------------------------------------------------------------

TABLES = {"paths": (1, 0), "functions": (1, 3), "types": (1, 0), "strings": (1, 0), "threads": (1, 3), "locations": (0, 3),
          "variables": (0, 3), "sites": (0, 4), "stats": (0, 6), "spans": (1, 7), "groups": (0, 8), "state": (1, 6),
          "counts": (0, 1)}


def catalogue(path):
    sql = sqlite3.connect(path)
    sql.text_factory = bytes
    got = {}
    for name, (text, ints) in TABLES.items():
        rows = []
        for row in sql.execute(f"SELECT * FROM {name} ORDER BY id"):
            t = row[1] if text else b""
            v = [x & M64 for x in row[1 + text:-1]]
            assert row[0] == len(rows) + 1 and len(v) == ints, name
            assert row[-1] == crc32c(struct.pack("<QQ", row[0], len(t)) + t + struct.pack(f"<{ints}Q", *v)), name
            rows.append((t, v))
        got[name] = rows
    for n, name in enumerate(list(TABLES)[:11]):
        assert got["counts"][n][1][0] == len(got[name]), name
    return got


# --- files of rows -------------------------------------------------------------------------------------------

P, D, B, W = "plain", "delta", "back", "bytes"
COLUMNS = [
    ("steps", [("location", D), ("call", D), ("thread", P), ("event_seq", D), ("time_ns", D)]),
    ("calls", [("parent", B), ("thread", P), ("function", P), ("from_step", D), ("depth", P), ("flags", P),
               ("enter_event", D), ("enter_ns", D), ("state", P), ("first_step", "from_step"),
               ("last_step", "first_step"), ("exit_event", "enter_event"), ("duration_ns", P),
               ("self_ns", "duration_ns"), ("exception", P)]),
    ("values", [("variable", P), ("step", D), ("call", D), ("node", W)]),
    ("exits", [("call", D), ("state", P), ("first_step", D), ("last_step", D), ("exit_event", D), ("duration_ns", P),
               ("self_ns", P), ("exception", P)])]


def block(data, at, kind, table):
    magic, k, t, flags, stored, raw, first, rows, crc, _, hcrc = struct.unpack_from("<4sBBHIIQIIII", data, at)
    assert magic == b"CBLK" and (k, t, flags) == (kind, table, 0) and hcrc == crc32c(data[at:at + 36])
    body = data[at + 40:at + 40 + stored]
    assert crc == crc32c(body)
    return (body if kind == 1 else unzstd(body, raw)), first, rows, 40 + (stored + 7) // 8 * 8


def chunk(body, columns, first, rows):
    b, heads, out = Bytes(body), [], {}
    for _ in columns:
        codec = b.take(1)[0]
        raw = b.varint()
        heads.append((codec & 127, raw, b.varint() if codec & 128 else raw, codec & 128))
    for (name, mode), (codec, raw, stored, packed) in zip(columns, heads):
        data = b.take(stored)
        c = Bytes(unzstd(data, raw) if packed else data)
        if codec == 4:
            lengths = [c.varint() for _ in range(rows)]
            out[name] = [c.take(n) for n in lengths]
            assert c.pos == raw
            continue
        v = []
        while len(v) < rows:
            x = c.varint()
            v += [x] * (rows if codec == 1 else c.varint() if codec == 2 else 1)
        assert c.pos == raw and len(v) == rows
        before = 0
        for i in range(rows):
            if mode == D:
                before = v[i] = (unzigzag(v[i]) + before) & M64
            elif mode == B:
                v[i] = (first + i - unzigzag(v[i])) & M64
            elif mode != P:
                v[i] = (unzigzag(v[i]) + out[mode][i]) & M64
        out[name] = v
    assert b.pos == len(body)
    return out


def postings(body, kind, into, first_chunk):
    b, key = Bytes(body), 0
    while b.pos < len(body):
        key += b.varint()
        at = 0
        for _ in range(b.varint()):
            at += b.varint()
            into.setdefault((kind, key), {})[first_chunk + at] = b.varint() + 1


def table(path, number, groups, size, state):
    name, columns = COLUMNS[number]
    data = open(f"{path}/{name}.ctcol", "rb").read()[:size]
    magic, version, t, flags, uuid, build = struct.unpack_from("<8sHHI16sQ", data)
    assert (magic, version, t, flags) == (b"CTBPFCOL", 1, number, 0) and crc32c(data[:60]) == struct.unpack_from("<I", data, 60)[0]
    assert build == state[2] and uuid == struct.pack("<QQ", state[4], state[5])
    rows, posted, marks = {c: [] for c, _ in columns}, {}, []
    nchunks, at = 0, 64
    for _, first_chunk, chunks, first_row, nrows, offset, directory, end in groups:
        assert first_chunk == nchunks and first_row == len(rows[columns[0][0]]) + 1 and offset == at
        d = Bytes(block(data, directory, 3, number)[0])
        assert d.varint() == chunks
        for _ in range(chunks):
            size8, n, mark = d.varint(), d.varint(), d.varint()
            body, first, brows, length = block(data, at, 1, number)
            assert (size8 * 8, n) == (length, brows) and first == len(rows[columns[0][0]]) + 1
            got = chunk(body, columns, first, n)
            for c, mode in columns:
                if mode != W:
                    least = d.varint()
                    assert (least, least + d.varint()) == (min(got[c]), max(got[c])), c
                rows[c] += got[c]
            marks.append((mark, first, n))
            at += length
            nchunks += 1
        for _ in range(d.varint()):
            kind, key, size8 = d.varint(), d.varint(), d.varint()
            body, first, pkind, length = block(data, at, 2, number)
            assert (first, pkind, length) == (first_chunk, kind, size8 * 8) and Bytes(body).varint() == key
            postings(body, kind, posted, first_chunk)
            at += length
        assert at == directory and d.pos == len(d.data) and len(rows[columns[0][0]]) == first_row + nrows - 1
        at += block(data, directory, 3, number)[3]
        assert at == end
    assert at == size
    check_postings(number, rows, posted, marks)
    return rows


def check_postings(number, rows, posted, marks):
    key = ["location", "function", "variable", None][number]
    expected = {}
    for c, (mark, first, n) in enumerate(marks):
        for i in range(first - 1, first - 1 + n) if key else ():
            keys = [(0, rows[key][i])]
            if number == 2 and rows["call"][i] <= mark:
                keys.append((1, rows["call"][i] << 24 | rows["variable"][i]))
            for k in keys:
                at = expected.setdefault(k, {})
                at[c] = at.get(c, 0) + 1
    assert expected == posted, f"postings of table {number}"


def node(b):
    head = b.take(1)[0]
    if head == 0:
        return "end"
    kind = b.varint()
    if head & 32:
        b.varint()
    if head & 64:
        b.varint()
    tag = head & 31
    if tag == 4:
        return unzigzag(b.varint())
    if tag == 6:
        return struct.unpack("<d", b.take(8))[0]
    if tag in (5, 7, 8, 9):
        return b.take(b.varint())
    if tag == 10:
        return b.varint()
    if 13 <= tag <= 17:
        return list(iter(lambda: node(b), "end"))
    return (tag, kind)


def main(path):
    cat = catalogue(f"{path}/catalogue.db")
    state = cat["state"][0][1]
    assert state[3] == 1
    data = []
    for t in range(4):
        nrows, nchunks, size = cat["state"][2 + t][1][:3]
        groups = [v for _, v in cat["groups"] if v[0] == t]
        data.append(table(path, t, groups, size, state))
        assert len(data[t][COLUMNS[t][1][0][0]]) == nrows
    steps, calls, values, exits = data
    late = {c: i for i, c in enumerate(exits["call"])}
    assert len(late) == len(exits["call"])
    for i, loc in enumerate(steps["location"]):
        function, file, line = cat["locations"][loc - 1][1]
        print("step", i + 1, function, file, line, *(steps[c][i] for c in ("thread", "call", "event_seq", "time_ns")))
    ends = ("state", "exception", "first_step", "last_step", "exit_event", "duration_ns")
    for i, function in enumerate(calls["function"]):
        end = [calls[c][i] for c in ends]
        if end[0] == 0:
            end = [exits[c][late[i + 1]] for c in ends] if i + 1 in late else [0] * 6
        print("call", i + 1, function, *(calls[c][i] for c in ("parent", "thread", "from_step", "depth", "enter_event",
                                                              "enter_ns")), *end)
    for i, var in enumerate(values["variable"]):
        b = Bytes(values["node"][i])
        v = node(b)
        assert b.pos == len(b.data)
        print("value", i + 1, *cat["variables"][var - 1][1], values["call"][i], values["step"][i], v)


main(sys.argv[1])
