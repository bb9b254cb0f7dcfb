/* SPDX-License-Identifier: MIT
 * The hardware counter of retired conditional branches, by which a moment in a thread's life can be numbered.
 *
 * Only counting is needed while recording; skid matters to replay. Many virtual machines have no such counter. */
#ifndef CT_PMU_H
#define CT_PMU_H

#include <stddef.h>

#include "formats/event.h"

/* Raw event of this CPU model, 0 if the table has none. *name: the family it was found under. */
ct_u64 ct_pmu_event(const char **name);
/* Opens the counter for user code on `cpu`, all tasks; counts from the start. Descriptor, or -errno. */
int ct_pmu_open(int cpu);

#endif
