#!/bin/bash
# SPDX-License-Identifier: MIT
# The machine's clock is set forward and back all the time, as recorder and daemon see it: --keep keeps as much as it shall,
# what is kept verifies, and of a target's recordings it is the oldest that goes.
# timeout: 180
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

need gcc
EINTR='[0-9]+'
daemon_port
# STEPS: seconds that are added with each look at the clock, one after the other.
cat >"$T/clock.c" <<'C'
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static atomic_long off;
static atomic_uint n;
static void step(void)
{
	const char *at = getenv("STEPS");
	char *end;
	long by[8], count = 0;
	for (; at && *at && count < 8; at = *end ? end + 1 : end)
		by[count++] = strtol(at, &end, 10);
	if (count)
		off += by[n++ % count];
}
int clock_gettime(clockid_t id, struct timespec *t)
{
	int ret = (int)syscall(SYS_clock_gettime, id, t);
	if (!ret && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		step();
		t->tv_sec += off;
	}
	return ret;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}
time_t time(time_t *out)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
C
gcc -shared -fPIC -O1 -o "$T/clock.so" "$T/clock.c"
jumping=(env LD_PRELOAD="$T/clock.so" STEPS="7200 -3600 86400 -90000")
assert_matches "$("${jumping[@]}" date +%s)$("${jumping[@]}" date +%s)" '^[0-9]+$'
[ "$("${jumping[@]}" date +%s)" -gt "$(($(date +%s) + 3000))" ] || fail "the clock does not jump"

step "a recorder"
start_answers answers 2
before=$(shape "$PID_answers")
CTBPF_ALONE=$CTBPF
cat >"$T/ctbpf" <<SH
#!/bin/bash
exec ${jumping[@]@Q} ${CTBPF_ALONE@Q} "\$@"
SH
chmod 755 "$T/ctbpf"
assert_status 0 "$T/ctbpf" record -q -p "$PID_answers" -d 4 --keep 2s --snapshot-every 300ms -o "$T/a.ctr"
answers_well
assert_shape "$PID_answers" "$before"
assert_recording "$T/a.ctr"
assert_ge "$(info "$T/a.ctr" kept_from)" 2 "first snapshot kept"
assert_ge "$(info "$T/a.ctr" duration_s)" 2 "kept seconds"
assert_ge 4.5 "$(info "$T/a.ctr" duration_s)" "kept seconds, at most"
assert_status 0 "$CTBPF" verify "$T/a.ctr"
answers_end

step "a daemon: with each recording it is an hour earlier"
mkdir "$T/etc"
cp "$PROGRAMS/answers" "$T/ct-clock-$$"
cat >"$T/etc/daemon.conf" <<CONF
[daemon]
directory = $T/rec
recordings = 3
[target one]
comm = ct-clock-$$
options = --keep 1s --snapshot-every 300ms
CONF
start_target one "$T/ct-clock-$$" 2
wait_for 15 grep -q '^tick 2 ' "$T/one.log" || fail "the target does not start"
start_target daemon env LD_PRELOAD="$T/clock.so" STEPS=-3600 "$CTBPF" daemon --config "$T/etc/daemon.conf"
wait_for 60 eval '"$CTBPF" daemon status --json | tr -d " " | has_line "\"attached_to\":\[[0-9]"' || fail "not recorded: $(cat "$T/daemon.log")"
made=()
while [ ${#made[@]} -lt 4 ]; do
	assert_status 0 "$CTBPF" daemon rotate one
	made+=("$OUT")
done
assert_eq "$(find "$T/rec" -maxdepth 1 -name 'one-*Z.ctr' | sort | paste -sd' ')" "${made[1]} ${made[2]} ${made[3]}" "recordings that are left"
kill -TERM "$PID_daemon"
wait "$PID_daemon"
assert_status 0 "$CTBPF" verify "${made[3]}"
