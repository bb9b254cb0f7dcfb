/* SPDX-License-Identifier: MIT
 * Debug information: location expressions, from frames' registers and memory to where a value is.
 *
 * What cannot be known is said to be so, with the reason; nothing is guessed. DWARF 5, 2.5 and 2.6. */
#include <stdio.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define STACK      64
#define MOST_OPS   4096 /* executed: DW_OP_bra can go round */
#define MOST_DEPTH 8    /* expressions that evaluate others */
#define XMM0       17   /* the psABI's number of %xmm0 */

struct machine {
	const struct ct_dwarf_location *l;
	Dwarf_Attribute *attr;
	ct_u64 stack[STACK];
	unsigned n;
	const char *why; /* it cannot be known */
};

static const struct ct_dwarf_frame *frame_of(const struct ct_dwarf_location *l)
{
	return l->p && l->p->stack && l->p->frame < l->p->stack->n ? &l->p->stack->frame[l->p->frame] : NULL;
}
static const struct ct_dwarf_regs *regs_of(const struct ct_dwarf_location *l)
{
	const struct ct_dwarf_frame *f = frame_of(l);

	return f ? &f->regs : l->regs;
}
static const struct ct_dwarf_memory *memory_of(const struct ct_dwarf_location *l)
{
	return l->p ? l->p->mem : l->mem;
}

static bool fail(struct machine *m, const char *why)
{
	if (!m->why)
		m->why = why;
	return false;
}

static bool push(struct machine *m, ct_u64 v)
{
	if (m->n == STACK)
		return fail(m, "its location expression is too deep");
	m->stack[m->n++] = v;
	return true;
}

static bool pop(struct machine *m, ct_u64 *v)
{
	*v = 0;
	if (!m->n)
		return fail(m, "its location expression is malformed");
	*v = m->stack[--m->n];
	return true;
}

static bool get_register(struct machine *m, ct_u64 reg, ct_u64 *v)
{
	const struct ct_dwarf_regs *r = regs_of(m->l);

	if (!r || reg >= CT_DW_REGS)
		return fail(m, "it is in a register that is not kept");
	if (!(r->known >> reg & 1))
		return fail(m, "its register was overwritten by a call");
	*v = r->r[reg];
	return true;
}

static bool load(struct machine *m, ct_u64 addr, ct_u64 size, ct_u64 *v)
{
	const struct ct_dwarf_memory *mem = memory_of(m->l);

	*v = 0;
	if (size > 8 || !mem || !mem->read(mem->ctx, addr, v, size))
		return fail(m, "its location leads to memory that cannot be read");
	return true;
}

static bool nested(struct machine *m, Dwarf_Attribute *attr, const struct ct_dwarf_place *p, ct_u64 bias, ct_u64 *v)
{
	const struct ct_dwarf_location l = {.p = p, .bias = bias, .depth = m->l->depth + 1};
	Dwarf_Op *ops;
	size_t n;

	return l.depth < MOST_DEPTH && !dwarf_getlocation(attr, &ops, &n) &&
	       ct_dwarf_compute(&l, attr, ops, n, NULL, v);
}

int ct_dwarf_location_at(Dwarf_Attribute *attr, Dwarf_Addr addr, Dwarf_Op **ops, size_t *n)
{
	/* Go's compiler writes DW_FORM_block1 where DWARF 4 wants an exprloc, and libdw refuses it. The length of short
	 * ones is written the same. */
	if (attr->form == DW_FORM_block1 && *attr->valp < 0x80)
		attr->form = DW_FORM_exprloc;
	return dwarf_getlocation_addr(attr, addr, ops, n, 1);
}

static bool frame_base(struct machine *m, ct_u64 *base)
{
	const struct ct_dwarf_frame *f = frame_of(m->l);
	const struct ct_dwarf_location l = {.p = m->l->p, .bias = f ? f->function.bias : 0, .depth = m->l->depth + 1};
	Dwarf_Attribute attr;
	Dwarf_Die die;
	Dwarf_Op *ops;
	size_t n;

	if (!f || !f->has_function || !f->function.has_die || l.depth >= MOST_DEPTH)
		return fail(m, "its frame has no base");
	die = f->function.die;
	if (!dwarf_attr_integrate(&die, DW_AT_frame_base, &attr) ||
	    ct_dwarf_location_at(&attr, f->lookup - f->function.bias, &ops, &n) != 1)
		return fail(m, "its frame has no base");
	/* A register here means what is in it. */
	if (n == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)
		return get_register(m, ops[0].atom - DW_OP_reg0, base);
	return ct_dwarf_compute(&l, &attr, ops, n, NULL, base) || fail(m, "its frame has no base");
}

/* What the register had when the function was called, if the caller's code says what it passed: DW_TAG_call_site. */
static bool entry_value(struct machine *m, unsigned reg, ct_u64 *v)
{
	const struct ct_dwarf_frame *f = frame_of(m->l), *up;
	Dwarf_Die scopes[CT_DWARF_DEEP], child, param;
	struct ct_dwarf_place caller;
	size_t n;

	if (!f)
		return false;
	caller = *m->l->p;
	while (caller.frame < caller.stack->n && caller.stack->frame[caller.frame].inlined)
		caller.frame++;
	if (++caller.frame >= caller.stack->n)
		return false;
	/* Of frames at one pc, the one that holds the registers is the last; their registers are all the same. */
	up = &caller.stack->frame[caller.frame];
	if (!up->has_function || !up->function.has_die)
		return false;
	n = ct_dwarf_scopes((Dwarf_Die *)&up->function.cu, up->lookup - up->function.bias, scopes);
	while (n-- > 0) {
		if (dwarf_child(&scopes[n], &child))
			continue;
		do {
			Dwarf_Attribute attr;
			Dwarf_Addr pc = 0;
			const int tag = dwarf_tag(&child);

			if ((tag != DW_TAG_call_site && tag != DW_TAG_GNU_call_site) ||
			    (!dwarf_attr(&child, DW_AT_call_return_pc, &attr) &&
			     !dwarf_attr(&child, DW_AT_low_pc, &attr)) ||
			    dwarf_formaddr(&attr, &pc) || pc + up->function.bias != up->pc ||
			    dwarf_child(&child, &param))
				continue;
			do {
				Dwarf_Op *ops;
				size_t len;

				if (dwarf_attr(&param, DW_AT_location, &attr) &&
				    !dwarf_getlocation(&attr, &ops, &len) && len == 1 &&
				    ops[0].atom == DW_OP_reg0 + reg &&
				    (dwarf_attr(&param, DW_AT_call_value, &attr) ||
				     dwarf_attr(&param, DW_AT_GNU_call_site_value, &attr)))
					return nested(m, &attr, &caller, up->function.bias, v);
			} while (!dwarf_siblingof(&param, &param));
		} while (!dwarf_siblingof(&child, &child));
	}
	return false;
}

static bool do_entry_value(struct machine *m, const Dwarf_Op *op)
{
	Dwarf_Attribute inner;
	Dwarf_Op *ops;
	ct_u64 v = 0;
	size_t n;

	if (m->attr && !dwarf_getlocation_attr(m->attr, op, &inner) && !dwarf_getlocation(&inner, &ops, &n) && n == 1 &&
	    ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31 && m->l->depth < MOST_DEPTH &&
	    entry_value(m, ops[0].atom - DW_OP_reg0, &v))
		return push(m, v);
	m->why = NULL; /* what went wrong in the caller is not of interest */
	return fail(m, "optimized out: only its value at the call was known, and the caller does not say it");
}

/* A thread's variable of the program itself is right before its thread pointer; those of libraries are where only the
 * C library knows. */
static bool thread_local(struct machine *m)
{
	const struct ct_dwarf_regs *regs = regs_of(m->l);
	const struct ct_dwarf_frame *f = frame_of(m->l);
	Dwfl_Module *mod = f ? dwfl_addrmodule(m->l->p->d->dwfl, f->pc) : NULL;
	GElf_Addr bias;
	Elf *elf = mod ? dwfl_module_getelf(mod, &bias) : NULL;
	ct_u64 offset;
	size_t n;
	GElf_Ehdr ehdr;
	GElf_Phdr ph;
	bool program = false;

	if (!pop(m, &offset) || !elf || elf_getphdrnum(elf, &n) || !gelf_getehdr(elf, &ehdr))
		return fail(m, "where this thread's variables are is not known");
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(elf, (int)i, &ph))
			program |= ph.p_type == PT_INTERP;
	for (size_t i = 0; (program || ehdr.e_type == ET_EXEC) && regs && i < n; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_TLS) {
			const ct_u64 align = ph.p_align ? ph.p_align : 1;

			return push(m, regs->fs_base - (ph.p_memsz + align - 1) / align * align + offset);
		}
	return fail(m, "a thread's variable of a library: only the C library knows where it is");
}

static bool binary(struct machine *m, unsigned atom)
{
	ct_u64 a, b, v;

	if (!pop(m, &b) || !pop(m, &a))
		return false;
	switch (atom) {
	case DW_OP_and: v = a & b; break;
	case DW_OP_or: v = a | b; break;
	case DW_OP_xor: v = a ^ b; break;
	case DW_OP_plus: v = a + b; break;
	case DW_OP_minus: v = a - b; break;
	case DW_OP_mul: v = a * b; break;
	case DW_OP_div:
		if (!b || ((ct_s64)a == INT64_MIN && (ct_s64)b == -1))
			return fail(m, "its location expression divides by zero");
		v = (ct_u64)((ct_s64)a / (ct_s64)b);
		break;
	case DW_OP_mod:
		if (!b)
			return fail(m, "its location expression divides by zero");
		v = a % b;
		break;
	case DW_OP_shl: v = b < 64 ? a << b : 0; break;
	case DW_OP_shr: v = b < 64 ? a >> b : 0; break;
	case DW_OP_shra: v = (ct_u64)((ct_s64)a >> (b < 63 ? b : 63)); break;
	case DW_OP_eq: v = a == b; break;
	case DW_OP_ne: v = a != b; break;
	case DW_OP_lt: v = (ct_s64)a < (ct_s64)b; break;
	case DW_OP_le: v = (ct_s64)a <= (ct_s64)b; break;
	case DW_OP_gt: v = (ct_s64)a > (ct_s64)b; break;
	default: v = (ct_s64)a >= (ct_s64)b; break;
	}
	return push(m, v);
}

static bool shuffle(struct machine *m, const Dwarf_Op *op)
{
	ct_u64 a, b, c;
	const unsigned depth = op->atom == DW_OP_pick ? (unsigned)op->number : op->atom == DW_OP_over;

	switch (op->atom) {
	case DW_OP_drop: return pop(m, &a);
	case DW_OP_swap: return pop(m, &a) && pop(m, &b) && push(m, a) && push(m, b);
	case DW_OP_rot: return pop(m, &a) && pop(m, &b) && pop(m, &c) && push(m, a) && push(m, c) && push(m, b);
	default:
		return depth < m->n ? push(m, m->stack[m->n - 1 - depth])
				    : fail(m, "its location expression is malformed");
	}
}

/* One operation that works on the stack. */
static bool step(struct machine *m, const Dwarf_Op *op)
{
	const struct ct_dwarf_frame *f = frame_of(m->l);
	Dwarf_Attribute attr;
	Dwarf_Addr addr;
	ct_u64 a;

	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return push(m, op->atom - DW_OP_lit0);
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return get_register(m, op->atom - DW_OP_breg0, &a) && push(m, a + op->number);
	switch (op->atom) {
	case DW_OP_addr: return push(m, op->number + m->l->bias);
	case DW_OP_addrx:
	case DW_OP_GNU_addr_index:
		return m->attr && !dwarf_getlocation_attr(m->attr, op, &attr) && !dwarf_formaddr(&attr, &addr)
			       ? push(m, addr + m->l->bias)
			       : fail(m, "its location expression is malformed");
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts: return push(m, op->number);
	case DW_OP_bregx: return get_register(m, op->number, &a) && push(m, a + op->number2);
	case DW_OP_fbreg: return frame_base(m, &a) && push(m, a + op->number);
	case DW_OP_call_frame_cfa:
		a = f ? f->cfa : m->l->cfa;
		return a ? push(m, a) : fail(m, "its frame is not known");
	case DW_OP_dup:
	case DW_OP_over:
	case DW_OP_pick:
	case DW_OP_drop:
	case DW_OP_swap:
	case DW_OP_rot: return shuffle(m, op);
	case DW_OP_deref: return pop(m, &a) && load(m, a, 8, &a) && push(m, a);
	case DW_OP_deref_size: return pop(m, &a) && load(m, a, op->number, &a) && push(m, a);
	case DW_OP_abs: return pop(m, &a) && push(m, (ct_s64)a < 0 ? -a : a);
	case DW_OP_neg: return pop(m, &a) && push(m, -a);
	case DW_OP_not: return pop(m, &a) && push(m, ~a);
	case DW_OP_plus_uconst: return pop(m, &a) && push(m, a + op->number);
	case DW_OP_and:
	case DW_OP_or:
	case DW_OP_xor:
	case DW_OP_plus:
	case DW_OP_minus:
	case DW_OP_mul:
	case DW_OP_div:
	case DW_OP_mod:
	case DW_OP_shl:
	case DW_OP_shr:
	case DW_OP_shra:
	case DW_OP_eq:
	case DW_OP_ne:
	case DW_OP_lt:
	case DW_OP_le:
	case DW_OP_gt:
	case DW_OP_ge: return binary(m, op->atom);
	case DW_OP_nop: return true;
	case DW_OP_form_tls_address:
	case DW_OP_GNU_push_tls_address: return thread_local(m);
	case DW_OP_entry_value:
	case DW_OP_GNU_entry_value: return do_entry_value(m, op);
	default: return fail(m, "its location is described in a way that is not known here");
	}
}

/* Where a branch goes: targets are byte offsets behind the operation, which is three bytes long. */
static size_t branch(const Dwarf_Op *ops, size_t n, size_t at)
{
	const Dwarf_Word to = ops[at].offset + 3 + (Dwarf_Word)(int16_t)ops[at].number;

	for (size_t i = 0; i < n; i++)
		if (ops[i].offset == to)
			return i;
	return n;
}

/* Up to what says where a piece, or all of it, is; *at is behind the last that was executed. */
static bool run(struct machine *m, const Dwarf_Op *ops, size_t n, size_t *at, unsigned *budget)
{
	while (*at < n) {
		const Dwarf_Op *op = &ops[*at];
		ct_u64 is = 1;

		if (!(*budget)--)
			return fail(m, "its location expression does not end");
		if (op->atom == DW_OP_piece || op->atom == DW_OP_bit_piece || op->atom == DW_OP_stack_value ||
		    op->atom == DW_OP_implicit_value || op->atom == DW_OP_implicit_pointer ||
		    op->atom == DW_OP_GNU_implicit_pointer || op->atom == DW_OP_regx ||
		    (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31))
			return true;
		if (op->atom == DW_OP_skip || op->atom == DW_OP_bra) {
			if (op->atom == DW_OP_bra && !pop(m, &is))
				return false;
			*at = is ? branch(ops, n, *at) : *at + 1;
			continue;
		}
		if (!step(m, op))
			return false;
		++*at;
	}
	return true;
}

bool ct_dwarf_compute(const struct ct_dwarf_location *l, Dwarf_Attribute *attr, const Dwarf_Op *ops, size_t n,
		      const ct_u64 *first, ct_u64 *result)
{
	struct machine m = {.l = l, .attr = attr};
	unsigned budget = MOST_OPS;
	size_t at = 0;

	if (first)
		push(&m, *first);
	/* A location that is a value, or a register, is as good as an expression here. */
	if (!run(&m, ops, n, &at, &budget))
		return false;
	if (at < n && ops[at].atom >= DW_OP_reg0 && ops[at].atom <= DW_OP_reg31)
		return get_register(&m, ops[at].atom - DW_OP_reg0, result);
	return (at == n || (at + 1 == n && ops[at].atom == DW_OP_stack_value)) && pop(&m, result);
}

/* ---- where a value is ---- */

static void hold(struct ct_dwarf_value *v, ct_u64 at, const void *bytes, ct_u64 len)
{
	for (ct_u64 i = 0; i < len && at + i < CT_DWARF_HELD_MAX; i++) {
		v->held[at + i] = ((const ct_u8 *)bytes)[i];
		v->held_known |= 1ull << (at + i);
	}
}

static bool hold_register(struct machine *m, struct ct_dwarf_value *v, ct_u64 at, ct_u64 reg, ct_u64 len)
{
	const struct ct_dwarf_regs *r = regs_of(m->l);
	ct_u64 value;

	if (reg >= XMM0 && reg < XMM0 + 16) {
		if (!r || !r->has_xmm)
			return fail(m, "its register was overwritten by a call");
		hold(v, at, r->xmm[reg - XMM0], len < 16 ? len : 16);
		return true;
	}
	if (!get_register(m, reg, &value))
		return false;
	hold(v, at, &value, len < 8 ? len : 8);
	return true;
}

/* What the operation at ops[at] means for `len` bytes of the value from `offset` on. */
static bool put(struct machine *m, const Dwarf_Op *op, struct ct_dwarf_value *v, ct_u64 offset, ct_u64 len, bool whole)
{
	const struct ct_dwarf_memory *mem = memory_of(m->l);
	ct_u8 bytes[CT_DWARF_HELD_MAX];
	Dwarf_Block block;
	ct_u64 a;

	if (!op || op->atom == DW_OP_piece || op->atom == DW_OP_bit_piece) {
		if (!m->n) /* nothing: optimized out */
			return fail(m, "optimized out");
		if (!pop(m, &a))
			return false;
		if (whole) {
			v->where = CT_DWARF_IN_MEMORY;
			v->addr = a;
			return true;
		}
		if (len > sizeof(bytes) || !mem->read(mem->ctx, a, bytes, len))
			return fail(m, "a part of it is in memory that cannot be read");
		hold(v, offset, bytes, len);
		return true;
	}
	if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
		return hold_register(m, v, offset, op->atom - DW_OP_reg0, len);
	switch (op->atom) {
	case DW_OP_regx: return hold_register(m, v, offset, op->number, len);
	case DW_OP_stack_value:
		if (!pop(m, &a))
			return false;
		hold(v, offset, &a, len < 8 ? len : 8);
		return true;
	case DW_OP_implicit_value:
		if (!m->attr || dwarf_getlocation_implicit_value(m->attr, op, &block))
			return fail(m, "its location expression is malformed");
		hold(v, offset, block.data, block.length < len ? block.length : len);
		return true;
	default: return fail(m, "optimized out: a pointer to what is not in memory");
	}
}

void ct_dwarf_locate(const struct ct_dwarf_location *l, Dwarf_Attribute *attr, const Dwarf_Op *ops, size_t n,
		     struct ct_dwarf_value *v)
{
	struct machine m = {.l = l, .attr = attr};
	const ct_u64 size = ct_dwarf_size(v);
	unsigned budget = MOST_OPS;
	ct_u64 offset = 0;
	size_t at = 0;

	v->where = CT_DWARF_HELD;
	if (!n)
		m.why = "optimized out";
	while (n) {
		const Dwarf_Op *op;
		bool last, is_piece;
		ct_u64 len = size;

		if (!run(&m, ops, n, &at, &budget))
			while (at < n && ops[at].atom != DW_OP_piece)
				at++;
		op = at < n ? &ops[at] : NULL;
		is_piece = op && (op->atom == DW_OP_piece || op->atom == DW_OP_bit_piece);
		if (op && !is_piece)
			at++;
		last = at >= n;
		if (!last && ops[at].atom == DW_OP_piece) {
			len = ops[at].number;
		} else if (!last) {
			m.why = "it is in single bits here and there";
			break;
		}
		/* A part that is not there does not take the others away. */
		if (!m.why)
			put(&m, op, v, offset, len, last);
		if (last)
			break;
		if (m.why && strcmp(m.why, "optimized out") != 0 && !v->why[0])
			snprintf(v->why, sizeof(v->why), "%s", m.why);
		m.why = NULL;
		m.n = 0;
		offset += len;
		if (++at >= n)
			break;
	}
	if (v->where == CT_DWARF_HELD && !v->held_known) {
		v->where = CT_DWARF_NOWHERE;
		if (!v->why[0])
			snprintf(v->why, sizeof(v->why), "%s", m.why ? m.why : "optimized out");
	}
}
