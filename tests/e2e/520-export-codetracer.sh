#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf export -f codetracer`: container and folder, read by a reader of their own, have the lines, calls and values.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=../export/common.sh disable=SC2154
source "$(dirname "$0")/../export/common.sh"

both() { # NAME
	export_to codetracer "$T/$1.ct" "$T/$1.ctr"
	check codetracer "$T/$1.ct" "$T/$1.ctr"
	export_to codetracer "$T/$1.legacy" "$T/$1.ctr" --container legacy
	check codetracer "$T/$1.legacy" "$T/$1.ctr"
	check same "$T/$1.ct" "$T/$1.legacy"
}

step "recursion, generators, threads, exceptions, input and output"
record_python program "$EXPORT/program.py"
index program "$EXPORT/program.py"
both program
assert_eq "$(stat -c %a "$T/program.ct")" 700 "mode of the directory"
grep -q '"content":"héllo; world' "$T"/program.legacy/thread-1/trace.json || fail "what was printed is not there"
grep -q '"content":"through a pipe' "$T"/program.legacy/thread-1/trace.json || fail "what was read is not there"

step "no two threads interleave"
assert_eq "$(find "$T/program.ct" -name trace.ct | wc -l)" 3 "traces"

step "an interpreter in Python"
cp tests/python/programs/28_interpreter.py "$T/app.py"
record_python interpreter "$T/app.py"
index interpreter "$T/app.py"
both interpreter

step "sources: those in the recording, and others only when told"
cp "$T/app.py" "$T/as-recorded.py"
echo "# changed" >>"$T/app.py"
export_to codetracer "$T/without" "$T/interpreter.ctr"
export_to codetracer "$T/with" "$T/interpreter.ctr" --sources
assert_contains "$OUT" "1 source"
copy=thread-1/files$T/app.py
if [ -e "$T/without/$copy" ]; then # small files are kept if the program read them more than once
	cmp "$T/without/$copy" "$T/as-recorded.py" || fail "not the source as it was recorded"
	cmp "$T/with/$copy" "$T/as-recorded.py" || fail "not the source as it was recorded"
else
	cmp "$T/with/$copy" "$T/app.py" || fail "not the source as it is now"
	assert_contains "$OUT" "1 changed since the recording began"
fi
check codetracer "$T/with" "$T/interpreter.ctr"

step "more than fits one mapping block and one chunk"
cat >"$T/long.py" <<'PY'
def work(n):
    text = "x" * 70
    for i in range(n):
        text = str(i) + text[:60]
    return i
import os
work(2500)
fd = os.open("/dev/urandom", os.O_RDONLY)
for i in range(600):
    os.read(fd, 4096)
PY
record_python long "$T/long.py"
index long "$T/long.py"
both long
assert_ge "$(stat -c %s "$T/long.ct/thread-1/trace.ct")" 2200000 "size of the container"

step "the checks see what is wrong"
sed '0,/"Return"/{/"Return"/d}' "$T/interpreter.legacy/thread-1/trace.json" >"$T/bad.json"
cp "$T/bad.json" "$T/interpreter.legacy/thread-1/trace.json"
if (check codetracer "$T/interpreter.legacy" "$T/interpreter.ctr") 2>/dev/null; then fail "a missing return is not seen"; fi
