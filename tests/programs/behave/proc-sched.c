// SPDX-License-Identifier: MIT
/* Policies, priorities, affinities, capabilities. */
#include "behave.h"
#include <sched.h>
#include <sys/resource.h>

int main(void)
{
	struct sched_param param = {0};
	struct timespec ts;
	struct {
		uint32_t version;
		int pid;
	} hdr = {0x20080522, 0};
	uint32_t caps[6], attr[14];
	cpu_set_t set;

	OK(sched_getscheduler(0));
	FILL(param);
	OK(sched_getparam(0, &param));
	GOT(param);
	FILL(ts);
	OK(sched_rr_get_interval(0, &ts));
	GOT(ts);
	OK(sched_get_priority_max(SCHED_FIFO));
	FILL(set);
	OK(syscall(SYS_sched_getaffinity, 0, sizeof(set), &set));
	GOT(set);
	FILL(attr);
	OK(syscall(SYS_sched_getattr, 0, attr, sizeof(attr), 0));
	GOT(attr);
	OK(setpriority(PRIO_PROCESS, 0, 3));
	OK(getpriority(PRIO_PROCESS, 0));
	OK(nice(1));
	param.sched_priority = 0;
	OK(sched_setscheduler(0, SCHED_BATCH, &param));
	OK(sched_setscheduler(0, SCHED_OTHER, &param));
	OK(sched_yield());
	FILL(caps);
	OK(syscall(SYS_capget, &hdr, caps));
	GOT(caps);
	hdr.version = 1;
	TRY(syscall(SYS_capget, &hdr, caps));
	GOT(hdr);
	TRY(syscall(SYS_ioprio_get, 1, 0));
	TRY(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4));
	return end();
}
