// SPDX-License-Identifier: MIT
/* To the next stop, or back to the last one. Backwards is forwards: from ever earlier events to where it began, keeping
 * the last stop on the way. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

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

#define MOST_HITS 300  /* of a part of the way, before the rest of it is looked at from nearer to its end */
#define MOST_KEPT 4096 /* to choose from at a time */
#define MOST_NEXT 128  /* ... for who goes back to one after the other */

/* Stops of a part of the way, in the order of time. */
struct hits {
	struct ct_hit *list;
	size_t n, cap;
	bool more; /* there were some before the first of them */
};

static int add_hit(struct ct_timeline *tl, struct hits *h, const struct ct_hit *hit, struct ct_error *err)
{
	const size_t most = tl->choice.choose ? MOST_KEPT : MOST_NEXT;

	if (h->n == most) {
		h->n -= most / 2;
		memmove(h->list, h->list + most - h->n, h->n * sizeof(*h->list));
		h->more = true;
	}
	if (h->n == h->cap) {
		const size_t cap = !h->cap ? 4 : 4 * h->cap < most ? 4 * h->cap : most;
		struct ct_hit *more = realloc(h->list, cap * sizeof(*more));

		if (!more)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		h->list = more;
		h->cap = cap;
	}
	h->list[h->n++] = *hit;
	return 0;
}

/* Where it looks for the last stop. */
struct way {
	ct_u64 lo; /* from before this event on */
	struct ct_moment hi;
	struct ct_moment origin; /* what is here does not count */
	bool again;              /* ... not even a write that is gone back over */
};

/* Keeps a stop, unless it is where the search began. Crossing back over a write is a stop, though. */
static int keep(struct ct_timeline *tl, const struct way *way, struct hits *h, struct ct_error *err)
{
	struct ct_hit hit = {0};

	if (ct_tl_pass_unmet(tl))
		return tl->interrupted;
	ct_tl_stopped(tl, &hit.what);
	if (ct_timeline_now(tl, &hit.at, err))
		return -1;
	if (hit.what.why == CT_ARRIVED_INTERRUPT)
		return 1;
	if ((hit.what.why == CT_ARRIVED_WATCH && !way->again) || !ct_moment_same(&hit.at, &way->origin)) {
		hit.note = tl->choice.note ? tl->choice.note(tl->choice.ctx, &hit.what) : 0;
		if (add_hit(tl, h, &hit, err))
			return -1;
	}
	ct_session_pass_stop(tl->s);
	return 0;
}

/* All stops of this way. 0; 1: interrupted; 2: there are many, and it has come this far; -1. */
static int scan(struct ct_timeline *tl, const struct way *way, struct hits *h, struct ct_error *err)
{
	const struct ct_moment start = ct_tl_between(way->lo), *hi = &way->hi;
	unsigned hits = 0;
	int ret;

	if (ct_timeline_seek(tl, &start, err))
		return -1;
	if (tl->marks[tl->nmarks - 1].next < way->lo)
		ct_tl_mark(tl); /* one comes back to here */
	if (ct_tl_arm(tl, err))
		return -1;
	while ((ret = ct_tl_advance(tl, hi->next, err)) > 0 && !(ret = keep(tl, way, h, err)))
		if (++hits >= MOST_HITS && hi->next - ct_tl_next(tl) > 1) {
			ct_tl_disarm(tl);
			return 2;
		}
	while (!ret && hi->tid && (ret = ct_session_run_to_place(tl->s, &hi->regs, &hi->fp, err)) > 0) {
		struct ct_moment now;

		tl->has_caught = false;
		if ((ret = ct_timeline_now(tl, &now, err)) || (ret = keep(tl, way, h, err)))
			break;
		if (ct_moment_same(&now, hi))
			break;
	}
	ct_tl_disarm(tl);
	return ret;
}

/* The last of them that is wanted. Those before it are what is asked for next, it may be. */
static bool choose(struct ct_timeline *tl, struct hits *h, struct ct_hit *last)
{
	for (size_t i = h->n; i-- > 0;)
		if (!tl->choice.choose || tl->choice.choose(tl->choice.ctx, &h->list[i].what, h->list[i].note)) {
			*last = h->list[i];
			if (!tl->choice.choose) {
				free(tl->recent.list);
				tl->recent.list = h->list;
				tl->recent.n = i;
				*h = (struct hits){0};
			}
			return true;
		}
	return false;
}

static ct_u64 mix(ct_u64 key, const void *data, size_t len)
{
	return XXH3_64bits_withSeed(data, len, key);
}

/* What stops a run, as a number; 0: that cannot be told. */
static ct_u64 key_of_stops(const struct ct_timeline *tl)
{
	const ct_u64 other[] = {tl->signals, tl->syscalls, tl->execs, tl->met_key};
	ct_u64 key = mix(1, other, sizeof(other));

	for (size_t i = 0; i < tl->nstops; i++) {
		const ct_u64 stop[] = {tl->stops[i].kind, tl->stops[i].addr, tl->stops[i].len};

		key = mix(key, stop, sizeof(stop));
	}
	return tl->choice.choose || (tl->met && !tl->met_key) ? 0 : key;
}

/* The stop before the one that was gone back to, if the way there has been looked at. */
static bool recall(struct ct_timeline *tl, const struct ct_moment *origin, ct_u64 key, struct ct_hit *last)
{
	bool found = false;

	if (!key || tl->recent.key != key || !ct_moment_same(&tl->recent.from, origin))
		tl->recent.n = 0;
	while (tl->recent.n && !found) {
		*last = tl->recent.list[--tl->recent.n];
		found = last->what.why == CT_ARRIVED_WATCH || !ct_moment_same(&last->at, origin);
	}
	return found;
}

/* Off a breakpoint, as gdb does before it goes on: the stops before it still are. */
void ct_tl_stepped_back(struct ct_timeline *tl, const struct ct_moment *from)
{
	struct ct_moment now;
	size_t n = tl->recent.n;

	if (!n || !ct_moment_same(&tl->recent.from, from))
		return;
	if (ct_timeline_now(tl, &now, NULL))
		n = 0;
	else if (now.next < from->next) /* with the steps of others */
		while (n && tl->recent.list[n - 1].at.next > now.next)
			n--;
	if (n && now.next < from->next && tl->recent.list[n - 1].at.next == now.next)
		n = 0; /* before or behind it? */
	tl->recent.n = n;
	tl->recent.from = now;
}

/* The last stop of the way that is wanted, into *last. However many there are: the later half of what is left is looked
 * at first. 0; 1: interrupted; -1. */
static int search(struct ct_timeline *tl, struct way way, struct ct_hit *last, bool *found, struct ct_error *err)
{
	const ct_u64 lo = way.lo;
	struct hits h = {0};
	int ret;

	for (;;) {
		while ((ret = scan(tl, &way, &h, err)) == 2) {
			struct way later = way;

			way.lo = ct_tl_next(tl);
			later.lo = way.lo + (way.hi.next - way.lo) / 2;
			ret = search(tl, later, last, found, err);
			if (ret || *found)
				goto out;
			way.hi = ct_tl_between(later.lo);
		}
		if (ret || (*found = choose(tl, &h, last)) || !h.more || !tl->choice.choose)
			break;
		/* Those before them. */
		way = (struct way){.lo = lo, .hi = h.list[0].at, .origin = h.list[0].at, .again = true};
		h.more = false;
		h.n = 0;
	}
out:
	free(h.list);
	return ret;
}

static int backward(struct ct_timeline *tl, struct ct_stopped *stopped, struct ct_error *err)
{
	struct way way = {0};
	bool found = false;
	struct ct_hit last;
	const ct_u64 key = key_of_stops(tl);
	int ret = 0;

	if (tl->broken) {
		way.origin = ct_tl_between(ct_tl_next(tl));
	} else if (ct_timeline_now(tl, &way.origin, err)) {
		return -1;
	}
	way.hi = way.origin;
	found = recall(tl, &way.origin, key, &last);
	/* What is sought is near more often than not, and all that is between costs time. */
	for (ct_u64 events = 0; !found; events = events ? events * 16 : 4) {
		way.lo = way.hi.next - tl->begin > events ? way.hi.next - events : tl->begin;
		ret = search(tl, way, &last, &found, err);
		if (ret < 0)
			return -1;
		if (found || ret || way.lo == tl->begin)
			break;
		way.hi = ct_tl_between(way.lo);
	}
	if (ret > 0) {
		*stopped = (struct ct_stopped){.why = CT_ARRIVED_INTERRUPT, .tid = ct_session_current(tl->s)};
		return 0;
	}
	if (!found) {
		const struct ct_moment first = ct_tl_between(tl->begin);

		if (ct_timeline_seek(tl, &first, err))
			return -1;
		*stopped = (struct ct_stopped){.why = CT_ARRIVED_BEGIN, .tid = ct_session_current(tl->s)};
		return 0;
	}
	*stopped = last.what;
	if (ct_timeline_seek(tl, &last.at, err))
		return -1;
	if (last.what.why == CT_ARRIVED_WATCH && ct_tl_back(tl, last.what.tid, true, err) < 0)
		return -1;
	tl->recent.key = key;
	return ct_timeline_now(tl, &tl->recent.from, err);
}

int ct_timeline_run(struct ct_timeline *tl, bool back, struct ct_stopped *stopped, struct ct_error *err)
{
	if (tl->home && ct_timeline_undivert(tl, err))
		return -1;
	return back ? backward(tl, stopped, err) : forward(tl, stopped, err);
}

/* A stop on the way, the last of them possibly where it ends. */
static int told(struct ct_timeline *tl, const struct ct_moment *until, bool *there, struct ct_error *err)
{
	struct ct_stopped what;
	struct ct_moment now;

	if (ct_timeline_now(tl, &now, err))
		return -1;
	*there = ct_moment_same(&now, until);
	if (!*there && ct_tl_pass_unmet(tl))
		return 0;
	ct_tl_stopped(tl, &what);
	if (tl->choice.note && (what.why == CT_ARRIVED_WATCH || !*there))
		tl->choice.note(tl->choice.ctx, &what);
	ct_session_pass_stop(tl->s);
	return 0;
}

int ct_timeline_visit(struct ct_timeline *tl, const struct ct_moment *until, struct ct_error *err)
{
	bool there = false;
	int ret;

	if (ct_tl_arm(tl, err))
		return -1;
	ct_session_pass_stop(tl->s);
	while ((ret = ct_tl_advance(tl, until->next, err)) > 0 && !tl->interrupted)
		if (told(tl, until, &there, err)) {
			ret = -1;
			break;
		}
	while (!ret && until->tid && (ret = ct_session_run_to_place(tl->s, &until->regs, &until->fp, err)) > 0) {
		tl->has_caught = false;
		ret = told(tl, until, &there, err);
		if (ret || there)
			break;
	}
	ct_tl_disarm(tl);
	return ret;
}
