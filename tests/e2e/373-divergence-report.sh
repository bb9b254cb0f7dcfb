#!/bin/bash
# SPDX-License-Identifier: MIT
# Recordings forged with right checksums: replay ends at the first event that differs, and its report tells what it was.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/100-common.sh"

# Changes one field of the last system call of that number and makes all checksums right again.
cat >"$T/forge.py" <<'PY'
import struct, sys
path, nr, field, value = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4], 0)
table = []
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    table.append(c)
def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = table[(c ^ b) & 0xFF] ^ c >> 8
    return c ^ 0xFFFFFFFF
data = bytearray(open(path, "rb").read())
at, found = 64, None
while data[at:at + 4] == b"TBLK":
    codec, = struct.unpack_from("<H", data, at + 4)
    stored, raw, events = struct.unpack_from("<III", data, at + 8)
    assert codec == 0, "recorded with --compress none?"
    pos = at + 64
    for _ in range(events):
        size, kind = struct.unpack_from("<IH", data, pos)
        if kind == 1 and struct.unpack_from("<i", data, pos + 32 + 88)[0] == nr:
            found = at, pos
        pos += size + 7 & ~7
    at += 64 + stored + 7 & ~7
block, event = found
offset = {"ret": 0, "arg0": 8, "arg1": 16, "arg2": 24, "ip": 56, "sp": 64}.get(field)
if field == "data":  # the last bytes of the record: the end of its last buffer
    size, = struct.unpack_from("<I", data, event)
    data[event + size - 1] ^= value
else:
    struct.pack_into("<Q", data, event + 32 + offset, value & (1 << 64) - 1)
stored, = struct.unpack_from("<I", data, block + 8)
struct.pack_into("<I", data, block + 20, crc32c(data[block + 64:block + 64 + stored]))
struct.pack_into("<I", data, block + 60, crc32c(data[block:block + 60]))
open(path, "wb").write(data)
print(struct.unpack_from("<Q", data, event + 8)[0])
PY
forge() { # NR FIELD VALUE: $SEQ is the forged event, $T/bad.ctr the recording
	rm -rf "$T/bad.ctr"
	cp -r "$T/good.ctr" "$T/bad.ctr"
	SEQ=$(python3 "$T/forge.py" "$T/bad.ctr/segments/000001.ctseg" "$@")
	"$CTBPF" info --json "$T/bad.ctr" | has_line '"replayable":true' || fail "the forged recording is not whole"
}

assert_status 0 "$CTBPF" record -q --compress none -o "$T/good.ctr" -- \
	sh -c 'read x </proc/uptime; printf "it is %s" "$x" >/dev/null'
assert_status 0 "$CTBPF" verify --no-store "$T/good.ctr"

step "another argument"
forge 1 arg2 9999
for command in verify replay; do
	assert_status 5 "$CTBPF" $command "$T/bad.ctr"
	assert_contains "$OUT" "argument 2 is"
	assert_contains "$OUT" "recorded was 0x270f"
	assert_contains "$OUT" " $SEQ +"
	assert_contains "$OUT" "replayed write(1, \"it is "
	assert_matches "$OUT" '\* +rdx +270f '
	assert_matches "$OUT" '   +rdi +1 '
	assert_matches "$OUT" 'replayed at 0x[0-9a-f]+: .*libc.*, .*write\+0x'
	assert_matches "$OUT" "0f 05 +syscall
  => "
	assert_contains "$OUT" "last events of thread"
	assert_contains "$OUT" "what may help:"
done
assert_status 5 "$CTBPF" verify --json "$T/bad.ctr"
report=$(json stretches.0.report <<<"$(head -n 1 <<<"$OUT")")
assert_eq "$(json event.seq <<<"$report")" "$SEQ" "event of the report"
assert_eq "$(json registers.rdx.differs <<<"$report")" true "rdx differs"
assert_eq "$(json registers.rdi.differs <<<"$report")" false "rdi differs"
assert_eq "$(json registers.rdx.recorded <<<"$report")" 0x270f "recorded rdx"
assert_eq "$(json verify.verdict <"$T/bad.ctr/manifest.json")" DIVERGED "verdict kept"
assert_eq "$(json verify.stretches.0.at <"$T/bad.ctr/manifest.json")" "$SEQ" "event kept"

step "another place"
forge 1 ip 0x1234
assert_status 5 "$CTBPF" verify "$T/bad.ctr"
assert_contains "$OUT" "recorded at 0x1234: no mapping"
forge 1 sp 0x7000
assert_status 5 "$CTBPF" verify "$T/bad.ctr"
assert_matches "$OUT" '\* +rsp +7000 '

step "another result: what the program does with it gives it away"
forge 0 data 1
assert_status 5 "$CTBPF" verify -q "$T/bad.ctr"
assert_matches "$OUT" "DIVERGED at e:[0-9]+"
at=$(sed -n 's/.*DIVERGED at e:\([0-9]*\).*/\1/p' <<<"$OUT" | head -n 1)
assert_ge "$at" "$SEQ" "where it diverged"
