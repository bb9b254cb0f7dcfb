#!/bin/bash
# SPDX-License-Identifier: MIT
# ctbpf core: a core file of a crash has the threads, registers and memory of the one that the kernel wrote in the recorded
# run, and gdb shows the same with it; also of any other moment, of the kept part, and of an attached process.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need gdb

# Prints what the two cores differ in, and how much of the second has been found in the first.
cat >"$T/compare.py" <<'PY'
import struct, sys
def load(path):
    data = open(path, "rb").read()
    assert data[:4] == b"\x7fELF" and data[16] == 4, path
    off, n = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    notes, loads = [], []
    for i in range(n):
        kind, flags, at, vaddr, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, off + 56 * i)
        if kind == 1:
            loads.append((vaddr, data[at:at + size]))
        elif kind == 4:
            end = at + size
            while at < end:
                namesz, descsz, ntype = struct.unpack_from("<III", data, at)
                at += 12 + (namesz + 3 & ~3)
                notes.append((ntype, data[at:at + descsz]))
                at += descsz + 3 & ~3
    return notes, loads
def page(loads, addr):
    for start, data in loads:
        if start <= addr < start + len(data):
            return data[addr - start:addr - start + 4096]
ours, theirs = load(sys.argv[1]), load(sys.argv[2])
bad = 0
def differ(what):
    global bad
    bad += 1
    if bad < 20:
        print("differs:", what)
kinds = [[t for t, _ in side[0] if t != 517] for side in (ours, theirs)] # NT_X86_XSAVE_LAYOUT: of newer kernels
if kinds[0] != kinds[1]:
    differ("list of notes: %s, %s" % tuple(kinds))
vdso = next(struct.unpack_from("<QQ", d, k)[1] for t, d in ours[0] if t == 6 for k in range(0, len(d), 16)
            if struct.unpack_from("<Q", d, k)[0] == 33)
threads = [[d for t, d in side[0] if t == 1] for side in (ours, theirs)]
for i, (a, b) in enumerate(zip(*threads)):
    if a[32:36] != b[32:36] or a[12:14] != b[12:14]:
        differ("thread %d: number or signal" % i)
    regs = [struct.unpack_from("<27Q", d, 112) for d in (a, b)]
    for r in range(23):
        # of threads in a call: the number and the result of what is not over; selectors and flags that are the kernel's
        if r in (15, 17, 20) or r == 18 and (regs[0][r] ^ regs[1][r]) & 0xcd5 == 0 or i and r in (10, 11, 6):
            continue
        if regs[0][r] != regs[1][r]:
            differ("thread %d: register %d: %#x, %#x" % (i, r, regs[0][r], regs[1][r]))
for kind in (3, 0x53494749, 6, 0x46494c45): # psinfo below, siginfo, auxv, files
    a, b = ([d for t, d in side[0] if t == kind] for side in (ours, theirs))
    if kind == 3:
        a, b = ([d[40:] for d in side] for side in (a, b)) # pr_fname, pr_psargs
    if a != b:
        differ("note %#x" % kind)
pages = 0
for start, data in theirs[1]:
    for k in range(0, len(data), 4096):
        want, have = data[k:k + 4096], page(ours[1], start + k)
        if have == want:
            pages += 1
        elif have is None: # but for pages of the kernel's own, and the recorder's
            if not (start == 0x20000 or start >= 0x7fffffffe000 or vdso - 0x10000 < start < vdso):
                differ("page %#x is missing" % (start + k))
        else: # the recorder's breakpoints, which a replay does not have
            odd = [i for i in range(len(want)) if have[i] != want[i] and want[i] != 0xcc]
            if odd:
                differ("page %#x, from byte %d on" % (start + k, odd[0]))
print(len(threads[0]), "threads,", pages, "pages identical")
sys.exit(bad > 0 or pages < 20 or len(threads[0]) != 2)
PY
bt() { # CORE: functions, arguments and lines, without addresses of code
	gdb -q -batch -nx -ex 'bt' -ex 'p $_siginfo.si_signo' -ex 'p $_siginfo._sifields._sigfault.si_addr' -ex 'thread apply 2 bt 3' \
		-ex 'frame 1' -ex 'info locals' -ex 'p $xmm0.v2_double' -ex 'p *list' "$PROGRAMS/crasher" "$1" 2>/dev/null |
		grep -E '^#|^\$|^[a-z]+ = ' | sed 's/0x[0-9a-f]* in //'
}

step "a command crashes, and the kernel dumps core, too"
cd "$T" || exit 1
case $(cat /proc/sys/kernel/core_pattern) in '|'* | */*) kernel= ;; *) kernel=1 ;; esac
ulimit -c unlimited
assert_status 139 "$CTBPF" record -q -o crash.ctr -- "$PROGRAMS/crasher" 20
ulimit -c 0
mkdir kernel && mv core* kernel/ 2>/dev/null || kernel=
assert_status 0 "$CTBPF" core -o ours crash.ctr
assert_matches "$OUT" 'ours: process [0-9]+ where a signal ended it, at e:[0-9]+'
assert_eq "$(stat -c %a ours)" 600 "mode of the core file"
bt ours >bt.ours
cat bt.ours
assert_contains "$(cat bt.ours)" 'depth=depth@entry=3'
assert_matches "$(cat bt.ours)" 'crasher.c:'
assert_contains "$(cat bt.ours)" '= 11' # SIGSEGV
assert_contains "$(cat bt.ours)" '0x13'
if [ "$kernel" ]; then
	theirs=$(find kernel -type f | head -n 1)
	bt "$theirs" >bt.theirs
	diff bt.theirs bt.ours || fail "gdb shows other things than with the kernel's core"
	python3 "$T/compare.py" ours "$theirs" || fail "it is not the core that the kernel wrote"
else
	echo "the kernel writes no core files here: not compared with one"
fi

step "an attached one, of which only the end is kept"
start_target crasher "$PROGRAMS/crasher" 100000
start_recorder "$T/kept.ctr" -p "$PID_crasher" --keep 500ms --snapshot-every 200ms --on-crash
has_let_go() { [ ! -e "$T/kept.ctr/segments/000002.ctseg" ] && [ -s "$T/kept.ctr/snapshots/000006/state" ]; }
wait_for 60 has_let_go || fail "all of it is still there"
kill -USR1 "$PID_crasher"
wait "$PID_recorder" || fail "$(cat "$T/recorder.log")"
assert_ge "$(info kept.ctr kept_from)" 2 "first snapshot kept"
assert_status 0 "$CTBPF" core -q kept.ctr
bt "core.$PID_crasher" >bt.kept
stack() { grep '^#[0-4]' "$1" | head -n 5 | sed 's/0x[0-9a-f]\+/ADDRESS/g'; }
diff <(stack bt.ours) <(stack bt.kept) || fail "another stack"

step "what the crash has triggered is opened there"
echo bt >commands
assert_status 0 "$CTBPF" replay --batch -x commands kept-crash-*.ctr
assert_matches "$OUT" '#0 +deep at .*crasher.c'
assert_status 0 "$CTBPF" replay --batch -x commands --to "$(info kept.ctr first_pos)" kept-crash-*.ctr
assert_matches "$OUT" '#0 .*nanosleep'

step "at other moments"
assert_status 0 "$CTBPF" core --at "$(info kept.ctr first_pos)" -o first.core kept.ctr
assert_contains "$(bt first.core)" usleep
assert_status 0 "$CTBPF" core --at t:+0.1s -o then.core kept.ctr
assert_contains "$(bt then.core)" usleep
assert_status 2 "$CTBPF" core --at nowhere kept.ctr
assert_status 2 "$CTBPF" core --pid 1 kept.ctr
