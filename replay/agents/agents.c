// SPDX-License-Identifier: MIT
/* Agents: found a place, put into a replica, served while it runs, taken out again.
 * One buffer is shared by all replicas and by this process; the order in it is the order of the replay. */
#include "replay/agents/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replay/agents/agents_priv.h"
#include "replay/agents/feed.h"
#include "replay/agents/python.h"
#include "replay/agents/ruby.h"
#include "replay/inproc.h"
#include "replay/steps/merge.h"
#include "replay/steps/python.h"

#define LOW_PAGE 0x1f4000ull /* for code below 2 GB: below what a program may be linked at, above our other pages */
#define PIECE    4096        /* words */
#define AHEAD    128
#define FLUSH_NS 500000000ull /* what a slow program does is told of, too, before the buffer is full */

struct known_file { /* by path: what it was found to be */
	char *path;
	int is; /* as ct_python_find */
	struct ct_python py;
	int is_ruby; /* as ct_ruby_find */
	struct ct_ruby rb;
};

struct ct_agents {
	struct ct_step_merge *merge;
	struct ct_step_sink sink;
	bool unresumable;
	bool shared; /* native code is told of to the same sink, by the thread that replays */
	struct ct_pysteps *steps;
	struct ct_rbsteps *ruby_steps;
	bool ruby; /* one is watched */
	struct ct_step_limits limits;
	struct ct_feed *feed;
	struct known_file **file;
	size_t nfile;
	struct ct_agents_stats stats;
	ct_u32 tid;
	ct_u64 seq;
	ct_u64 flushed; /* when what was told was handed over last */
};

static int hand_over(void *ctx, const ct_u64 *w, size_t count, struct ct_error *err);

struct ct_agents *ct_agents_create(const struct ct_step_sink *sink, const struct ct_step_limits *limits,
				   const struct ct_step_filter *filter, struct ct_error *err)
{
	struct ct_agents *a = calloc(1, sizeof(*a));
	const struct ct_step_sink *python, *ruby;

	if (!a) {
		ct_fail_memory(err);
		return NULL;
	}
	a->limits = *limits;
	a->sink = *sink;
	python = ct_step_merge_input(&a->merge, sink, "python");
	ruby = ct_step_merge_input(&a->merge, sink, "ruby");
	a->steps = python ? ct_pysteps_create(python, filter) : NULL;
	a->ruby_steps = ruby ? ct_rbsteps_create(ruby, filter) : NULL;
	if (!a->steps || !a->ruby_steps)
		ct_fail_memory(err);
	else
		a->feed = ct_feed_create(hand_over, a, err);
	if (a->feed)
		return a;
	ct_agents_destroy(a);
	return NULL;
}

void ct_agents_destroy(struct ct_agents *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nfile; i++) {
		free(a->file[i]->path);
		free(a->file[i]);
	}
	free(a->file);
	ct_feed_destroy(a->feed); /* its thread uses the builders */
	ct_pysteps_destroy(a->steps);
	ct_rbsteps_destroy(a->ruby_steps);
	ct_step_merge_destroy(a->merge);
	free(a);
}

void ct_agents_stats(const struct ct_agents *a, struct ct_agents_stats *stats)
{
	*stats = a->stats;
}

void ct_agents_unwatched(struct ct_agents *a, const char *fmt, ...)
{
	va_list ap;

	if (*a->stats.unwatched)
		return;
	va_start(ap, fmt);
	vsnprintf(a->stats.unwatched, sizeof(a->stats.unwatched), fmt, ap);
	va_end(ap);
}

const struct ct_error *ct_agents_error(struct ct_agents *a)
{
	return a ? ct_feed_error(a->feed) : NULL;
}

/* ---- the buffer ----------------------------------------------------------------------------------------------- */

enum { PYTHON = 1, RUBY = 2 };

static unsigned whose(ct_u64 word)
{
	switch (word & 255) {
	case CT_PYR_THREAD:
	case CT_PYR_IMAGE:
	case CT_PYR_FORK: return PYTHON | RUBY;
	}
	return (word & 255) >= CT_RBR_FIRST ? RUBY : PYTHON;
}

/* Each builder gets what is of its language, and what the tracer says of processes and threads. In pieces: what one
 * look at the lengths has brought into the cache is still there. */
static int hand_over(void *ctx, const ct_u64 *w, size_t count, struct ct_error *err)
{
	struct ct_agents *a = ctx;

	for (size_t i = 0, end; i < count; i = end) {
		const unsigned who = whose(w[i]);

		for (end = i; end < count && end - i < PIECE && whose(w[end]) == who && w[end] >> 32;) {
			__builtin_prefetch(w + end + AHEAD); /* another CPU has written it */
			end += w[end] >> 32;
		}
		if (end == i || end > count)
			return ct_fail(err, CT_EXIT_FAILED, "an agent wrote a record of impossible length");
		if (((who & PYTHON) && ct_pysteps_records(a->steps, w + i, end - i, err)) ||
		    ((who & RUBY) && ct_rbsteps_records(a->ruby_steps, w + i, end - i, err)))
			return -1;
		ct_feed_pause(a->feed);
	}
	return 0;
}

static ct_u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ct_u64)t.tv_sec * 1000000000 + (ct_u64)t.tv_nsec;
}

static int flush(struct ct_agents *a)
{
	a->flushed = now_ns();
	return a->shared ? ct_feed_settle(a->feed) : ct_feed_flush(a->feed);
}

void ct_agents_hold(struct ct_agents *a)
{
	ct_feed_hold(a->feed);
}

void ct_agents_release(struct ct_agents *a)
{
	ct_feed_release(a->feed);
}

const struct ct_step_sink *ct_agents_native(struct ct_agents *a)
{
	a->shared = true;
	return ct_step_merge_input(&a->merge, &a->sink, "native");
}

int ct_agents_settle(struct ct_agents *a, struct ct_error *err)
{
	if (!ct_feed_settle(a->feed))
		return 0;
	*err = *ct_feed_error(a->feed);
	return -1;
}

int ct_agents_finish(struct ct_agents *a, struct ct_error *err)
{
	return ct_agents_settle(a, err);
}

int ct_agents_end(struct ct_agents *a, struct ct_error *err)
{
	return ct_agents_finish(a, err) || ct_rbsteps_end(a->ruby_steps, err) ? -1 : 0;
}

bool ct_agents_resumable(const struct ct_agents *a)
{
	return !a->ruby && !a->unresumable;
}

void ct_agents_unresumable(struct ct_agents *a)
{
	a->unresumable = true;
}

int ct_agents_save(const struct ct_agents *a, ct_u64 **state, size_t *words, struct ct_error *err)
{
	return ct_pysteps_save(a->steps, state, words, err);
}

int ct_agents_load(struct ct_agents *a, const ct_u64 *state, size_t words, struct ct_error *err)
{
	return ct_pysteps_load(a->steps, state, words, err);
}

/* Where the tracer can write words of its own. */
static ct_u64 *put(struct ct_agents *a)
{
	struct ct_pya_buffer *b = ct_feed_buffer(a->feed);

	if (b->pos + CT_PYA_ROOM / 2 > b->end)
		flush(a);
	return (ct_u64 *)((char *)b + b->pos);
}
static void done(struct ct_agents *a, const ct_u64 *end)
{
	struct ct_pya_buffer *b = ct_feed_buffer(a->feed);

	b->pos = (ct_u64)((const char *)end - (const char *)b);
}

void ct_agents_note(struct ct_agents *a, unsigned type, unsigned arg, ct_u64 w1, ct_u64 w2)
{
	ct_u64 *p = put(a);

	p[0] = CT_PYR(type, arg, 3);
	p[1] = w1;
	p[2] = w2;
	done(a, p + 3);
}

void ct_agents_thread(struct ct_agents *a, ct_u32 tid, ct_u32 pid)
{
	if (a->tid == tid)
		return;
	a->tid = tid;
	ct_agents_note(a, CT_PYR_THREAD, 0, tid, pid);
}

void ct_agents_run(struct ct_rthread *t)
{
	struct ct_agents *a = t->proc->agent ? t->proc->agent->all : NULL;

	if (a)
		ct_agents_thread(a, t->tid, t->proc->pid);
}

void ct_agents_event(struct ct_agents *a, const struct ct_event *ev, ct_u64 last_ns)
{
	if (a && (a->stats.installed || !a->seq) && a->seq != ev->seq) {
		a->seq = ev->seq;
		ct_agents_note(a, CT_PYR_EVENT, 0, ev->seq, last_ns ? last_ns : ev->time_ns);
		if (now_ns() - a->flushed > FLUSH_NS)
			flush(a);
		if (ev->type == CT_EV_EXIT)
			ct_agents_note(a, CT_RBR_END, 0, ev->tid, 0);
	}
}

void ct_agents_batch(struct ct_rthread *t, const struct ct_event *const *ev, size_t n, const struct ct_event *next,
		     ct_u64 last_ns)
{
	struct ct_agents *a = t->proc->agent ? t->proc->agent->all : NULL;
	const size_t most = (CT_PYA_ROOM / 2 / 8 - 3) / 2;
	ct_u64 *p;

	if (!a)
		return;
	p = put(a);
	n = n < most ? n : most;
	p[0] = CT_PYR(CT_PYR_BATCH, 0, 1 + 2 * (n + !!next));
	p++;
	for (size_t i = 0; i < n + !!next; i++) {
		*p++ = i < n ? ev[i]->seq : next->seq;
		*p++ = i ? ev[i - 1]->time_ns : last_ns;
	}
	done(a, p);
	ct_feed_buffer(a->feed)->batch++;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static int fail(struct ct_agents *a, const char *what)
{
	struct ct_error err;

	ct_fail(&err, CT_EXIT_FAILED, "the agent in the replayed interpreter: %s", what);
	return ct_feed_fail(a->feed, &err);
}

int ct_agents_stopped(struct ct_rthread *t, int status)
{
	struct ct_agent *g = t->proc->agent;
	struct ct_error err;
	struct ct_agents *a;
	struct ct_regs r;

	if (!g || !WIFSTOPPED(status) || (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSEGV) ||
	    ct_get_regs(t->real, &r) || r.r[CT_RIP] < CT_AGENT_BASE || r.r[CT_RIP] >= CT_AGENT_BASE + CT_PYA_STUBS)
		return 0;
	a = g->all;
	if (WSTOPSIG(status) == SIGSEGV)
		return fail(a, "it touched memory that is not there");
	a->stats.requests++;
	if (ct_feed_buffer(a->feed)->request == CT_PYREQ_DRAIN)
		return flush(a) ? -1 : 1;
	ct_feed_hold(a->feed);
	if (g->ops->request(g, t, ct_feed_buffer(a->feed), &err))
		ct_feed_fail(a->feed, &err);
	ct_feed_release(a->feed);
	return ct_feed_error(a->feed) ? -1 : 1;
}

/* ---- putting it in --------------------------------------------------------------------------------------------- */

static struct known_file *look_at_file(struct ct_agents *a, const char *path, struct ct_error *err)
{
	struct known_file *f, **more;
	struct ct_error why = {0};

	for (size_t i = 0; i < a->nfile; i++)
		if (!strcmp(a->file[i]->path, path))
			return a->file[i];
	f = calloc(1, sizeof(*f));
	more = realloc(a->file, (a->nfile + 1) * sizeof(*more));
	if (more)
		a->file = more;
	if (!f || !more || !(f->path = strdup(path))) {
		free(f);
		ct_fail_memory(err);
		return NULL;
	}
	f->is = ct_python_find(path, &f->py, &why);
	f->is_ruby = f->is ? 0 : ct_ruby_find(path, &f->rb, &why);
	if (f->is < 0 || f->is_ruby < 0)
		ct_agents_unwatched(a, "%s", why.msg);
	if (f->is_ruby > 0 && !f->rb.nnative)
		ct_agents_unwatched(a, "calls of methods written in C (%s has other code for them than is known)",
				    path);
	a->file[a->nfile++] = f;
	return f;
}

/* A page within reach of a rel32 jump in which no later mapping will be: the kernel maps downwards from the highest one
 * below the stack, so above that one nothing comes but the stack, and that is far. */
static ct_u64 near_page(const struct ct_maps *maps, ct_u64 code)
{
	ct_u64 highest = 0;

	if (code < 1ull << 31)
		return LOW_PAGE;
	for (size_t i = 0; i < maps->count; i++) {
		const struct ct_map *m = &maps->map[i];

		if (m->end > highest && m->start > code && m->end - code < 1ull << 30 && m->name[0] != '[')
			highest = m->end;
	}
	return highest ? highest + 0x10000 : 0;
}

static bool map_region(struct ct_agents *a, struct ct_rthread *t)
{
	char path[64];
	long fd, ret;

	if (ct_replica_call(t, SYS_mmap, CT_AGENT_BASE, CT_PYA_BUFFER, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1,
			    0) != (long)CT_AGENT_BASE)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), ct_feed_memfd(a->feed));
	if (!ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, path, strlen(path) + 1))
		return false;
	fd = ct_replica_call(t, SYS_open, CT_GADGET_TEXT, O_RDWR, 0, 0, 0, 0);
	if (fd < 0)
		return false;
	ret = ct_replica_call(t, SYS_mmap, CT_AGENT_BASE + CT_PYA_BUFFER, CT_PYA_BUFFER_LEN, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0);
	ct_replica_call(t, SYS_close, fd, 0, 0, 0, 0, 0);
	return ret == (long)(CT_AGENT_BASE + CT_PYA_BUFFER);
}

int ct_agents_no_place(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "the agent cannot be put at %#llx of the replayed process", CT_AGENT_BASE);
}

static int install(struct ct_agents *a, struct ct_rthread *t, const struct known_file *f, ct_u64 start,
		   const struct ct_maps *maps, bool new_image, struct ct_error *err)
{
	struct ct_agent_place place = {.limits = &a->limits};
	struct ct_error why;
	struct ct_agent *g;

	if (t->proc->mm)
		place.answers = CT_INPROC_CTL + offsetof(struct ct_inproc_ctl, cur);
	if (!map_region(a, t))
		return ct_agents_no_place(err);
	if (ct_agents_settle(a, err))
		return -1;
	if (f->is_ruby > 0) {
		place.bias = start;
		place.near = near_page(maps, f->rb.site[0].at + place.bias);
		g = ct_ruby_install(t, &f->rb, &place, a->ruby_steps, err);
		a->ruby |= g != NULL;
	} else {
		place.bias = f->py.relative ? start : 0;
		place.near = near_page(maps, f->py.eval + place.bias);
		g = ct_python_install(t, &f->py, &place, a->steps, err);
	}
	if (!g)
		return -1;
	g->all = a;
	g->users = 1;
	t->proc->agent = g;
	a->stats.installed++;
	a->tid = t->tid;
	ct_agents_note(a, CT_PYR_THREAD, 0, t->tid, t->proc->pid);
	if (new_image)
		ct_agents_note(a, CT_PYR_IMAGE, 0, 0, 0);
	ct_feed_hold(a->feed); /* for far fewer words than the feed has room for */
	if (g->ops->tell_frames && g->ops->tell_frames(g, t, &why))
		ct_feed_fail(a->feed, &why);
	ct_feed_release(a->feed);
	return 0;
}

/* Not before the dynamic linker has relocated it. */
static bool is_ready(const struct known_file *f, ct_u64 start, int memfd)
{
	if (f->is_ruby > 0)
		return ct_ruby_ready(&f->rb, start, memfd);
	return f->is > 0 && ct_python_ready(&f->py, f->py.relative ? start : 0, memfd);
}

int ct_agents_look(struct ct_agents *a, struct ct_rthread *t, bool new_image, struct ct_error *err)
{
	struct ct_maps maps;
	int ret = 0;

	if (!a || t->proc->agent)
		return 0;
	if (ct_maps_read(t->real, &maps, err))
		return -1;
	for (size_t i = 0; i < maps.count && !ret && !t->proc->agent; i++) {
		const struct ct_map *m = &maps.map[i];
		struct known_file *f;

		if (m->offset || !strstr(m->name, "/files/"))
			continue;
		f = look_at_file(a, m->name, err);
		if (!f) {
			ret = -1;
			break;
		}
		if (is_ready(f, m->start, t->proc->memfd))
			ret = install(a, t, f, m->start, &maps, new_image, err);
	}
	ct_maps_deinit(&maps);
	return ret;
}

void ct_agents_fork(const struct ct_replica *parent, struct ct_replica *child, ct_u32 tid, bool shared)
{
	struct ct_agent *g = parent->agent;

	if (!g)
		return;
	ct_agents_note(g->all, CT_PYR_FORK, 0, tid, 0);
	if (shared) {
		child->agent = g;
		g->users++;
		return;
	}
	child->agent = malloc(g->ops->size);
	if (!child->agent) {
		fail(g->all, "out of memory");
		return;
	}
	memcpy(child->agent, g, g->ops->size);
	child->agent->users = 1;
}

void ct_agents_gone(struct ct_replica *p)
{
	if (p->agent && !--p->agent->users)
		free(p->agent);
	p->agent = NULL;
}

/* ---- as if it were not there ------------------------------------------------------------------------------------- */

void ct_agent_mask(ct_u64 addr, void *buf, size_t len, ct_u64 at, const void *original, size_t n)
{
	const ct_u64 from = at > addr ? at : addr, to = at + n < addr + len ? at + n : addr + len;

	if (from < to)
		memcpy((char *)buf + (from - addr), (const char *)original + (from - at), to - from);
}

ct_u32 ct_agent_pushed(unsigned reg)
{
	static const unsigned char place[16] = {14, 13, 12, 11, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};

	return place[reg];
}

void ct_agents_mask(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len)
{
	if (p->agent)
		p->agent->ops->mask(p->agent, addr, buf, len);
}

bool ct_agents_map(const struct ct_replica *p, ct_u64 start)
{
	const struct ct_agent *g = p->agent;

	return g && ((start >= CT_AGENT_BASE && start < CT_AGENT_BASE + CT_PYA_SIZE) || g->ops->map(g, start));
}

void ct_agents_expected(const struct ct_replica *p, struct ct_regs *regs)
{
	if (p->agent)
		p->agent->ops->expected(p->agent, p->memfd, regs);
}

void ct_agents_original(const struct ct_replica *p, struct ct_regs *regs)
{
	if (p->agent)
		p->agent->ops->original(p->agent, regs);
}
