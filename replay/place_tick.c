// SPDX-License-Identifier: MIT
/* Places told by ticks: the conditional branches that a thread has executed since it was recorded. The log has them at
 * its positions; from the last of those on they are counted by single steps. */
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "replay/clock.h"
#include "replay/place.h"
#include "replay/session_priv.h"

#define TICK       "tick:"
#define MOST_STEPS 20000000 /* some minutes */

bool ct_place_is_tick(const char *text)
{
	return !strncmp(text, TICK, strlen(TICK));
}

static bool number(const char **at, ct_u64 most, ct_u64 *n)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	*n = strtoull(*at, &end, 10);
	*at = end;
	return *n < most;
}

/* The ticks that the event's thread has behind it. */
static bool ticks_at(const struct ct_event *ev, ct_u64 *ticks)
{
	const struct ct_fingerprint *fp = ct_event_fingerprint(ev);

	if (!fp || (fp->flags & (CT_FPF_TICKS | CT_FPF_LATE)) != CT_FPF_TICKS)
		return false;
	*ticks = fp->ticks;
	return true;
}

/* A thread's ticks are counted from the recording's beginning on, or its own. */
static bool begins_to_count(const struct ct_event *ev)
{
	return ev->type == CT_EV_SNAPSHOT &&
	       ((const struct ct_ev_snapshot *)ct_event_payload(ev))->kind == CT_SNAP_ATTACH;
}

int ct_place_parse_tick(struct ct_recording *rec, const char *text, struct ct_named_place *p, struct ct_error *err)
{
	const char *at = text + strlen(TICK);
	struct ct_cursor *cur;
	const struct ct_event *ev;
	ct_u64 tid = 0, ticks;
	bool ticked = false, seen = false;
	int got;

	*p = (struct ct_named_place){.end = UINT64_MAX};
	if (!number(&at, UINT64_MAX, &p->ticks) || (*at == '/' && (at++, !number(&at, INT32_MAX, &tid) || !tid)) || *at)
		return ct_fail(err, CT_EXIT_USAGE,
			       "'%s' is not a position; it is like " TICK "123456, or " TICK "123456/TID for a thread",
			       text);
	cur = ct_cursor_create(rec, err);
	if (!cur)
		return -1;
	while ((got = ct_cursor_next(cur, &ev, err)) > 0) {
		if (!p->next && begins_to_count(ev))
			p->next = ev->seq + 1;
		if (!tid && ev->pid && ev->tid == ev->pid)
			tid = ev->tid; /* the first process's first thread */
		seen |= tid && ev->tid == tid;
		if (!ticks_at(ev, &ticks))
			continue;
		ticked = true;
		if (ev->tid != tid)
			continue;
		if (ticks > p->ticks)
			break;
		p->next = ev->seq + 1;
		p->base = ticks;
	}
	ct_cursor_destroy(cur);
	if (got < 0)
		return -1;
	if (!ticked)
		return ct_fail(err, CT_EXIT_USAGE,
			       "'%s': this recording has no ticks (`record --clock step` counts them); use e:NUMBER or "
			       "t:+1.25s",
			       text);
	if (!seen)
		return ct_fail(err, CT_EXIT_USAGE, "'%s': there is no thread %llu in this recording", text,
			       (unsigned long long)tid);
	if (!p->next)
		return ct_fail(err, CT_EXIT_USAGE, "'%s': no event before it says how many ticks thread %llu has there",
			       text, (unsigned long long)tid);
	p->tid = (ct_u32)tid;
	return 0;
}

/* One instruction of the thread: 1 if it was a conditional branch; 0: another one, or an event; -1. */
static int step(struct ct_session *s, const struct ct_rthread *t, ct_u64 next, struct ct_error *err)
{
	const struct ct_event *ev;
	unsigned char code[16] = {0};
	struct ct_regs regs;

	if (ct_get_regs(t->real, &regs))
		return ct_fail_errno(err, CT_EXIT_FAILED, "registers of thread %u cannot be read", t->tid);
	ct_replica_read(t->proc, regs.r[CT_RIP], code, sizeof(code));
	if (ct_session_step(s, err) || ct_session_next(s, &ev, err) < 0)
		return -1;
	return ev && ev->seq == next && ct_step_kind(code, sizeof(code)) == CT_STEP_BRANCH;
}

int ct_session_run_to_tick(struct ct_session *s, const struct ct_named_place *p, struct ct_error *err)
{
	const struct ct_event *ev;
	unsigned steps = 0;
	ct_u64 ticks = p->base;
	int ret;

	while (ticks < p->ticks) {
		const struct ct_rthread *t = ct_session_thread(s, p->tid);

		ret = ct_session_next(s, &ev, err);
		if (ret < 0)
			return -1;
		if (!ret || ev->seq >= p->end)
			return ct_fail(err, CT_EXIT_USAGE, "thread %u does not come to tick %llu: it ends with %llu",
				       p->tid, (unsigned long long)p->ticks, (unsigned long long)ticks);
		if (!t || ct_session_current(s) != p->tid) {
			if (ct_session_run(s, ev->seq + 1, err) < 0)
				return -1;
			continue;
		}
		if (++steps > MOST_STEPS)
			return ct_fail(err, CT_EXIT_FAILED,
				       "tick %llu of thread %u is more than %d instructions behind the last position "
				       "with ticks before it, event %llu: too far to count them",
				       (unsigned long long)p->ticks, p->tid, MOST_STEPS,
				       (unsigned long long)p->next - 1);
		ret = step(s, t, ev->seq, err);
		if (ret < 0)
			return -1;
		ticks += (ct_u64)ret;
	}
	return 0;
}
