/* SPDX-License-Identifier: MIT
 * Places between two events as people write them: e:N@ADDRESS#PASS, or e:N@ADDRESS,REGISTER=VALUE... where there are
 * too many passes to count; or tick:NUMBER/TID: when the thread has just executed so many conditional branches, in
 * recordings whose positions have ticks. They mean the same in every replay. */
#ifndef CT_PLACE_H
#define CT_PLACE_H

#include "replay/session.h"

struct ct_named_place {
	ct_u64 next; /* on the way to this event */
	ct_u64 addr;
	ct_u64 pass;         /* so many times the thread is there; 0: the first time ... */
	struct ct_regs regs; /* ... that it has these */
	ct_u32 known;        /* bits of enum ct_reg, rip among them */
	ct_u32 tid;          /* not 0: where this thread ... */
	ct_u64 ticks, base;  /* ... has so many ticks, of which so many before event `next` */
	ct_u64 end;          /* the caller's: the event that is not executed on the way there any more */
};
/* Whether the text is meant to be one. */
bool ct_place_is_one(const char *text);
int ct_place_parse(struct ct_recording *rec, const char *text, struct ct_named_place *p, struct ct_error *err);
/* tick:NUMBER[/TID] alone (place_tick.c): the log tells from which event on the ticks are to be counted. */
bool ct_place_is_tick(const char *text);
int ct_place_parse_tick(struct ct_recording *rec, const char *text, struct ct_named_place *p, struct ct_error *err);
/* Counts them, by single steps. */
int ct_session_run_to_tick(struct ct_session *s, const struct ct_named_place *p, struct ct_error *err);
/* Registers that may be named. */
#define CT_PLACE_REGS 15
extern const struct ct_place_reg {
	const char *name;
	int reg;
} ct_place_regs[CT_PLACE_REGS];
/* There, from right before event p->next. 0 or -1. */
int ct_session_run_to_named(struct ct_session *s, const struct ct_named_place *p, struct ct_error *err);
int ct_place_fail(const struct ct_named_place *p, struct ct_error *err); /* it is not come to */

#endif
