// SPDX-License-Identifier: MIT
/* One instruction, forwards and backwards. The instruction before a moment is found by going there again, in steps as
 * far as it is near an event; checkpoints on the last of them make the next ones back cheap. */
#include <string.h>

#include "replay/timeline_priv.h"

#define CLOSE        600      /* instructions from an event on that are simply stepped through */
#define FROM_CALLER  1000     /* ... from a call on that is under way */
#define FROM_CALLERS 2000     /* ... in all */
#define NEAR         30000    /* ... from an event on if that has not helped */
#define FAR          20000000 /* ... if there is no other way */
#define SOON         200      /* ms: for a guess that is easy */
#define PREDICTED    12       /* instructions behind one event that are predicted before they are stepped through */

/* What an instruction changes is in the general registers: at least rip, or rcx of a repeated one. */
static bool same_regs(const struct ct_regs *a, const struct ct_regs *b)
{
	return ct_same_position(a, b) && a->r[CT_FS_BASE] == b->r[CT_FS_BASE];
}

/* One instruction of the present thread, or the event that is due. 1: it was an instruction. */
static int step(struct ct_timeline *tl, struct ct_error *err)
{
	const ct_u64 next = ct_tl_next(tl);

	tl->stats.steps++;
	if (ct_session_step(tl->s, err)) {
		tl->broken = true;
		return -1;
	}
	return ct_tl_next(tl) == next;
}

int ct_timeline_step(struct ct_timeline *tl, ct_u32 tid, bool back, struct ct_stopped *stopped, struct ct_error *err)
{
	struct ct_regs before, now;
	struct ct_moment from;
	bool first = true;
	int ret;

	if (tl->home && ct_timeline_undivert(tl, err))
		return -1;
	*stopped = (struct ct_stopped){.why = CT_ARRIVED_STEP, .tid = tid};
	if (back) {
		if (ct_timeline_now(tl, &from, err))
			return -1;
		ret = ct_tl_back(tl, tid, false, err);
		if (ret > 0)
			stopped->why = CT_ARRIVED_BEGIN;
		else if (!ret)
			ct_tl_stepped_back(tl, &from);
		return ret < 0 ? -1 : 0;
	}
	if (tl->broken)
		return ct_fail(err, CT_EXIT_FAILED, "the replay went another way than the recording: go back first");
	if (ct_session_regs(tl->s, tid, &before, err))
		return -1;
	ct_tl_forget_window(tl);
	for (;; first = false) {
		if (ct_tl_next(tl) >= tl->end && !ct_session_inside(tl->s)) {
			stopped->why = CT_ARRIVED_END;
			return 0;
		}
		if (ct_session_current(tl->s) != tid) {
			if (ct_tl_arm(tl, err))
				return -1;
			if (first)
				ct_session_pass_stop(tl->s);
			ret = ct_tl_advance(tl, ct_tl_next(tl) + 1, err);
			if (ret > 0)
				ct_tl_stopped(tl, stopped);
			ct_tl_disarm(tl);
			if (ret)
				return ret < 0 ? -1 : 0;
		} else {
			tl->has_caught = false;
			tl->catching = true;
			ret = step(tl, err);
			tl->catching = false;
			if (ret < 0)
				return -1;
			if (tl->has_caught) {
				*stopped = tl->caught;
				return 0;
			}
			if (ret)
				return 0;
		}
		if (ct_session_regs(tl->s, tid, &now, NULL)) /* it has ended */
			continue;
		if (!same_regs(&before, &now) && ct_session_current(tl->s) == tid)
			return 0;
	}
}

/* ---- backwards -------------------------------------------------------------------------------------------------- */

void ct_tl_forget_window(struct ct_timeline *tl)
{
	for (int i = 0; i < 2; i++)
		ct_checkpoint_destroy(tl->window.cp[i]);
	memset(&tl->window, 0, sizeof(tl->window));
}

/* Another checkpoint, `step` instructions on; the last one of those there are stays, too. */
static int move_window(struct ct_timeline *tl, unsigned last, ct_u64 step, struct ct_error *err)
{
	struct ct_window *w = &tl->window;

	if (last) {
		ct_checkpoint_destroy(w->cp[0]);
		w->cp[0] = w->cp[1];
		w->step[0] = w->step[1];
	} else {
		ct_checkpoint_destroy(w->cp[1]);
	}
	w->cp[1] = NULL;
	w->step[1] = step;
	return (w->cp[1] = ct_session_checkpoint(tl->s, err)) ? 0 : -1;
}

/* Keeps the instructions just executed in reach: a part of the way that is long, else CT_WINDOW. */
static int keep_in_reach(struct ct_timeline *tl, ct_u64 steps, struct ct_error *err)
{
	struct ct_window *w = &tl->window;

	if (steps - w->step[w->cp[1] ? 1 : 0] < (steps / 16 > CT_WINDOW ? steps / 16 : CT_WINDOW))
		return 0;
	return move_window(tl, w->cp[1] ? 1 : 0, steps, err);
}

static const struct ct_checkpoint *window_begin(const struct ct_timeline *tl)
{
	return tl->window.cp[0] ? tl->window.cp[0] : ct_tl_marked(tl, tl->window.next);
}

static int go_to_step(struct ct_timeline *tl, ct_u64 which, struct ct_error *err)
{
	struct ct_window *w = &tl->window;
	const unsigned from = w->cp[1] && which >= w->step[1];
	const ct_u64 begin = w->step[from];

	if (ct_tl_restore(tl, from ? w->cp[1] : window_begin(tl), err))
		return -1;
	for (ct_u64 at = begin; at < which; at++) {
		/* There will be more of these. */
		if (at == which - CT_WINDOW && at > begin + CT_WINDOW && move_window(tl, from, at, err))
			return -1;
		if (step(tl, err) < 0)
			return -1;
	}
	w->at = which;
	return ct_timeline_now(tl, &w->now, err);
}

static bool in_window(struct ct_timeline *tl, const struct ct_moment *m)
{
	const struct ct_window *w = &tl->window;

	return w->next && w->at > w->step[0] && ct_moment_same(&w->now, m) && window_begin(tl);
}

/* Steps to `m`, which is on the way to event m->next; without registers (`m->tid` 0) to the last moment before that
 * event. 0: it is there; 1: the event was the last step; 2: `most` steps have not been enough; -1. */
static int walk(struct ct_timeline *tl, const struct ct_moment *m, ct_u64 most, ct_u64 *steps, struct ct_error *err)
{
	struct ct_moment now;
	struct ct_regs regs;
	int ret;

	for (*steps = 0;; (*steps)++) {
		if (m->tid) {
			if (ct_session_regs(tl->s, m->tid, &regs, err))
				return -1;
			if (same_regs(&regs, &m->regs)) {
				if (ct_timeline_now(tl, &now, err))
					return -1;
				if (!now.tid || ct_same_fingerprint(&now.fp, &m->fp))
					return 0;
			}
		}
		if (*steps == most)
			return 2;
		if (!(*steps & 1023) && tl->interrupt && tl->interrupt(tl->interrupt_ctx))
			return ct_fail(err, CT_EXIT_FAILED, "interrupted while looking for the instruction before");
		if (keep_in_reach(tl, *steps, err))
			return -1;
		ret = step(tl, err);
		if (ret < 0)
			return -1;
		if (!ret) {
			(*steps)++;
			return 1;
		}
	}
}

/* To one instruction before `m`, from where the timeline stands, which must be right behind the event before. 0; 1: it
 * stands there already, so there is none; 2: `most` steps have not been enough; -1. */
static int step_to_before(struct ct_timeline *tl, const struct ct_moment *m, ct_u64 most, struct ct_error *err)
{
	ct_u64 steps;
	int ret;

	ct_tl_forget_window(tl);
	if (ct_tl_mark(tl))
		return ct_fail(err, CT_EXIT_FAILED, "no checkpoint can be made at event %llu",
			       (unsigned long long)m->next);
	tl->window.next = m->next;
	ret = walk(tl, m, most, &steps, err);
	if (ret == 1 && m->tid)
		return ct_fail(err, CT_EXIT_FAILED, "the moment on the way to event %llu is not found again",
			       (unsigned long long)m->next);
	if (ret < 0 || ret == 2)
		return ret;
	if (!steps)
		return 1;
	return go_to_step(tl, steps - 1, err);
}

int ct_tl_run_to_like_soon(struct ct_session *s, const struct ct_regs *regs, ct_u32 unknown, struct ct_error *err)
{
	const unsigned was = ct_replica_patience(SOON);
	const int ret = ct_session_run_to_like(s, regs, unknown, err);

	ct_replica_patience(was);
	return ret;
}

/* The same by way of a call that is under way at `m`, if it began not long ago: it is come to at full speed. 0; 2: not
 * found that way; -1. */
static int step_from_caller(struct ct_timeline *tl, const struct ct_moment *m, struct ct_error *err)
{
	const struct ct_moment start = ct_tl_between(m->next);
	struct ct_regs call[CT_CALLERS];
	ct_u64 steps, left = FROM_CALLERS;
	const ct_u64 began = ct_tl_ns();
	unsigned n;

	n = m->tid && !ct_timeline_seek(tl, m, err) ? ct_tl_callers(tl, m, call) : 0;
	for (unsigned i = 0; i < n && left && ct_tl_ns() - began < SOON * 1000000ull; i++) {
		int ret = ct_timeline_seek(tl, &start, err) ? -1 : 2;

		while (ret == 2 && left && !ct_tl_run_to_like_soon(tl->s, &call[i], ~CT_CALL_KNOWN, err)) {
			ct_tl_forget_window(tl);
			tl->window.next = m->next;
			if (!(tl->window.cp[0] = ct_session_checkpoint(tl->s, err)))
				return -1;
			ret = walk(tl, m, left < FROM_CALLER ? left : FROM_CALLER, &steps, err);
			if (!ret && steps)
				return go_to_step(tl, steps - 1, err);
			left -= steps < left ? steps : left;
		}
		tl->broken = true; /* the event has come, or the session does not know where it is */
	}
	ct_tl_forget_window(tl);
	memset(err, 0, sizeof(*err));
	return 2;
}

ct_u64 ct_tl_last_of(struct ct_timeline *tl, ct_u32 tid, ct_u64 seq, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(tl->rec, err);
	const struct ct_event *ev;
	ct_u64 found = 0, lo = seq;

	for (ct_u64 events = 64; cur && !found && lo > tl->begin; events *= 8) {
		const ct_u64 hi = lo;

		lo = hi - tl->begin > events ? hi - events : tl->begin;
		if (ct_cursor_seek_seq(cur, lo, err))
			break;
		while (ct_cursor_next(cur, &ev, err) > 0 && ev->seq < hi)
			if (ev->tid == tid && ev->type != CT_EV_FILE && ev->type != CT_EV_NOTE)
				found = ev->seq;
	}
	ct_cursor_destroy(cur);
	return found;
}

/* Whether the thread's registers are the same before and after the event. */
static bool leaves_registers(struct ct_timeline *tl, ct_u64 seq)
{
	struct ct_cursor *cur = ct_cursor_create(tl->rec, NULL);
	const struct ct_event *ev;
	bool ret = cur && !ct_cursor_seek_seq(cur, seq, NULL) && ct_cursor_next(cur, &ev, NULL) > 0 &&
		   (ev->type == CT_EV_SIGNAL ||
		    (ev->type == CT_EV_SWITCH &&
		     (((const struct ct_ev_switch *)ct_event_payload(ev))->flags & CT_SWF_USER)));

	ct_cursor_destroy(cur);
	return ret;
}

/* The moment of thread `tid` before which the instruction is to be found, as one inside of the way to an event. 0; 1:
 * the thread has done nothing before. */
static int place_of(struct ct_timeline *tl, ct_u32 tid, struct ct_moment *m, struct ct_error *err)
{
	ct_u64 seq;

	if (m->tid == tid)
		return 0;
	seq = ct_tl_last_of(tl, tid, m->next, err);
	if (!seq)
		return 1;
	m->next = seq;
	m->tid = 0;
	if (leaves_registers(tl, seq)) { /* it is still there; what others have written since is not */
		const struct ct_moment then = ct_tl_between(seq + 1);
		struct ct_session_thread *list;
		size_t n;

		if (ct_timeline_seek(tl, &then, err) || ct_session_regs(tl->s, tid, &m->regs, err) ||
		    ct_session_threads(tl->s, &list, &n, err))
			return -1;
		free(list);
		for (size_t i = 0; i < tl->s->nthreads; i++)
			if (tl->s->threads[i]->tid == tid && tl->s->threads[i]->live)
				ct_live_fingerprint(tl->s->threads[i]->proc, &m->regs, &m->fp);
		m->tid = tid;
	}
	return 0;
}

/* From the event before on: to one instruction before `m`. As step_to_before. */
static int find_before(struct ct_timeline *tl, const struct ct_moment *m, bool alone, struct ct_error *err)
{
	const struct ct_moment start = ct_tl_between(m->next);
	int ret = 2;

	if (tl->apart.next != m->next) {
		ret = step_to_before(tl, m, CLOSE, err);
		if (ret == 2 && !alone)
			ret = step_from_caller(tl, m, err);
		if (ret != 2)
			return ret;
		tl->apart.next = m->next;
		tl->apart.predicted = 0;
		tl->apart.far = false;
	}
	ct_tl_forget_window(tl);
	/* One is found faster that way; of many the next ones are, if they have been stepped through once. */
	if (alone || tl->apart.far || tl->apart.predicted++ < PREDICTED)
		ret = ct_timeline_seek(tl, &start, err) ? -1 : ct_tl_predict(tl, m, true, err);
	if (ret == 2 && !tl->apart.far)
		ret = ct_timeline_seek(tl, &start, err) ? -1 : step_to_before(tl, m, NEAR, err);
	if (ret != 2)
		return ret;
	ct_tl_forget_window(tl);
	tl->apart.far = true;
	ret = ct_timeline_seek(tl, &start, err) ? -1 : ct_tl_predict(tl, m, false, err);
	if (ret == 2)
		ret = ct_timeline_seek(tl, &start, err) ? -1 : step_to_before(tl, m, FAR, err);
	return ret != 2 ? ret
			: ct_fail(err, CT_EXIT_FAILED,
				  "the instruction before is more than %d instructions behind event %llu", FAR,
				  (unsigned long long)m->next - 1);
}

int ct_tl_back(struct ct_timeline *tl, ct_u32 tid, bool alone, struct ct_error *err)
{
	struct ct_moment m, start;
	struct ct_regs before, now;
	int ret;

	if (ct_timeline_now(tl, &m, err))
		return -1;
	if (in_window(tl, &m))
		return go_to_step(tl, tl->window.at - 1, err);
	if (ct_session_regs(tl->s, tid, &before, err))
		return -1;
	for (;;) {
		ret = place_of(tl, tid, &m, err);
		if (ret < 0)
			return -1;
		start = ct_tl_between(ret ? tl->begin : m.next);
		if (ct_timeline_seek(tl, &start, err) || ret)
			return ret < 0 ? -1 : ret;
		ret = find_before(tl, &m, alone, err);
		if (ret < 0)
			return -1;
		if (!ret && !ct_session_regs(tl->s, tid, &now, NULL) && !same_regs(&before, &now))
			return 0;
		/* Nothing of the thread's came before on the way to this event. */
		if (ct_timeline_now(tl, &m, err))
			return -1;
		if (ret) {
			m = start;
			if (!ct_session_regs(tl->s, tid, &now, NULL) && !same_regs(&before, &now))
				return 0;
		}
	}
}
