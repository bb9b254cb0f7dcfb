// SPDX-License-Identifier: MIT
/* Futexes of dying threads: the kernel walks the list of those a thread holds (struct robust_list_head) and marks each
 * as its owner's death leaves it, for the next one that takes it. */
#include <linux/futex.h>

#include "replay/session_priv.h"

#define PI 1 /* in the lowest bit of a list's pointer */

static bool read_word(struct ct_rthread *t, ct_u64 addr, void *word, size_t len)
{
	return addr && ct_mem_read(t->proc->memfd, addr, word, len);
}

/* As the kernel's handle_futex_death(); it does not write to what the thread does not own. */
static bool mark(struct ct_rthread *t, ct_u64 addr)
{
	ct_u32 word;

	if ((addr & 3) || !read_word(t, addr, &word, sizeof(word)))
		return false;
	if ((word & FUTEX_TID_MASK) != t->tid)
		return true;
	word = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	return ct_mem_write(t->proc->memfd, addr, &word, sizeof(word));
}

void ct_futex_death(struct ct_rthread *t, ct_u64 until)
{
	struct {
		ct_u64 next;
		ct_s64 offset;
		ct_u64 pending;
	} head;
	ct_u64 at, next;

	if (!read_word(t, t->robust, &head, sizeof(head))) {
		t->robust = 0;
		return;
	}
	at = (t->robust_at ? t->robust_at : head.next) & ~(ct_u64)PI;
	for (int limit = ROBUST_LIST_LIMIT; at != t->robust && limit > 0; limit--) {
		/* Read before the word is marked: then another thread may take the lock and the list's entry with it.
		 */
		bool more = read_word(t, at, &next, sizeof(next)), last = until && at + (ct_u64)head.offset == until;

		if (at != (head.pending & ~(ct_u64)PI) && !mark(t, at + (ct_u64)head.offset))
			break;
		if (more && last) {
			t->robust_at = next;
			return;
		}
		if (!more)
			break;
		at = next & ~(ct_u64)PI;
	}
	if (head.pending & ~(ct_u64)PI)
		mark(t, (head.pending & ~(ct_u64)PI) + (ct_u64)head.offset);
	t->robust = 0;
}
