#!/bin/bash
# SPDX-License-Identifier: MIT
# Triggers: a command, a signal, what is written, an exit status, a crash each make a recording of its own by hard links,
# which verifies; recording goes on meanwhile, and the end of the target counts, too.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

verified() { # DIR
	assert_recording "$1"
	assert_status 0 "$CTBPF" verify "$1"
	assert_contains "$OUT" VERIFIED
}
one() { # PATTERN: the only recording of that name
	local found=("$T"/$1)
	[ -d "${found[0]}" ] && [ ${#found[@]} = 1 ] || fail "not one but ${#found[@]}: ${found[*]}"
	echo "${found[0]}"
}
made() { compgen -G "$T/$1" >/dev/null; }
EINTR='[0-9]+'

step "by command, twice, while it is recorded and old segments go"
start_answers answers 3
start_recorder "$T/a.ctr" -p "$PID_answers" --keep 1s --snapshot-every 300ms --on-signal USR1 --trigger-limit 1h
assert_eq "$(stat -c %a "$T/a.ctr/control")" 600 "mode of the socket"
wait_for 30 test ! -e "$T/a.ctr/segments/000001.ctseg" || fail "the first segment stays"
assert_status 0 "$CTBPF" trigger first "$T/a.ctr"
assert_eq "$OUT" "$T/a-first.ctr" "what is printed"
assert_status 0 "$CTBPF" trigger second -p "$PID_answers"
assert_eq "$OUT" "$T/a-second.ctr"
assert_status 1 "$CTBPF" trigger first "$T/a.ctr"
assert_status 2 "$CTBPF" trigger ../x "$T/a.ctr"
verified "$T/a-first.ctr"
assert_eq "$(info "$T/a-first.ctr" trigger)" first
assert_ge "$(info "$T/a-first.ctr" kept_from)" 2
big=$(find "$T/a-first.ctr/files" -type f -size +100k | head -n 1)
assert_ge "$(stat -c %h "$big")" 3 "links of a kept file"

step "by a signal, which its threads send each other; at most one in an hour"
wait_for 30 made 'a-signal-*.ctr' || fail "nothing was kept: $(cat "$T/recorder.log")"
stop_recorder
assert_matches "$(cat "$T/recorder.log")" "[0-9]+ triggers came too soon"
kept=$(one 'a-signal-*.ctr')
assert_contains "$(info "$kept" trigger_reason)" "signal 10"
pos=$(info "$kept" trigger_pos)
assert_contains "$("$CTBPF" dump --from "$pos" --to "$pos" "$kept")" SIGUSR1
[ ! -e "$T/a.ctr/control" ] || fail "the socket stays"
verified "$kept"
verified "$T/a-second.ctr"
verified "$T/a.ctr"
assert_status 3 "$CTBPF" trigger late "$T/a.ctr"
assert_status 3 "$CTBPF" trigger late -p "$PID_answers"
answers_end

step "by what is written, by an exit status, by a crash"
cat >"$T/child.py" <<'PY'
import os, time
def child(code):
    pid = os.fork()
    if not pid:
        code()
        os._exit(0)
    os.waitpid(pid, 0)
for i in range(100000):
    if i == 30:
        print("request took 712 ms", flush=True)
    if i == 60:
        child(lambda: os._exit(7))
    if i == 90:
        child(lambda: os.abort())
    if i == 120:
        break
    os.getppid()
    time.sleep(0.02)
PY
assert_status 0 "$CTBPF" record -o "$T/b.ctr" --snapshot-every 500ms --on-log 'took \d{3,} ms' --on-exit 7 --on-crash \
	--trigger-limit 100ms --post-trigger 200ms -- /usr/bin/python3 "$T/child.py"
for what in log exit crash; do
	kept=$(one "b-$what-*.ctr")
	verified "$kept"
	echo "$what: $(info "$kept" trigger_reason), at $(info "$kept" trigger_pos) of $(info "$kept" last_pos)"
done
assert_contains "$(info "$(one 'b-log-*.ctr')" trigger_reason)" "wrote: request took 712 ms"
assert_contains "$(info "$(one 'b-exit-*.ctr')" trigger_reason)" "status 7"
assert_contains "$(info "$(one 'b-crash-*.ctr')" trigger_reason)" "signal 6 (ABRT)"
verified "$T/b.ctr"

step "the end of the target"
assert_status 134 "$CTBPF" record -o "$T/c.ctr" --on-crash -- /usr/bin/python3 -c "import os; os.abort()"
kept=$(one 'c-crash-*.ctr')
verified "$kept"
assert_eq "$(info "$kept" last_pos)" "$(info "$T/c.ctr" last_pos)"

step "what makes no sense"
assert_status 2 "$CTBPF" record --on-log '(' -o "$T/d.ctr" -- true
assert_status 2 "$CTBPF" record --on-signal NONE -- true
assert_status 2 "$CTBPF" record --no-replay --on-crash -- true
