#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf export` overwrites nothing, and leaves nothing behind when the database is damaged, the disk full or it is told to stop.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=../export/common.sh disable=SC2154
source "$(dirname "$0")/../export/common.sh"

FORMATS="codetracer perfetto chrome speedscope folded pprof"
record_python program "$EXPORT/program.py"
index program "$EXPORT/program.py"
mkdir "$T/out"

step "what exists is kept"
echo mine >"$T/out/file"
ln -s nowhere "$T/out/link"
for f in $FORMATS; do
	for name in file link; do
		assert_status 1 "$CTBPF" export -f "$f" -o "$T/out/$name" "$T/program.ctr"
		assert_contains "$OUT" "$T/out/$name: exists"
	done
done
assert_eq "$(cat "$T/out/file") $(readlink "$T/out/link")" "mine nowhere"
rm "$T"/out/*

step "a name of its own"
(cd "$T/out" && "$CTBPF" export -f pprof ../program.ctr/ >/dev/null && "$CTBPF" export -f codetracer ../program.ctr >/dev/null)
assert_eq "$(ls "$T/out")" "$(printf 'program.codetracer\nprogram.pb.gz')" "names"
rm -r "$T"/out/*

step "a damaged database"
for table in steps calls values; do
	cp -r "$T/program.ctr" "$T/bad.ctr"
	size=$(stat -c %s "$T/bad.ctr/steps/$table.ctcol")
	python3 - "$T/bad.ctr/steps/$table.ctcol" $((size / 3)) <<-'PY'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([byte[0] ^ 0x55]))
	PY
	for f in $FORMATS; do
		[ $table = values ] && [ "$f" != codetracer ] && continue
		assert_status 1 "$CTBPF" export -f "$f" -o "$T/out/x" "$T/bad.ctr"
		assert_contains "$OUT" "$table.ctcol"
		assert_eq "$(find "$T/out" -mindepth 1)" "" "what is left of $f"
	done
	rm -r "$T/bad.ctr"
done

step "another recording's database"
record_python other "$EXPORT/program.py"
cp -r "$T/program.ctr/steps" "$T/other.ctr/"
assert_status 1 "$CTBPF" export -f folded -o "$T/out/x" "$T/other.ctr"
assert_contains "$OUT" "belongs to another recording"

step "a full disk"
mkdir "$T/small"
mount -t tmpfs -o size=64k none "$T/small"
for f in codetracer perfetto; do
	assert_status 1 "$CTBPF" export -f "$f" -o "$T/small/x" "$T/program.ctr"
	assert_matches "$OUT" "No space left|file system is full"
	assert_eq "$(find "$T/small" -mindepth 1)" "" "what is left of $f"
done

step "wrong usage"
assert_status 2 "$CTBPF" export "$T/program.ctr"
assert_status 2 "$CTBPF" export -f svg "$T/program.ctr"
assert_status 2 "$CTBPF" export -f codetracer -o - "$T/program.ctr"
assert_status 2 "$CTBPF" export -f perfetto --lines "$T/program.ctr"
assert_status 2 "$CTBPF" export -f pprof --sources "$T/program.ctr"
assert_status 2 "$CTBPF" export -f codetracer --container 7 "$T/program.ctr"
