#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of C functions by Python code are those of sys.setprofile, with arguments, results and exceptions; what changes
# inside of containers and objects shows; limits of values are kept to and marked.
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154
source "$(dirname "$0")/500-common.sh"

TESTS=$PWD/tests/python
need /usr/bin/python3.11
# PYTHON: everything below, beside another one's
with() {
	local PYTHON=$1 program name want steps
	T=$T/$(basename "$1")
	mkdir "$T"
	local programs=() files=()
	for name in 04_exceptions 05_context 06_classes 09_threads 16_containers 21_functools 25_files 27_signals; do
		program=$TESTS/programs/$name.py
		# Before 3.11 a handler of a signal seems to be called by the C function at whose end it runs.
		[[ $PYTHON = *python3.9 ]] && { [ $name = 27_signals ] || grep -q '^# since 3.1' "$program"; } && continue
		programs+=("$program") files+=(--files "$program")
	done
	step "$(basename "$PYTHON") $(basename -s .py -a "${programs[@]}" | paste -sd' ')"
	record_each "$T/r.ctr" "$PYTHON" -- "${programs[@]}"
	timeout 120 "$CTBPF" index --print "${files[@]}" "$T/r.ctr" >"$T/all" || fail "exit status $? of index"
	split_steps "$T/all" "$T" || fail "what are these steps?"
	for program in "${programs[@]}"; do
		name=$(basename "$program" .py)
		timeout 60 "$PYTHON" "$TESTS/profile.py" "$program" "$T/$name.truth" >/dev/null
		"$PYTHON" "$TESTS/profile.py" --compare "$T/$name.truth" "$T/$name.steps" || fail "$name: not as sys.setprofile has it"
	done
	rm -rf "$T/r.ctr"

	rm -rf "$T/c.ctr"
	cat >"$T/changes.py" <<-'END'
		import os

		class Point:
		    pass

		def helper(n):
		    return n

		def nested():
		    for i in range(40):
		        helper(os.getppid() + helper(len(str(i))))

		def work():
		    numbers = []
		    table = {}
		    point = Point()
		    numbers.append(1)
		    table["numbers"] = numbers
		    point.x = 5
		    numbers.append(2)
		    del table["numbers"]
		    long = [[[10, 11], 12], 13, 14, "abcdefgh"]
		    try:
		        int.from_bytes(b"12345", "odd")
		    except ValueError:
		        pass
		    return max(numbers, default=7)

		work()
		nested()
	END
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/c.ctr" -- "$PYTHON" "$T/changes.py"
	step "what changes inside"
	assert_status 0 "$CTBPF" index --print --files changes.py "$T/c.ctr"
	steps=$(sed 's/^[0-9]* *//' <<<"$OUT")
	for want in "value numbers = [1]" "value table = {'numbers': [1]}" "value point = Point(x=5)" "value numbers = [1, 2]" \
		"value table = {'numbers': [1, 2]}" "value table = {}"; do
		grep -qxF "$want" <<<"$steps" || fail "no '$want' in $steps"
	done
	step "arguments, results, exceptions of C functions"
	grep -A 3 'list.append call' <<<"$steps" | head -n 4 | has_line -xF 'argument arg1 = 1' || fail "no argument of append"
	grep -q '<native>:0 builtins.max return 2$' <<<"$steps" || fail "no result of max"
	grep -q "<native>:0 int.from_bytes unwind ValueError(args=(" <<<"$steps" || fail "no exception of int.from_bytes"
	assert_eq "$(grep -c '<native>:0 posix.getppid return [0-9]*$' <<<"$steps")" 40 "results of getppid"
	assert_eq "$(grep -c '<native>:0 builtins.len return [12]$' <<<"$steps")" 40 "results of len"
	assert_status 0 "$CTBPF" index --files changes.py "$T/c.ctr"
	assert_status 0 "$CTBPF" query --csv "$T/c.ctr" "SELECT p.name, count(*) FROM calls c JOIN functions f ON f.id = c.function_id
		JOIN calls d ON d.id = c.parent_id JOIN functions p ON p.id = d.function_id WHERE f.name = 'helper' GROUP BY p.name"
	assert_contains "$(tr -d '\r' <<<"$OUT")" "nested,80"
	step "limits"
	assert_status 0 "$CTBPF" index --print --files changes.py --depth 2 --items 3 --bytes 4 "$T/c.ctr"
	assert_contains "$OUT" "value long = [[[...], 12], 13, 14, ...]"
	assert_contains "$OUT" "argument arg1 = b'1234'..."
	assert_status 0 "$CTBPF" index --files '*/changes.py' --functions 'w[a-z]*k' --depth 1 --items 9 --bytes 4 "$T/c.ctr"
	assert_status 0 "$CTBPF" query --csv "$T/c.ctr" "SELECT repr FROM values WHERE name = 'long'"
	assert_contains "$OUT" "abcd"
	! grep -q abcde <<<"$OUT" || fail "more than 4 characters: $OUT"
	assert_status 0 "$CTBPF" query --csv "$T/c.ctr" "SELECT f.name, count(*), max(exception) FROM calls JOIN functions f ON f.id = function_id
		WHERE language = 'c' GROUP BY f.name ORDER BY f.name"
	assert_contains "$OUT" "builtins.max,1,"
	assert_contains "$OUT" "int.from_bytes,1,ValueError"
	assert_contains "$OUT" "list.append,2,"

	step "a subinterpreter is not watched, what is around it is"
	cat >"$T/sub.py" <<-'END'
		try:
		    import _interpreters as interpreters
		except ImportError:
		    import _xxsubinterpreters as interpreters

		def outside():
		    return 1

		outside()
		one = interpreters.create()
		getattr(interpreters, "exec", None)(one, "def inside(): pass\ninside()") if hasattr(interpreters, "exec") \
		    else interpreters.run_string(one, "def inside(): pass\ninside()")
		outside()
		interpreters.destroy(one)
		outside()
	END
	rm -rf "$T/s.ctr"
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/s.ctr" -- "$PYTHON" "$T/sub.py"
	assert_status 0 "$CTBPF" index --print --files sub.py --files '<string>' "$T/s.ctr"
	assert_contains "$OUT" "runs a subinterpreter; what runs in that is not told"
	assert_eq "$(grep -c ' outside return 1$' <<<"$OUT")" 3 "calls around it"
	assert_eq "$(grep -c ' inside call ' <<<"$OUT" || true)" 0 "calls in it"
	assert_eq "$(grep -v '<native>' <<<"$OUT" | grep -c ' unwind' || true)" 0 "functions left by exceptions"
}
beside 3.9 with "$(scripts/interpreter python 3.9)"
(with /usr/bin/python3.11)
beside 3.13 with "$(scripts/interpreter python 3.13)"
(with "$(scripts/interpreter python 3.14)")
beside
[ ${#BESIDE[@]} = 0 ] || fail "with Python ${BESIDE[*]}"
