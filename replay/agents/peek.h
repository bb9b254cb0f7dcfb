/* SPDX-License-Identifier: MIT
 * Memory of a live process for those who look at an interpreter's objects in it: whole pages are copied, no more reads
 * are made than were granted, and whoever reads what is not there is led back to where it began. */
#ifndef CT_AGENT_PEEK_H
#define CT_AGENT_PEEK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

#define CT_PEEK_PAGE  4096ull
#define CT_PEEK_PAGES 512

struct ct_peek {
	int memfd;
	unsigned budget; /* reads that are left */
	jmp_buf out;     /* set by setjmp() before anything is read */
	struct {
		ct_u64 addr;
		bool there;
		unsigned char data[CT_PEEK_PAGE];
	} page[CT_PEEK_PAGES];
};

/* Pages copied before may have changed. */
void ct_peek_forget(struct ct_peek *p);
/* From here on rd() and the like read by this one. */
void ct_peek_begin(struct ct_peek *p, unsigned budget);
/* It is left, by way of p->out. */
_Noreturn void ct_peek_fail(void);
/* Other reads than by this count, too. */
void ct_peek_spend(unsigned reads);
void ct_peek_read(ct_u64 addr, void *to, size_t len);

/* As the agents' code calls them. */
static inline ct_u64 rd(ct_u64 addr)
{
	ct_u64 v;

	ct_peek_read(addr, &v, sizeof(v));
	return v;
}
static inline ct_u32 rd32(ct_u64 addr)
{
	ct_u32 v;

	ct_peek_read(addr, &v, sizeof(v));
	return v;
}
static inline unsigned char rd8(ct_u64 addr)
{
	unsigned char v;

	ct_peek_read(addr, &v, sizeof(v));
	return v;
}

#endif
