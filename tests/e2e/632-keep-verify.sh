#!/bin/bash
# SPDX-License-Identifier: MIT
# --keep --verify: stretches are proven while the recording goes on, also those that are gone at the end; one that cannot be
# replayed is noted, and told by info and by the exit status.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

proven() { [ "$(info "$1" proven.verified)" -ge "$2" ]; } # DIR COUNT: so far
no_links() { # DIR: what the proofs were made with is gone
	[ ! -e "$1/.proof" ] || fail "$1/.proof is left"
}

step "a service: proven while it runs, what is left at the end"
EINTR='[0-9]+'
start_answers answers 2
before=$(shape "$PID_answers")
start_recorder "$T/a.ctr" -p "$PID_answers" --keep 1s --snapshot-every 300ms --verify --json
wait_for 60 proven "$T/a.ctr" 4 || fail "nothing is proven: $("$CTBPF" info "$T/a.ctr")"
stop_recorder
answers_well
assert_shape "$PID_answers" "$before"
answers_end
assert_recording "$T/a.ctr"
assert_eq "$(info "$T/a.ctr" verdict)" VERIFIED
assert_eq "$(info "$T/a.ctr" proven.refuted)" 0
assert_ge "$(info "$T/a.ctr" kept_from)" 2 "first snapshot kept"
assert_contains "$("$CTBPF" info "$T/a.ctr")" "while recorded, 0 found NOT to be the same"
json proven.verified <"$T/recorder.log"
no_links "$T/a.ctr"
assert_status 0 "$CTBPF" verify "$T/a.ctr" # all of it, again

step "one that cannot be replayed is told of, also when it has gone"
# When told to, a call whose effect no log has: BROKEN from there to the next snapshot.
cat >"$T/refused.py" <<'PY'
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for turn in range(100000):
    if os.path.exists(sys.argv[1]):
        os.unlink(sys.argv[1])
        shm = libc.shmget(0, 4096, 0o600)
        at = libc.shmat(shm, None, 0)
        libc.shmctl(shm, 0, None)
        libc.shmdt(ctypes.c_void_p(at))
    print("turn", turn, flush=True)
    time.sleep(0.1)
PY
start_target refused /usr/bin/python3 "$T/refused.py" "$T/now"
wait_for 15 test -s "$T/refused.log" || fail "the target does not start"
start_recorder "$T/b.ctr" -p "$PID_refused" --keep 500ms --snapshot-every 300ms --verify
: >"$T/now"
refuted() { [ "$(info "$T/b.ctr" proven.refuted)" -ge 1 ]; }
wait_for 60 refuted || fail "it is not found: $("$CTBPF" info "$T/b.ctr")"
from=$(info "$T/b.ctr" proven.why | sed -n 's/^snapshot \([0-9]*\) to .*/\1/p')
has_gone() { [ ! -d "$(printf '%s/snapshots/%06d' "$T/b.ctr" "$from")" ]; }
wait_for 60 has_gone || fail "snapshot $from stays"
rc=0
stop_recorder || rc=$?
assert_eq $rc 5 "exit status ($(tail -n 4 "$T/recorder.log"))"
goes_on refused
stop "$PID_refused"
assert_matches "$(info "$T/b.ctr" proven.why)" '^snapshot [0-9]+ to [0-9]+: BROKEN: '
assert_contains "$(cat "$T/recorder.log")" "not verified: snapshot $from to "
no_links "$T/b.ctr"

step "the proof gives way to the disk's budget"
start_target flood "$PROGRAMS/flood" 1
wait_for 15 test -e "$T/flood.log" || fail "the target does not start"
goes_on flood
start_recorder "$T/c.ctr" -p "$PID_flood" --keep 16M --verify
most=0
gone_by() { # some stretches were proven, or had to go
	local n
	n=$(du -s --block-size=1 "$T/c.ctr" 2>/dev/null | cut -f 1) || n=0
	[ "$n" -le $most ] || most=$n
	[ -d "$T/c.ctr/snapshots/000001" ] && return 1
	[ -z "$(find "$T/c.ctr/segments" -name '00000[1-5].ctseg')" ]
}
wait_for 60 gone_by || fail "old segments stay"
rc=0
stop_recorder || rc=$?
assert_eq $rc 0 "exit status ($(tail -n 4 "$T/recorder.log"))"
stop "$PID_flood"
assert_le $most $((16 << 20)) "bytes on disk while it was recorded"
assert_ge "$(($(info "$T/c.ctr" proven.verified) + $(info "$T/c.ctr" proven.missed)))" 3 "stretches accounted for"
echo "$("$CTBPF" info "$T/c.ctr" | grep proven), at most $most bytes"
assert_eq "$(info "$T/c.ctr" verdict)" VERIFIED
no_links "$T/c.ctr"
