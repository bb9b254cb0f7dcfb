// SPDX-License-Identifier: MIT
/* To the next stop, or back to the last one. Backwards is forwards: from ever earlier events to where it began, keeping
 * the last stop on the way. */
#include <string.h>

#include "replay/timeline_priv.h"

void ct_tl_stopped(struct ct_timeline *tl, struct ct_stopped *stopped)
{
	ct_u32 tid = 0;
	const struct ct_stop *stop = ct_session_stopped(tl->s, &tid);

	if (stop)
		*stopped = (struct ct_stopped){
			.why = ct_stop_is_exec(stop) ? CT_ARRIVED_BREAK : CT_ARRIVED_WATCH,
			.tid = tid,
			.stop = *stop,
		};
	else if (tl->has_caught)
		*stopped = tl->caught;
	else
		*stopped = (struct ct_stopped){.why = CT_ARRIVED_INTERRUPT, .tid = ct_session_current(tl->s)};
}

static int forward(struct ct_timeline *tl, struct ct_stopped *stopped, struct ct_error *err)
{
	int ret;

	*stopped = (struct ct_stopped){.why = CT_ARRIVED_END, .tid = ct_session_current(tl->s)};
	if (tl->broken)
		return ct_fail(err, CT_EXIT_FAILED, "the replay went another way than the recording: go back first");
	if (ct_tl_arm(tl, err))
		return -1;
	ct_session_pass_stop(tl->s);
	ret = ct_tl_advance(tl, tl->end, err);
	if (ret > 0)
		ct_tl_stopped(tl, stopped);
	else
		stopped->tid = ct_session_current(tl->s);
	ct_tl_disarm(tl);
	return ret < 0 ? -1 : 0;
}

/* ---- backwards -------------------------------------------------------------------------------------------------- */

#define MOST_HITS 300 /* of a part of the way, before the rest of it is looked at from nearer to its end */

struct hit {
	bool found;
	struct ct_moment at;
	struct ct_stopped what;
};

/* Keeps a stop, unless it is where the search began. Crossing back over a write is a stop, though. */
static int keep(struct ct_timeline *tl, const struct ct_moment *origin, struct hit *last, struct ct_error *err)
{
	struct ct_moment now;
	struct ct_stopped what;

	if (ct_tl_pass_unmet(tl))
		return tl->interrupted;
	ct_tl_stopped(tl, &what);
	if (ct_timeline_now(tl, &now, err))
		return -1;
	if (what.why == CT_ARRIVED_INTERRUPT)
		return 1;
	if (what.why == CT_ARRIVED_WATCH || !ct_moment_same(&now, origin)) {
		last->found = true;
		last->at = now;
		last->what = what;
	}
	ct_session_pass_stop(tl->s);
	return 0;
}

/* The last stop from before event `lo` on up to `hi`, into *last if there is one. 0; 1: interrupted; 2: there are many,
 * and it has come this far; -1. */
static int scan(struct ct_timeline *tl, ct_u64 lo, const struct ct_moment *hi, const struct ct_moment *origin,
		struct hit *last, struct ct_error *err)
{
	const struct ct_moment start = ct_tl_between(lo);
	unsigned hits = 0;
	int ret;

	if (ct_timeline_seek(tl, &start, err))
		return -1;
	if (tl->marks[tl->nmarks - 1].next < lo)
		ct_tl_mark(tl); /* one comes back to here */
	if (ct_tl_arm(tl, err))
		return -1;
	while ((ret = ct_tl_advance(tl, hi->next, err)) > 0 && !(ret = keep(tl, origin, last, err)))
		if (++hits >= MOST_HITS && hi->next - ct_tl_next(tl) > 1) {
			ct_tl_disarm(tl);
			return 2;
		}
	while (!ret && hi->tid && (ret = ct_session_run_to_place(tl->s, &hi->regs, &hi->fp, err)) > 0) {
		struct ct_moment now;

		tl->has_caught = false;
		if ((ret = ct_timeline_now(tl, &now, err)) || (ret = keep(tl, origin, last, err)))
			break;
		if (ct_moment_same(&now, hi))
			break;
	}
	ct_tl_disarm(tl);
	return ret;
}

/* The same, however many there are: the later half of what is left is looked at first. */
static int search(struct ct_timeline *tl, ct_u64 lo, struct ct_moment hi, const struct ct_moment *origin,
		  struct hit *last, struct ct_error *err)
{
	int ret;

	while ((ret = scan(tl, lo, &hi, origin, last, err)) == 2) {
		struct hit later = {0};
		ct_u64 half;

		lo = ct_tl_next(tl);
		half = lo + (hi.next - lo) / 2;
		ret = search(tl, half, hi, origin, &later, err);
		if (later.found)
			*last = later;
		if (ret || later.found)
			return ret;
		hi = ct_tl_between(half);
	}
	return ret;
}

static int backward(struct ct_timeline *tl, struct ct_stopped *stopped, struct ct_error *err)
{
	struct ct_moment origin, hi;
	struct hit last = {0};
	ct_u64 lo;
	int ret;

	if (tl->broken) {
		origin = ct_tl_between(ct_tl_next(tl));
	} else if (ct_timeline_now(tl, &origin, err)) {
		return -1;
	}
	hi = origin;
	/* What is sought is near more often than not, and all that is between costs time. */
	for (ct_u64 events = 0;; events = events ? events * 16 : 4) {
		lo = hi.next - tl->begin > events ? hi.next - events : tl->begin;
		ret = search(tl, lo, hi, &origin, &last, err);
		if (ret < 0)
			return -1;
		if (last.found || ret || lo == tl->begin)
			break;
		hi = ct_tl_between(lo);
	}
	if (ret > 0) {
		*stopped = (struct ct_stopped){.why = CT_ARRIVED_INTERRUPT, .tid = ct_session_current(tl->s)};
		return 0;
	}
	if (!last.found) {
		const struct ct_moment first = ct_tl_between(tl->begin);

		if (ct_timeline_seek(tl, &first, err))
			return -1;
		*stopped = (struct ct_stopped){.why = CT_ARRIVED_BEGIN, .tid = ct_session_current(tl->s)};
		return 0;
	}
	*stopped = last.what;
	if (ct_timeline_seek(tl, &last.at, err))
		return -1;
	return last.what.why == CT_ARRIVED_WATCH && ct_tl_back(tl, last.what.tid, true, err) < 0 ? -1 : 0;
}

int ct_timeline_run(struct ct_timeline *tl, bool back, struct ct_stopped *stopped, struct ct_error *err)
{
	if (tl->home && ct_timeline_undivert(tl, err))
		return -1;
	return back ? backward(tl, stopped, err) : forward(tl, stopped, err);
}

int ct_timeline_visit(struct ct_timeline *tl, const struct ct_moment *until, struct ct_error *err)
{
	struct ct_moment now;
	int ret;

	if (ct_tl_arm(tl, err))
		return -1;
	ct_session_pass_stop(tl->s);
	while ((ret = ct_tl_advance(tl, until->next, err)) > 0 && !tl->interrupted)
		ct_session_pass_stop(tl->s);
	while (!ret && until->tid && (ret = ct_session_run_to_place(tl->s, &until->regs, &until->fp, err)) > 0) {
		ret = ct_timeline_now(tl, &now, err);
		if (ret || ct_moment_same(&now, until))
			break;
		if (!ct_tl_pass_unmet(tl))
			ct_session_pass_stop(tl->s);
	}
	ct_tl_disarm(tl);
	return ret;
}
