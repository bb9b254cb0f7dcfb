// SPDX-License-Identifier: MIT
/* Pages of a live process, copied once a look; one reader at a time. */
#include "replay/agents/peek.h"

#include <string.h>

#include "replay/tracee.h"

static struct ct_peek *now;

void ct_peek_forget(struct ct_peek *p)
{
	for (size_t i = 0; i < CT_PEEK_PAGES; i++)
		p->page[i].addr = ~0ull;
}

void ct_peek_begin(struct ct_peek *p, unsigned budget)
{
	now = p;
	p->budget = budget;
}

void ct_peek_fail(void)
{
	longjmp(now->out, 1);
}

void ct_peek_spend(unsigned reads)
{
	if (now->budget < reads)
		ct_peek_fail();
	now->budget -= reads;
}

void ct_peek_read(ct_u64 addr, void *to, size_t len)
{
	ct_peek_spend(1);
	for (size_t done = 0; done < len;) {
		const ct_u64 at = addr + done, start = at & ~(CT_PEEK_PAGE - 1);
		const size_t i = start / CT_PEEK_PAGE % CT_PEEK_PAGES, left = (size_t)(start + CT_PEEK_PAGE - at);
		const size_t part = left < len - done ? left : len - done;

		if (now->page[i].addr != start) {
			now->page[i].there = ct_mem_read(now->memfd, start, now->page[i].data, CT_PEEK_PAGE);
			now->page[i].addr = start;
		}
		if (!now->page[i].there)
			ct_peek_fail();
		memcpy((char *)to + done, now->page[i].data + (at - start), part);
		done += part;
	}
}
