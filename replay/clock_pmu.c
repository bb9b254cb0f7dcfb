// SPDX-License-Identifier: MIT
/* The clock that counts by the CPU: one event counts the thread between two stops, another one stops it.
 * Both are opened for each run anew, so that no thread or checkpoint has to look after any. */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/clock.h"
#include "replay/pmu.h"

#define ALARM     SIGSTKFLT /* nobody else sends it */
#define ALARM_BIT (1ull << (ALARM - 1))

static ct_u64 skid(void)
{
	return ct_pmu_model()->skid;
}

static int fail(struct ct_rthread *t, const char *what)
{
	t->clock_error = what;
	return -1;
}

/* One run. 1: it was stopped by the counter, or by a late signal of it. */
static int run(struct ct_rthread *t, int request, int *status)
{
	const ct_u64 left = t->tick_stop > t->ticks ? t->tick_stop - t->ticks : 1;
	int counter = ct_pmu_open_thread(t->real), alarm = -1, ret = -1;
	ct_u64 count = 0, mask;

	/* A sigreturn has given it the program's mask. The program learns of masks from the log alone. */
	if (t->tick_stop && !ct_get_sigmask(t->real, &mask) && (mask & ALARM_BIT))
		ct_set_sigmask(t->real, mask & ~ALARM_BIT);
	if (counter < 0)
		return fail(t, "the branch counter could not be opened for a thread of the replica");
	if (t->tick_stop && (alarm = ct_pmu_open_alarm(t->real, left, ALARM)) < 0) {
		fail(t, "the branch counter could not be told to stop a thread of the replica");
	} else if (!ptrace(request, t->real, 0, 0) && !ct_replica_wait(t->real, status) && WIFSTOPPED(*status)) {
		/* Nothing to read: the pinned event was not scheduled, as somebody else has the counters. */
		if (read(counter, &count, sizeof(count)) != sizeof(count))
			fail(t, "the branch counter was taken away by another user of the CPU's counters");
		else
			ret = !(*status >> 16) && WSTOPSIG(*status) == ALARM;
	}
	if (alarm >= 0)
		close(alarm);
	close(counter);
	t->ticks += count;
	return ret;
}

static int resume(struct ct_rthread *t, int request, int *status)
{
	int ret;

	/* The replica gets no signals but ours: a recorded SIGSTKFLT comes from the log. */
	do
		ret = run(t, request, status);
	while (ret > 0 && (!t->tick_stop || t->ticks < t->tick_stop));
	if (!ret && t->tick_stop && t->ticks > t->tick_stop + skid())
		return fail(t,
			    "the branch counter did not stop a thread of the replica in time: its interrupt is late or "
			    "does not come");
	if (ret > 0)
		*status = SIGTRAP << 8 | 0x7f;
	return ret < 0 ? -1 : 0;
}

const struct ct_clock ct_clock_pmu = {.name = "pmu", .counts = true, .native = true, .skid = skid, .resume = resume};
