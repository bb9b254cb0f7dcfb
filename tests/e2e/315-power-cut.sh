#!/bin/bash
# SPDX-License-Identifier: MIT
# The power goes: of the log there is what was before some byte, at each end of a block and anywhere else, with whatever
# snapshots were there. What is said of each is so: all complete blocks are read, no more, and no stretch goes wrong.
# Environment: CUTS anywhere (40), PROOFS (3)
# timeout: 240
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_answers answers 2
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 1.6 --snapshot-every 300ms -o "$T/whole.ctr"
assert_recording "$T/whole.ctr"
answers_end

# Each cut is a directory of hard links; its events, and how many of its snapshots' records are among them, are known from
# the blocks before it.
cat >"$T/cut.py" <<'PY'
import json, os, random, shutil, struct, subprocess, sys
ctbpf, whole, to, cuts, proofs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
seed = random.randrange(1 << 32)
random.seed(seed)
names = sorted(os.listdir(f"{whole}/segments"))
ends = {}  # of each segment: (end of a block, events up to there)
for name in names:
    data = open(f"{whole}/segments/{name}", "rb").read()
    at, events, ends[name] = 64, 0, [(64, 0)]
    while data[at:at + 4] == b"TBLK":
        stored, _, n = struct.unpack_from("<III", data, at + 8)
        at += (64 + stored + 7) & ~7
        events += n
        ends[name].append((at, events))
before, places = 0, []
for name in names:
    size = os.path.getsize(f"{whole}/segments/{name}")
    places += [(name, at, before) for at, _ in ends[name]]
    places += [(name, random.randrange(size), before) for _ in range(cuts // len(names))]
    before += ends[name][-1][1]

def make(name, at):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(whole, to, copy_function=os.link)
    for other in names:
        if other > name:
            os.unlink(f"{to}/segments/{other}")
    os.unlink(f"{to}/segments/{name}")
    with open(f"{whole}/segments/{name}", "rb") as f, open(f"{to}/segments/{name}", "wb") as out:
        out.write(f.read(at))
    manifest = json.load(open(f"{whole}/manifest.json"))
    for key in ("counters", "recorder_stats", "verify"):
        manifest.pop(key, None)
    manifest["state"] = "recording"
    os.unlink(f"{to}/manifest.json")
    json.dump(manifest, open(f"{to}/manifest.json", "w"))

def run(*args):
    return subprocess.run([ctbpf, *args, to], capture_output=True, text=True)

proven = set(random.sample(range(len(places)), proofs)) | {len(places) - 1}
verified = 0
for i, (name, at, before) in enumerate(places):
    make(name, at)
    here = [e for end, e in ends[name] if end <= at]
    want = before + (here[-1] if here else 0)
    where = f"{name} cut at {at} (seed {seed})"
    said = run("info", "--json")
    if not want:
        continue
    assert said.returncode == 0, (where, said.stderr)
    said = json.loads(said.stdout)
    assert said["events"] == want, (where, said["events"], want)
    assert said["state"] == "recovered" and said["lost"] == 0, (where, said)
    if i not in proven:
        continue
    text = run("verify", "--json", "-n")
    if text.returncode == 1: # not one snapshot with a record
        assert "nothing to replay" in text.stderr or "no snapshot" in text.stderr, (where, text.stderr)
        continue
    assert text.returncode in (0, 5), (where, text.returncode, text.stderr)
    for s in json.loads(text.stdout)["stretches"]:
        assert s["verdict"] in ("VERIFIED", "UNPROVEN", "BROKEN"), (where, s)
        verified += s["verdict"] == "VERIFIED"
assert verified, "nothing was verified"
print(len(places), "cuts,", verified, "stretches verified")
PY
python3 "$T/cut.py" "$CTBPF" "$T/whole.ctr" "$T/cut.ctr" "${CUTS:-40}" "${PROOFS:-3}"
