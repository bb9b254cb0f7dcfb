#!/bin/bash
# SPDX-License-Identifier: MIT
# pack makes one file of a recording, which tar makes a recording of again that verifies; rm removes recordings and nothing
# else.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"
need zstd tar age age-keygen

cd "$T" || exit 1
assert_status 0 "$CTBPF" record -q -o run.ctr -- /usr/bin/python3 -c "print(sum(range(1000)))"
assert_status 0 "$CTBPF" verify run.ctr

step "pack and unpack"
assert_status 0 "$CTBPF" pack run.ctr
assert_contains "$OUT" "run.ctr.tar.zst: "
assert_eq "$(stat -c %a run.ctr.tar.zst)" 600 "mode of the archive"
assert_status 0 "$CTBPF" pack -q -o run.tar run.ctr/
"$CTBPF" pack -o - run.ctr | cmp - run.tar || fail "standard output is another archive"
zstd -dc run.ctr.tar.zst | cmp - run.tar || fail "the compressed archive is another one"
mkdir there
tar -xf run.tar -C there
diff -r run.ctr there/run.ctr || fail "it is not the same"
assert_eq "$(stat -c %a there/run.ctr/segments)" 700
assert_status 0 "$CTBPF" verify there/run.ctr

step "a part of a longer one, and what does not belong to it"
touch there/run.ctr/control there/run.ctr/files/1.tmp
assert_status 0 "$CTBPF" pack -q -o again.tar there/run.ctr
assert_eq "$(tar -tf again.tar | sort)" "$(tar -tf run.tar | sort)"

step "encrypted"
age-keygen -o key 2>said || fail "no key"
recipient=$(sed -n 's/^# public key: //p' key)
age-keygen -o other 2>/dev/null
assert_status 0 "$CTBPF" pack --age "$recipient" run.ctr
assert_eq "$(stat -c %a run.ctr.tar.zst.age)" 600 "mode of the encrypted archive"
assert_eq "$(head -c 14 run.ctr.tar.zst.age)" "age-encryption"
age -d -i key run.ctr.tar.zst.age | zstd -d | cmp - run.tar || fail "what is decrypted is another archive"
! age -d -i other run.ctr.tar.zst.age >/dev/null 2>&1 || fail "another key opens it"
"$CTBPF" pack -o - --age "$recipient" --age "$(age-keygen -y other)" run.ctr | age -d -i other | cmp - run.tar ||
	fail "for two: the second cannot read it"
assert_status 1 "$CTBPF" pack -o bad.age --age nonsense run.ctr
assert_contains "$OUT" "age did not encrypt"
PATH=/nowhere assert_status 1 "$CTBPF" pack -o bad.age --age "$recipient" run.ctr
assert_contains "$OUT" "cannot run age"
[ ! -e bad.age ] && [ ! -e bad.age.tmp ] || fail "half an archive is left"

step "refusals"
start_target storm "$PROGRAMS/flood" 1000000
start_recorder live.ctr -p "$PID"
assert_status 1 "$CTBPF" pack live.ctr
assert_contains "$OUT" "still being recorded"
assert_status 1 "$CTBPF" rm live.ctr
assert_contains "$OUT" "still being recorded"
stop_recorder
assert_recording live.ctr
stop "$PID_storm"
mkdir plain
touch plain/file
assert_status 1 "$CTBPF" rm plain
assert_contains "$OUT" "not a recording"
[ -e plain/file ] || fail "what is no recording was removed"
ln -s run.ctr link.ctr
assert_status 1 "$CTBPF" rm link.ctr
assert_status 1 "$CTBPF" rm nothing live.ctr
assert_status 2 "$CTBPF" rm
assert_status 2 "$CTBPF" pack

step "rm"
ln -s "$T/plain" run.ctr/files/link
assert_status 0 "$CTBPF" rm run.ctr there/run.ctr
[ ! -e run.ctr ] && [ ! -e there/run.ctr ] && [ ! -e live.ctr ] || fail "not removed"
[ -e plain/file ] || fail "a link was followed"
