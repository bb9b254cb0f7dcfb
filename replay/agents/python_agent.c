// SPDX-License-Identifier: MIT
/* The agent in one address space with a CPython: the table and the calls that lead to it, its requests, the frames that
 * it finds, and how all of that stays unseen. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "python_blob.h"
#include "replay/agents/agents_priv.h"
#include "replay/agents/python_peek.h"
#include "replay/inproc.h"
#include "replay/steps/python.h"

#define JUMP_TABLE  2048
#define MOST_FRAMES 65536

struct patch {
	ct_u64 addr;
	size_t len;
	unsigned char original[JUMP_TABLE];
};

struct python_agent {
	struct ct_agent agent;
	const struct ct_python *py;
	const struct ct_python_layout *layout;
	struct ct_pysteps *steps;
	ct_u64 bias, heap, near;
	struct ct_pya_head head;
	struct patch patch[1 + CT_PY_CALLS + 2];
	unsigned npatches;
};

static struct python_agent *python(struct ct_agent *g)
{
	return (struct python_agent *)g;
}
static const struct python_agent *const_python(const struct ct_agent *g)
{
	return (const struct python_agent *)g;
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static int fail(struct ct_error *err, const char *what)
{
	return ct_fail(err, CT_EXIT_FAILED, "the agent in the replayed interpreter: %s", what);
}

static bool to_heap(struct python_agent *g, int memfd, const void *data, size_t len, ct_u64 *where)
{
	*where = g->heap;
	if (g->heap + len > g->head.base + CT_PYA_HEAP_END)
		return false;
	g->heap += (len + 15) & ~(size_t)15;
	return !len || ct_mem_write(memfd, *where, data, len);
}

static long know_code(struct python_agent *g, int memfd, ct_u64 addr, struct ct_pya_code *c, struct ct_error *err)
{
	const struct ct_pya_offsets *off = &g->layout->off;
	struct ct_py_code code;
	bool wanted;
	long id;

	memset(c, 0, sizeof(*c));
	if (ct_py_read_code(memfd, g->layout, addr, &code))
		return fail(err, "a code object cannot be read");
	c->code = addr;
	ct_mem_read(memfd, addr + off->co_linetable, &c->linetable, 8);
	ct_mem_read(memfd, addr + off->co_qualname, &c->qualname, 8);
	ct_mem_read(memfd, addr + off->co_consts, &c->consts, 8);
	if (off->co_version)
		ct_mem_read(memfd, addr + off->co_version, &c->version, 4);
	c->first = addr + off->co_code;
	if (off->f_lasti && ct_mem_read(memfd, addr + off->co_code, &c->first, 8))
		c->first += off->bytes_data;
	c->cells = code.cells;
	c->count = code.code.count;
	c->start = code.start;
	c->nlocals = code.code.nvars;
	c->module = code.module;
	if (!to_heap(g, memfd, code.code.lines, code.code.count * (sizeof(*code.code.lines) + off->line_starts),
		     &c->lines)) {
		ct_step_code_deinit(&code.code);
		return fail(err, "its memory is full");
	}
	id = ct_pysteps_code(g->steps, &code.code, &wanted);
	ct_step_code_deinit(&code.code);
	c->id = (ct_u32)id;
	c->wanted = wanted;
	return id < 0 ? fail(err, "out of memory") : id;
}

static int on_type(struct python_agent *g, int memfd, ct_u64 addr, ct_u64 entry, struct ct_error *err)
{
	struct ct_pya_slot slots[CT_PY_SLOTS];
	struct ct_pya_type e;

	if (ct_py_fill_type(g->steps, memfd, g->layout, addr, &e, slots))
		return fail(err, "a type cannot be read");
	if (!to_heap(g, memfd, slots, e.nslots * sizeof(*slots), &e.slots) ||
	    !ct_mem_write(memfd, entry, &e, sizeof(e)))
		return fail(err, "its tables cannot be written");
	return 0;
}

static int on_native(struct python_agent *g, int memfd, ct_u64 entry, struct ct_error *err)
{
	struct ct_pya_native n;
	char *name;
	long id;

	if (!ct_mem_read(memfd, entry, &n, sizeof(n)))
		return fail(err, "its tables cannot be read");
	name = ct_py_read_native(memfd, g->layout, &n);
	id = name ? ct_pysteps_native(g->steps, name) : -1;
	free(name);
	n.id = (ct_u32)id;
	if (id < 0 || !ct_mem_write(memfd, entry, &n, sizeof(n)))
		return fail(err, id < 0 ? "out of memory" : "its tables cannot be written");
	return 0;
}

static int on_request(struct ct_agent *agent, struct ct_rthread *t, const struct ct_pya_buffer *b, struct ct_error *err)
{
	struct python_agent *g = python(agent);
	const int memfd = t->proc->memfd;
	struct ct_pya_code c;

	switch (b->request) {
	case CT_PYREQ_CODE:
		if (know_code(g, memfd, b->arg, &c, err) < 0)
			return -1;
		return ct_mem_write(memfd, b->arg2, &c, sizeof(c)) ? 0 : fail(err, "its tables cannot be written");
	case CT_PYREQ_TYPE: return on_type(g, memfd, b->arg, b->arg2, err);
	case CT_PYREQ_NATIVE: return on_native(g, memfd, b->arg2, err);
	case CT_PYREQ_FOREIGN:
		ct_agents_unwatched(g->agent.all, "process %u runs a subinterpreter; what runs in that is not told",
				    t->proc->pid);
		return 0;
	}
	return fail(err, "it asks for something unknown");
}

/* ---- putting it in ------------------------------------------------------------------------------------------ */

bool ct_python_ready(const struct ct_python *py, ct_u64 bias, int memfd)
{
	ct_u64 table[256];

	if (!ct_mem_read(memfd, py->table + bias, table, sizeof(table)))
		return false;
	for (int k = 0; k < 256; k++)
		if (table[k] != py->target[k] + bias)
			return false;
	return true;
}

static bool overwrite(struct python_agent *g, int memfd, ct_u64 addr, const void *bytes, size_t len)
{
	struct patch *p = &g->patch[g->npatches];

	if (!ct_mem_read(memfd, addr, p->original, len) || !ct_mem_write(memfd, addr, bytes, len))
		return false;
	p->addr = addr;
	p->len = len;
	g->npatches++;
	return true;
}

/* The calls of PyTraceBack_Here lead to a page near by, and from there to the agent, which goes on to the function; so
 * do, up to 3.10, the evaluation loop's beginning and its switch. */
static int change_code(struct python_agent *g, struct ct_rthread *t, ct_u64 page, struct ct_error *err)
{
	const struct ct_python *py = g->py;
	unsigned char code[CT_PY_NEAR] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *0(%rip) */
	const struct ct_py_site *const site[] = {&py->begin, &py->dispatch};
	const bool old = g->layout->off.f_lasti != 0;
	unsigned char jump[5];
	const ct_u64 to = g->head.base + CT_PYA_EXC_ENTRY;

	if (!py->ncalls && !old)
		return 0;
	g->near = page;
	memcpy(code + 6, &to, 8);
	if (old)
		ct_python_sites(py, g->bias, page, &g->head, code);
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
	for (int i = 0; old && i < 2; i++)
		if (!ct_python_jump(py, site[i], g->bias, page, jump) ||
		    !overwrite(g, t->proc->memfd, site[i]->at + g->bias, jump, sizeof(jump)))
			return ct_fail(err, CT_EXIT_FAILED, "the interpreter's code at %#llx cannot be changed",
				       (unsigned long long)(site[i]->at + g->bias));
	return 0;
}

/* What an agent before this one knew: the frame is in a call of a C function. */
static void tell_pending(struct python_agent *g, struct ct_rthread *t, ct_u64 frame)
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
static int tell_frames(struct ct_agent *agent, struct ct_rthread *t, struct ct_error *err)
{
	struct python_agent *g = python(agent);
	struct ct_py_frame *list = calloc(MOST_FRAMES, sizeof(*list));
	size_t n = list ? ct_py_read_frames(t->proc->memfd, g->layout, g->py->runtime + g->bias, list, MOST_FRAMES) : 0;
	unsigned depth = 0;
	int ret = 0;

	for (size_t i = n; i-- > 0;) { /* outermost first */
		struct ct_pya_code c;
		long id = know_code(g, t->proc->memfd, list[i].code, &c, err);

		if (id < 0) {
			ret = -1;
			break;
		}
		if (i + 1 == n || list[i + 1].tid != list[i].tid)
			depth = 0;
		ct_agents_thread(agent->all, list[i].tid, t->proc->pid);
		if (ct_pysteps_in_native(g->steps, list[i].tid, list[i].frame))
			tell_pending(g, t, list[i].frame);
		ct_agents_note(agent->all, CT_PYR_FRAME, depth++, list[i].frame, (ct_u64)id);
	}
	free(list);
	return ret;
}

static void fill_head(struct python_agent *g, const struct ct_agent_place *place)
{
	const struct ct_python_layout *l = g->layout;
	struct ct_pya_head *h = &g->head;

	h->base = CT_AGENT_BASE;
	h->buffer = CT_AGENT_BASE + CT_PYA_BUFFER;
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
	h->answers = place->answers;
	h->no_answers = CT_INPROC_TABLE;
	h->frame_reg = ct_agent_pushed(g->py->frame_reg);
	h->next_reg = ct_agent_pushed(g->py->next_reg);
	h->stack_reg = ct_agent_pushed(g->py->stack_reg);
	h->switch_reg = ct_agent_pushed(g->py->dispatch_reg);
	h->begin_reg = ct_agent_pushed(g->py->begin_reg);
	h->values = place->limits->values;
	h->depth = place->limits->depth;
	h->items = place->limits->items;
	h->bytes = place->limits->bytes;
	memcpy(h->op, l->op, sizeof(h->op));
	memcpy(h->skip, l->skip, sizeof(h->skip));
	h->off = l->off;
}

/* ---- as if it were not there -------------------------------------------------------------------------------- */

static void mask(const struct ct_agent *agent, ct_u64 addr, void *buf, size_t len)
{
	const struct python_agent *g = const_python(agent);

	for (unsigned i = 0; i < g->npatches; i++)
		ct_agent_mask(addr, buf, len, g->patch[i].addr, g->patch[i].original, g->patch[i].len);
}

static bool is_map(const struct ct_agent *agent, ct_u64 start)
{
	return start && start == const_python(agent)->near;
}

static void expected(const struct ct_agent *agent, int memfd, struct ct_regs *regs)
{
	const struct python_agent *g = const_python(agent);

	ct_python_sites_expected(g->py, g->bias, g->near, regs);
	ct_python_regs_expected(g->py, g->bias, &g->head, memfd, regs);
}

static void original(const struct ct_agent *agent, struct ct_regs *regs)
{
	const struct python_agent *g = const_python(agent);

	ct_python_sites_original(g->py, g->bias, g->near, regs);
	ct_python_regs_original(&g->head, regs);
}

static const struct ct_agent_ops ops = {.size = sizeof(struct python_agent),
					.request = on_request,
					.tell_frames = tell_frames,
					.mask = mask,
					.map = is_map,
					.expected = expected,
					.original = original};

struct ct_agent *ct_python_install(struct ct_rthread *t, const struct ct_python *py, const struct ct_agent_place *place,
				   struct ct_pysteps *steps, struct ct_error *err)
{
	struct python_agent *g = calloc(1, sizeof(*g));
	unsigned char *stubs = calloc(256 + 1, CT_PYA_STUB_SIZE);
	const int memfd = t->proc->memfd;

	if (!g || !stubs) {
		ct_fail_memory(err);
		goto fail;
	}
	g->agent.ops = &ops;
	g->py = py;
	g->layout = ct_python_layout(py->version);
	g->steps = steps;
	g->bias = place->bias;
	g->heap = CT_AGENT_BASE + CT_PYA_HEAP;
	fill_head(g, place);
	if (ct_python_stubs(py, g->layout, g->bias, CT_AGENT_BASE, &g->head, stubs)) {
		ct_fail(err, CT_EXIT_FAILED, "a stub is too long");
		goto fail;
	}
	if (!ct_mem_write(memfd, CT_AGENT_BASE, python_blob, sizeof(python_blob)) ||
	    !ct_mem_write(memfd, CT_AGENT_BASE + CT_PYA_STUBS, stubs, (256 + 1) * CT_PYA_STUB_SIZE)) {
		ct_agents_no_place(err);
		goto fail;
	}
	if (change_code(g, t, place->near, err))
		goto fail;
	if (!ct_mem_write(memfd, CT_AGENT_BASE, &g->head, sizeof(g->head))) {
		ct_agents_no_place(err);
		goto fail;
	}
	if (!overwrite(g, memfd, py->table + g->bias, g->head.stub, JUMP_TABLE)) {
		ct_fail(err, CT_EXIT_FAILED, "the interpreter's dispatch table cannot be changed");
		goto fail;
	}
	free(stubs);
	return &g->agent;
fail:
	free(stubs);
	free(g);
	return NULL;
}
