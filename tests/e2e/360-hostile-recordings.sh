#!/bin/bash
# SPDX-License-Identifier: MIT
# Recordings that are cut off, altered, emptied, replaced by links and pipes: clear errors, no crash, no hang.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

assert_status 0 "$CTBPF" record -q --segment-size 1M -o "$T/good.ctr" -- "$PROGRAMS/storm" threads 20
assert_recording "$T/good.ctr"
chmod 755 "$T"

cat >"$T/hostile.py" <<'PY'
# Alters copies of a recording and runs commands on them. Exit status 0: all behaved.
import os, random, shutil, subprocess, sys
program, good, work = sys.argv[1:4]
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
rounds = int(os.environ.get("ROUNDS", "2"))
random.seed(seed)
print("SEED", seed)
bad = 0
files = [os.path.relpath(os.path.join(d, f), good) for d, _, fs in os.walk(good) for f in fs]
main = [f for f in files if not f.startswith("files/")] + [f for f in files if f.startswith("files/")][:1]
commands = {"info": [["info"], [0, 1]], "json": [["info", "--json"], [0, 1]], "ls": [["ls"], [0, 1]],
            "dump": [["dump", "--hex"], [0, 1]], "dumpjson": [["dump", "--json", "--hex"], [0, 1]],
            "snapshot": [["dump", "--snapshot", "1"], [0, 1]], "verify": [["verify"], [0, 1, 5]]}

def run(what, path, names, expect_error=()):
    global bad
    for name in names:
        args, allowed = commands[name]
        try:
            p = subprocess.run([program, *args, path], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            rc, err = p.returncode, p.stderr.decode(errors="replace").strip()
            out = p.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired:
            rc, err, out = "hang", "", ""
        why = None
        if rc not in allowed:
            why = f"exit status {rc}"
        elif rc == 1 and not err and name != "ls":
            why = "no message"
        elif name in expect_error and rc == 0:
            why = "no error"
        elif any(word in err for word in ("Sanitizer", "runtime error", "assert", "core dumped")):
            why = "memory errors"
        if why:
            bad += 1
            print(f"BAD: {what}: ctbpf {' '.join(args)}: {why}: {err[:300]} {out[-300:]}")

def altered(what, change, names, expect_error=()):
    path = os.path.join(work, "bad.ctr")
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(good, path)
    change(path)
    run(what, path, names, expect_error)
    shutil.rmtree(path, ignore_errors=True)

def in_file(name, edit):
    def change(path):
        f = os.path.join(path, name)
        data = bytearray(open(f, "rb").read())
        data = edit(data)
        open(f, "wb").write(data)
    return change

def replaced(name, make):
    def change(path):
        f = os.path.join(path, name)
        if os.path.isdir(f):
            shutil.rmtree(f)
        else:
            os.unlink(f)
        make(f)
    return change

def flip(data):
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data

def noise(data):
    if data:
        at = random.randrange(len(data))
        data[at:at + 64] = random.randbytes(64)
    return data

quick = ["info", "json", "ls", "dump", "snapshot"]
full = quick + ["dumpjson", "verify"]
segment = "segments/000001.ctseg"
for f in main:
    for _ in range(rounds):
        altered(f"{f} cut off", in_file(f, lambda d: d[:random.randrange(len(d) or 1)]), quick)
        altered(f"a bit of {f}", in_file(f, flip), full)
        altered(f"noise in {f}", in_file(f, noise), full)
    altered(f"{f} empty", in_file(f, lambda d: b""), full)
    altered(f"{f} missing", replaced(f, lambda p: None), full)
    altered(f"{f} a link", replaced(f, lambda p: os.symlink(os.path.join(good, f), p)), quick)
    altered(f"{f} a link to nothing", replaced(f, lambda p: os.symlink("/nonexistent/x", p)), quick)
    altered(f"{f} a pipe", replaced(f, os.mkfifo), full)
    altered(f"{f} a directory", replaced(f, os.mkdir), quick)
    altered(f"{f} 1 TB of nothing", in_file(f, lambda d: d) if f == "manifest.json" else
            (lambda path, f=f: os.truncate(os.path.join(path, f), 1 << 40)), quick)
for d in ("segments", "snapshots", "files", "snapshots/000001"):
    altered(f"{d}/ missing", replaced(d, lambda p: None), full)
    altered(f"{d}/ a link", replaced(d, lambda p: os.symlink(os.path.join(good, d), p)), quick)
    altered(f"{d} a file", replaced(d, lambda p: open(p, "w").write("x")), quick)
# Every reader says that there is something wrong.
altered("manifest.json is not JSON", in_file("manifest.json", lambda d: b'{"format": '), quick, ["info", "json", "dump"])
altered("manifest.json of format 99", in_file("manifest.json", lambda d: d.replace(b'"format":1', b'"format":99')
        .replace(b'"format": 1', b'"format": 99')), quick, ["info", "json", "dump"])
altered("manifest.json linked elsewhere", replaced("manifest.json", lambda p: os.symlink("/etc/shadow", p)), quick,
        ["info", "json", "dump"])
altered("deep JSON", in_file("manifest.json", lambda d: b"[" * 200000), quick, ["info", "json", "dump"])
altered("JSON of other types", in_file("manifest.json", lambda d: b'{"format":1,"uuid":7,"state":[],"clocks":"x",'
        b'"target":[1],"cpu":null,"recorder":"y","kernel":3,"options":[],"replayable":"no"}'), full)
for path in ("/nonexistent", "/etc/passwd", "/proc", "/dev/null", work):
    run(path, path, ["info", "json", "dump", "snapshot", "verify"], ["info", "json", "dump", "snapshot", "verify"])
run("", "", ["info", "dump", "verify"], ["info", "dump", "verify"])
print(bad, "bad")
sys.exit(bad != 0)
PY
mkdir "$T/work"
python3 "$T/hostile.py" "$CTBPF" "$T/good.ctr" "$T/work"

step "not readable by this user"
chmod -R go= "$T/good.ctr"
cp "$CTBPF" "$T/ctbpf"
for command in info dump verify; do
	rc=0
	OUT=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$T/ctbpf" $command "$T/good.ctr" 2>&1) || rc=$?
	assert_eq $rc 1 "exit status of $command ($OUT)"
	assert_contains "$OUT" "Permission denied"
done
