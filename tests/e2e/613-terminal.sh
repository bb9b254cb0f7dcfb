#!/bin/bash
# SPDX-License-Identifier: MIT
# The terminal mode of `replay`: scripts and a person at a terminal go along recordings, forwards and backwards.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

# Runs commands from stdin with a recording; what they print is in $OUT.
in_terminal() { # RECORDING [ARGS...]
	cat >"$T/script"
	OUT=$(timeout 100 "$CTBPF" replay --batch -x "$T/script" "$@" 2>&1 </dev/null) || fail "exit status $?: $OUT"
}
# Each line of stdin, a regular expression, matches a line of $OUT, in this order.
assert_lines() {
	python3 - "$OUT" 3<&0 <<-'PY'
		import re, sys
		lines = sys.argv[1].splitlines()
		at = 0
		for wanted in open(3):
		    wanted = wanted.rstrip("\n")
		    found = next((i for i in range(at, len(lines)) if re.search(wanted, lines[i])), None)
		    if found is None:
		        sys.exit(f"no line like '{wanted}' after line {at} of:\n{sys.argv[1]}")
		    at = found + 1
	PY
}

step "from a crash to the guilty store, and what was there"
assert_status 139 "$CTBPF" record -q -o "$T/c.ctr" -- "$PROGRAMS/corrupt"
assert_recording "$T/c.ctr"
in_terminal "$T/c.ctr" <<'END'
# comments and empty lines are nothing

continue
bt
watch items[5]->name
rc
bt
locals
print items[5]->name
print *items[5]
print i * 2 + n == 13 && it->values[3] > 1000
stepi
print items[5]->name == 1033
up
print round
END
assert_lines <<'END'
^SIGSEGV comes next$
^main at corrupt\.c:43, thread [0-9]+, before e:[0-9]+$
^-> +43 .*items\[i\]->name\[0\]
^->#0 +main at corrupt\.c:43
^watchpoint 1 on 8 bytes at 0x
^watchpoint 1: items\[5\]->name is 0x[0-9a-f]+, and is written next$
^fill at corrupt\.c:18
^->#0 +fill at corrupt\.c:18$
^  #1 +main at corrupt\.c:37$
^it = 0x
^from = 1029$
^n = 5$
^i = 4$
^items\[5\]->name = 0x[0-9a-f]+ "item"$
^\*items\[5\] = \{values = \{1029, 1030, 1031, 1032\}, name = 0x[0-9a-f]+ "item"\}$
= 1$
^-> +17 
== 1033 = 1$
^->#1 +main at corrupt\.c:37$
^round = 29$
END

step "by lines, in both directions"
in_terminal "$T/c.ctr" <<'END'
break fill
continue
next 3
print i
back 3
print i
back 3
step
next
finish
next
step
rfinish
delete
back 2
step
finish
rstep
rstep
rfinish
step
break corrupt.c:38 if round == 30
break 23
break
continue
print rounds
delete
rc
END
assert_lines <<'END'
^breakpoint 1 at 0x[0-9a-f]+, corrupt\.c:17$
^breakpoint 1: fill at corrupt\.c:17
^-> +18 
^i = 1$
^-> +17 .*for
^i = 0$
^main at corrupt\.c:37
^-> +37 .*fill\(items
^fill at corrupt\.c:17
^-> +18 
^returned, rax is
^main at corrupt\.c:38
^-> +39 
^-> +40 
^breakpoint 1: fill at corrupt\.c:17
^main at corrupt\.c:37
^fill at corrupt\.c:17
^returned, rax is
^fill at corrupt\.c:19
^-> +17 
^main at corrupt\.c:37
^fill at corrupt\.c:17
^breakpoint 2 at 0x[0-9a-f]+, corrupt\.c:38$
^breakpoint 3 at 0x[0-9a-f]+, corrupt\.c:23$
^2 breakpoint corrupt\.c:38 at 0x[0-9a-f]+ if round == 30$
^breakpoint 3: work at corrupt\.c:23
^rounds = 20000 \(0x4e20\)|^rounds = 20000$
^the recording begins here$
END

step "positions, events, memory, and breakpoints in libraries that are yet to come"
in_terminal "$T/c.ctr" <<'END'
break puts
break __printf
break printf
break
continue
bt
stepi 7
when
goto start
goto end
rc
list
registers
x $rsp 16
threads
status
print $rip > 4096
print &items
print -7 / 2 + (3 << 2) % 5 - !0
print 'a'
END
assert_lines <<'END'
nothing of this name is there yet
^[123] breakpoint printf \(not there yet\)$
^breakpoint [123]: _*printf
^  #1 +main at corrupt\.c:39
^e:[0-9]+@0x[0-9a-f]+#[0-9]+$
before e:[0-9]+$
^breakpoint [123]: _*printf
^->.*<.*printf
^rip +0x[0-9a-f]+$
^[0-9a-f]+  (..  ?){16}
^-> [0-9]+ "corrupt" runs: .*printf
^process [0-9]+, threads: 1, e:[0-9]+ to e:[0-9]+; checkpoints: [0-9]+, of
^\$rip > 4096 = 1$
^&items = .*0x
 = -2$
^'a' = 97
END
place=$(grep -o 'e:[0-9]*@0x[0-9a-f]*#[0-9]*' <<<"$OUT")
before=$(grep -A1 -F "$place" -m1 <<<"$OUT" | head -1)
in_terminal -t "$place" "$T/c.ctr" <<<'when'
assert_eq "$OUT" "$before" "the position it is opened at"
assert_matches "$("$CTBPF" replay --to "$place" "$T/c.ctr" 2>&1)" "runs, at $(sed 's/.*@//; s/#.*//' <<<"$place")"

step "threads, signals, calls of the kernel"
start_target racy "$PROGRAMS/racy"
sleep 0.3
assert_status 0 "$CTBPF" record -q -p "$PID_racy" -d 0.3 -o "$T/racy.ctr"
stop "$PID_racy" KILL
in_terminal "$T/racy.ctr" <<'END'
threads
watch head
continue
print head
continue
print head
rc
print head
rc
print head
delete
catch syscalls
continue
when
continue
rc
when
catch syscalls off
next 3
back 3
END
assert_eq "$(grep -cE '^(->|  ) [0-9]+ ' <<<"$OUT")" 7 "threads listed"
python3 - "$OUT" <<'PY'
import re, sys
heads = [int(x) for x in re.findall(r"^head = (\d+)", sys.argv[1], re.M)]
assert heads == [heads[0], heads[0] + 1, heads[0], heads[0] - 1], heads
when = re.findall(r"^e:\S+$", sys.argv[1], re.M)
assert len(when) == 2 and when[0] == when[1], when
PY

step "each thread goes back from where it was left, whatever others have done since"
in_terminal "$T/racy.ctr" <<<'threads'
{
	sed -nE 's/^(->|  ) ([0-9]+) .*/\2/p' <<<"$OUT" | while read -r tid; do
		printf 'goto end\nthreads %s\nbacki\nstepi\n' "$tid"
	done
} >"$T/threads"
in_terminal "$T/racy.ctr" <"$T/threads"
assert_eq "$(grep -cE '^-> [0-9]+ ' <<<"$OUT")" 7 "threads looked at"

step "a program without debug information: instructions"
assert_status 0 "$CTBPF" record -q -o "$T/true.ctr" -- /bin/true
in_terminal "$T/true.ctr" <<'END'
next
next 20
back 5
stepi
backi
END
[ "$(grep -c '^-> 0x' <<<"$OUT")" -ge 5 ] || fail "no instructions: $OUT"

step "scripts that fail, usage"
printf 'step\nprint nonsense +\n' >"$T/bad"
assert_status 1 "$CTBPF" replay --batch -x "$T/bad" "$T/c.ctr"
assert_contains "$OUT" "$T/bad:2: there is no variable"
for line in 'frobnicate' 'b 4711' 'goto e:99999' 'print (1' 'delete 7' 's x' 'frame 99' 'watch 1 +' 'x 0' 'threads 1' 'r'; do
	echo "$line" >"$T/bad"
	"$CTBPF" replay --batch -x "$T/bad" "$T/c.ctr" >"$T/out" 2>&1 </dev/null && fail "'$line' is taken: $(cat "$T/out")"
	assert_contains "$(cat "$T/out")" "bad:1: "
done
assert_status 1 "$CTBPF" replay --batch -x "$T/none" "$T/c.ctr"
assert_status 2 "$CTBPF" replay --batch "$T/c.ctr"
assert_status 2 "$CTBPF" replay -O -x "$T/bad" "$T/c.ctr"
echo 'print 1' >"$T/one"
OUT=$(echo 'print 2' | "$CTBPF" replay -x "$T/one" "$T/c.ctr")
assert_lines <<'END'
^process
^1 = 1$
^2 = 2$
END

step "a person at a terminal"
printf 'break fill\nc\n\n\nprint n\nnonsense\nq\n' | timeout 60 script -qec "'$CTBPF' replay '$T/c.ctr'" /dev/null >"$T/out" 2>&1 ||
	fail "$(cat "$T/out")"
OUT=$(tr -d '\r' <"$T/out")
assert_lines <<'END'
^process [0-9]+, threads: 1
lists the commands
breakpoint 1: fill .*before e:
breakpoint 1: fill .*before e:
breakpoint 1: fill .*before e:
n = 4
there is no command 'nonsense'
END
