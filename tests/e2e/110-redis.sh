#!/bin/bash
# SPDX-License-Identifier: MIT
# A redis under load is recorded for three seconds: complete, nothing lost, no client noticed, redis as before.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

start_redis
redis set before 1 >"$T/out"
before=$(shape "$PID_redis")
start_redis_load
sleep 0.5
assert_status 0 "$CTBPF" record -p "$PID_redis" -d 3 -o "$T/r.ctr"
assert_contains "$OUT" "none lost"
assert redis_load_ok
assert_released "$PID_redis"
assert_eq "$(cpus "$PID_redis")" "$(sed -n 's/^cpus \(.*\) tracer .*/\1/p' <<<"$before")" "allowed CPUs"
stop "$PID_load"
assert_eq "$(redis get before)" 1
wait_for 5 eval '[ "$(redis info clients | sed -n "s/^connected_clients:\([0-9]*\).*/\1/p")" = 1 ]'

step "as before, but for memory that redis itself has mapped"
assert_eq "$(shape "$PID_redis" | grep -vE '^[0-9a-f]+-')" "$(grep -vE '^[0-9a-f]+-' <<<"$before")" "redis"
assert_le "$(own_maps "$PID_redis" | wc -l)" $(($(grep -cE '^[0-9a-f]+-' <<<"$before") + 2)) "mappings"

assert_recording "$T/r.ctr"
assert_ge "$(info "$T/r.ctr" events)" 5000 events
assert_ge "$(info "$T/r.ctr" duration_s)" 2.5 duration
assert_ge "$(info "$T/r.ctr" snapshots)" 2 snapshots
assert_eq "$(info "$T/r.ctr" target.comm)" redis-server
assert_eq "$(info "$T/r.ctr" damaged_blocks)" 0
assert_eq "$(info "$T/r.ctr" problems)" "[]"
for key in bytes pause_ms threads segments; do
	assert_ge "$(info "$T/r.ctr" $key)" 0.001 $key
done
# head closes the pipe: no error
"$CTBPF" dump "$T/r.ctr" 2>"$T/err" | head -n 5000 >"$T/text"
assert_eq "$(cat "$T/err")" "" "complaints of dump"
assert grep -q 'epoll_wait(' "$T/text"
assert grep -qE ' (write|writev|sendto)\([0-9]+, ' "$T/text"
