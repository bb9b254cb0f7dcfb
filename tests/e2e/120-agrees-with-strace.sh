#!/bin/bash
# SPDX-License-Identifier: MIT
# The same deterministic program under strace and under ctbpf: the same calls, results, errors, and bytes read.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need strace

mkdir "$T/work"
strace -f -e signal=none -X raw -xx -s 300000 -o "$T/strace" "$PROGRAMS/calls" "$T/work" >"$T/out-a"
rmdir "$T/work"
mkdir "$T/work"
assert_status 0 "$CTBPF" record -q -o "$T/r.ctr" -- "$PROGRAMS/calls" "$T/work"
assert_eq "$OUT" "$(cat "$T/out-a")" "output of the two runs"
assert_recording "$T/r.ctr"
"$CTBPF" dump --json "$T/r.ctr" >"$T/dump"

cat >"$T/compare.py" <<'PY'
import json, re, sys

# What legitimately differs: addresses; process ids; rseq, which a recorded process does without.
ADDRESS = {"mmap", "brk", "mremap"}
IDS = {"getpid", "gettid", "set_tid_address", "clone", "fork", "clone3", "wait4"}
NEVER = {"exit_group", "exit", "execve", "rseq"}
READS = {"read", "pread64", "recvfrom", "readlink", "getrandom", "getcwd"}
NO_CONTENT = {"getrandom", "getcwd"}

def normal(name, ret):
    if name in ADDRESS and ret > 0:
        return "address"
    if name in IDS and ret > 0:
        return "id"
    return ret

def of_strace(path):
    calls, unfinished = {}, {}
    for line in open(path):
        pid, text = line.rstrip("\n").split(None, 1)
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text[:-len("<unfinished ...>")]
            continue
        m = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
        if m:
            text = unfinished.pop(pid) + m[1]
        m = re.match(r"(\w+)\((.*)\)\s+= (-?\w+)", text)
        if not m or m[1] in NEVER:
            continue
        name, args, ret = m[1], m[2], m[3]
        if name.startswith("syscall_0x"):
            name = str(int(name[10:], 16))
        ret = int(ret, 0)
        if ret == -1 and (e := re.search(r"= -1 (E\w+)", text)):
            ret = e[1]
        content = None
        if name in READS and isinstance(ret, int) and ret > 0 and name not in NO_CONTENT:
            strings = re.findall(r'"((?:\\x[0-9a-f]{2})*)"', args)
            content = bytes.fromhex(strings[-1].replace("\\x", "")) if strings else None
        calls.setdefault(pid, []).append((name, normal(name, ret) if isinstance(ret, int) else ret, content))
    return calls

def of_dump(path):
    calls = {}
    for line in open(path):
        ev = json.loads(line)
        if ev["type"] != "syscall" or ev["name"] in NEVER:
            continue
        name = ev["name"] if not ev["name"].startswith("syscall_") else str(ev["nr"])
        ret, content = ev["ret"], None
        if ret < 0 and "errno" in ev:
            ret = ev["errno"]
        if name in READS and isinstance(ret, int) and ret > 0 and name not in NO_CONTENT:
            for buf in ev["bufs"]:
                if buf["kind"] == "out" and buf["arg"] == (0 if name == "getcwd" else 1):
                    content = bytes.fromhex(buf["hex"]) if "hex" in buf else buf["text"].encode()
        calls.setdefault(ev["tid"], []).append((name, normal(name, ret) if isinstance(ret, int) else ret, content))
    return calls

theirs, ours = of_strace(sys.argv[1]), of_dump(sys.argv[2])
theirs, ours = list(theirs.values()), list(ours.values())
if len(theirs) != len(ours):
    sys.exit(f"strace saw {len(theirs)} threads, ctbpf {len(ours)}")
compared = 0
for a, b in zip(theirs, ours):
    a = [c for c in a if c[0] != "rt_sigreturn"]
    b = [c for c in b if c[0] != "rt_sigreturn" and c[:2] != ("clone", 0)] # in the child
    for i in range(max(len(a), len(b))):
        x = a[i] if i < len(a) else None
        y = b[i] if i < len(b) else None
        if x is None or y is None or x[:2] != y[:2]:
            sys.exit(f"call {i}: strace {x and x[:2]}, ctbpf {y and y[:2]}")
        if y[2] is not None and x[2] is not None:
            compared += 1
            if x[2] != y[2]:
                sys.exit(f"call {i}, {x[0]} = {x[1]}: other bytes: {x[2][:40]!r} ({len(x[2])}), {y[2][:40]!r} ({len(y[2])})")
print(f"{sum(map(len, ours))} calls agree, bytes of {compared} compared")
if sum(map(len, ours)) < 120 or compared < 8:
    sys.exit("too few were compared")
PY
assert python3 "$T/compare.py" "$T/strace" "$T/dump"

step "file names are shown whole, other strings cut, as strace does"
long=$T/a-name-of-a-file-that-is-longer-than-what-is-shown-of-a-string
head -c 100 /dev/zero | tr '\0' x >"$long"
assert_status 0 "$CTBPF" record -q -o "$T/long.ctr" -- cat "$long"
OUT=$("$CTBPF" dump "$T/long.ctr")
assert_contains "$OUT" "openat(AT_FDCWD, \"$long\", "
assert_contains "$OUT" "\"$(head -c 32 "$long")\"..."
