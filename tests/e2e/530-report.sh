#!/bin/bash
# SPDX-License-Identifier: MIT
# report: sums of a real recording are what the program did, what dump lists, what SQL counts; damage is said.
# timeout: 200
# shellcheck source-path=SCRIPTDIR source=500-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/500-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" python3
cat >"$T/prog.py" <<'PY'
import os, sys

def seven(n):
    return n * 2

def outer():
    total = 0
    for i in range(7):
        total += seven(i)
    return total

def fails(n):
    if n < 3:
        raise KeyError(n)
    return n

def catches():
    for i in range(5):
        try:
            fails(i)
        except KeyError:
            pass

def numbers(n):
    for i in range(n):
        yield i

def writes():
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
    for i in numbers(5):
        os.write(fd, b"0123456789abc")
    os.close(fd)

def rec(n):
    if n:
        rec(n - 1)

outer()
catches()
writes()
rec(5)
PY
R=$T/r.ctr
"$CTBPF" record -q -o "$R" -- "$PYTHON" "$T/prog.py" "$T/out"
report() { "$CTBPF" report "$@"; }
rows() { "$CTBPF" query --csv "$R" "$1" | tail -n +2 | tr -d '\r'; }
# Values of the row of a section whose KEY is VALUE, joined by blanks.
cell() { # SECTION KEY VALUE COLUMN... <JSON lines
	python3 -c '
import json, sys
section, key, value = sys.argv[1:4]
for line in sys.stdin:
    row = json.loads(line)
    if row["section"] == section and row[key] == value:
        print(*(row[c] for c in sys.argv[4:]))' "$@"
}

step "without a step database: what the log knows, and what to do for the rest"
assert_status 0 report "$R"
assert_contains "$OUT" "System calls"
assert_contains "$OUT" "\`ctbpf index $R\` builds it"
assert_status 1 report --functions "$R"
assert_contains "$OUT" "run \`ctbpf index $R\` first"
assert_status 1 report --from s:1 "$R"
assert_contains "$OUT" "run \`ctbpf index $R\` first"
assert_status 2 report --csv "$R"
assert_status 2 report --by colour "$R"

"$CTBPF" index --files prog.py "$R" >/dev/null
report --json --top 0 "$R" >"$T/json"
report --json --top 0 --functions "$R" >"$T/functions"

step "what the program did"
assert_eq "$(cell functions function seven self_steps total_steps calls exceptions <"$T/json")" "7 7 7 0" seven
assert_eq "$(cell functions function outer total_steps calls <"$T/json")" "24 1" outer
assert_eq "$(cell functions function fails calls exceptions <"$T/json")" "5 3" fails
assert_eq "$(cell functions function rec self_steps total_steps calls <"$T/json")" "11 11 6" "recursion counts once"
assert_eq "$(cell exceptions type KeyError count function place <"$T/json")" "3 fails $T/prog.py:14" exceptions
assert_eq "$(cell syscalls call write calls errors read written <"$T/json")" "5 0 0 65" "written by write"

step "functions: what SQL counts"
rows "SELECT f.name, s.calls, s.steps, s.exceptions, s.self_ns, s.total_ns FROM stats s JOIN functions f ON f.id = function_id
	ORDER BY 1" >"$T/want"
python3 -c '
import json, sys
for r in sorted(map(json.loads, sys.stdin), key=lambda r: r["function"]):
    print(r["function"], r["calls"], r["self_steps"], r["exceptions"], r["self_ns"], r["total_ns"], sep=",")' \
	<"$T/functions" >"$T/have"
diff "$T/want" "$T/have" || fail "report and the table stats differ"
for f in outer catches fails writes '<module>'; do
	assert_eq "$(cell functions function "$f" total_steps <"$T/json")" \
		"$(rows "SELECT sum((SELECT count(*) FROM steps s WHERE s.id BETWEEN first_step AND last_step)) FROM calls
			JOIN functions f ON f.id = function_id WHERE f.name = '$f'")" "lines run in and under $f"
done

step "exceptions: what SQL counts"
assert_eq "$(python3 -c 'import json, sys
print(sum(r["count"] for r in map(json.loads, sys.stdin)))' < <(report --exceptions --top 0 --json "$R"))" \
	"$(rows "SELECT count(*) FROM values WHERE kind = 'exception'")"

step "system calls: what dump lists"
"$CTBPF" dump --json "$R" >"$T/dump"
python3 - "$T/dump" <<'PY' >"$T/want"
import collections, json, sys

read = "read pread64 readv preadv recvfrom recvmsg getrandom getdents64".split()
write = "write pwrite64 writev pwritev sendto sendmsg".split()
calls = collections.defaultdict(lambda: [0] * 6)
before = begin = 0
for e in map(json.loads, open(sys.argv[1])):
    begin = begin or e["time_ns"]
    before = before or begin
    if e["type"] in ("data", "file", "snapshot", "note", "unsound", "end"):
        continue
    if e["type"] == "syscall":
        ret, took = int(str(e["ret"]), 0), max(0, e["time_ns"] - before)
        c = calls[e["name"]]
        c[0] += 1
        c[1] += -4095 <= ret < 0 and not -516 <= ret <= -512
        c[2] += took
        c[3] = max(c[3], took)
        c[4] += ret if e["name"] in read and ret > 0 else 0
        c[5] += ret if e["name"] in write and ret > 0 else 0
    before = e["time_ns"]
for name in sorted(calls):
    print(name, *calls[name])
PY
python3 -c '
import json, sys
for r in sorted((r for r in map(json.loads, sys.stdin) if r["section"] == "syscalls"), key=lambda r: r["call"]):
    print(r["call"], r["calls"], r["errors"], r["at_most_ns"], r["longest_ns"], r["read"], r["written"])' \
	<"$T/json" >"$T/have"
diff "$T/want" "$T/have" || fail "report and dump differ"

step "stretches: their sums are those of the whole"
steps=$(rows 'SELECT count(*) FROM steps')
sums() { python3 -c 'import json, sys
r = [json.loads(l) for l in sys.stdin]
print(sum(x["self_steps"] for x in r), sum(x["calls"] for x in r), sum(x["exceptions"] for x in r))'; }
for part in "s:1 s:30" "s:31 s:60" "s:61 s:$steps"; do
	report --functions --json --top 0 --from "${part% *}" --to "${part#* }" "$R"
done | sums >"$T/have"
sums <"$T/functions" >"$T/want"
diff "$T/want" "$T/have" || fail "parts and whole differ"
assert_eq "$(report --syscalls --json --from s:1 --to e:1 "$R" 2>&1 | grep -c section)" 0
seq=$(python3 -c 'import json, sys
print(next(e["seq"] for e in map(json.loads, open(sys.argv[1])) if e["type"] == "syscall" and e["name"] == "write"))' "$T/dump")
assert_eq "$(report --syscalls --json --from "e:$seq" --to "e:$seq" "$R" | cell syscalls call write calls written)" "1 13"

step "one section as CSV; the table says how much is left out"
report --functions --csv --top 0 --by calls "$R" | tr -d '\r' >"$T/csv"
assert_eq "$(head -n 1 "$T/csv")" "self_steps,percent,total_steps,calls,exceptions,self_ns,total_ns,function,place"
assert_eq "$(sed -n 2p "$T/csv" | cut -d, -f4,8)" "7,seven" "most calls"
assert_status 0 report --functions --top 2 "$R"
assert_contains "$OUT" "more; --top 0 shows all"

step "threads: time off the CPU lies between its bounds, and switches are those of the log"
cat >"$T/threads.py" <<'PY'
import threading, time

def works(event):
    event.wait()
    for i in range(200000):
        pass

event = threading.Event()
threads = [threading.Thread(target=works, args=(event,)) for _ in range(2)]
for t in threads:
    t.start()
time.sleep(0.02)
event.set()
for t in threads:
    t.join()
PY
"$CTBPF" record -q -o "$T/t.ctr" -- "$PYTHON" "$T/threads.py"
report --offcpu --json --top 0 "$T/t.ctr" >"$T/offcpu"
"$CTBPF" dump --json --type switch "$T/t.ctr" >"$T/switches"
python3 - "$T/offcpu" "$T/switches" <<'PY' || fail "time off the CPU"
import collections, json, sys

rows = [json.loads(l) for l in open(sys.argv[1])]
left, least, places = {}, collections.Counter(), collections.Counter()
end = 0
for e in map(json.loads, open(sys.argv[2])):
    if e["to"] in left:
        least[e["to"]] += max(0, e["time_ns"] - left.pop(e["to"]))
    if "exiting" not in e["switch_flags"]:
        left[e["tid"]] = e["time_ns"]
assert len({r["tid"] for r in rows}) == 3, rows
for r in rows:
    assert 0 <= r["at_least_ns"] <= r["at_most_ns"], r
    if r["where"] != "(all)":
        places[r["tid"]] += r["at_least_ns"]
for r in rows:
    if r["where"] == "(all)":
        assert r["at_least_ns"] == places[r["tid"]], r
        assert r["at_least_ns"] == least[r["tid"]], (r, least)
assert any(r["where"] == "clock_nanosleep" and r["at_most_ns"] >= 20000000 for r in rows), rows
PY
tid=$(head -n 1 "$T/offcpu" | json tid)
report --offcpu --json --thread "$tid" "$T/t.ctr" >"$T/one"
assert_eq "$(grep -c "\"tid\":$tid," "$T/one")" "$(wc -l <"$T/one")" "only this thread"

step "a damaged step database is said, and the log is summed up all the same"
for table in steps calls values; do
	damage "$R" "$table"
	assert_status 1 timeout 20 "$CTBPF" report "$T/bad.ctr"
	assert_contains "$OUT" "System calls"
	assert_contains "$OUT" "ctbpf report: "
done
rm -rf "$T/bad.ctr/steps/steps.ctcol"
assert_status 1 timeout 20 "$CTBPF" report --functions "$T/bad.ctr"
