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
			.why = stop->kind == CT_STOP_EXEC ? CT_ARRIVED_BREAK : CT_ARRIVED_WATCH,
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

struct hit {
	bool found;
	struct ct_moment at;
	struct ct_stopped what;
};

/* Keeps a stop, unless it is where the search began. Crossing back over a write is a stop, though. */
static int keep(struct ct_timeline *tl, const struct ct_moment *hi, struct hit *last, struct ct_error *err)
{
	struct ct_moment now;
	struct ct_stopped what;

	ct_tl_stopped(tl, &what);
	if (ct_timeline_now(tl, &now, err))
		return -1;
	if (what.why == CT_ARRIVED_INTERRUPT)
		return 1;
	if (what.why == CT_ARRIVED_WATCH || !ct_moment_same(&now, hi)) {
		last->found = true;
		last->at = now;
		last->what = what;
	}
	ct_session_pass_stop(tl->s);
	return 0;
}

/* The last stop from before event `lo` on up to `hi`. 0; 1: interrupted; -1. */
static int scan(struct ct_timeline *tl, ct_u64 lo, const struct ct_moment *hi, struct hit *last, struct ct_error *err)
{
	const struct ct_moment start = ct_tl_between(lo);
	int ret;

	last->found = false;
	if (ct_timeline_seek(tl, &start, err))
		return -1;
	if (tl->marks[tl->nmarks - 1].next < lo)
		ct_tl_mark(tl); /* one comes back to here */
	if (ct_tl_arm(tl, err))
		return -1;
	while ((ret = ct_tl_advance(tl, hi->next, err)) > 0 && !(ret = keep(tl, hi, last, err)))
		;
	while (!ret && hi->tid && (ret = ct_session_run_to_place(tl->s, &hi->regs, &hi->fp, err)) > 0) {
		struct ct_moment now;

		tl->has_caught = false;
		if ((ret = ct_timeline_now(tl, &now, err)) || (ret = keep(tl, hi, last, err)))
			break;
		if (ct_moment_same(&now, hi))
			break;
	}
	ct_tl_disarm(tl);
	return ret;
}

static int backward(struct ct_timeline *tl, struct ct_stopped *stopped, struct ct_error *err)
{
	struct ct_moment hi;
	struct hit last;
	ct_u64 lo;
	int ret;

	if (tl->broken) {
		hi = ct_tl_between(ct_tl_next(tl));
	} else if (ct_timeline_now(tl, &hi, err)) {
		return -1;
	}
	/* Near ones first: what is searched may be passed very often. */
	for (ct_u64 events = 2;; events *= 16) {
		lo = hi.next - tl->begin > events ? hi.next - events : tl->begin;
		ret = scan(tl, lo, &hi, &last, err);
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
	return last.what.why == CT_ARRIVED_WATCH && ct_tl_back(tl, last.what.tid, err) < 0 ? -1 : 0;
}

int ct_timeline_run(struct ct_timeline *tl, bool back, struct ct_stopped *stopped, struct ct_error *err)
{
	if (tl->home && ct_timeline_undivert(tl, err))
		return -1;
	return back ? backward(tl, stopped, err) : forward(tl, stopped, err);
}
