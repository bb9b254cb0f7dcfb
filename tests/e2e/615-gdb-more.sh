#!/bin/bash
# SPDX-License-Identifier: MIT
# gdb: conditions that the server evaluates, wide registers, what a signal was sent with, files of the recording, children.
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/600-gdb.sh"

assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"

step "conditions: the same hits in both directions, whoever evaluates them"
in_gdb "$T/c.ctr" <<'GDB'
python
gdb.execute("handle SIGSEGV nostop noprint")
def hits(way):
    found = []
    while go(way) == "breakpoint":
        found.append(value("from"))
    return found
for who in ("host", "target"):
    gdb.execute("set breakpoint condition-evaluation " + who)
    gdb.execute("seek start")
    gdb.execute("break fill if from % 7 == 3 && it != 0 && n < 100")
    assert hits("continue") == list(range(1004, 1040, 7)), who
    assert hits("reverse-continue") == list(range(1039, 1003, -7)), who
    assert ("target evals" in run("info breakpoints")) == (who == "target")
    # Another one takes its place, and none at all.
    gdb.execute("condition $bpnum from == 1011")
    assert hits("continue") == [1011], who
    gdb.execute("condition $bpnum")
    gdb.execute("seek start")
    go("continue")
    assert value("from") == 1000, who
    gdb.execute("delete")
# A condition on memory that is not there stops.
gdb.execute("seek start")
gdb.execute("break fill if *(int *)8 == 1")
try:
    go("continue")
except gdb.error:
    pass
assert bt()[0] == "fill"
end
GDB

step "what the signal was sent with; files; wide registers"
in_gdb "$T/c.ctr" <<GDB
python
go("continue", "SIGSEGV")
assert value("\$_siginfo.si_signo") == 11
assert value("\$_siginfo._sifields._sigfault.si_addr") == value("(long)items[5]->name")
gdb.execute("remote get $PROGRAMS/corrupt $T/got")
end
GDB
cmp "$PROGRAMS/corrupt" "$T/got" || fail "another file"
if grep -qw avx512f /proc/cpuinfo; then
	in_gdb "$T/c.ctr" <<-'GDB'
		python
		go("continue", "SIGSEGV")
		for i in (0, 15, 16, 31):
		    assert value("$zmm%d.v8_int64[7]" % i) is not None
		assert value("$k1") is not None
		was = value("$zmm17.v8_int64[6]")
		gdb.execute("set var $zmm17.v8_int64[6] = %d" % (was ^ 5))
		assert value("$zmm17.v8_int64[6]") == was ^ 5
		gdb.execute("monitor seek start")
		gdb.execute("maintenance flush register-cache")
		go("continue", "SIGSEGV")
		assert value("$zmm17.v8_int64[6]") == was
		end
	GDB
fi

step "a process that was forked while recording"
assert_status 0 "$CTBPF" record -q -o "$T/f.ctr" -- /bin/sh -c '(/bin/true); (exit 3); :'
assert_status 2 "$CTBPF" replay --pid 4 -x /dev/null "$T/f.ctr"
assert_contains "$OUT" "there is no process 4 in what can be replayed; there are: "
read -r -a pids < <(sed -n 's/.*there are: //p' <<<"$OUT" | tr -d ,)
assert_eq "${#pids[@]}" 3 "processes of $OUT"
printf '%s\n' 'info threads' 'stepi' 'reverse-stepi' 'seek end' 'reverse-continue' 'when' >"$T/script.gdb"
for pid in "${pids[@]}"; do
	assert_status 0 timeout 60 "$CTBPF" replay --gdb --batch --pid "$pid" -x "$T/script.gdb" "$T/f.ctr"
	assert_matches "$OUT" "Thread $pid\.$pid|process $pid|LWP $pid"
	assert_matches "$OUT" 'No more reverse-execution history'
	assert_contains "$OUT" ' (of events '
done
