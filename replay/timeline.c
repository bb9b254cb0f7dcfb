// SPDX-License-Identifier: MIT
/* Checkpoints along a stretch, dense near the present moment and sparse far from it, and going to any moment: to the
 * checkpoint before it, then forward. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "replay/timeline_priv.h"

#define LEAST_MARKS 48 /* that there may be at once */
#define MOST_MARKS  192
#define MOST_TASKS  4096          /* all their threads */
#define EQUAL       1000000000ull /* ns from the present moment within which they are about equally dense */
#define MIN_SPACING 20000000ull   /* ns */
#define ASK_EVERY   32            /* events */

ct_u64 ct_tl_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ct_u64)ts.tv_sec * 1000000000u + (ct_u64)ts.tv_nsec;
}

ct_u64 ct_tl_next(struct ct_timeline *tl)
{
	const struct ct_event *ev;

	return ct_session_next(tl->s, &ev, NULL) > 0 && ev->seq < tl->end ? ev->seq : tl->end;
}

struct ct_moment ct_tl_between(ct_u64 next)
{
	return (struct ct_moment){.next = next};
}

bool ct_moment_same(const struct ct_moment *a, const struct ct_moment *b)
{
	if (a->next != b->next || a->tid != b->tid)
		return false;
	return !a->tid || (ct_same_position(&a->regs, &b->regs) && ct_same_fingerprint(&a->fp, &b->fp));
}

int ct_timeline_now(struct ct_timeline *tl, struct ct_moment *m, struct ct_error *err)
{
	memset(m, 0, sizeof(*m));
	m->next = ct_tl_next(tl);
	if (!ct_session_inside(tl->s))
		return 0;
	m->tid = ct_session_current(tl->s);
	return ct_session_regs(tl->s, m->tid, &m->regs, err) || ct_session_fingerprint(tl->s, &m->fp, err) ? -1 : 0;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------ */

static void drop_mark(struct ct_timeline *tl, size_t i)
{
	ct_checkpoint_destroy(tl->marks[i].cp);
	memmove(&tl->marks[i], &tl->marks[i + 1], (--tl->nmarks - i) * sizeof(*tl->marks));
}

/* The one that is missed least: the gap it leaves is small compared with how far away it is. Not that before `keep`.
 * Nearer than EQUAL it makes little difference how far: gaps there are short, and all others would have to be longer.
 */
static void thin_out(struct ct_timeline *tl, ct_u64 keep)
{
	double best = 0;
	size_t which = 0;

	for (size_t i = 1; i + 1 < tl->nmarks; i++) {
		const ct_u64 at = tl->marks[i].tau;
		const double gap = (double)(tl->marks[i + 1].tau - tl->marks[i - 1].tau);
		const double score = gap / (double)((at > tl->tau ? at - tl->tau : tl->tau - at) + EQUAL);

		if (tl->marks[i].next != keep && (!which || score < best)) {
			which = i;
			best = score;
		}
	}
	if (which)
		drop_mark(tl, which);
}

/* Index of the last one not behind the event. */
static size_t mark_before(const struct ct_timeline *tl, ct_u64 next)
{
	size_t i = tl->nmarks - 1;

	while (i && tl->marks[i].next > next)
		i--;
	return i;
}

static const struct ct_mark *mark_near(const struct ct_timeline *tl, ct_u64 next)
{
	return &tl->marks[mark_before(tl, next)];
}

const struct ct_checkpoint *ct_tl_marked(const struct ct_timeline *tl, ct_u64 next)
{
	const struct ct_mark *mark = mark_near(tl, next);

	return mark->next == next ? mark->cp : NULL;
}

/* What a checkpoint has alone changes with every other one that is made or goes, and a look takes long if it is large:
 * only when it matters are all looked at. */
static void measure(struct ct_mark *mark)
{
	mark->bytes = ct_checkpoint_bytes(mark->cp);
}

static ct_u64 all_bytes(const struct ct_timeline *tl)
{
	ct_u64 sum = 0;

	for (size_t i = 0; i < tl->nmarks; i++)
		sum += tl->marks[i].bytes;
	return sum;
}

static void keep_to_memory(struct ct_timeline *tl, size_t newest)
{
	const ct_u64 keep = tl->marks[newest].next;

	measure(&tl->marks[newest ? newest - 1 : 0]); /* what the new one shares with it, it had alone */
	measure(&tl->marks[newest]);
	measure(&tl->marks[tl->measured++ % tl->nmarks]);
	if (all_bytes(tl) <= tl->memory)
		return;
	for (size_t i = 0; i < tl->nmarks; i++)
		measure(&tl->marks[i]);
	if (all_bytes(tl) > tl->memory)
		while (tl->nmarks > 3 && all_bytes(tl) > tl->memory / 8 * 7)
			thin_out(tl, keep);
}

/* How many there may be: threads of checkpoints are threads of the machine. */
static size_t most_marks(const struct ct_timeline *tl)
{
	const size_t most = MOST_TASKS / (tl->s->nthreads ? tl->s->nthreads : 1);

	return most < LEAST_MARKS ? LEAST_MARKS : most < MOST_MARKS ? most : MOST_MARKS;
}

int ct_tl_mark(struct ct_timeline *tl)
{
	const ct_u64 next = ct_tl_next(tl), before = ct_tl_ns();
	ct_u64 cost;
	struct ct_error ignored;
	struct ct_mark *more;
	struct ct_checkpoint *cp;
	size_t i = tl->nmarks ? mark_before(tl, next) : 0;

	if (tl->nmarks && tl->marks[i].next == next)
		return 0;
	if (ct_session_inside(tl->s))
		return -1;
	more = realloc(tl->marks, (tl->nmarks + 1) * sizeof(*more));
	if (!more)
		return -1;
	tl->marks = more;
	cp = ct_session_checkpoint(tl->s, &ignored);
	if (!cp)
		return -1;
	if (tl->nmarks)
		i++;
	memmove(&more[i + 1], &more[i], (tl->nmarks - i) * sizeof(*more));
	if (i < tl->nmarks && tl->tau > more[i + 1].tau) /* it has been slower this time */
		tl->tau = more[i + 1].tau;
	more[i] = (struct ct_mark){next, tl->tau, cp, 0};
	tl->passed = next;
	tl->nmarks++;
	cost = ct_tl_ns() - before;
	/* One that had to wait for the CPU says little. */
	tl->cost = !tl->cost ? cost : (3 * tl->cost + (cost < 4 * tl->cost ? cost : 4 * tl->cost)) / 4;
	tl->spacing = 10 * tl->cost > MIN_SPACING ? 10 * tl->cost : MIN_SPACING;
	if (tl->nmarks > most_marks(tl))
		thin_out(tl, next);
	keep_to_memory(tl, mark_before(tl, next));
	return 0;
}

int ct_timeline_mark(struct ct_timeline *tl, struct ct_error *err)
{
	struct ct_moment now, before;

	if (tl->home)
		return ct_fail(err, CT_EXIT_FAILED, "a diversion has no checkpoints");
	if (ct_timeline_now(tl, &now, err))
		return -1;
	before = ct_tl_between(now.next);
	if (now.tid && ct_timeline_seek(tl, &before, err))
		return -1;
	if (ct_tl_mark(tl))
		return ct_fail(err, CT_EXIT_FAILED, "no checkpoint can be made here");
	return now.tid ? ct_timeline_seek(tl, &now, err) : 0;
}

/* ---- while it runs ---------------------------------------------------------------------------------------------- */

static bool catches(struct ct_timeline *tl, const struct ct_event *ev)
{
	const void *payload = ct_event_payload(ev);

	if (!tl->catching || ev->pid != tl->pid)
		return false;
	switch (ev->type) {
	case CT_EV_SIGNAL: {
		const struct ct_ev_signal *sig = payload;

		return sig->handler != 1 && sig->sig > 0 && sig->sig <= 64 && (tl->signals >> (sig->sig - 1) & 1);
	}
	case CT_EV_SYSCALL: return tl->syscalls && ((const struct ct_ev_syscall *)payload)->nr >= 0;
	case CT_EV_SNAPSHOT: return tl->execs && ((const struct ct_ev_snapshot *)payload)->kind == CT_SNAP_EXEC;
	}
	return false;
}

/* Replay time counts from the checkpoint that has been passed last: the same way takes longer on a busy machine, and
 * theirs must rise. */
static size_t pass_mark(struct ct_timeline *tl, ct_u64 next)
{
	const size_t i = mark_before(tl, next);

	if (tl->marks[i].next > tl->passed) {
		tl->passed = tl->marks[i].next;
		tl->tau = tl->marks[i].tau;
		tl->began = ct_tl_ns();
	}
	return i;
}

static bool mark_is_due(struct ct_timeline *tl, ct_u64 next)
{
	const size_t i = pass_mark(tl, next);
	const ct_u64 tau = tl->tau + (ct_tl_ns() - tl->began);

	return tau >= tl->marks[i].tau + tl->spacing &&
	       (i + 1 == tl->nmarks || tl->marks[i + 1].tau >= tau + tl->spacing / 2);
}

static bool wants(void *ctx, const struct ct_event *ev)
{
	struct ct_timeline *tl = ctx;

	if (catches(tl, ev) || tl->want_mark || tl->interrupted)
		return true;
	if (++tl->asked % ASK_EVERY)
		return false;
	tl->want_mark |= tl->nmarks && mark_is_due(tl, ev->seq);
	tl->interrupted |= tl->interrupt && tl->interrupt(tl->interrupt_ctx);
	return tl->want_mark || tl->interrupted;
}

static int event(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	struct ct_timeline *tl = ctx;
	const void *payload = ct_event_payload(ev);

	if (!catches(tl, ev)) {
		const struct ct_rthread *t = ct_session_thread(s, ev->tid);

		/* A run of answered calls goes on to the entry of the next one if nobody wanted to be asked when it
		 * began. */
		if (ev->type == CT_EV_SYSCALL && t && t->at_entry)
			return 0;
		return tl->want_mark || tl->interrupted;
	}
	tl->has_caught = true;
	tl->caught = (struct ct_stopped){.tid = ev->tid};
	switch (ev->type) {
	case CT_EV_SIGNAL:
		tl->caught.why = CT_ARRIVED_SIGNAL;
		tl->caught.number = ((const struct ct_ev_signal *)payload)->sig;
		break;
	case CT_EV_SYSCALL:
		tl->caught.why = CT_ARRIVED_SYSCALL;
		tl->caught.number = ((const struct ct_ev_syscall *)payload)->nr;
		break;
	default: tl->caught.why = CT_ARRIVED_EXEC; break;
	}
	return 1;
}

bool ct_tl_pass_unmet(struct ct_timeline *tl)
{
	ct_u32 tid = 0;
	const struct ct_stop *stop = ct_session_stopped(tl->s, &tid);

	if (!stop || !tl->catching || !tl->met || !ct_stop_is_exec(stop) || tl->met(tl->met_ctx, stop, tid))
		return false;
	ct_session_pass_stop(tl->s);
	if (!(++tl->asked % ASK_EVERY))
		tl->interrupted |= tl->interrupt && tl->interrupt(tl->interrupt_ctx);
	return true;
}

int ct_tl_advance(struct ct_timeline *tl, ct_u64 until, struct ct_error *err)
{
	ct_u32 tid;
	int ret;

	tl->has_caught = tl->want_mark = tl->interrupted = false;
	ct_tl_forget_window(tl);
	for (;;) {
		tl->began = ct_tl_ns();
		ret = ct_session_run(tl->s, until, err);
		if (tl->nmarks)
			pass_mark(tl, ct_tl_next(tl));
		tl->tau += ct_tl_ns() - tl->began;
		if (ret < 0)
			tl->broken = true;
		if (ret <= 0)
			return ret;
		if (ct_tl_pass_unmet(tl) && !tl->interrupted && !tl->has_caught)
			continue;
		if (ct_session_stopped(tl->s, &tid) || tl->has_caught || tl->interrupted)
			return 1;
		tl->want_mark = false;
		ct_tl_mark(tl);
	}
}

int ct_tl_arm(struct ct_timeline *tl, struct ct_error *err)
{
	if (ct_session_set_stops(tl->s, tl->pid, tl->stops, tl->nstops, err))
		return -1;
	tl->catching = true;
	return 0;
}

void ct_tl_disarm(struct ct_timeline *tl)
{
	tl->catching = false;
	ct_session_set_stops(tl->s, tl->pid, NULL, 0, NULL);
}

int ct_tl_restore(struct ct_timeline *tl, const struct ct_checkpoint *cp, struct ct_error *err)
{
	tl->stats.restores++;
	if (ct_session_restore(tl->s, cp, err))
		return -1;
	tl->broken = false;
	return 0;
}

int ct_timeline_seek(struct ct_timeline *tl, const struct ct_moment *m, struct ct_error *err)
{
	struct ct_moment now;
	const struct ct_mark *mark;
	ct_u64 next;

	if (m->next < tl->begin || m->next > tl->end)
		return ct_fail(err, CT_EXIT_USAGE, "event %llu is not on this timeline, which has events %llu to %llu",
			       (unsigned long long)m->next, (unsigned long long)tl->begin,
			       (unsigned long long)tl->end - 1);
	if (tl->home && ct_timeline_undivert(tl, err))
		return -1;
	next = ct_tl_next(tl);
	if (!tl->broken && next == m->next && !ct_timeline_now(tl, &now, err) && ct_moment_same(&now, m))
		return 0;
	mark = mark_near(tl, m->next);
	if (tl->broken || next > m->next || (next == m->next && ct_session_inside(tl->s)) || next < mark->next) {
		if (ct_tl_restore(tl, mark->cp, err))
			return -1;
		tl->tau = mark->tau;
		tl->passed = mark->next;
	}
	if (ct_tl_advance(tl, m->next, err) < 0)
		return -1;
	/* Whoever goes somewhere stays near it: the next ones back, and the instruction before, begin here. */
	if (tl->tau > mark_near(tl, m->next)->tau + tl->cost)
		ct_tl_mark(tl);
	return m->tid && ct_session_run_to_place(tl->s, &m->regs, &m->fp, err) < 0 ? -1 : 0;
}

/* ---- one of them ------------------------------------------------------------------------------------------------ */

static ct_u64 memory_budget(void)
{
	char *text = ct_read_file("/proc/meminfo", NULL), *line = text ? strstr(text, "MemAvailable:") : NULL;
	unsigned long long kb = 1 << 20;

	if (line)
		sscanf(line, "MemAvailable: %llu", &kb);
	free(text);
	return kb * 128;
}

struct ct_timeline *ct_timeline_create(struct ct_recording *rec, const struct ct_timeline_opts *opts,
				       struct ct_error *err)
{
	static const struct ct_timeline_opts none;
	struct ct_session_hook hook = {wants, event, NULL};
	struct ct_timeline *tl = calloc(1, sizeof(*tl));
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) { /* each process of each checkpoint has one */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!tl) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	opts = opts ? opts : &none;
	tl->rec = rec;
	tl->memory = opts->memory ? opts->memory : memory_budget();
	tl->spacing = MIN_SPACING;
	/* The clock that works everywhere, and lets calls be answered in the replica. */
	if (ct_tl_choose(tl, opts, err) || !(tl->s = ct_session_create(rec, tl->from, NULL, err))) {
		ct_timeline_destroy(tl);
		return NULL;
	}
	if (tl->born > tl->begin) {
		if (ct_session_run(tl->s, tl->born, err) < 0) {
			ct_timeline_destroy(tl);
			return NULL;
		}
		tl->begin = tl->born;
	}
	hook.ctx = tl;
	ct_session_set_hook(tl->s, &hook);
	if (ct_tl_mark(tl)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no checkpoint can be made at its beginning", ct_recording_path(rec));
		ct_timeline_destroy(tl);
		return NULL;
	}
	return tl;
}

void ct_timeline_destroy(struct ct_timeline *tl)
{
	if (!tl)
		return;
	ct_tl_forget_window(tl);
	ct_checkpoint_destroy(tl->home);
	while (tl->nmarks)
		drop_mark(tl, tl->nmarks - 1);
	free(tl->marks);
	if (tl->s)
		ct_session_destroy(tl->s);
	free(tl->stops);
	free(tl->recent.list);
	free(tl->images);
	ct_kept_free(&tl->kept);
	free(tl);
}

struct ct_session *ct_timeline_session(struct ct_timeline *tl)
{
	return tl->s;
}

struct ct_recording *ct_timeline_recording(struct ct_timeline *tl)
{
	return tl->rec;
}

ct_u32 ct_timeline_pid(const struct ct_timeline *tl)
{
	return tl->pid;
}

const struct ct_kept_files *ct_timeline_kept(const struct ct_timeline *tl)
{
	return &tl->kept;
}

void ct_timeline_range(const struct ct_timeline *tl, ct_u64 *begin, ct_u64 *end)
{
	*begin = tl->begin;
	*end = tl->end;
}

ct_u32 ct_timeline_snapshot(const struct ct_timeline *tl)
{
	const ct_u64 next = ct_tl_next((struct ct_timeline *)tl);
	ct_u32 id = tl->from;

	for (size_t i = 0; i < tl->nimages && tl->images[i].seq < next; i++)
		id = tl->images[i].snapshot;
	return id;
}

int ct_timeline_set_stops(struct ct_timeline *tl, const struct ct_stop *list, size_t n, struct ct_error *err)
{
	struct ct_stop *copy = malloc((n ? n : 1) * sizeof(*copy));

	/* Whether there are too many is for the session to say. */
	if (!copy || ct_session_set_stops(tl->s, tl->pid, list, n, err)) {
		free(copy);
		return copy ? -1 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	ct_session_set_stops(tl->s, tl->pid, NULL, 0, NULL);
	if (n)
		memcpy(copy, list, n * sizeof(*copy));
	free(tl->stops);
	tl->stops = copy;
	tl->nstops = n;
	return 0;
}

void ct_timeline_catch(struct ct_timeline *tl, ct_u64 signals, bool syscalls, bool execs)
{
	tl->signals = signals;
	tl->syscalls = syscalls;
	tl->execs = execs;
}

void ct_timeline_set_condition(struct ct_timeline *tl, bool (*met)(void *ctx, const struct ct_stop *stop, ct_u32 tid),
			       void *ctx)
{
	tl->met = met;
	tl->met_ctx = ctx;
	tl->met_key = 0;
}

void ct_timeline_condition_is(struct ct_timeline *tl, ct_u64 key)
{
	tl->met_key = key;
}

void ct_timeline_set_choice(struct ct_timeline *tl, const struct ct_choice *choice)
{
	tl->choice = choice ? *choice : (struct ct_choice){0};
}

void ct_timeline_set_interrupt(struct ct_timeline *tl, bool (*wanted)(void *ctx), void *ctx)
{
	tl->interrupt = wanted;
	tl->interrupt_ctx = ctx;
}

void ct_timeline_stats(const struct ct_timeline *tl, struct ct_timeline_stats *stats)
{
	*stats = tl->stats;
	stats->checkpoints = tl->nmarks;
	stats->bytes = all_bytes(tl);
	stats->spacing_us = tl->spacing / 1000;
}
