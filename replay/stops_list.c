// SPDX-License-Identifier: MIT
/* Which breakpoints and watchpoints somebody who looks at a replay has: lists for processes, looking in them, and what
 * is written where they watch by no instruction. stops.c has them while threads run. */
#include <stdlib.h>
#include <string.h>

#include "replay/session_priv.h"

#define MOST_POINTS 65536

/* Those of a process; NULL: it has none. */
static struct ct_stop_set *set_of(const struct ct_stops *st, ct_u32 pid)
{
	for (size_t i = 0; st && i < st->nsets; i++)
		for (size_t k = 0; k < st->set[i].npids; k++)
			if (st->set[i].pid[k] == pid)
				return &st->set[i];
	return NULL;
}

/* ... if there are any. */
struct ct_stop_set *ct_stops_of(const struct ct_rthread *t)
{
	struct ct_stop_set *set = set_of(t->stops, t->proc->pid);

	return set && set->n ? set : NULL;
}

static int by_address(const void *a, const void *b)
{
	const struct ct_stop *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void free_set(struct ct_stop_set *set)
{
	free(set->pid);
	free(set->list);
	free(set->bytes);
}

static int join(struct ct_stop_set *set, ct_u32 pid, struct ct_error *err)
{
	ct_u32 *more = realloc(set->pid, (set->npids + 1) * sizeof(*more));

	if (!more)
		return ct_fail_memory(err);
	set->pid = more;
	more[set->npids++] = pid;
	return 0;
}

static struct ct_stop_set *add_set(struct ct_stops *st, ct_u32 pid, struct ct_error *err)
{
	struct ct_stop_set *more = realloc(st->set, (st->nsets + 1) * sizeof(*more));

	if (!more) {
		ct_fail_memory(err);
		return NULL;
	}
	st->set = more;
	more[st->nsets] = (struct ct_stop_set){0};
	return join(&more[st->nsets], pid, err) ? NULL : &more[st->nsets++];
}

int ct_session_set_stops(struct ct_session *s, ct_u32 pid, const struct ct_stop *list, size_t n, struct ct_error *err)
{
	struct ct_stop_set *set;
	struct ct_stop *copy = malloc((n ? n : 1) * sizeof(*copy));
	unsigned char *bytes = malloc(n ? n : 1);
	unsigned watches = 0;

	for (size_t i = 0; i < n; i++)
		watches += !ct_stop_is_exec(&list[i]);
	if (!copy || !bytes || watches > CT_STOP_WATCHES || n > MOST_POINTS) {
		free(copy);
		free(bytes);
		return watches > CT_STOP_WATCHES
			       ? ct_fail(err, CT_EXIT_FAILED, "%u watchpoints are too many: the CPU has %d to spare",
					 watches, CT_STOP_WATCHES)
			       : ct_fail(err, CT_EXIT_FAILED, "too many breakpoints");
	}
	ct_stops_take_out(&s->stops);
	set = set_of(&s->stops, pid);
	if (!set && !(set = add_set(&s->stops, pid, err))) {
		free(copy);
		free(bytes);
		return -1;
	}
	if (n)
		memcpy(copy, list, n * sizeof(*copy));
	qsort(copy, n, sizeof(*copy), by_address);
	free(set->list);
	free(set->bytes);
	set->list = copy;
	set->bytes = bytes;
	set->n = n;
	set->watches = watches;
	s->stops.hit = NULL;
	ct_stops_remember(s);
	return 0;
}

int ct_session_stop_too(struct ct_session *s, ct_u32 as, ct_u32 pid, struct ct_error *err)
{
	struct ct_stop_set *set;

	ct_session_stop_no_more(s, pid);
	set = set_of(&s->stops, as);
	return set ? join(set, pid, err) : 0;
}

void ct_session_stop_no_more(struct ct_session *s, ct_u32 pid)
{
	struct ct_stops *st = &s->stops;
	struct ct_stop_set *set = set_of(st, pid);

	if (!set)
		return;
	ct_stops_take_out(st);
	st->hit = NULL;
	for (size_t i = 0; i < set->npids; i++)
		if (set->pid[i] == pid)
			set->pid[i--] = set->pid[--set->npids];
	if (set->npids)
		return;
	free_set(set);
	*set = st->set[--st->nsets];
}

void ct_stops_free(struct ct_stops *st)
{
	for (size_t i = 0; i < st->nsets; i++)
		free_set(&st->set[i]);
	free(st->set);
}

const struct ct_stop *ct_session_stopped(const struct ct_session *s, ct_u32 *tid)
{
	if (s->stops.hit)
		*tid = s->stops.hit_tid;
	return s->stops.hit;
}

/* Whether it is one of instructions, and for this thread. */
bool ct_stop_is_exec_of(const struct ct_stop *stop, const struct ct_rthread *t)
{
	return stop->kind == CT_STOP_EXEC || (stop->kind == CT_STOP_EXEC_BY && stop->len == t->tid);
}

/* The first one at or behind the address. */
size_t ct_stops_first_at(const struct ct_stop_set *set, ct_u64 addr)
{
	size_t lo = 0, hi = set->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (set->list[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct ct_stop *ct_stops_exec_at(const struct ct_rthread *t, ct_u64 ip)
{
	const struct ct_stop_set *set = ct_stops_of(t);

	for (size_t i = set ? ct_stops_first_at(set, ip) : 0; set && i < set->n && set->list[i].addr == ip; i++)
		if (ct_stop_is_exec_of(&set->list[i], t))
			return &set->list[i];
	return NULL;
}

bool ct_stops_within(const struct ct_rthread *t, ct_u64 addr, ct_u64 len)
{
	const struct ct_stop_set *st = ct_stops_of(t);

	for (size_t i = 0; st && i < st->n; i++)
		if (ct_stop_is_exec_of(&st->list[i], t) && st->list[i].addr - addr < len)
			return true;
	return false;
}

bool ct_stops_watch(const struct ct_rthread *t, ct_u64 addr, ct_u64 len)
{
	const struct ct_stop_set *st = ct_stops_of(t);

	for (size_t i = 0; st && st->watches && i < st->n; i++) {
		const struct ct_stop *w = &st->list[i];

		if (!ct_stop_is_exec(w) && w->addr < addr + len && addr < w->addr + w->len)
			return true;
	}
	return false;
}

unsigned ct_stops_debug_regs(const struct ct_rthread *t)
{
	const struct ct_stop_set *st = ct_stops_of(t);

	return st ? st->watches : 0;
}

/* ---- what is written by no instruction -------------------------------------------------------------------------- */

/* Data is watched in one process. */
static const struct ct_stop_set *watched(const struct ct_session *s)
{
	for (size_t i = 0; i < s->stops.nsets; i++)
		if (s->stops.set[i].watches)
			return &s->stops.set[i];
	return NULL;
}

static void read_watched(struct ct_session *s, ct_u64 *now)
{
	const struct ct_stop_set *st = watched(s);
	const struct ct_replica *p = NULL;
	unsigned k = 0;

	memset(now, 0, CT_STOP_WATCHES * sizeof(*now));
	for (size_t i = 0; st && i < s->nprocs; i++)
		if (s->procs[i]->pid == st->pid[0] && !s->procs[i]->gone)
			p = s->procs[i];
	for (size_t i = 0; p && i < st->n; i++)
		if (!ct_stop_is_exec(&st->list[i]))
			ct_replica_read(p, st->list[i].addr, &now[k++], st->list[i].len);
}

void ct_stops_remember(struct ct_session *s)
{
	if (watched(s))
		read_watched(s, s->stops.was);
}

void ct_stops_look(struct ct_session *s)
{
	const struct ct_stop_set *st = watched(s);
	ct_u64 now[CT_STOP_WATCHES];
	unsigned k = 0;

	if (!st || s->stops.hit)
		return;
	read_watched(s, now);
	for (size_t i = 0; i < st->n; i++) {
		if (ct_stop_is_exec(&st->list[i]))
			continue;
		if (now[k] != s->stops.was[k] && !s->stops.hit) {
			s->stops.hit = &st->list[i];
			s->stops.hit_tid = s->ev->tid;
		}
		k++;
	}
	memcpy(s->stops.was, now, sizeof(now));
}
