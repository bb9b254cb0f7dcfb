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

#include "replay/agents/ruby_peek.h"
#include "replay/inproc.h"
#include "replay/trampoline.h"
#include "ruby_blob.h"

#define JUMP    5
#define RECENT  64
#define NO_CODE 16 /* small numbers in the place of compiled code's address say why there is none */

struct ct_ruby_agent {
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

/* ---- stubs -------------------------------------------------------------------------------------------------- */

struct emitter {
	unsigned char *code;
	size_t len;
	ct_u64 at; /* where code[0] will lie */
};

static void emit(struct emitter *e, const void *bytes, size_t len)
{
	if (e->len + len <= CT_RBA_STUB_SIZE)
		memcpy(e->code + e->len, bytes, len);
	e->len += len;
}
#define OP(...) emit(e, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))

/* rel32 to `target`, `more` bytes before the instruction's end. */
static void emit_rel(struct emitter *e, ct_u64 target, unsigned more)
{
	ct_s32 rel = (ct_s32)(target - (e->at + e->len + 4 + more));

	emit(e, &rel, 4);
}

/* An instruction of one register and one word of memory: mov load 0x8b, store 0x89, cmp register with memory 0x3b. */
static void memory(struct emitter *e, unsigned char opcode, unsigned reg, ct_u64 addr)
{
	OP((unsigned char)(0x48 | (reg & 8 ? 4 : 0)), opcode, (unsigned char)(5 | (reg & 7) << 3));
	emit_rel(e, addr, 0);
}

#define NEAR(field) (g->near + offsetof(struct ct_rba_near, field))

static void restore(const struct ct_ruby_agent *g, struct emitter *e)
{
	OP(0x04, 0x7f, 0x9e); /* add $0x7f,%al; sahf */
	memory(e, 0x8b, 0, NEAR(rax));
}

/* The replaced instructions, and back. */
static bool moved(struct ct_ruby_agent *g, struct emitter *e, unsigned i)
{
	const struct ct_rb_site *s = &g->rb->site[i];
	unsigned char code[CT_RB_COVERED];
	size_t len = ct_relocate(s->original, s->covered, s->at + g->bias, e->at + e->len, code, sizeof(code));

	g->head.moved[i] = e->at + e->len;
	emit(e, code, len);
	OP(0xe9);
	emit_rel(e, s->at + g->bias + s->covered, 0);
	return len == s->covered; /* place for place: nothing that had to be put in other words */
}

static bool make_stub(struct ct_ruby_agent *g, struct emitter *e, unsigned i)
{
	const bool raise = i == g->rb->nsites - 1;
	const bool always = raise || i == g->rb->leave[0] || i == g->rb->leave[1] || i == g->rb->jump_out;
	size_t away[2] = {0};
	bool ok = true;

	if (!always) {
		memory(e, 0x89, 0, NEAR(rax));
		OP(0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto %al */
		memory(e, 0x3b, g->rb->pc_reg, NEAR(start));
		OP(0x72, 0); /* jb */
		away[0] = e->len;
		memory(e, 0x3b, g->rb->pc_reg, NEAR(end));
		OP(0x73, 0); /* jae */
		away[1] = e->len;
		restore(g, e);
		ok = moved(g, e, i);
		for (int k = 0; k < 2 && e->len <= CT_RBA_STUB_SIZE; k++)
			e->code[away[k] - 1] = (unsigned char)(e->len - away[k]);
		restore(g, e);
	}
	OP(0x48, 0xc7, 0x05); /* movq $i,index(%rip) */
	emit_rel(e, NEAR(index), 4);
	emit(e, &(ct_u32){i}, 4);
	OP(0xff, 0x25); /* jmp *entry(%rip) */
	emit_rel(e, raise ? NEAR(raise_entry) : NEAR(entry), 0);
	if (always)
		ok = moved(g, e, i);
	return ok && e->len <= CT_RBA_STUB_SIZE;
}

static void fill_head(struct ct_ruby_agent *g, ct_u64 base, const struct ct_step_limits *limits)
{
	/* of rax rcx rdx rbx rsp rbp rsi rdi r8..r15, as the agent's entry pushes them */
	static const unsigned char pushed[16] = {14, 13, 12, 11, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
	struct ct_rba_head *h = &g->head;

	h->base = base;
	h->buffer = base + CT_PYA_BUFFER;
	h->near = g->near;
	h->pc_reg = pushed[g->rb->pc_reg];
	h->cfp_reg = pushed[g->rb->cfp_reg];
	h->ec_reg = pushed[g->rb->ec_reg];
	h->thread_reg = pushed[g->rb->thread_reg];
	memcpy(h->leave, g->rb->leave, sizeof(h->leave));
	h->jump_out = g->rb->jump_out;
	h->values = limits->values;
	h->depth = limits->depth;
	h->items = limits->items;
	h->bytes = limits->bytes;
	h->off = g->rb->layout->off;
}

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

static bool put_jumps(struct ct_ruby_agent *g, int memfd, struct ct_error *err)
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

struct ct_ruby_agent *ct_ruby_install(struct ct_rthread *t, const struct ct_ruby *rb, ct_u64 bias, ct_u64 base,
				      ct_u64 near, ct_u64 answers, const struct ct_step_limits *limits,
				      struct ct_rbsteps *steps, struct ct_error *err)
{
	struct ct_ruby_agent *g = calloc(1, sizeof(*g));
	unsigned char *stubs = calloc(CT_RBA_SITES, CT_RBA_STUB_SIZE);
	const struct ct_rba_near data = {.entry = base + CT_PYA_ENTRY, .raise_entry = base + CT_RBA_RAISE_ENTRY};
	const int memfd = t->proc->memfd;
	bool ok = true;

	if (!g || !stubs) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		goto fail;
	}
	g->rb = rb;
	g->steps = steps;
	g->bias = bias;
	g->near = near;
	g->heap = base + CT_PYA_HEAP;
	fill_head(g, base, limits);
	g->head.answers = answers;
	g->head.no_answers = CT_INPROC_TABLE;
	for (unsigned i = 0; i < rb->nsites && ok; i++) {
		struct emitter e = {stubs + i * CT_RBA_STUB_SIZE, 0, near + CT_RBA_NEAR_CODE + i * CT_RBA_STUB_SIZE};

		ok = make_stub(g, &e, i);
	}
	if (!ok) {
		ct_fail(err, CT_EXIT_FAILED, "the interpreter has code that cannot be moved");
		goto fail;
	}
	if (!near || ct_replica_call(t, SYS_mmap, near, CT_RBA_NEAR_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (long)near) {
		ct_fail(err, CT_EXIT_FAILED, "no room near the interpreter's code at %#llx",
			(unsigned long long)(rb->site[0].at + bias));
		goto fail;
	}
	if (!ct_mem_write(memfd, near, &data, sizeof(data)) ||
	    !ct_mem_write(memfd, near + CT_RBA_NEAR_CODE, stubs, rb->nsites * CT_RBA_STUB_SIZE) ||
	    !ct_mem_write(memfd, base, ruby_blob, sizeof(ruby_blob)) ||
	    !ct_mem_write(memfd, base, &g->head, sizeof(g->head))) {
		ct_fail(err, CT_EXIT_FAILED, "the agent cannot be put at %#llx of the replayed process",
			(unsigned long long)base);
		goto fail;
	}
	if (!put_jumps(g, memfd, err))
		goto fail;
	free(stubs);
	return g;
fail:
	free(stubs);
	free(g);
	return NULL;
}

struct ct_ruby_agent *ct_ruby_fork(const struct ct_ruby_agent *g)
{
	struct ct_ruby_agent *copy = malloc(sizeof(*copy));

	if (copy)
		*copy = *g;
	return copy;
}

void ct_ruby_free(struct ct_ruby_agent *g)
{
	free(g);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static int fail(struct ct_error *err, const char *what)
{
	return ct_fail(err, CT_EXIT_FAILED, "the agent in the replayed Ruby: %s", what);
}

/* Room of its own for what an entry refers to; that of the entry's last owner if it is enough. */
static bool to_heap(struct ct_ruby_agent *g, ct_u64 *where, ct_u64 *room, size_t len)
{
	if (*where && *room >= len)
		return true;
	*where = g->heap;
	*room = (len + 15) & ~(size_t)15;
	g->heap += *room;
	return g->heap <= g->head.base + CT_PYA_HEAP_END;
}

static struct ct_rb_reader reader(const struct ct_ruby_agent *g, int memfd)
{
	return (struct ct_rb_reader){memfd, g->rb->layout, g->rb->symbols + g->bias, g->rb->shapes + g->bias};
}

static void look_for_jit(struct ct_ruby_agent *g, int memfd, ct_u64 iseq, ct_u64 body)
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

bool ct_ruby_jitted(const struct ct_ruby_agent *g)
{
	return g->jitted;
}

static int on_iseq(struct ct_ruby_agent *g, int memfd, ct_u64 iseq, ct_u64 entry, ct_u64 cfp, struct ct_error *err)
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

static int on_type(struct ct_ruby_agent *g, int memfd, ct_u64 key, ct_u64 entry, struct ct_error *err)
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

int ct_ruby_request(struct ct_ruby_agent *g, int memfd, const struct ct_pya_buffer *b, struct ct_error *err)
{
	switch (b->request) {
	case CT_RBREQ_ISEQ: return on_iseq(g, memfd, b->arg, b->arg2, b->pad[0], err);
	case CT_RBREQ_TYPE: return on_type(g, memfd, b->arg, b->arg2, err);
	}
	return fail(err, "it asks for something unknown");
}

/* ---- as if it were not there -------------------------------------------------------------------------------- */

void ct_ruby_mask(const struct ct_ruby_agent *g, ct_u64 addr, void *buf, size_t len)
{
	for (unsigned i = 0; i < g->rb->nsites; i++) {
		const struct ct_rb_site *s = &g->rb->site[i];
		const ct_u64 at = s->at + g->bias;
		ct_u64 from = at > addr ? at : addr, to = at + JUMP < addr + len ? at + JUMP : addr + len;

		if (from < to)
			memcpy((char *)buf + (from - addr), s->original + (from - at), to - from);
	}
}

bool ct_ruby_map(const struct ct_ruby_agent *g, ct_u64 start)
{
	return start >= g->near && start < g->near + CT_RBA_NEAR_SIZE;
}

void ct_ruby_regs_expected(const struct ct_ruby_agent *g, struct ct_regs *regs)
{
	const ct_u64 ip = regs->r[CT_RIP] - g->bias;

	for (unsigned i = 0; i < g->rb->nsites; i++)
		if (ip > g->rb->site[i].at && ip < g->rb->site[i].at + g->rb->site[i].covered)
			regs->r[CT_RIP] = g->head.moved[i] + (ip - g->rb->site[i].at);
}

void ct_ruby_regs_original(const struct ct_ruby_agent *g, struct ct_regs *regs)
{
	const ct_u64 ip = regs->r[CT_RIP];

	if (!ct_ruby_map(g, ip))
		return;
	for (unsigned i = 0; i < g->rb->nsites; i++)
		if (ip >= g->head.moved[i] && ip <= g->head.moved[i] + g->rb->site[i].covered)
			regs->r[CT_RIP] = g->rb->site[i].at + g->bias + (ip - g->head.moved[i]);
}
