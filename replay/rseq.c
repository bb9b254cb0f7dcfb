// SPDX-License-Identifier: MIT
/* rseq(2) while it is recorded: the recorder takes registrations away when it attaches, but a thread may make a new
 * one. From then on the kernel writes into its area: the CPU, which is always the one everything was pinned to, and
 * numbers that no record tells of, which are not compared. */
#include <linux/rseq.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "replay/session_priv.h"

/* Behind struct rseq's flags: node_id and mm_cid, since Linux 6.3. Registrations are of 32 bytes or more. */
#define UNKNOWN_AT 20
#define UNKNOWN    12

struct ct_rseq_area {
	ct_u32 pid;
	ct_u64 addr;
};

int ct_rseq_has(struct ct_session *s, ct_u32 pid, ct_u64 addr)
{
	struct ct_rseq_area *more;

	for (size_t i = 0; i < s->nrseq; i++)
		if (s->rseq[i].pid == pid && s->rseq[i].addr == addr)
			return 0;
	more = realloc(s->rseq, (s->nrseq + 1) * sizeof(*more));
	if (!more)
		return -1;
	s->rseq = more;
	s->rseq[s->nrseq++] = (struct ct_rseq_area){pid, addr};
	return 0;
}

int ct_rseq_forked(struct ct_session *s, ct_u32 pid, ct_u32 child_pid)
{
	for (size_t i = 0, n = s->nrseq; i < n; i++)
		if (s->rseq[i].pid == pid && ct_rseq_has(s, child_pid, s->rseq[i].addr))
			return -1;
	return 0;
}

int ct_rseq_called(struct ct_session *s, const struct ct_rthread *t, const struct ct_ev_syscall *sc)
{
	const ct_u64 addr = sc->args[0];
	const bool off = sc->args[2] & RSEQ_FLAG_UNREGISTER;
	const ct_u32 cpu = (ct_u32)s->recorded_cpu;
	/* cpu_id_start, cpu_id: when it is registered, on the way back to user code (rseq_handle_notify_resume); when
	 * it is unregistered, before (rseq_reset_rseq_cpu_node_id). */
	const ct_u32 ids[2] = {off ? 0 : cpu, off ? (ct_u32)RSEQ_CPU_ID_UNINITIALIZED : cpu};

	ct_mem_write(t->proc->memfd, addr, ids, sizeof(ids));
	return ct_rseq_has(s, t->proc->pid, addr);
}

bool ct_rseq_hide(const struct ct_session *s, ct_u32 pid, ct_u64 addr, ct_u8 *have, const ct_u8 *want, size_t len)
{
	bool any = false;

	for (size_t i = 0; i < s->nrseq; i++)
		for (ct_u64 at = s->rseq[i].addr + UNKNOWN_AT - addr, end = at + UNKNOWN; at != end; at++)
			if (s->rseq[i].pid == pid && at < len) {
				have[at] = want[at];
				any = true;
			}
	return any;
}
