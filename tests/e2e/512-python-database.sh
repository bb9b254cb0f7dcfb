#!/bin/bash
# SPDX-License-Identifier: MIT
# The step database that `ctbpf index` builds of a Python program: the lines, calls, values and exceptions that it printed.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154
source "$(dirname "$0")/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON"
program=$PWD/tests/python/programs/28_interpreter.py
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/r.ctr" -- "$PYTHON" "$program"
"$CTBPF" index --print --files "$program" "$T/r.ctr" >"$T/steps" || fail "index --print"
assert_status 0 "$CTBPF" index --files "$program" "$T/r.ctr"
query() { "$CTBPF" query --csv "$T/r.ctr" "$1" | tail -n +2 | tr -d '\r'; }

step "as many of everything as were printed"
assert_contains "$OUT" "$(grep -c ' line$' "$T/steps") lines, $(grep -c ' call #' "$T/steps") calls"
assert_eq "$(query 'SELECT count(*) FROM steps')" "$(grep -c ' line$' "$T/steps")" steps
assert_eq "$(query 'SELECT count(*) FROM calls')" "$(grep -c ' call #' "$T/steps")" calls
assert_eq "$(query 'SELECT count(*) FROM values WHERE kind = '"'argument'")" "$(grep -c '   argument ' "$T/steps")" arguments

step "the lines in their order"
query 'SELECT line FROM steps ORDER BY id' >"$T/have"
sed -n 's/^[0-9]* .*:\([0-9]*\) .* line$/\1/p' "$T/steps" >"$T/want"
cmp "$T/have" "$T/want" || fail "other lines"

step "calls with their arguments and results"
assert_eq "$(query "SELECT count(*) FROM calls JOIN functions f ON f.id = function_id WHERE f.name = 'Parser.expression'")" \
	"$(grep -c ' Parser.expression call #' "$T/steps")" "calls of Parser.expression"
assert_eq "$(query "SELECT count(*) FROM values v JOIN functions f ON f.id = v.function_id WHERE kind = 'return' AND f.name = 'evaluate' AND value = 7.0")" \
	"$(grep -c ' evaluate return 7.0$' "$T/steps")" "results of evaluate that are 7"

step "the same of an interpreter that is a library"
library=/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0
need gcc gdb # which comes with it
gcc -include dlfcn.h -x c -o "$T/embeds" - <<C
int main(int argc, char **argv)
{
	void *lib = dlopen("$library", RTLD_NOW | RTLD_GLOBAL);
	int (*run)(int, char **) = lib ? (int (*)(int, char **))dlsym(lib, "Py_BytesMain") : 0;

	return run ? run(argc, argv) : 99;
}
C
assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/library.ctr" -- "$T/embeds" "$program"
"$CTBPF" index --print --files "$program" "$T/library.ctr" >"$T/steps.library" || fail "index --print"
cmp <(grep -o ' line$\|:[0-9]* .* line$' "$T/steps") <(grep -o ' line$\|:[0-9]* .* line$' "$T/steps.library") || fail "other lines"

step "a stack as CSV: what the table has"
wanted=$("$CTBPF" query --where s:7 "$T/r.ctr" | grep -c '^      ')
assert_ge "$wanted" 1 variables
assert_eq "$("$CTBPF" query --csv --where s:7 "$T/r.ctr" | tr -d '\r' | tail -n +2 | grep -c '^[0-9]*,[0-9]*,[^,]*,[^,]*,[0-9]*,[^,]')" "$wanted" "variables as CSV"

step "exceptions"
assert_eq "$(query "SELECT count(DISTINCT type) FROM values WHERE kind = 'exception'")" 2 "types of exceptions"
assert_status 0 "$CTBPF" query --exceptions "$T/r.ctr"
assert_contains "$OUT" ParseError
assert_contains "$OUT" ZeroDivisionError
