/* SPDX-License-Identifier: MIT
 * The hardware counter of retired conditional branches, by which a moment in a thread's life can be numbered.
 *
 * Only counting is needed while recording; skid matters to replay. Many virtual machines have no such counter. */
#ifndef CT_PMU_H
#define CT_PMU_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"

enum ct_pmu_vendor { CT_PMU_INTEL, CT_PMU_AMD, CT_PMU_OTHER };

struct ct_pmu_model {
	enum ct_pmu_vendor vendor;
	int family, model_from, model_to;
	ct_u64 event;     /* raw, or perf's generic number if there is no raw one for this model */
	unsigned skid;    /* branches by which an interrupt of the counter may be late */
	bool conditional; /* it counts conditional branches only; else all */
	const char *name;
};
/* That CPU's row; for those in no row, one that counts all branches by perf's generic event. */
const struct ct_pmu_model *ct_pmu_find(enum ct_pmu_vendor vendor, int family, int model);
/* This CPU's. */
const struct ct_pmu_model *ct_pmu_model(void);

/* Whether there is a counter, and it counts right: 0, or -1 with the cause. Asked once, then remembered. */
int ct_pmu_check(struct ct_error *err);
/* Opens the counter for user code on `cpu`, all tasks; counts from the start. Descriptor, or -errno. */
int ct_pmu_open(int cpu);
/* The same for one thread, wherever it runs. */
int ct_pmu_open_thread(pid_t tid);
/* Sends `signal` to the thread when it has executed so many more branches. */
int ct_pmu_open_alarm(pid_t tid, ct_u64 branches, int signal);

#endif
