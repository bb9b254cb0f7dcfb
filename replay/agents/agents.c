// SPDX-License-Identifier: MIT
/* Agents: found a place, put into a replica, served while it runs, taken out again.
 * One buffer is shared by all replicas and by this process; the order in it is the order of the replay. */
#include "replay/agents/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "python_blob.h"
#include "replay/inproc.h"
#include "replay/agents/python_read.h"
#include "replay/agents/ruby.h"
#include "replay/steps/merge.h"
#include "replay/steps/python.h"

#define BASE       0x2f0000000000ull /* no kernel puts anything here by itself, nor do sanitizers */
#define LOW_PAGE   0x1f4000ull /* for code below 2 GB: below what a program may be linked at, above our other pages */
#define JUMP_TABLE 2048
#define DRAIN_NS   500000000ull /* what a slow program does is told of, too, before the buffer is full */

struct patch {
	ct_u64 addr;
	size_t len;
	unsigned char original[JUMP_TABLE], now[JUMP_TABLE];
};

struct ct_agent { /* of one address space */
	struct ct_agents *all;
	struct ct_ruby_agent *ruby; /* if it is one of Ruby's; then what follows is not used */
	const struct ct_python *py;
	const struct ct_python_layout *layout;
	ct_u64 bias, heap, near;
	struct ct_pya_head head;
	struct patch patch[1 + CT_PY_CALLS];
	unsigned npatches, users;
};

struct known_file { /* by path: what it was found to be */
	char *path;
	int is; /* as ct_python_find */
	struct ct_python py;
	int is_ruby; /* as ct_ruby_find */
	struct ct_ruby rb;
};

struct ct_agents {
	struct ct_step_merge *merge;
	struct ct_pysteps *steps;
	struct ct_rbsteps *ruby_steps;
	bool ruby; /* one is watched */
	struct ct_step_limits limits;
	int memfd;
	struct ct_pya_buffer *buffer;
	struct known_file **file;
	size_t nfile;
	struct ct_agents_stats stats;
	struct ct_error err;
	bool failed;
	ct_u32 tid;
	ct_u64 seq;
	ct_u64 drained; /* when the buffer was empty last */
};

struct ct_agents *ct_agents_create(const struct ct_step_sink *sink, const struct ct_step_limits *limits,
				   const struct ct_step_filter *filter, struct ct_error *err)
{
	struct ct_agents *a = calloc(1, sizeof(*a));
	const struct ct_step_sink *python, *ruby;

	if (!a) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	a->limits = *limits;
	python = ct_step_merge_input(&a->merge, sink, "python");
	ruby = ct_step_merge_input(&a->merge, sink, "ruby");
	a->steps = python ? ct_pysteps_create(python, filter) : NULL;
	a->ruby_steps = ruby ? ct_rbsteps_create(ruby, filter) : NULL;
	a->memfd = memfd_create("ctbpf-steps", MFD_CLOEXEC);
	if (!a->steps || !a->ruby_steps || a->memfd < 0 || ftruncate(a->memfd, CT_PYA_BUFFER_LEN))
		goto fail;
	a->buffer = mmap(NULL, CT_PYA_BUFFER_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, a->memfd, 0);
	if (a->buffer == MAP_FAILED)
		goto fail;
	a->buffer->pos = sizeof(*a->buffer);
	return a;
fail:
	ct_fail_errno(err, CT_EXIT_FAILED, "no memory for the agents' buffer");
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
	ct_pysteps_destroy(a->steps);
	ct_rbsteps_destroy(a->ruby_steps);
	ct_step_merge_destroy(a->merge);
	if (a->buffer && a->buffer != MAP_FAILED)
		munmap(a->buffer, CT_PYA_BUFFER_LEN);
	if (a->memfd >= 0)
		close(a->memfd);
	free(a);
}

void ct_agents_stats(const struct ct_agents *a, struct ct_agents_stats *stats)
{
	*stats = a->stats;
}

const struct ct_error *ct_agents_error(const struct ct_agents *a)
{
	return a && a->failed ? &a->err : NULL;
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

/* Each builder gets what is of its language, and what the tracer says of processes and threads. */
static int hand_over(struct ct_agents *a, const ct_u64 *w, size_t count)
{
	for (size_t i = 0, end; i < count; i = end) {
		const unsigned who = whose(w[i]);

		for (end = i; end < count && whose(w[end]) == who && w[end] >> 32;)
			end += w[end] >> 32;
		if (end == i || end > count)
			return ct_fail(&a->err, CT_EXIT_FAILED, "an agent wrote a record of impossible length");
		if (((who & PYTHON) && ct_pysteps_records(a->steps, w + i, end - i, &a->err)) ||
		    ((who & RUBY) && ct_rbsteps_records(a->ruby_steps, w + i, end - i, &a->err)))
			return -1;
	}
	return 0;
}

static ct_u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ct_u64)t.tv_sec * 1000000000 + (ct_u64)t.tv_nsec;
}

static int drain(struct ct_agents *a)
{
	const size_t used = a->buffer->pos - sizeof(*a->buffer);

	a->drained = now_ns();
	a->buffer->pos = sizeof(*a->buffer);
	a->stats.bytes += used;
	if (a->failed)
		return -1;
	if (hand_over(a, (const ct_u64 *)(a->buffer + 1), used / 8))
		a->failed = true;
	return a->failed ? -1 : 0;
}

int ct_agents_finish(struct ct_agents *a, struct ct_error *err)
{
	if (!drain(a))
		return 0;
	*err = a->err;
	return -1;
}

bool ct_agents_resumable(const struct ct_agents *a)
{
	return !a->ruby;
}

int ct_agents_save(const struct ct_agents *a, ct_u64 **state, size_t *words, struct ct_error *err)
{
	return ct_pysteps_save(a->steps, state, words, err);
}

int ct_agents_load(struct ct_agents *a, const ct_u64 *state, size_t words, struct ct_error *err)
{
	return ct_pysteps_load(a->steps, state, words, err);
}

/* Words of the tracer's own. */
static void note_arg(struct ct_agents *a, unsigned type, unsigned arg, ct_u64 w1, ct_u64 w2)
{
	ct_u64 *p;

	if (a->buffer->pos + CT_PYA_ROOM / 2 > CT_PYA_BUFFER_LEN)
		drain(a);
	p = (ct_u64 *)((char *)a->buffer + a->buffer->pos);
	p[0] = CT_PYR(type, arg, 3);
	p[1] = w1;
	p[2] = w2;
	a->buffer->pos += 24;
}
static void note(struct ct_agents *a, unsigned type, ct_u64 w1, ct_u64 w2)
{
	note_arg(a, type, 0, w1, w2);
}

void ct_agents_run(struct ct_rthread *t)
{
	struct ct_agents *a = t->proc->agent ? t->proc->agent->all : NULL;

	if (!a || a->tid == t->tid)
		return;
	a->tid = t->tid;
	note(a, CT_PYR_THREAD, t->tid, t->proc->pid);
}

void ct_agents_event(struct ct_agents *a, const struct ct_event *ev, ct_u64 last_ns)
{
	if (a && (a->stats.installed || !a->seq) && a->seq != ev->seq) {
		a->seq = ev->seq;
		note(a, CT_PYR_EVENT, ev->seq, last_ns ? last_ns : ev->time_ns);
		if (now_ns() - a->drained > DRAIN_NS)
			drain(a);
		if (ev->type == CT_EV_EXIT)
			note(a, CT_RBR_END, ev->tid, 0);
	}
}

void ct_agents_batch(struct ct_rthread *t, const struct ct_event *const *ev, size_t n, const struct ct_event *next,
		     ct_u64 last_ns)
{
	struct ct_agents *a = t->proc->agent ? t->proc->agent->all : NULL;
	const size_t most = (CT_PYA_ROOM / 2 / 8 - 1) / 2;
	ct_u64 *p;

	if (!a)
		return;
	if (a->buffer->pos + CT_PYA_ROOM > CT_PYA_BUFFER_LEN)
		drain(a);
	p = (ct_u64 *)((char *)a->buffer + a->buffer->pos);
	n = n < most ? n : most;
	p[0] = CT_PYR(CT_PYR_BATCH, 0, 1 + 2 * (n + !!next));
	p++;
	for (size_t i = 0; i < n + !!next; i++) {
		*p++ = i < n ? ev[i]->seq : next->seq;
		*p++ = i ? ev[i - 1]->time_ns : last_ns;
	}
	a->buffer->pos = (size_t)((char *)p - (char *)a->buffer);
	a->buffer->batch++;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static bool to_heap(struct ct_agent *g, int memfd, const void *data, size_t len, ct_u64 *where)
{
	*where = g->heap;
	if (g->heap + len > g->head.base + CT_PYA_HEAP_END)
		return false;
	g->heap += (len + 15) & ~(size_t)15;
	return !len || ct_mem_write(memfd, *where, data, len);
}

static int fail(struct ct_agents *a, const char *what)
{
	if (!a->failed)
		ct_fail(&a->err, CT_EXIT_FAILED, "the agent in the replayed interpreter: %s", what);
	a->failed = true;
	return -1;
}

static long know_code(struct ct_agent *g, int memfd, ct_u64 addr, struct ct_pya_code *c)
{
	const struct ct_pya_offsets *off = &g->layout->off;
	struct ct_py_code code;
	bool wanted;
	long id;

	memset(c, 0, sizeof(*c));
	if (ct_py_read_code(memfd, g->layout, addr, &code))
		return fail(g->all, "a code object cannot be read");
	c->code = addr;
	ct_mem_read(memfd, addr + off->co_linetable, &c->linetable, 8);
	ct_mem_read(memfd, addr + off->co_qualname, &c->qualname, 8);
	ct_mem_read(memfd, addr + off->co_consts, &c->consts, 8);
	if (off->co_version)
		ct_mem_read(memfd, addr + off->co_version, &c->version, 4);
	c->first = addr + off->co_code;
	c->count = code.code.count;
	c->start = code.start;
	c->nlocals = code.code.nvars;
	c->module = code.module;
	if (!to_heap(g, memfd, code.code.lines, code.code.count * sizeof(*code.code.lines), &c->lines)) {
		ct_step_code_deinit(&code.code);
		return fail(g->all, "its memory is full");
	}
	id = ct_pysteps_code(g->all->steps, &code.code, &wanted);
	ct_step_code_deinit(&code.code);
	c->id = (ct_u32)id;
	c->wanted = wanted;
	return id < 0 ? fail(g->all, "out of memory") : id;
}

static int on_type(struct ct_agent *g, int memfd, ct_u64 addr, ct_u64 entry)
{
	struct ct_pya_slot slots[CT_PY_SLOTS];
	struct ct_pya_type e = {.type = addr};
	struct ct_py_type t;
	long id;

	if (ct_py_read_type(memfd, g->layout, addr, &t))
		return fail(g->all, "a type cannot be read");
	ct_mem_read(memfd, addr + g->layout->off.type_name, &e.name, 8);
	e.kind = t.kind;
	e.flags = t.flags;
	e.dictoffset = t.dictoffset;
	e.basicsize = t.basicsize;
	e.cached_keys = t.cached_keys;
	e.named = t.named;
	e.nslots = t.nslots;
	for (ct_u32 i = 0; i < t.nslots; i++) {
		slots[i].offset = t.slot[i].offset;
		slots[i].name = (ct_u64)ct_pysteps_text(g->all->steps, t.slot[i].name ? t.slot[i].name : "?");
	}
	id = ct_pysteps_type(g->all->steps, t.name);
	e.id = (ct_u32)id;
	ct_py_type_deinit(&t);
	if (id < 0 || !to_heap(g, memfd, slots, e.nslots * sizeof(*slots), &e.slots) ||
	    !ct_mem_write(memfd, entry, &e, sizeof(e)))
		return fail(g->all, "its tables cannot be written");
	return 0;
}

static int know_native(struct ct_agent *g, int memfd, ct_u64 entry)
{
	struct ct_pya_native n;
	char *name;
	long id;

	if (!ct_mem_read(memfd, entry, &n, sizeof(n)))
		return fail(g->all, "its tables cannot be read");
	name = ct_py_read_native(memfd, g->layout, &n);
	id = name ? ct_pysteps_native(g->all->steps, name) : -1;
	free(name);
	n.id = (ct_u32)id;
	if (id < 0 || !ct_mem_write(memfd, entry, &n, sizeof(n)))
		return fail(g->all, id < 0 ? "out of memory" : "its tables cannot be written");
	return 0;
}

int ct_agents_stopped(struct ct_rthread *t, int status)
{
	struct ct_agent *g = t->proc->agent;
	struct ct_pya_code c;
	struct ct_agents *a;
	struct ct_regs r;

	if (!g || !WIFSTOPPED(status) || (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSEGV) ||
	    ct_get_regs(t->real, &r) || r.r[CT_RIP] < BASE || r.r[CT_RIP] >= BASE + CT_PYA_STUBS)
		return 0;
	a = g->all;
	if (WSTOPSIG(status) == SIGSEGV)
		return fail(a, "it touched memory that is not there");
	a->stats.requests++;
	if (g->ruby && a->buffer->request != CT_PYREQ_DRAIN) {
		a->failed |= ct_ruby_request(g->ruby, t->proc->memfd, a->buffer, &a->err) != 0;
		if (ct_ruby_jitted(g->ruby) && !*a->stats.unwatched)
			snprintf(
				a->stats.unwatched, sizeof(a->stats.unwatched),
				"what Ruby's JIT compiler made of hot methods (record without --yjit, --mjit, --rjit)");
		return a->failed ? -1 : 1;
	}
	switch (a->buffer->request) {
	case CT_PYREQ_DRAIN: return drain(a) ? -1 : 1;
	case CT_PYREQ_CODE:
		if (know_code(g, t->proc->memfd, a->buffer->arg, &c) < 0)
			return -1;
		return ct_mem_write(t->proc->memfd, a->buffer->arg2, &c, sizeof(c)) ? 1 : -1;
	case CT_PYREQ_TYPE: return on_type(g, t->proc->memfd, a->buffer->arg, a->buffer->arg2) ? -1 : 1;
	case CT_PYREQ_NATIVE: return know_native(g, t->proc->memfd, a->buffer->arg2) ? -1 : 1;
	case CT_PYREQ_FOREIGN:
		if (!*a->stats.unwatched)
			snprintf(a->stats.unwatched, sizeof(a->stats.unwatched),
				 "process %u runs a subinterpreter; what runs in that is not told", t->proc->pid);
		return 1;
	}
	return fail(a, "it asks for something unknown");
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
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	f->is = ct_python_find(path, &f->py, &why);
	f->is_ruby = f->is ? 0 : ct_ruby_find(path, &f->rb, &why);
	if ((f->is < 0 || f->is_ruby < 0) && !*a->stats.unwatched)
		snprintf(a->stats.unwatched, sizeof(a->stats.unwatched), "%s", why.msg);
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

static bool overwrite(struct ct_agent *g, int memfd, ct_u64 addr, const void *bytes, size_t len)
{
	struct patch *p = &g->patch[g->npatches];

	if (!ct_mem_read(memfd, addr, p->original, len) || !ct_mem_write(memfd, addr, bytes, len))
		return false;
	p->addr = addr;
	p->len = len;
	memcpy(p->now, bytes, len);
	g->npatches++;
	return true;
}

/* The calls of PyTraceBack_Here lead to a page near by, and from there to the agent, which goes on to the function. */
static int watch_exceptions(struct ct_agent *g, struct ct_rthread *t, const struct ct_maps *maps, struct ct_error *err)
{
	const struct ct_python *py = g->py;
	unsigned char code[14] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *0(%rip) */
	const ct_u64 page = near_page(maps, py->eval + g->bias), to = g->head.base + CT_PYA_EXC_ENTRY;

	if (!py->ncalls)
		return 0;
	g->near = page;
	memcpy(code + 6, &to, 8);
	if (!page ||
	    ct_replica_call(t, SYS_mmap, page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (long)page ||
	    !ct_mem_write(t->proc->memfd, page, code, sizeof(code)))
		return ct_fail(err, CT_EXIT_FAILED, "no room near the interpreter's code at %#llx",
			       (unsigned long long)(py->eval + g->bias));
	for (unsigned i = 0; i < py->ncalls; i++) {
		ct_u64 at = py->traceback_call[i] + g->bias;
		ct_s64 rel = (ct_s64)(page - (at + 5));
		ct_s32 rel32 = (ct_s32)rel;

		if (rel32 != rel || !overwrite(g, t->proc->memfd, at + 1, &rel32, 4))
			return ct_fail(err, CT_EXIT_FAILED, "the interpreter's code at %#llx cannot be changed",
				       (unsigned long long)at);
	}
	return 0;
}

/* What an agent before this one knew: the frame is in a call of a C function. */
static void tell_pending(struct ct_agent *g, struct ct_rthread *t, ct_u64 frame)
{
	const ct_u64 table = g->head.base + CT_PYA_PENDING;
	ct_u64 i = CT_PYA_PENDING_HOME(frame), at, w;

	for (;; i++) {
		at = table + i % CT_PYA_NPENDING * 8;
		if (!ct_mem_read(t->proc->memfd, at, &w, 8) || w == frame)
			return;
		if (!w)
			break;
	}
	g->head.npending++;
	if (g->head.npending < CT_PYA_NPENDING / 2 && ct_mem_write(t->proc->memfd, at, &frame, 8))
		ct_mem_write(t->proc->memfd, g->head.base + offsetof(struct ct_pya_head, npending), &g->head.npending,
			     8);
}

/* Frames that the threads are in already. */
static void tell_frames(struct ct_agent *g, struct ct_rthread *t)
{
	struct ct_py_frame *list = calloc(65536, sizeof(*list));
	size_t n = list ? ct_py_read_frames(t->proc->memfd, g->layout, g->py->runtime + g->bias, list, 65536) : 0;
	struct ct_agents *a = g->all;
	unsigned depth = 0;

	drain(a);
	for (size_t i = n; i-- > 0;) { /* outermost first */
		struct ct_pya_code c;
		long id = know_code(g, t->proc->memfd, list[i].code, &c);

		if (id < 0)
			break;
		if (i + 1 == n || list[i + 1].tid != list[i].tid)
			depth = 0;
		if (a->tid != list[i].tid) {
			a->tid = list[i].tid;
			note(a, CT_PYR_THREAD, a->tid, t->proc->pid);
		}
		if (ct_pysteps_in_native(a->steps, a->tid, list[i].frame))
			tell_pending(g, t, list[i].frame);
		note_arg(a, CT_PYR_FRAME, depth++, list[i].frame, (ct_u64)id);
	}
	free(list);
}

static bool map_region(struct ct_agents *a, struct ct_rthread *t)
{
	char path[64];
	long fd, ret;

	if (ct_replica_call(t, SYS_mmap, BASE, CT_PYA_BUFFER, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) != (long)BASE)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), a->memfd);
	if (!ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, path, strlen(path) + 1))
		return false;
	fd = ct_replica_call(t, SYS_open, CT_GADGET_TEXT, O_RDWR, 0, 0, 0, 0);
	if (fd < 0)
		return false;
	ret = ct_replica_call(t, SYS_mmap, BASE + CT_PYA_BUFFER, CT_PYA_BUFFER_LEN, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0);
	ct_replica_call(t, SYS_close, fd, 0, 0, 0, 0, 0);
	return ret == (long)(BASE + CT_PYA_BUFFER);
}

static void fill_head(struct ct_agent *g, ct_u64 answers)
{
	static const unsigned char pushed[16] = {14, 13, 12, 11, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
	const struct ct_python_layout *l = g->layout;
	const struct ct_step_limits *limits = &g->all->limits;
	struct ct_pya_head *h = &g->head;

	h->base = BASE;
	h->buffer = BASE + CT_PYA_BUFFER;
	h->traceback = g->py->traceback + g->bias;
	if (l->tstate_current)
		h->runtime_tstate = g->py->runtime + g->bias + l->tstate_current;
	h->interp_head = g->py->runtime + g->bias + l->interp_head;
	h->interp_main = h->interp_head + 8;
	h->interp_next = l->interp_next;
	h->threads_head = l->threads_head;
	h->tstate_next = l->tstate_next;
	h->tstate_cframe = l->tstate_cframe;
	h->cframe_frame = l->cframe_frame;
	h->tstate_frame = l->tstate_frame;
	h->answers = answers;
	h->no_answers = CT_INPROC_TABLE;
	h->frame_reg = pushed[g->py->frame_reg];
	h->next_reg = pushed[g->py->next_reg];
	h->stack_reg = pushed[g->py->stack_reg];
	h->values = limits->values;
	h->depth = limits->depth;
	h->items = limits->items;
	h->bytes = limits->bytes;
	memcpy(h->op, l->op, sizeof(h->op));
	memcpy(h->skip, l->skip, sizeof(h->skip));
	h->off = l->off;
}

static int install(struct ct_agents *a, struct ct_rthread *t, const struct ct_python *py, ct_u64 bias,
		   const struct ct_maps *maps, bool new_image, struct ct_error *err)
{
	struct ct_agent *g = calloc(1, sizeof(*g));
	unsigned char *stubs = calloc(256, CT_PYA_STUB_SIZE);
	int ret = -1;

	if (!g || !stubs) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		goto out;
	}
	g->all = a;
	g->py = py;
	g->layout = ct_python_layout(py->version);
	g->bias = bias;
	g->heap = BASE + CT_PYA_HEAP;
	g->users = 1;
	fill_head(g, t->proc->mm ? CT_INPROC_CTL + offsetof(struct ct_inproc_ctl, cur) : 0);
	if (ct_python_stubs(py, g->layout, bias, BASE, &g->head, stubs)) {
		ct_fail(err, CT_EXIT_FAILED, "a stub is too long");
		goto out;
	}
	if (!map_region(a, t) || !ct_mem_write(t->proc->memfd, BASE, python_blob, sizeof(python_blob)) ||
	    !ct_mem_write(t->proc->memfd, BASE, &g->head, sizeof(g->head)) ||
	    !ct_mem_write(t->proc->memfd, BASE + CT_PYA_STUBS, stubs, 256 * CT_PYA_STUB_SIZE)) {
		ct_fail(err, CT_EXIT_FAILED, "the agent cannot be put at %#llx of the replayed process", BASE);
		goto out;
	}
	if (watch_exceptions(g, t, maps, err))
		goto out;
	if (!overwrite(g, t->proc->memfd, py->table + bias, g->head.stub, JUMP_TABLE)) {
		ct_fail(err, CT_EXIT_FAILED, "the interpreter's dispatch table cannot be changed");
		goto out;
	}
	t->proc->agent = g;
	a->stats.installed++;
	a->tid = t->tid;
	note(a, CT_PYR_THREAD, t->tid, t->proc->pid);
	if (new_image)
		note(a, CT_PYR_IMAGE, 0, 0);
	tell_frames(g, t);
	g = NULL;
	ret = 0;
out:
	free(stubs);
	free(g);
	return ret;
}

static int install_ruby(struct ct_agents *a, struct ct_rthread *t, const struct ct_ruby *rb, ct_u64 bias,
			const struct ct_maps *maps, bool new_image, struct ct_error *err)
{
	struct ct_agent *g = calloc(1, sizeof(*g));

	if (!g)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	g->all = a;
	g->users = 1;
	if (!map_region(a, t)) {
		free(g);
		return ct_fail(err, CT_EXIT_FAILED, "the agent cannot be put at %#llx of the replayed process", BASE);
	}
	g->ruby = ct_ruby_install(t, rb, bias, BASE, near_page(maps, rb->site[0].at + bias),
				  t->proc->mm ? CT_INPROC_CTL + offsetof(struct ct_inproc_ctl, cur) : 0, &a->limits,
				  a->ruby_steps, err);
	a->ruby |= g->ruby != NULL;
	if (!g->ruby) {
		free(g);
		return -1;
	}
	t->proc->agent = g;
	a->stats.installed++;
	a->tid = t->tid;
	note(a, CT_PYR_THREAD, t->tid, t->proc->pid);
	if (new_image)
		note(a, CT_PYR_IMAGE, 0, 0);
	return 0;
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
		ct_u64 bias = 0, table[256];

		if (m->offset || !strstr(m->name, "/files/"))
			continue;
		f = look_at_file(a, m->name, err);
		if (!f) {
			ret = -1;
			break;
		}
		if (f->is_ruby > 0 && ct_ruby_ready(&f->rb, m->start, t->proc->memfd))
			ret = install_ruby(a, t, &f->rb, m->start, &maps, new_image, err);
		if (f->is <= 0)
			continue;
		if (f->py.relative)
			bias = m->start;
		/* Not before the dynamic linker has relocated it. */
		if (!ct_mem_read(t->proc->memfd, f->py.table + bias, table, sizeof(table)))
			continue;
		for (int k = 0; k < 256; k++)
			if (table[k] != f->py.target[k] + bias)
				goto next;
		ret = install(a, t, &f->py, bias, &maps, new_image, err);
	next:;
	}
	ct_maps_deinit(&maps);
	return ret;
}

void ct_agents_fork(const struct ct_replica *parent, struct ct_replica *child, ct_u32 tid, bool shared)
{
	struct ct_agent *g = parent->agent;

	if (!g)
		return;
	note(g->all, CT_PYR_FORK, tid, 0);
	if (shared) {
		child->agent = g;
		g->users++;
		return;
	}
	child->agent = malloc(sizeof(*g));
	if (!child->agent) {
		fail(g->all, "out of memory");
		return;
	}
	*child->agent = *g;
	child->agent->users = 1;
	if (g->ruby && !(child->agent->ruby = ct_ruby_fork(g->ruby)))
		fail(g->all, "out of memory");
}

void ct_agents_gone(struct ct_replica *p)
{
	if (p->agent && !--p->agent->users) {
		ct_ruby_free(p->agent->ruby);
		free(p->agent);
	}
	p->agent = NULL;
}

/* ---- as if it were not there ------------------------------------------------------------------------------------- */

void ct_agents_mask(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len)
{
	if (p->agent && p->agent->ruby)
		ct_ruby_mask(p->agent->ruby, addr, buf, len);
	for (unsigned i = 0; p->agent && i < p->agent->npatches; i++) {
		const struct patch *a = &p->agent->patch[i];
		ct_u64 from = a->addr > addr ? a->addr : addr;
		ct_u64 to = a->addr + a->len < addr + len ? a->addr + a->len : addr + len;

		if (from < to)
			memcpy((char *)buf + (from - addr), a->original + (from - a->addr), to - from);
	}
}

bool ct_agents_map(const struct ct_replica *p, ct_u64 start)
{
	const struct ct_agent *g = p->agent;

	return g && ((start >= BASE && start < BASE + CT_PYA_SIZE) || (start && start == g->near) ||
		     (g->ruby && ct_ruby_map(g->ruby, start)));
}

void ct_agents_expected(const struct ct_replica *p, struct ct_regs *regs)
{
	if (p->agent && p->agent->ruby)
		ct_ruby_regs_expected(p->agent->ruby, regs);
	else if (p->agent)
		ct_python_regs_expected(p->agent->py, p->agent->bias, &p->agent->head, p->memfd, regs);
}

void ct_agents_original(const struct ct_replica *p, struct ct_regs *regs)
{
	if (p->agent && p->agent->ruby)
		ct_ruby_regs_original(p->agent->ruby, regs);
	else if (p->agent)
		ct_python_regs_original(&p->agent->head, regs);
}
