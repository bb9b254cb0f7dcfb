#!/bin/bash
# SPDX-License-Identifier: MIT
# What a recorder may do after it has attached, and whom it believes: capabilities and calls it gives up, directories that
# others can change, links left by the dead, links laid by another user.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need setpriv
EINTR='[0-9]+'
as_other() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

step "the recorder gives up what it does not need; the command keeps what it has"
start_answers answers 2
before=$(shape "$PID_answers")
start_recorder "$T/a.ctr" -p "$PID_answers" --keep 10s --snapshot-every 300ms
# BPF, PERFMON, SYS_ADMIN, SYS_PTRACE, SYS_RESOURCE, SYS_NICE, DAC_OVERRIDE, DAC_READ_SEARCH, KILL, CHECKPOINT_RESTORE
most=$((1 << 39 | 1 << 38 | 1 << 21 | 1 << 19 | 1 << 24 | 1 << 23 | 1 << 1 | 1 << 2 | 1 << 5 | 1 << 40))
for f in /proc/"$PID_recorder"/task/*/status; do
	case $(sed -n 's/^Name:[[:space:]]*//p' "$f") in iou-*) continue ;; esac
	for set in CapEff CapPrm CapInh CapBnd; do
		has=$((16#$(sed -n "s/^$set:[[:space:]]*//p" "$f")))
		[ $((has & ~most)) = 0 ] || fail "$set of $f: $(printf %x $has)"
	done
	assert_eq "$(sed -n 's/^Seccomp:[[:space:]]*//p' "$f")" 2 "seccomp mode of $f"
	assert_eq "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' "$f")" 1 "no new privileges in $f"
done
goes_on answers
stop_recorder
answers_well
assert_shape "$PID_answers" "$before"
assert_status 0 "$CTBPF" verify "$T/a.ctr"
assert_status 0 "$CTBPF" record -q --verify -o "$T/b.ctr" -- bash -c 'grep -E "^(CapEff|Seccomp:|NoNew)" /proc/self/status; /bin/true'
assert_eq "$OUT" "$(grep -E '^(CapEff|Seccomp:|NoNew)' /proc/self/status)"

step "left by recorders and processes that are gone"
as_other true & # a number that was a process's
dead=$!
wait $dead
ln -s "$T/nowhere" "$RUN_DIR/$dead.recording"
echo '{}' >"$RUN_DIR/$dead.json"
ln -s "$T/precious" "$RUN_DIR/$dead.json.tmp"
echo precious >"$T/precious"
echo '{"start_time": 1}' >"$RUN_DIR/$PID_answers.json" # of an earlier process of this number
assert_status 0 "$CTBPF" record -q -p "$PID_answers" -d 0.3 -o "$T/c.ctr"
assert_eq "$(compgen -G "$RUN_DIR/$dead.*" || true)" ""
[ ! -e "$RUN_DIR/$PID_answers.json" ] || fail "the old file is left"
assert_eq "$(cat "$T/precious")" precious
answers_end

step "another user's links: refused, and nothing behind them is changed"
chmod 755 "$T"
install -d -o 65534 -m 755 "$T/his"
mkdir -m 700 "$T/victim"
echo mine >"$T/victim/manifest.json"
as_other ln -s "$T/victim" "$T/his/a.ctr"
assert_status 1 "$CTBPF" record -q -o "$T/his/a.ctr" -- true
assert_contains "$OUT" "exists already"
as_other ln -s "$T/victim" "$T/his/b-crash.ctr.tmp"
as_other ln -s "$T/victim" "$T/his/b-now.ctr.tmp"
as_other ln -s "$T/victim" "$T/his/b-later.ctr"
start_target storm "$PROGRAMS/storm" 1
start_recorder "$T/his/b.ctr" -p "$PID_storm"
assert_status 1 "$CTBPF" trigger now "$T/his/b.ctr"
assert_status 1 "$CTBPF" trigger later "$T/his/b.ctr"
assert_eq "$(stat -c '%a %u' "$T/his/b.ctr")" "700 0"
as_other cat "$T/his/b.ctr/manifest.json" 2>/dev/null && fail "he can read it"
stop_recorder
assert_eq "$(find "$T/victim" -mindepth 1 -printf '%f ')" "manifest.json "
assert_eq "$(cat "$T/victim/manifest.json")" mine
assert_status 0 "$CTBPF" pack -q -o "$T/b.tar" "$T/his/b.ctr"
as_other ln -s "$T/precious" "$T/his/p.tar.zst"
rc=0
"$CTBPF" pack -q -o "$T/his/p.tar.zst" "$T/his/b.ctr" 2>/dev/null || rc=$?
assert_eq "$(cat "$T/precious")" precious "the file behind the link (pack: $rc)"
stop "$PID_storm"

step "a configuration that others could replace"
mkdir -p "$T/his/etc" "$T/rec"
printf '[daemon]\ndirectory = %s\n[target none]\ncomm = ct-none-%s\n' "$T/rec" $$ >"$T/his/etc/daemon.conf"
assert_status 1 "$CTBPF" daemon --config "$T/his/etc/daemon.conf"
assert_contains "$OUT" "$T/his must belong to root"
mkdir "$T/etc"
sed "s|^directory.*|directory = $T/his/rec|" "$T/his/etc/daemon.conf" >"$T/etc/daemon.conf"
assert_status 1 "$CTBPF" daemon --config "$T/etc/daemon.conf"
assert_contains "$OUT" "$T/his must belong to root"
