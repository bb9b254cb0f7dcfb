// SPDX-License-Identifier: MIT
/* A live CPython looked at from outside. Values are read by the very code that the agent reads them with inside of a
 * replayed process; here each word comes from another process, from a copy of its page. */
#include "replay/agents/python_peek.h"

#include <stdlib.h>
#include <string.h>

#include "replay/agents/peek.h"

#define READS   40000  /* of one value */
#define ALL     400000 /* of one look at frames */
#define INTERPS 64
#define TSTATES 4096
#define DEEPEST 20000 /* frames of a thread */
#define TYPES   1024
#define CODES   4096
#define FAR_OP  4096 /* bytes of code that is not where most of it is */

struct known_type {
	struct ct_pya_type entry;
	struct ct_pya_slot slot[CT_PY_SLOTS];
};
struct known_code {
	ct_u64 addr, check[4];
	struct ct_py_code code;
};

struct ct_py_peek {
	struct ct_peek memory;
	const struct ct_python_layout *layout;
	ct_u64 runtime;
	struct ct_step_limits limits;
	struct ct_pysteps *steps; /* names of types */
	struct known_type *type[TYPES];
	unsigned ntypes;
	struct known_code *code[CODES];
	ct_u64 words[CT_PYA_VALUE_MAX / 8 + 1024];
};

/* ---- what the agent's code has -------------------------------------------------------------------------------- */

static struct ct_py_peek *peeking;
static struct {
	struct ct_pya_offsets off;
	ct_u32 depth, items, bytes;
} H;

/* None is replaced while a value is read: who reads it holds on to them. */
static struct ct_pya_type *find_type(ct_u64 type)
{
	struct ct_py_peek *p = peeking;
	struct known_type **t;
	ct_u64 i = (type >> 4) * 0x9e3779b97f4a7c15ull >> 54;

	for (t = &p->type[i]; *t && (*t)->entry.type != type; t = &p->type[++i % TYPES])
		;
	if (*t && (*t)->entry.name == rd(type + H.off.type_name))
		return &(*t)->entry;
	ct_peek_spend(200); /* it reads by itself */
	if (!*t && (p->ntypes == TYPES - 1 || !(*t = calloc(1, sizeof(**t)))))
		ct_peek_fail();
	p->ntypes += !(*t)->entry.type;
	if (ct_py_fill_type(p->steps, p->memory.memfd, p->layout, type, &(*t)->entry, (*t)->slot))
		ct_peek_fail();
	(*t)->entry.slots = (ct_u64)(uintptr_t)(*t)->slot;
	return &(*t)->entry;
}

#include "replay/agents/blob/node.h"
#include "replay/agents/blob/python_values.h"

/* ---- what has been read ------------------------------------------------------------------------------------------ */

int ct_py_fill_type(struct ct_pysteps *steps, int memfd, const struct ct_python_layout *l, ct_u64 addr,
		    struct ct_pya_type *e, struct ct_pya_slot slots[CT_PY_SLOTS])
{
	struct ct_py_type t;
	long id;

	memset(e, 0, sizeof(*e));
	e->type = addr;
	if (ct_py_read_type(memfd, l, addr, &t))
		return -1;
	ct_mem_read(memfd, addr + l->off.type_name, &e->name, 8);
	e->kind = t.kind;
	e->flags = t.flags;
	e->dictoffset = t.dictoffset;
	e->basicsize = t.basicsize;
	e->cached_keys = t.cached_keys;
	e->named = t.named;
	e->nslots = t.nslots;
	for (ct_u32 i = 0; i < t.nslots; i++) {
		slots[i].offset = t.slot[i].offset;
		slots[i].name = (ct_u64)ct_pysteps_text(steps, t.slot[i].name ? t.slot[i].name : "?");
	}
	id = ct_pysteps_type(steps, t.name);
	e->id = (ct_u32)id;
	ct_py_type_deinit(&t);
	return id < 0 ? -1 : 0;
}

struct ct_py_peek *ct_py_peek_create(int memfd, const struct ct_python *py, ct_u64 bias,
				     const struct ct_step_limits *limits)
{
	static const struct ct_step_sink nobody;
	struct ct_py_peek *p = calloc(1, sizeof(*p));

	if (!p || !(p->steps = ct_pysteps_create(&nobody, NULL))) {
		free(p);
		return NULL;
	}
	p->memory.memfd = memfd;
	p->layout = ct_python_layout(py->version);
	p->runtime = py->runtime + bias;
	if (limits)
		p->limits = *limits;
	return p;
}

bool ct_py_peek_in_loop(const struct ct_python *py, ct_u64 addr)
{
	if (addr >= py->eval && addr < py->eval + py->eval_size)
		return true;
	/* Compilers may put handlers' code elsewhere than the function's symbol says. */
	for (unsigned i = 0; i < 256; i++)
		if ((py->target[i] < py->eval || py->target[i] >= py->eval + py->eval_size) && addr >= py->target[i] &&
		    addr - py->target[i] < FAR_OP)
			return true;
	return false;
}

static void forget_types(struct ct_py_peek *p)
{
	for (size_t i = 0; i < TYPES; i++) {
		free(p->type[i]);
		p->type[i] = NULL;
	}
	p->ntypes = 0;
}

static void forget_code(struct known_code *c)
{
	ct_step_code_deinit(&c->code.code);
	c->addr = 0;
}

void ct_py_peek_destroy(struct ct_py_peek *p)
{
	if (!p)
		return;
	forget_types(p);
	for (size_t i = 0; i < CODES; i++)
		if (p->code[i]) {
			forget_code(p->code[i]);
			free(p->code[i]);
		}
	ct_pysteps_destroy(p->steps);
	free(p);
}

/* From here on until it is left, the agent's code reads for this one. */
static void begin(struct ct_py_peek *p, unsigned budget)
{
	peeking = p;
	ct_peek_begin(&p->memory, budget);
	H.off = p->layout->off;
	H.depth = p->limits.depth;
	H.items = p->limits.items;
	H.bytes = p->limits.bytes;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

/* Address of the last instruction, 0: none yet. */
static ct_u64 last_instr(ct_u64 frame, ct_u64 code)
{
	ct_s32 lasti;

	if (!H.off.f_lasti)
		return rd(frame + H.off.f_prev_instr);
	lasti = (ct_s32)rd32(frame + H.off.f_lasti);
	return lasti < 0 ? 0 : rd(code + H.off.co_code) + H.off.bytes_data + (ct_u64)lasti * H.off.lasti_bytes;
}

static ct_u32 line_of(struct ct_py_peek *p, ct_u64 frame, ct_u64 code)
{
	const struct ct_py_code *c = ct_py_peek_code(p, code);
	const ct_u64 last = c ? last_instr(frame, code) : 0;
	ct_u64 first, unit;

	if (!c)
		return 0;
	first = H.off.f_lasti ? rd(code + H.off.co_code) + H.off.bytes_data : code + H.off.co_code;
	if (last < first || (unit = (last - first) / 2) >= c->code.count)
		return c->code.first_line;
	while (unit && c->code.lines[unit] < 0)
		unit--;
	return c->code.lines[unit] < 0 ? c->code.first_line : (ct_u32)c->code.lines[unit];
}

static size_t thread_frames(struct ct_py_peek *p, ct_u64 tstate, struct ct_py_live *list, size_t most)
{
	const struct ct_python_layout *l = p->layout;
	const ct_u64 thread = rd(tstate + l->tstate_tid);
	const ct_u32 tid = l->tid_in_pthread ? rd32(thread + l->tid_in_pthread) : (ct_u32)thread;
	ct_u64 f = l->tstate_frame ? rd(tstate + l->tstate_frame) : rd(rd(tstate + l->tstate_cframe) + l->cframe_frame);
	size_t n = 0;

	for (unsigned deep = 0; f && n < most && deep < DEEPEST; deep++, f = rd(f + H.off.f_previous)) {
		struct ct_py_live *live = &list[n];

		if (H.off.owner_c && rd8(f + H.off.f_owner) >= H.off.owner_c) {
			if (n)
				list[n - 1].entry = true;
			continue;
		}
		live->tid = tid;
		live->frame = f;
		live->code = rd(f + H.off.f_code) & ~(ct_u64)H.off.ref_mask;
		live->entry = H.off.f_lasti || (l->f_is_entry && rd8(f + l->f_is_entry));
		live->line = line_of(p, f, live->code);
		n++;
	}
	if (n)
		list[n - 1].entry = true;
	return n;
}

size_t ct_py_peek_frames(struct ct_py_peek *p, struct ct_py_live *list, size_t most)
{
	const struct ct_python_layout *l = p->layout;
	volatile size_t n = 0;
	ct_u64 interp, tstate;

	ct_peek_forget(&p->memory);
	begin(p, ALL);
	if (setjmp(p->memory.out)) /* the thread that cannot be read is left out, and those behind it */
		return n;
	interp = rd(p->runtime + l->interp_head);
	for (int i = 0; interp && i < INTERPS; i++, interp = rd(interp + l->interp_next)) {
		tstate = rd(interp + l->threads_head);
		for (int k = 0; tstate && k < TSTATES && n < most; k++, tstate = rd(tstate + l->tstate_next))
			n += thread_frames(p, tstate, list + n, most - n);
	}
	return n;
}

const struct ct_py_code *ct_py_peek_code(struct ct_py_peek *p, ct_u64 addr)
{
	const ct_u64 at[4] = {H.off.co_linetable, H.off.co_qualname, H.off.co_consts, H.off.co_filename};
	struct known_code **c = &p->code[(addr >> 4) * 0x9e3779b97f4a7c15ull >> 52];
	ct_u64 check[4];

	for (int i = 0; i < 4; i++)
		if (!ct_mem_read(p->memory.memfd, addr + at[i], &check[i], 8))
			return NULL;
	if (!*c && !(*c = calloc(1, sizeof(**c))))
		return NULL;
	if ((*c)->addr == addr && !memcmp((*c)->check, check, sizeof(check)))
		return &(*c)->code;
	forget_code(*c);
	if (ct_py_read_code(p->memory.memfd, p->layout, addr, &(*c)->code))
		return NULL;
	(*c)->addr = addr;
	memcpy((*c)->check, check, sizeof(check));
	return &(*c)->code;
}

/* ---- variables ----------------------------------------------------------------------------------------------------
 */

/* Of a slot, or of what the cell in it has; false: it has none, or cannot be read (*unreadable). */
static bool read_value(struct ct_py_peek *p, const struct ct_py_live *f, const struct ct_py_code *c, ct_u32 slot,
		       struct ct_value *v, bool *unreadable)
{
	bool cell;
	ct_u64 o;
	ct_u64 *end;

	*unreadable = false;
	begin(p, READS);
	ct_pysteps_free_all(p->steps);
	if (p->ntypes > TYPES / 2)
		forget_types(p);
	if (setjmp(p->memory.out)) {
		*unreadable = true;
		return false;
	}
	cell = H.off.f_lasti
		       ? slot >= c->cells
		       : rd8(rd(f->code + H.off.co_kinds) + H.off.bytes_data + slot) & 0xc0; /* CO_FAST_CELL, _FREE */
	o = rd(f->frame + H.off.f_localsplus + 8ull * slot) & ~(ct_u64)H.off.ref_mask;
	if (o && cell && find_type(rd(o + 8))->kind == CT_PYK_CELL)
		o = rd(o + 16);
	if (!o)
		return false;
	end = value(p->words, p->words + CT_PYA_VALUE_MAX / 8, o, 0);
	*unreadable = !ct_pysteps_value(p->steps, p->words, (size_t)(end - p->words), v);
	return !*unreadable;
}

void ct_py_peek_locals(struct ct_py_peek *p, const struct ct_py_live *f,
		       void (*tell)(void *ctx, const char *name, const struct ct_value *v), void *ctx)
{
	const struct ct_py_code *c = ct_py_peek_code(p, f->code);
	struct ct_value v;
	bool unreadable;

	for (ct_u32 i = 0; c && i < c->code.nvars; i++) {
		const char *name = c->code.variable[i];

		if (name && (read_value(p, f, c, i, &v, &unreadable) || unreadable))
			tell(ctx, name, unreadable ? NULL : &v);
	}
}
