#!/bin/bash
# SPDX-License-Identifier: MIT
# A program reads the same bytes again and again from a file that somebody holds open for writing, and from a pipe: they
# cannot be logged by reference to the file, and are stored once all the same.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need python3

head -c 400000 /dev/urandom >"$T/data"
cat >"$T/again.py" <<'P'
import os, sys, time, zlib
data = open(sys.argv[1], "rb").read()
writer = open(sys.argv[1], "r+b")
r, w = os.pipe()
total = 0
for n in range(200):
    time.sleep(0.01)
    fd = os.open(sys.argv[1], os.O_RDONLY)
    total += zlib.crc32(os.read(fd, 400000))
    os.close(fd)
    os.write(w, data[:20000])
    total += zlib.crc32(os.read(r, 20000))
print(total)
P
want=$(python3 "$T/again.py" "$T/data")
assert_status 0 "$CTBPF" record -q -o "$T/r.ctr" -- python3 "$T/again.py" "$T/data"
assert_contains "$OUT" "$want"
assert_recording "$T/r.ctr"
"$CTBPF" dump "$T/r.ctr" >"$T/dump"
assert_ge "$(grep -c '<400000 bytes seen before>' "$T/dump")" 100 "reads of the file stored by name"
assert_ge "$(grep -c '<20000 bytes seen before>' "$T/dump")" 100 "reads of the pipe stored by name"
# 200 x 420,000 bytes that zstd cannot make smaller were read
assert_le "$(du -sm "$T/r.ctr" | cut -f 1)" 50 "megabytes of the recording"
assert_status 0 "$CTBPF" verify "$T/r.ctr"

step "what is damaged is not used"
f=$(sed -n 's/.*=== FILE 400000\? *[^,]*, kept as \(files.*\)/\1/p; s/.*=== FILE .* again and again, kept as \(files.*\)/\1/p' "$T/dump" | head -n 1)
printf X | dd of="$T/r.ctr/$f" bs=1 seek=100 conv=notrunc status=none
assert_status 5 "$CTBPF" verify "$T/r.ctr"
