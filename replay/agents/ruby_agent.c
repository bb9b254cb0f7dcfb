// SPDX-License-Identifier: MIT
/* The agent in one address space with a Ruby: the jumps that lead to it, the stubs that they lead to, its requests, and
 * how all of that stays unseen. A stub goes on at once if the instruction has nothing to tell, else by way of the
 * agent; no register and no flag is another one then. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "replay/agents/agents_priv.h"
#include "replay/agents/ruby_peek.h"
#include "replay/emitter.h"
#include "replay/inproc.h"
#include "replay/trampoline.h"
#include "ruby_blob.h"

#define JUMP    5
#define RECENT  64
#define NO_CODE 16 /* small numbers in the place of compiled code's address say why there is none */

struct ruby_agent {
	struct ct_agent agent;
	const struct ct_ruby *rb;
	struct ct_rbsteps *steps;
	ct_u64 bias, near, heap;
	struct ct_rba_head head;
	unsigned char jump[CT_RBA_SITES][JUMP];
	struct {
		ct_u64 iseq, body;
	} recent[RECENT]; /* looked at again: they may have been compiled by now */
	unsigned nrecent;
	bool jitted;
};

static struct ruby_agent *ruby(struct ct_agent *g)
{
	return (struct ruby_agent *)g;
}
static const struct ruby_agent *const_ruby(const struct ct_agent *g)
{
	return (const struct ruby_agent *)g;
}

/* ---- stubs -------------------------------------------------------------------------------------------------- */

#define NEAR(field) (g->near + offsetof(struct ct_rba_near, field))

static void restore(const struct ruby_agent *g, struct ct_emitter *e)
{
	CT_EMIT(e, 0x04, 0x7f, 0x9e); /* add $0x7f,%al; sahf */
	ct_emit_memory(e, CT_OP_LOAD, 0, NEAR(rax));
}

/* The replaced instructions. */
static bool moved(struct ruby_agent *g, struct ct_emitter *e, unsigned i)
{
	const struct ct_rb_site *s = &g->rb->site[i];
	unsigned char code[CT_RB_COVERED];
	size_t len = ct_relocate(s->original, s->covered, s->at + g->bias, e->at + e->len, code, sizeof(code));

	g->head.moved[i] = e->at + e->len;
	ct_emit(e, code, len);
	return len == s->covered; /* place for place: nothing that had to be put in other words */
}

static void go_back(struct ruby_agent *g, struct ct_emitter *e, unsigned i)
{
	CT_EMIT(e, 0xe9);
	ct_emit_rel(e, g->rb->site[i].at + g->bias + g->rb->site[i].covered, 0);
}

/* 1: right before a method written in C is called; -1: right behind that. */
static int native_site(const struct ct_ruby *rb, unsigned i)
{
	for (unsigned k = 0; k < rb->nnative; k++)
		if (i == rb->native[k].begin || i == rb->native[k].end)
			return i == rb->native[k].begin ? 1 : -1;
	return 0;
}

static bool make_stub(struct ruby_agent *g, struct ct_emitter *e, unsigned i)
{
	const bool raise = i == g->rb->nsites - 1;
	const int native = native_site(g->rb, i);
	const bool always = raise || native || i == g->rb->leave[0] || i == g->rb->leave[1] || i == g->rb->jump_out;
	size_t away[2] = {0};
	bool ok = true;

	if (!always) {
		ct_emit_memory(e, CT_OP_STORE, 0, NEAR(rax));
		CT_EMIT(e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto %al */
		ct_emit_memory(e, CT_OP_CMP, g->rb->pc_reg, NEAR(start));
		away[0] = ct_emit_jump(e, 0x72); /* jb */
		ct_emit_memory(e, CT_OP_CMP, g->rb->pc_reg, NEAR(end));
		away[1] = ct_emit_jump(e, 0x73); /* jae */
		restore(g, e);
		ok = moved(g, e, i);
		go_back(g, e, i);
		for (int k = 0; k < 2; k++)
			ct_emit_here(e, away[k]);
		restore(g, e);
	}
	if (native > 0) /* the agent comes when the call's arguments are loaded, and goes on with the call */
		ok = moved(g, e, i);
	CT_EMIT(e, 0x48, 0xc7, 0x05); /* movq $i,index(%rip) */
	ct_emit_rel(e, NEAR(index), 4);
	ct_emit(e, &(ct_u32){i}, 4);
	CT_EMIT(e, 0xff, 0x25); /* jmp *entry(%rip) */
	ct_emit_rel(e, raise || native ? NEAR(raise_entry) : NEAR(entry), 0);
	if (always && native <= 0) {
		ok = moved(g, e, i);
		go_back(g, e, i);
	}
	return ok && !e->failed;
}

static void fill_head(struct ruby_agent *g, const struct ct_agent_place *place)
{
	struct ct_rba_head *h = &g->head;

	h->base = CT_AGENT_BASE;
	h->buffer = CT_AGENT_BASE + CT_PYA_BUFFER;
	h->near = g->near;
	h->pc_reg = ct_agent_pushed(g->rb->pc_reg);
	h->cfp_reg = ct_agent_pushed(g->rb->cfp_reg);
	h->ec_reg = ct_agent_pushed(g->rb->ec_reg);
	h->thread_reg = ct_agent_pushed(g->rb->thread_reg);
	memcpy(h->leave, g->rb->leave, sizeof(h->leave));
	h->jump_out = g->rb->jump_out;
	h->nnative = g->rb->nnative;
	for (unsigned k = 0; k < h->nnative; k++) {
		const struct ct_rb_native *n = &g->rb->native[k];

		h->native[k].go_on = g->rb->site[n->begin].at + g->bias + g->rb->site[n->begin].covered;
		h->native[k].begin = n->begin;
		h->native[k].end = n->end;
		h->native[k].ec_reg = ct_agent_pushed(n->ec_reg);
	}
	h->values = place->limits->values;
	h->depth = place->limits->depth;
	h->items = place->limits->items;
	h->bytes = place->limits->bytes;
	h->off = g->rb->layout->off;
	h->answers = place->answers;
	h->no_answers = CT_INPROC_TABLE;
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static int fail(struct ct_error *err, const char *what)
{
	return ct_fail(err, CT_EXIT_FAILED, "the agent in the replayed Ruby: %s", what);
}

/* Room of its own for what an entry refers to; that of the entry's last owner if it is enough. */
static bool to_heap(struct ruby_agent *g, ct_u64 *where, ct_u64 *room, size_t len)
{
	if (*where && *room >= len)
		return true;
	*where = g->heap;
	*room = (len + 15) & ~(size_t)15;
	g->heap += *room;
	return g->heap <= g->head.base + CT_PYA_HEAP_END;
}

static struct ct_rb_reader reader(const struct ruby_agent *g, int memfd)
{
	return (struct ct_rb_reader){memfd, g->rb->layout, g->rb->symbols + g->bias, g->rb->shapes + g->bias};
}

static void look_for_jit(struct ruby_agent *g, int memfd, ct_u64 iseq, ct_u64 body)
{
	const struct ct_rb_reader r = reader(g, memfd);

	for (unsigned i = 0; i < RECENT && !g->jitted; i++) {
		const ct_u64 now = g->recent[i].iseq ? ct_rb_body(&r, g->recent[i].iseq) : 0;
		ct_u64 code = 0;

		if (now && now == g->recent[i].body && ct_mem_read(memfd, now + g->rb->layout->jit, &code, 8))
			g->jitted = code > NO_CODE;
	}
	g->recent[g->nrecent % RECENT].iseq = iseq;
	g->recent[g->nrecent++ % RECENT].body = body;
}

static int on_iseq(struct ruby_agent *g, int memfd, ct_u64 iseq, ct_u64 entry, ct_u64 cfp, struct ct_error *err)
{
	const struct ct_rb_reader r = reader(g, memfd);
	struct ct_rb_iseq s;
	struct ct_rba_iseq c;
	size_t slots, vars;
	bool wanted, ok;
	long id;

	if (!ct_mem_read(memfd, entry, &c, sizeof(c)) || ct_rb_read_iseq(&r, iseq, cfp, &s))
		return fail(err, "an instruction sequence cannot be read");
	look_for_jit(g, memfd, iseq, s.body);
	slots = s.size * sizeof(*s.slots);
	vars = s.code.nvars * sizeof(*s.vars);
	c.iseq = iseq;
	c.body = s.body;
	c.encoded = s.encoded;
	c.size = s.size;
	c.nvars = s.code.nvars;
	c.nargs = s.code.nargs;
	c.level = s.level;
	c.top = s.top;
	c.method = s.method;
	ok = to_heap(g, &c.slots, &c.room, slots + vars) && ct_mem_write(memfd, c.slots, s.slots, slots) &&
	     (!vars || ct_mem_write(memfd, c.slots + slots, s.vars, vars));
	c.vars = c.slots + slots;
	id = ct_rbsteps_code(g->steps, &s.code, &wanted);
	ct_rb_iseq_deinit(&s);
	if (!ok || id < 0)
		return fail(err, ok ? "out of memory" : "its memory is full");
	c.id = (ct_u32)id;
	c.wanted = wanted;
	return ct_mem_write(memfd, entry, &c, sizeof(c)) ? 0 : fail(err, "its tables cannot be written");
}

static int on_type(struct ruby_agent *g, int memfd, ct_u64 key, ct_u64 entry, struct ct_error *err)
{
	const struct ct_rb_reader r = reader(g, memfd);
	struct ct_rba_field fields[CT_RB_FIELDS];
	struct ct_rba_type t;

	if (!ct_mem_read(memfd, entry, &t, sizeof(t)))
		return fail(err, "its tables cannot be read");
	if (ct_rb_fill_type(g->steps, &r, key, &t, fields))
		return fail(err, "out of memory");
	if (!to_heap(g, &t.fields, &t.room, t.nfields * sizeof(*fields)) ||
	    (t.nfields && !ct_mem_write(memfd, t.fields, fields, t.nfields * sizeof(*fields))) ||
	    !ct_mem_write(memfd, entry, &t, sizeof(t)))
		return fail(err, "its memory is full");
	return 0;
}

static int on_method(struct ruby_agent *g, int memfd, ct_u64 me, ct_u64 entry, struct ct_error *err)
{
	const struct ct_rb_reader r = reader(g, memfd);
	struct ct_rba_method m;
	bool hidden;
	char *name;
	long id;

	if (!ct_mem_read(memfd, entry, &m, sizeof(m)))
		return fail(err, "its tables cannot be read");
	name = ct_rb_method_name(&r, me, &hidden);
	id = ct_rbsteps_native(g->steps, name, hidden);
	if (id < 0)
		return fail(err, "out of memory");
	m.id = (ct_u32)id;
	return ct_mem_write(memfd, entry, &m, sizeof(m)) ? 0 : fail(err, "its tables cannot be written");
}

static int on_request(struct ct_agent *agent, struct ct_rthread *t, const struct ct_pya_buffer *b, struct ct_error *err)
{
	struct ruby_agent *g = ruby(agent);
	const int memfd = t->proc->memfd;
	int ret;

	switch (b->request) {
	case CT_RBREQ_ISEQ: ret = on_iseq(g, memfd, b->arg, b->arg2, b->arg3, err); break;
	case CT_RBREQ_TYPE: ret = on_type(g, memfd, b->arg, b->arg2, err); break;
	case CT_RBREQ_METHOD: ret = on_method(g, memfd, b->arg, b->arg2, err); break;
	default: ret = fail(err, "it asks for something unknown");
	}
	if (g->jitted)
		ct_agents_unwatched(
			agent->all,
			"what Ruby's JIT compiler made of hot methods (record without --yjit, --mjit, --rjit)");
	return ret;
}

/* ---- as if it were not there -------------------------------------------------------------------------------- */

static void mask(const struct ct_agent *agent, ct_u64 addr, void *buf, size_t len)
{
	const struct ruby_agent *g = const_ruby(agent);

	for (unsigned i = 0; i < g->rb->nsites; i++)
		ct_agent_mask(addr, buf, len, g->rb->site[i].at + g->bias, g->rb->site[i].original, JUMP);
}

static bool is_map(const struct ct_agent *agent, ct_u64 start)
{
	const ct_u64 near = const_ruby(agent)->near;

	return start >= near && start < near + CT_RBA_NEAR_SIZE;
}

/* A thread in the middle of replaced instructions is where they were moved to. */
static void expected(const struct ct_agent *agent, int memfd, struct ct_regs *regs)
{
	const struct ruby_agent *g = const_ruby(agent);
	const ct_u64 ip = regs->r[CT_RIP] - g->bias;

	(void)memfd;
	for (unsigned i = 0; i < g->rb->nsites; i++)
		if (ip > g->rb->site[i].at && ip < g->rb->site[i].at + g->rb->site[i].covered)
			regs->r[CT_RIP] = g->head.moved[i] + (ip - g->rb->site[i].at);
}

static void original(const struct ct_agent *agent, struct ct_regs *regs)
{
	const struct ruby_agent *g = const_ruby(agent);
	const ct_u64 ip = regs->r[CT_RIP];

	if (!is_map(agent, ip))
		return;
	for (unsigned i = 0; i < g->rb->nsites; i++)
		if (ip >= g->head.moved[i] && ip <= g->head.moved[i] + g->rb->site[i].covered)
			regs->r[CT_RIP] = g->rb->site[i].at + g->bias + (ip - g->head.moved[i]);
}

static const struct ct_agent_ops ops = {.size = sizeof(struct ruby_agent),
					.request = on_request,
					.mask = mask,
					.map = is_map,
					.expected = expected,
					.original = original};

/* ---- putting it in ------------------------------------------------------------------------------------------ */

bool ct_ruby_ready(const struct ct_ruby *rb, ct_u64 bias, int memfd)
{
	ct_u64 table[CT_RB_INSNS];

	if (!ct_mem_read(memfd, rb->table + bias, table, rb->ninsns * sizeof(*table)))
		return false;
	for (unsigned k = 0; k < rb->ninsns; k++)
		if (table[k] != rb->target[k] + bias)
			return false;
	return true;
}

static bool put_jumps(struct ruby_agent *g, int memfd, struct ct_error *err)
{
	for (unsigned i = 0; i < g->rb->nsites; i++) {
		const struct ct_rb_site *s = &g->rb->site[i];
		const ct_u64 at = s->at + g->bias, stub = g->near + CT_RBA_NEAR_CODE + i * CT_RBA_STUB_SIZE;
		const ct_s64 rel = (ct_s64)(stub - (at + JUMP));
		unsigned char code[CT_RB_COVERED];

		if (!ct_mem_read(memfd, at, code, s->covered) || memcmp(code, s->original, s->covered) ||
		    (ct_s32)rel != rel) {
			ct_fail(err, CT_EXIT_FAILED, "the interpreter's code at %#llx cannot be changed",
				(unsigned long long)at);
			return false;
		}
		g->jump[i][0] = 0xe9;
		memcpy(g->jump[i] + 1, &(ct_s32){(ct_s32)rel}, 4);
	}
	for (unsigned i = 0; i < g->rb->nsites; i++)
		if (!ct_mem_write(memfd, g->rb->site[i].at + g->bias, g->jump[i], JUMP)) {
			ct_fail(err, CT_EXIT_FAILED, "the interpreter's code cannot be written");
			return false;
		}
	return true;
}

struct ct_agent *ct_ruby_install(struct ct_rthread *t, const struct ct_ruby *rb, const struct ct_agent_place *place,
				 struct ct_rbsteps *steps, struct ct_error *err)
{
	const struct ct_rba_near data = {.entry = CT_AGENT_BASE + CT_PYA_ENTRY,
					 .raise_entry = CT_AGENT_BASE + CT_RBA_RAISE_ENTRY};
	struct ruby_agent *g = calloc(1, sizeof(*g));
	unsigned char *stubs = calloc(CT_RBA_SITES, CT_RBA_STUB_SIZE);
	const int memfd = t->proc->memfd;
	const ct_u64 near = place->near;
	bool ok = true;

	if (!g || !stubs) {
		ct_fail_memory(err);
		goto fail;
	}
	g->agent.ops = &ops;
	g->rb = rb;
	g->steps = steps;
	g->bias = place->bias;
	g->near = near;
	g->heap = CT_AGENT_BASE + CT_PYA_HEAP;
	fill_head(g, place);
	if (!near || ct_replica_call(t, SYS_mmap, near, CT_RBA_NEAR_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (long)near) {
		ct_fail(err, CT_EXIT_FAILED, "no room near the interpreter's code at %#llx",
			(unsigned long long)(rb->site[0].at + g->bias));
		goto fail;
	}
	for (unsigned i = 0; i < rb->nsites && ok; i++) {
		struct ct_emitter e = {.code = stubs + i * CT_RBA_STUB_SIZE,
				       .room = CT_RBA_STUB_SIZE,
				       .at = near + CT_RBA_NEAR_CODE + i * CT_RBA_STUB_SIZE};

		ok = make_stub(g, &e, i);
	}
	if (!ok) {
		ct_fail(err, CT_EXIT_FAILED, "the interpreter has code that cannot be moved");
		goto fail;
	}
	if (!ct_mem_write(memfd, near, &data, sizeof(data)) ||
	    !ct_mem_write(memfd, near + CT_RBA_NEAR_CODE, stubs, rb->nsites * CT_RBA_STUB_SIZE) ||
	    !ct_mem_write(memfd, CT_AGENT_BASE, ruby_blob, sizeof(ruby_blob)) ||
	    !ct_mem_write(memfd, CT_AGENT_BASE, &g->head, sizeof(g->head))) {
		ct_agents_no_place(err);
		goto fail;
	}
	if (!put_jumps(g, memfd, err))
		goto fail;
	free(stubs);
	return &g->agent;
fail:
	free(stubs);
	free(g);
	return NULL;
}
