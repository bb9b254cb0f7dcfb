#!/bin/bash
# SPDX-License-Identifier: MIT
# script: the story of a small program, line by line as it must be told; stretches, threads, source text, damage.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/500-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" python3
cat >"$T/story.py" <<'PY'
import os

def add(a, b):
    c = a + b
    return c

def numbers():
    yield 1
    yield 2

def fails(n):
    raise ValueError(n)

def tell(fd):
    total = 0
    for n in numbers():
        total = add(total, n)
    os.write(fd, b"told\n")
    try:
        fails(total)
    except ValueError:
        total = -1
    return total

tell(1)
PY
R=$T/r.ctr
"$CTBPF" record -q -o "$R" -- "$PYTHON" "$T/story.py" >/dev/null
"$CTBPF" script "$R" >"$T/out" 2>&1 && fail "told without a step database"
assert_contains "$(cat "$T/out")" "run \`ctbpf index $R\` first"
"$CTBPF" index --files story.py "$R" >/dev/null
rows() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }
# Without what is another in every run: number, time and thread.
told() { "$CTBPF" script "$@" | sed -E "s/^[se]:[0-9]+ +\+[0-9.]+ +[0-9]+  //; s|$T/||"; }

step "calls, lines, values, results, exceptions, system calls"
told --function tell "$R" | sed -n '/os.write/q; p' >"$T/have"
diff - "$T/have" <<'STORY' || fail "another story"
  -> tell(fd=1)  story.py:14
     15  total = 0
     16  for n in numbers():
         total = 0
    -> numbers()  story.py:7
        8  yield 1
    <= 1  numbers
     17  total = add(total, n)
         n = 1
    -> add(a=0, b=1)  story.py:3
        4  c = a + b
        5  return c
           c = 1
    <- 1  add
     16  for n in numbers():
         total = 1
    => numbers  story.py:7  goes on
        9  yield 2
    <= 2  numbers
     17  total = add(total, n)
         n = 2
    -> add(a=1, b=2)  story.py:3
        4  c = a + b
        5  return c
           c = 3
    <- 3  add
     16  for n in numbers():
         total = 3
    => numbers  story.py:7  goes on
    <- None  numbers
STORY
told --function tell "$R" | sed -n '/os.write(fd/,$p' | sed 's/^ *//' | grep -v '<!\|posix.write' >"$T/have"
diff - <(sed '/lseek\|newfstatat\|read(\|ioctl\|close\|clock_gettime/d' "$T/have") <<'STORY' || fail "another end"
18  os.write(fd, b"told\n")
*  write(1, "told\n", 5) = 5
19  try:
20  fails(total)
-> fails(n=3)  story.py:11
12  raise ValueError(n)
!  ValueError(args=(3,))
21  except ValueError:
22  total = -1
23  return total
total = -1
<- -1  tell
STORY
assert_eq "$(told --function fails "$R" | grep -c '<!.*fails')" 1 "the call that an exception leaves"

step "without values"
told --function add --no-values "$R" >"$T/have"
diff - "$T/have" <<'STORY' || fail "another story without values"
    -> add()  story.py:3
        4  c = a + b
        5  return c
    <- 1  add
    -> add()  story.py:3
        4  c = a + b
        5  return c
    <- 3  add
STORY

step "as JSON: every line, value, call and result that SQL has"
"$CTBPF" script --json "$R" >"$T/json"
python3 -c '
import collections, json, sys
rows = [json.loads(line) for line in sys.stdin]
n = collections.Counter(r["type"] for r in rows if r["type"] != "return" or "value" in r) # C functions tell no value
arguments = sum(len(r.get("arguments", [])) for r in rows)
print(n["line"], n["call"], n["value"], n["return"], n["yield"], n["exception"], arguments)' <"$T/json" >"$T/have"
kind() { echo "(SELECT count(*) FROM values WHERE kind IN ($1))"; }
rows "SELECT (SELECT count(*) FROM steps) || ' ' || (SELECT count(*) FROM calls) || ' ' || $(kind "'local','global','closure','field'") ||
	' ' || $(kind "'return'") || ' ' || $(kind "'yield'") || ' ' || $(kind "'exception'") || ' ' || $(kind "'argument'") AS n" |
	diff - "$T/have" || fail "script and SQL differ"
rows 'SELECT line FROM steps ORDER BY id' >"$T/want"
python3 -c 'import json, sys
print(*(r["line"] for r in map(json.loads, sys.stdin) if r["type"] == "line"), sep="\n")' <"$T/json" | diff "$T/want" - ||
	fail "lines in another order"

step "a stretch, by steps and by events"
"$CTBPF" script --json --from s:12 --to s:20 "$R" | python3 -c 'import json, sys
print(*(r["step"] for r in map(json.loads, sys.stdin) if r["type"] == "line"))' >"$T/have"
diff - "$T/have" <<<"12 13 14 15 16 17 18 19 20" || fail "another stretch"
seq=$("$CTBPF" dump --json --syscall write "$R" | json seq)
"$CTBPF" script --json --from "e:$seq" --to "e:$seq" "$R" | grep -c '"event":"syscall".*told' >"$T/have"
diff - "$T/have" <<<1 || fail "the event alone"
assert_status 2 "$CTBPF" script --from s:20 --to s:12 "$R"
assert_contains "$OUT" "is behind"
assert_status 1 "$CTBPF" script --function nothing "$R"

step "system calls: all that dump has, but for the layout of memory"
"$CTBPF" script --json --from start "$R" | python3 -c 'import json, sys
print(*(r["seq"] for r in map(json.loads, sys.stdin) if r["type"] == "event" and r["event"] == "syscall"), sep="\n")' >"$T/have"
"$CTBPF" dump --json --type syscall "$R" | python3 -c 'import json, sys
memory = "mmap munmap mprotect mremap brk madvise arch_prctl".split()
print(*(e["seq"] for e in map(json.loads, sys.stdin) if e["name"] not in memory), sep="\n")' >"$T/want"
grep -vxFf "$T/want" "$T/have" | while read -r e; do
	assert_matches "$("$CTBPF" dump --from "e:$e" --to "e:$e" "$R")" "arch_prctl|madvise"
done
grep -vxFf "$T/have" "$T/want" && fail "system calls that are not told"

step "threads are told apart, each with an indentation of its own"
cat >"$T/threads.py" <<'PY'
import threading

def work(n):
    for i in range(n):
        pass

threads = [threading.Thread(target=work, args=(3,)) for _ in range(2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
PY
"$CTBPF" record -q -o "$T/t.ctr" -- "$PYTHON" "$T/threads.py"
"$CTBPF" index --files threads.py "$T/t.ctr" >/dev/null
"$CTBPF" script --json "$T/t.ctr" | python3 -c '
import collections, json, sys
lines = collections.defaultdict(list)
for r in map(json.loads, sys.stdin):
    if r["type"] == "line" and r["function"] == "work":
        lines[r["tid"]].append(r["line"])
        assert r["depth"] == 1, r
print(*sorted(map(str, lines.values())), sep="\n")' >"$T/have"
diff - "$T/have" <<'LINES' || fail "lines of the threads"
[4, 5, 4, 5, 4, 5, 4]
[4, 5, 4, 5, 4, 5, 4]
LINES
tid=$("$CTBPF" query --json "$T/t.ctr" "SELECT tid FROM threads t JOIN steps s ON s.thread_id = t.id
	JOIN functions f ON f.id = s.function_id WHERE f.name = 'work' LIMIT 1" | json tid)
assert_eq "$("$CTBPF" script --json --thread "$tid" "$T/t.ctr" | grep -c '"type":"line"')" 7 "lines of one thread"

step "frames that were there when the recording began"
cat >"$T/loop.py" <<'PY'
import sys, time

def turn(n):
    time.sleep(0.01)
    open(sys.argv[1], "w").close()

def forever():
    n = 0
    while True:
        n += 1
        turn(n)

forever()
PY
start_target loop "$PYTHON" "$T/loop.py" "$T/ready"
wait_for 10 test -e "$T/ready" || fail "the target does not start"
"$CTBPF" record -q -p "$PID" -d 0.3 -o "$T/l.ctr"
stop "$PID"
"$CTBPF" index "$T/l.ctr" >/dev/null
told "$T/l.ctr" | grep -v ' = \|  \*  ' >"$T/have"
diff - <(head -n 2 "$T/have") <<'STORY' || fail "other frames"
.. <module>  loop.py:1  is running
  .. forever  loop.py:7  is running
STORY
assert_ge "$(grep -c -- '-> turn(n=' "$T/have")" 2 "calls of turn"

step "a source that has changed is not shown, but for the copy that the recording has"
echo "# something else" >"$T/story.py"
"$CTBPF" script --function add "$R" >"$T/changed"
if grep -q 'something else' "$T/changed"; then fail "text that did not run"; fi
assert_eq "$(grep -c 'c = a + b\|story.py:4$' "$T/changed")" 2 "lines, with their text or their place"

step "damage is said"
assert_says_damage "$R" "$CTBPF" script
