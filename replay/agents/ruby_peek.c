// SPDX-License-Identifier: MIT
/* A live Ruby looked at from outside. As in python_peek.c, the agent's own code reads the values. */
#include "replay/agents/ruby_peek.h"

#include <stdlib.h>
#include <string.h>

#include "replay/agents/peek.h"

#define READS   40000  /* of one value */
#define ALL     400000 /* of one look at frames */
#define TYPES   1024
#define ISEQS   4096
#define DEEPEST 20000
#define LAST_OP 512           /* bytes that the code of the last instruction may have */
#define MAGIC   0x7fff0001ull /* VM_FRAME_MAGIC_MASK */
#define DUMMY   0x79990001ull /* below all frames of a thread */
#define FINISH  0x20ull       /* VM_FRAME_FLAG_FINISH: the loop was called for this frame */

/* rb_execution_context_t and rb_control_frame_t: the same in 3.1 and 3.3. */
#define EC_STACK 0
#define EC_SIZE  8
#define EC_CFP   16
#define CFP_PC   0
#define CFP_ISEQ 16
#define CFP_EP   32

struct known_type {
	struct ct_rba_type entry;
	struct ct_rba_field field[CT_RB_FIELDS];
};
struct known_iseq {
	ct_u64 iseq, body, method;
	struct ct_rb_iseq what;
};

struct ct_rb_peek {
	struct ct_peek memory;
	struct ct_rb_reader reader;
	struct ct_step_limits limits;
	struct ct_rbsteps *steps; /* names of types */
	struct known_type *type[TYPES];
	unsigned ntypes;
	struct known_iseq *iseq[ISEQS];
	ct_u64 words[CT_PYA_VALUE_MAX / 8 + 1024];
};

/* ---- what the agent's code has -------------------------------------------------------------------------------- */

static struct ct_rb_peek *peeking;
static struct {
	struct ct_rba_offsets off;
	ct_u32 depth, items, bytes;
} H;

/* None is replaced while a value is read: who reads it holds on to them. */
static struct ct_rba_type *find_type(ct_u64 key)
{
	struct ct_rb_peek *p = peeking;
	struct known_type **t;
	ct_u64 i = key * 0x9e3779b97f4a7c15ull >> 54;

	for (t = &p->type[i]; *t && (*t)->entry.key != key; t = &p->type[++i % TYPES])
		;
	if (*t && (!(*t)->entry.count_at || (*t)->entry.count == rd((*t)->entry.count_at)))
		return &(*t)->entry;
	ct_peek_spend(1000); /* it reads by itself */
	if (!*t && (p->ntypes == TYPES - 1 || !(*t = calloc(1, sizeof(**t)))))
		ct_peek_fail();
	p->ntypes += !(*t)->entry.key;
	if (ct_rb_fill_type(p->steps, &p->reader, key, &(*t)->entry, (*t)->field))
		ct_peek_fail();
	(*t)->entry.fields = (ct_u64)(uintptr_t)(*t)->field;
	return &(*t)->entry;
}

#include "replay/agents/blob/node.h"
#include "replay/agents/blob/ruby_values.h"

/* ---- what has been read ------------------------------------------------------------------------------------------ */

int ct_rb_fill_type(struct ct_rbsteps *steps, const struct ct_rb_reader *r, ct_u64 key, struct ct_rba_type *t,
		    struct ct_rba_field fields[CT_RB_FIELDS])
{
	struct ct_rb_fields f = {0};
	char *name = NULL;
	long id = 0;

	t->key = key;
	if ((key & 0xff) == CT_RBA_SHAPE) {
		ct_rb_read_shape(r, key >> 8, &f);
	} else if ((key & 0xff) == CT_RBA_SYMBOL) {
		name = ct_rb_symbol(r, key);
		id = ct_rbsteps_text(steps, name ? name : "?");
	} else {
		name = ct_rb_class_name(r, key);
		id = ct_rbsteps_type(steps, name ? name : "?");
		ct_rb_read_fields(r, key, &f);
	}
	free(name);
	t->id = (ct_u32)id;
	t->count_at = f.count_at;
	t->count = f.count;
	t->nfields = f.n;
	for (ct_u32 i = 0; i < f.n; i++) {
		long text = ct_rbsteps_text(steps, f.field[i].name);

		fields[i] = (struct ct_rba_field){f.field[i].index, (ct_u64)text};
		if (text < 0)
			id = -1;
	}
	ct_rb_fields_deinit(&f);
	return id < 0 ? -1 : 0;
}

struct ct_rb_peek *ct_rb_peek_create(int memfd, const struct ct_ruby *rb, ct_u64 bias,
				     const struct ct_step_limits *limits)
{
	static const struct ct_step_sink nobody;
	struct ct_rb_peek *p = calloc(1, sizeof(*p));

	if (!p || !(p->steps = ct_rbsteps_create(&nobody, NULL))) {
		free(p);
		return NULL;
	}
	p->memory.memfd = memfd;
	p->reader = (struct ct_rb_reader){memfd, rb->layout, rb->symbols + bias, rb->shapes + bias};
	if (limits)
		p->limits = *limits;
	return p;
}

static void forget_types(struct ct_rb_peek *p)
{
	for (size_t i = 0; i < TYPES; i++) {
		free(p->type[i]);
		p->type[i] = NULL;
	}
	p->ntypes = 0;
}

void ct_rb_peek_destroy(struct ct_rb_peek *p)
{
	if (!p)
		return;
	forget_types(p);
	for (size_t i = 0; i < ISEQS; i++)
		if (p->iseq[i]) {
			ct_rb_iseq_deinit(&p->iseq[i]->what);
			free(p->iseq[i]);
		}
	ct_rbsteps_destroy(p->steps);
	free(p);
}

bool ct_rb_peek_in_loop(const struct ct_ruby *rb, ct_u64 addr)
{
	ct_u64 from = rb->target[0], to = rb->target[0];

	for (unsigned i = 1; i < rb->ninsns; i++) {
		from = rb->target[i] < from ? rb->target[i] : from;
		to = rb->target[i] > to ? rb->target[i] : to;
	}
	return addr >= from && addr < to + LAST_OP;
}

static void begin(struct ct_rb_peek *p, unsigned budget)
{
	peeking = p;
	ct_peek_begin(&p->memory, budget);
	H.off = p->reader.layout->off;
	H.depth = p->limits.depth;
	H.items = p->limits.items;
	H.bytes = p->limits.bytes;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

/* A block that is the body of a method has the method's name: that is another one for another method. */
static const struct ct_rb_iseq *find_iseq(struct ct_rb_peek *p, ct_u64 iseq, ct_u64 cfp)
{
	const ct_u64 ep = rd(cfp + CFP_EP), method = rd(ep - 16), body = rd(iseq + 16);
	struct known_iseq **k = &p->iseq[(iseq >> 3 ^ method) * 0x9e3779b97f4a7c15ull >> 52];

	if (!*k && !(*k = calloc(1, sizeof(**k))))
		ct_peek_fail();
	if ((*k)->iseq == iseq && (*k)->body == body && (*k)->method == method)
		return &(*k)->what;
	ct_peek_spend(5000);
	ct_rb_iseq_deinit(&(*k)->what);
	(*k)->iseq = 0;
	if (ct_rb_read_iseq(&p->reader, iseq, cfp, &(*k)->what))
		return NULL;
	(*k)->iseq = iseq;
	(*k)->body = body;
	(*k)->method = method;
	return &(*k)->what;
}

size_t ct_rb_peek_frames(struct ct_rb_peek *p, ct_u64 ec, struct ct_rb_live *list, size_t most)
{
	const ct_u64 size = p->reader.layout->off.cfp_size;
	volatile size_t n = 0;
	ct_u64 cfp, end, iseq, pc;

	ct_peek_forget(&p->memory);
	begin(p, ALL);
	if (setjmp(p->memory.out))
		return n;
	cfp = rd(ec + EC_CFP);
	end = rd(ec + EC_STACK) + 8 * rd(ec + EC_SIZE);
	for (unsigned deep = 0; cfp && cfp + size <= end && n < most && deep < DEEPEST; deep++, cfp += size) {
		const bool finish = rd(rd(cfp + CFP_EP)) & FINISH;

		iseq = rd(cfp + CFP_ISEQ);
		pc = rd(cfp + CFP_PC);
		if (iseq && pc && (rd(rd(cfp + CFP_EP)) & MAGIC) != DUMMY) {
			const struct ct_rb_iseq *s = find_iseq(p, iseq, cfp);
			const ct_u64 pos = s && pc > s->encoded ? (pc - s->encoded) / 8 - 1 : 0; /* it is behind */

			if (!s)
				break;
			list[n].cfp = cfp;
			list[n].iseq = s;
			list[n].line = pos < s->code.count && s->code.lines[pos] > 0 ? (ct_u32)s->code.lines[pos]
										     : s->code.first_line;
			list[n].entry = false;
			n++;
		}
		if (finish && n)
			list[n - 1].entry = true;
	}
	if (n)
		list[n - 1].entry = true;
	return n;
}

/* ---- variables -------------------------------------------------------------------------------------------------- */

static bool read_value(struct ct_rb_peek *p, ct_u64 cfp, const struct ct_rba_var *var, struct ct_value *v)
{
	ct_u64 ep, *end;

	begin(p, READS);
	ct_rbsteps_free_values(p->steps);
	if (p->ntypes > TYPES / 2)
		forget_types(p);
	if (setjmp(p->memory.out))
		return false;
	ep = rd(cfp + CFP_EP);
	for (unsigned i = 0; i < var->level; i++)
		ep = rd(ep - 8) & ~(ct_u64)3;
	end = value(p->words, p->words + CT_PYA_VALUE_MAX / 8, rd(ep - 8 * (ct_u64)var->back), 0);
	return ct_rbsteps_value(p->steps, p->words, (size_t)(end - p->words), v) != 0;
}

void ct_rb_peek_locals(struct ct_rb_peek *p, const struct ct_rb_live *f,
		       void (*tell)(void *ctx, const char *name, const struct ct_value *v), void *ctx)
{
	struct ct_value v;

	for (ct_u32 i = 0; i < f->iseq->code.nvars; i++)
		if (f->iseq->code.variable[i])
			tell(ctx, f->iseq->code.variable[i], read_value(p, f->cfp, &f->iseq->vars[i], &v) ? &v : NULL);
}
