#!/bin/bash
# SPDX-License-Identifier: MIT
# Another user's process is recorded like any; without privilege nothing is, and ctbpf says so.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need setpriv
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)

step "another user's process"
cp "$PROGRAMS/answers" "$T/answers"
chmod 755 "$T" "$T/answers"
start_target user "${nobody[@]}" "$T/answers" 2
wait_for 10 grep -q '^tick 2 ' "$T/user.log"
assert_eq "$(stat -c %u "/proc/$PID_user")" 65534 "user of the target"
before=$(shape "$PID_user")
assert_status 0 "$CTBPF" record -p "$PID_user" -d 0.7 -o "$T/user.ctr"
assert_recording "$T/user.ctr"
answers_well user
assert_shape "$PID_user" "$before"
answers_end user

step "without privilege"
start_target mine "${nobody[@]}" sleep 1000
prog=$CTBPF
"${nobody[@]}" test -x "$prog" 2>/dev/null || { cp "$CTBPF" "$T/ctbpf" && prog=$T/ctbpf; }
mkdir "$T/open" && chmod 777 "$T/open"
assert_status 77 "${nobody[@]}" "$prog" record -p "$PID_mine" -d 0.2 -o "$T/open/x.ctr"
assert_matches "$OUT" 'root|sudo'
assert_eq "$(wc -l <<<"$OUT")" 1 "lines of the message"
assert_status 77 "${nobody[@]}" "$prog" record -o "$T/open/x.ctr" -- true
assert_status 77 "${nobody[@]}" "$prog" detach -p "$PID_mine"
assert_matches "$OUT" 'root|sudo'
[ ! -e "$T/open/x.ctr" ]
OUT=$("${nobody[@]}" "$prog" check -p "$PID_mine" 2>&1) && fail "check finds nothing wrong without privilege"
assert_matches "$OUT" 'root|CAP_'
step "but reading a recording needs none"
chmod -R a+rX "$T/user.ctr"
assert_status 0 "${nobody[@]}" "$prog" info "$T/user.ctr"
assert_contains "$OUT" complete

step "root without capabilities"
assert_status 77 setpriv --bounding-set=-all --inh-caps=-all "$prog" record -p "$PID_mine" -d 0.2 -o "$T/x.ctr"
[ ! -e "$T/x.ctr" ] || fail "a recording directory is left"
