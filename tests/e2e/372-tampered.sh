#!/bin/bash
# SPDX-License-Identifier: MIT
# Flipped bits anywhere in a recording are noticed by `verify`, every time. SEED=N repeats a run, FLIPS=N takes more.
# timeout: 240
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

step "a recording that verifies"
start_target target "$PROGRAMS/answers" 1
wait_for 10 grep -q '^tick 2 ' "$T/target.log"
assert_status 0 "$CTBPF" record -q -p "$PID_target" -d 0.2 -o "$T/good.ctr"
stop "$PID_target"
assert_recording "$T/good.ctr"
assert_status 0 timeout 60 "$CTBPF" verify "$T/good.ctr"

step "flipped bits"
cat >"$T/flip.py" <<'PY'
import glob, os, random, subprocess, sys
program, rec, flips = sys.argv[1], sys.argv[2], int(os.environ.get("FLIPS", "64"))
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
random.seed(seed)
print("SEED", seed)
kinds = {
    "log": glob.glob(rec + "/segments/*"),
    "state": glob.glob(rec + "/snapshots/*/state"),
    "pages": glob.glob(rec + "/snapshots/*/pages"),
    "file": glob.glob(rec + "/files/*"),
    "manifest": [rec + "/manifest.json"],
}
missed, seen = 0, {}
def verify():
    p = subprocess.run([program, "verify", "--no-store", "--quiet", rec], stdin=subprocess.DEVNULL, text=True,
                       capture_output=True, timeout=60, errors="replace")
    return p.returncode, p.stdout, p.stderr
for i in range(flips):
    kind = list(kinds)[i % len(kinds)]
    path = random.choice(kinds[kind])
    with open(path, "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        # Every other flip is near an end, where headers, tables and checksums are.
        at = random.choice([random.randrange(size), random.randrange(min(size, 128)),
                            size - 1 - random.randrange(min(size, 128)), random.randrange(size)])
        bit = 1 << random.randrange(8)
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ bit]))
        f.flush()
        rc, out, err = verify()
        f.seek(at)
        f.write(bytes([byte]))
    where = f"bit {bit:#x} of byte {at} of {size} in {os.path.relpath(path, rec)}"
    if rc not in (1, 5) or "VERIFIED, " in out or not (out + err).strip():
        missed += 1
        print(f"MISSED: {where}: exit status {rc}: {out} {err}")
    seen[kind] = seen.get(kind, 0) + 1
rc, out, err = verify()
if rc:
    missed += 1
    print("does not verify any more with all bits put back:", rc, out, err)
print(seen, missed, "missed")
sys.exit(missed != 0)
PY
assert_status 0 python3 "$T/flip.py" "$CTBPF" "$T/good.ctr"
echo "$OUT"

step "a whole page exchanged, with everything that refers to it by number left right"
cp -r "$T/good.ctr" "$T/bad.ctr"
file=$(find "$T/bad.ctr/files" -type f -size +8k | head -n 1)
head -c 4096 /dev/zero | dd of="$file" bs=4096 seek=1 conv=notrunc status=none
assert_status 5 "$CTBPF" verify "$T/bad.ctr"
assert_contains "$OUT" "its content does not have this hash"
[ "$(json verify.verdict <"$T/good.ctr/manifest.json")" = VERIFIED ] || fail "the verdict was not kept"
