#!/bin/bash
# SPDX-License-Identifier: MIT
# `ctbpf export`: perfetto, chrome, speedscope, folded and pprof say what `ctbpf query` says, as other readers see it.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=../export/common.sh disable=SC2154
source "$(dirname "$0")/../export/common.sh"

all_formats() { # NAME
	local f
	for f in perfetto chrome speedscope folded pprof; do
		export_to $f "$T/$1.$f" "$T/$1.ctr"
		assert_eq "$(stat -c %a "$T/$1.$f")" 600 "mode of the output"
		check $f "$T/$1.$f" "$T/$1.ctr"
	done
	for f in speedscope folded; do
		export_to $f "$T/$1.$f.lines" "$T/$1.ctr" --lines
		check $f "$T/$1.$f.lines" "$T/$1.ctr" lines
	done
}

record_python program "$EXPORT/program.py"

step "without a step database: what the log has"
for f in perfetto chrome; do
	export_to $f "$T/log.$f" "$T/program.ctr"
	assert_contains "$OUT" "no step database"
	check $f "$T/log.$f" "$T/program.ctr" log
done
for f in codetracer speedscope folded pprof; do
	assert_status 1 "$CTBPF" export -f $f -o "$T/none" "$T/program.ctr"
	assert_contains "$OUT" "run \`ctbpf index $T/program.ctr\` first"
	assert_eq "$(ls -d "$T"/none* 2>/dev/null || true)" "" "output"
done

step "recursion, generators, threads, exceptions"
index program "$EXPORT/program.py"
all_formats program

step "an interpreter in Python, where times can be compared"
record_python interpreter "$PWD/tests/python/programs/28_interpreter.py"
index interpreter "$PWD/tests/python/programs/28_interpreter.py"
all_formats interpreter

step "coroutines"
record_python async "$PWD/tests/python/programs/02_async.py"
index async "$PWD/tests/python/programs/02_async.py"
all_formats async

step "a program that ran already: its calls are there, and stay open or end"
start_target midrun "$PYTHON" "$PWD/tests/python/midrun.py"
sleep 0.5
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -p "$PID_midrun" -o "$T/midrun.ctr"
index midrun midrun.py
assert_ge "$("$CTBPF" query --csv "$T/midrun.ctr" 'SELECT count(*) FROM calls WHERE attached' | tail -n 1 | tr -d '\r')" 1 "calls that were there"
all_formats midrun

step "standard output"
"$CTBPF" export -f folded -o - --lines "$T/program.ctr" >"$T/stdout"
cmp "$T/stdout" "$T/program.folded.lines" || fail "not the same on standard output"

step "the checks see what is wrong"
sed '0,/"type":"C"/{/"type":"C"/d}' "$T/interpreter.speedscope" >"$T/bad"
if (check speedscope "$T/bad" "$T/interpreter.ctr") 2>/dev/null; then fail "a missing end is not seen"; fi
sed '0,/"ph":"B"/{/"ph":"B"/d}' "$T/interpreter.chrome" >"$T/bad"
if (check chrome "$T/bad" "$T/interpreter.ctr") 2>/dev/null; then fail "a missing beginning is not seen"; fi
if (check perfetto "$T/async.perfetto" "$T/interpreter.ctr") 2>/dev/null; then fail "another recording is not seen"; fi
if (check pprof "$T/async.pprof" "$T/interpreter.ctr") 2>/dev/null; then fail "another recording is not seen"; fi
