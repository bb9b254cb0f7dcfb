// SPDX-License-Identifier: MIT
/* Variables: which one a name means in a frame, where DWARF says it is, members of structures. */
#include "replay/values.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define STACK 64 /* of a location's expression */

/* ---- locations -------------------------------------------------------------------------------------------------- */

struct place {
	struct ct_symbols *sy;
	const struct ct_frame *frame;
	Dwarf_Addr bias;
	Dwarf_Die *function; /* NULL: none */
	struct ct_error *err;
};

static int gone(const struct place *p)
{
	return ct_fail(p->err, CT_EXIT_FAILED, "it has been optimized out here");
}

static int get_register(const struct place *p, ct_u64 number, ct_u64 *value)
{
	if (!p->frame || number > 16 || !(p->frame->known >> ct_dwarf_regs[number] & 1))
		return ct_fail(p->err, CT_EXIT_FAILED, "it was in a register that is not known any more");
	*value = p->frame->regs.r[ct_dwarf_regs[number]];
	return 0;
}

static int run(const struct place *p, Dwarf_Attribute *attr, const Dwarf_Op *ops, size_t n, struct ct_value *v);

static int frame_base(const struct place *p, ct_u64 *base)
{
	struct ct_value v = {0};
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;

	if (!p->function || !p->frame || !dwarf_attr_integrate(p->function, DW_AT_frame_base, &attr) ||
	    dwarf_getlocation_addr(&attr, ct_frame_at(p->frame) - p->bias, &ops, &n, 1) != 1)
		return gone(p);
	if (run(p, &attr, ops, n, &v))
		return -1;
	if (v.in_memory)
		*base = v.addr;
	else
		memcpy(base, v.bytes, sizeof(*base));
	return 0;
}

static int load(const struct place *p, ct_u64 addr, size_t len, ct_u64 *value)
{
	*value = 0;
	return ct_session_read(ct_timeline_session(ct_symbols_timeline(p->sy)),
			       ct_timeline_pid(ct_symbols_timeline(p->sy)), addr, value,
			       len < sizeof(*value) ? len : sizeof(*value), p->err);
}

/* Two operands, the upper one `b`. */
static bool binary(unsigned op, ct_u64 a, ct_u64 b, ct_u64 *r)
{
	switch (op) {
	case DW_OP_plus: *r = a + b; break;
	case DW_OP_minus: *r = a - b; break;
	case DW_OP_mul: *r = a * b; break;
	case DW_OP_and: *r = a & b; break;
	case DW_OP_or: *r = a | b; break;
	case DW_OP_xor: *r = a ^ b; break;
	case DW_OP_shl: *r = b < 64 ? a << b : 0; break;
	case DW_OP_shr: *r = b < 64 ? a >> b : 0; break;
	case DW_OP_shra: *r = (ct_u64)((ct_s64)a >> (b < 64 ? b : 63)); break;
	case DW_OP_eq: *r = a == b; break;
	case DW_OP_ne: *r = a != b; break;
	case DW_OP_lt: *r = (ct_s64)a < (ct_s64)b; break;
	case DW_OP_le: *r = (ct_s64)a <= (ct_s64)b; break;
	case DW_OP_gt: *r = (ct_s64)a > (ct_s64)b; break;
	case DW_OP_ge: *r = (ct_s64)a >= (ct_s64)b; break;
	default: return false;
	}
	return true;
}

/* A number that an operation pushes; 1: it pushes none. */
static int pushed(const struct place *p, const Dwarf_Op *op, ct_u64 *value)
{
	switch (op->atom) {
	case DW_OP_lit0 ... DW_OP_lit31: *value = op->atom - DW_OP_lit0; return 0;
	case DW_OP_addr: *value = op->number + p->bias; return 0;
	case DW_OP_const1u:
	case DW_OP_const2u:
	case DW_OP_const4u:
	case DW_OP_const8u:
	case DW_OP_constu:
	case DW_OP_const1s:
	case DW_OP_const2s:
	case DW_OP_const4s:
	case DW_OP_const8s:
	case DW_OP_consts: *value = op->number; return 0;
	case DW_OP_fbreg:
		if (frame_base(p, value))
			return -1;
		*value += op->number;
		return 0;
	case DW_OP_breg0 ... DW_OP_breg31:
		if (get_register(p, op->atom - DW_OP_breg0, value))
			return -1;
		*value += op->number;
		return 0;
	case DW_OP_bregx:
		if (get_register(p, op->number, value))
			return -1;
		*value += op->number2;
		return 0;
	case DW_OP_call_frame_cfa:
		if (!p->frame || !p->frame->cfa)
			return gone(p);
		*value = p->frame->cfa;
		return 0;
	}
	return 1;
}

static int run(const struct place *p, Dwarf_Attribute *attr, const Dwarf_Op *ops, size_t n, struct ct_value *v)
{
	ct_u64 stack[STACK] = {0}, value;
	size_t top = 0;

	v->in_memory = true;
	for (size_t i = 0; i < n; i++) {
		const Dwarf_Op *op = &ops[i];
		const int ret = pushed(p, op, &value);
		Dwarf_Block block;

		if (ret < 0 || (!ret && top == STACK))
			return ret < 0 ? -1 : gone(p);
		if (!ret) {
			stack[top++] = value;
			continue;
		}
		if (top >= 2 && binary(op->atom, stack[top - 2], stack[top - 1], &value)) {
			stack[--top - 1] = value;
			continue;
		}
		switch (op->atom) {
		case DW_OP_nop: continue;
		case DW_OP_reg0 ... DW_OP_reg31:
		case DW_OP_regx:
			v->in_memory = false;
			if (n != 1 ||
			    get_register(p, op->atom == DW_OP_regx ? op->number : (Dwarf_Word)(op->atom - DW_OP_reg0),
					 &value))
				return n == 1 ? -1 : gone(p);
			memcpy(v->bytes, &value, sizeof(value));
			return 0;
		case DW_OP_implicit_value:
			if (n != 1 || dwarf_getlocation_implicit_value(attr, op, &block))
				return gone(p);
			v->in_memory = false;
			memcpy(v->bytes, block.data, block.length < sizeof(v->bytes) ? block.length : sizeof(v->bytes));
			return 0;
		case DW_OP_stack_value:
			if (!top || i + 1 != n)
				return gone(p);
			v->in_memory = false;
			memcpy(v->bytes, &stack[top - 1], sizeof(value));
			return 0;
		}
		if (!top)
			return gone(p);
		switch (op->atom) {
		case DW_OP_plus_uconst: stack[top - 1] += op->number; break;
		case DW_OP_neg: stack[top - 1] = -stack[top - 1]; break;
		case DW_OP_not: stack[top - 1] = ~stack[top - 1]; break;
		case DW_OP_drop: top--; break;
		case DW_OP_dup:
			if (top == STACK)
				return gone(p);
			stack[top] = stack[top - 1];
			top++;
			break;
		case DW_OP_deref:
		case DW_OP_deref_size:
			if (load(p, stack[top - 1], op->atom == DW_OP_deref ? 8 : op->number, &value))
				return -1;
			stack[top - 1] = value;
			break;
		case DW_OP_form_tls_address:
		case DW_OP_GNU_push_tls_address:
			return ct_fail(p->err, CT_EXIT_FAILED, "thread-local variables are not looked up");
		default: return gone(p); /* among them: what it was on entry, pieces */
		}
	}
	if (!top)
		return gone(p);
	v->addr = stack[top - 1];
	return 0;
}

static int constant(Dwarf_Attribute *attr, struct ct_value *v)
{
	Dwarf_Word word;
	Dwarf_Sword sword;
	Dwarf_Block block;

	v->in_memory = false;
	if (!dwarf_formblock(attr, &block)) {
		memcpy(v->bytes, block.data, block.length < sizeof(v->bytes) ? block.length : sizeof(v->bytes));
		return 0;
	}
	if (!dwarf_formsdata(attr, &sword))
		word = (Dwarf_Word)sword;
	else if (dwarf_formudata(attr, &word))
		return -1;
	memcpy(v->bytes, &word, sizeof(word));
	return 0;
}

static bool type_of(Dwarf_Die *die, Dwarf_Die *type)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, type);
}

static int value_of(const struct place *p, Dwarf_Die *var, struct ct_value *v)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;

	*v = (struct ct_value){.has_type = true};
	if (!type_of(var, &v->type))
		return ct_fail(p->err, CT_EXIT_FAILED, "its type is not known");
	if (dwarf_attr_integrate(var, DW_AT_const_value, &attr))
		return constant(&attr, v) ? gone(p) : 0;
	if (!dwarf_attr_integrate(var, DW_AT_location, &attr) ||
	    dwarf_getlocation_addr(&attr, p->frame ? ct_frame_at(p->frame) - p->bias : 0, &ops, &n, 1) != 1)
		return gone(p);
	return run(p, &attr, ops, n, v);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* The blocks around the frame's place, and their function in p. *scopes is malloc'ed. */
static int find_scopes(struct place *p, Dwarf_Die **scopes)
{
	Dwarf_Die *cu = p->frame ? ct_symbols_unit(p->sy, ct_frame_at(p->frame), &p->bias) : NULL;
	const int n = cu ? dwarf_getscopes(cu, ct_frame_at(p->frame) - p->bias, scopes) : 0;

	for (int i = 0; i < n && !p->function; i++)
		if (dwarf_tag(&(*scopes)[i]) == DW_TAG_subprogram)
			p->function = &(*scopes)[i];
	return n > 0 ? n : 0;
}

struct global {
	const struct place *p;
	const char *name;
	struct ct_value *value;
	bool found;
	struct ct_error why; /* the last one's */
};

static int look_in(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr at, void *ctx)
{
	struct global *g = ctx;
	struct place p = *g->p;
	Dwarf_Die *cu = NULL, die;

	(void)data;
	(void)name;
	(void)at;
	p.err = &g->why;
	p.frame = NULL;
	while ((cu = dwfl_module_nextcu(mod, cu, &p.bias))) {
		if (dwarf_child(cu, &die))
			continue;
		do {
			const char *have = dwarf_tag(&die) == DW_TAG_variable ? dwarf_diename(&die) : NULL;

			if (have && !strcmp(have, g->name) && !value_of(&p, &die, g->value)) {
				g->found = true;
				return DWARF_CB_ABORT;
			}
		} while (!dwarf_siblingof(&die, &die));
	}
	return DWARF_CB_OK;
}

int ct_value_variable(struct ct_symbols *sy, const struct ct_frame *frame, const char *name, struct ct_value *value,
		      struct ct_error *err)
{
	struct place p = {.sy = sy, .frame = frame, .err = err};
	struct global g = {&p, name, value, false, {0}};
	Dwarf_Die *scopes = NULL, var;
	const int n = find_scopes(&p, &scopes), at = n ? dwarf_getscopevar(scopes, n, name, 0, NULL, 0, 0, &var) : -1;
	Dwarf_Attribute attr;
	int ret = 0;

	/* A declaration stands for a definition elsewhere. */
	if (at >= 0 && !(dwarf_attr(&var, DW_AT_declaration, &attr))) {
		ret = value_of(&p, &var, value);
	} else {
		dwfl_getmodules(ct_symbols_dwfl(sy), look_in, &g, 0);
		if (!g.found && g.why.msg[0])
			*err = g.why;
		else if (!g.found)
			ct_fail(err, CT_EXIT_USAGE, "there is no variable %s here%s", name,
				n ? "" : " (there is no debug information for this place)");
		ret = g.found ? 0 : -1;
	}
	free(scopes);
	return ret;
}

int ct_value_locals(struct ct_symbols *sy, const struct ct_frame *frame,
		    void (*tell)(void *ctx, const char *name, const struct ct_value *value, const struct ct_error *err),
		    void *ctx, struct ct_error *err)
{
	struct ct_error why = {0};
	struct place p = {.sy = sy, .frame = frame, .err = &why};
	Dwarf_Die *scopes = NULL, die;
	const int n = find_scopes(&p, &scopes);

	for (int i = 0; i < n; i++) {
		if (dwarf_tag(&scopes[i]) == DW_TAG_compile_unit || dwarf_child(&scopes[i], &die))
			continue;
		do {
			const int tag = dwarf_tag(&die);
			const char *name =
				tag == DW_TAG_variable || tag == DW_TAG_formal_parameter ? dwarf_diename(&die) : NULL;
			struct ct_value value;

			if (name)
				tell(ctx, name, value_of(&p, &die, &value) ? NULL : &value, &why);
		} while (!dwarf_siblingof(&die, &die));
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram)
			break;
	}
	free(scopes);
	return n ? 0 : ct_fail(err, CT_EXIT_FAILED, "there is no debug information for this place");
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

ct_u64 ct_value_size(const struct ct_value *value)
{
	Dwarf_Die type = value->type;
	Dwarf_Word size;

	return !value->has_type ? 8 : dwarf_aggregate_size(&type, &size) ? 0 : size;
}

int ct_value_read(struct ct_symbols *sy, const struct ct_value *value, void *buf, size_t len, struct ct_error *err)
{
	struct ct_timeline *tl = ct_symbols_timeline(sy);

	if (value->in_memory)
		return ct_session_read(ct_timeline_session(tl), ct_timeline_pid(tl), value->addr, buf, len, err);
	if (len > sizeof(value->bytes))
		return ct_fail(err, CT_EXIT_FAILED, "its %zu bytes are in no one place", len);
	memcpy(buf, value->bytes, len);
	return 0;
}

bool ct_value_target(const struct ct_value *value, Dwarf_Die *type, bool *is_array)
{
	Dwarf_Die peeled, whole = value->type;

	if (!value->has_type || dwarf_peel_type(&whole, &peeled))
		return false;
	*is_array = dwarf_tag(&peeled) == DW_TAG_array_type;
	return (*is_array || dwarf_tag(&peeled) == DW_TAG_pointer_type || dwarf_tag(&peeled) == DW_TAG_reference_type ||
		dwarf_tag(&peeled) == DW_TAG_rvalue_reference_type) &&
	       type_of(&peeled, type);
}

static ct_u64 number_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	return dwarf_attr_integrate(die, name, &attr) && !dwarf_formudata(&attr, &value) ? value : 0;
}

/* 1: it has no such member. */
static int find_member(const struct ct_value *whole, const char *name, struct ct_value *value)
{
	Dwarf_Die peeled, die, type = whole->type;

	if (dwarf_peel_type(&type, &peeled) || dwarf_child(&peeled, &die))
		return 1;
	do {
		const char *have = dwarf_diename(&die);
		const bool inherits = dwarf_tag(&die) == DW_TAG_inheritance;
		struct ct_value inner;
		Dwarf_Attribute attr;
		ct_u64 offset;

		if ((dwarf_tag(&die) != DW_TAG_member && !inherits) || (have && strcmp(have, name) != 0 && !inherits))
			continue;
		offset = number_of(&die, DW_AT_data_member_location);
		*value = *whole;
		value->addr += offset;
		if (!whole->in_memory) {
			if (offset >= sizeof(value->bytes))
				return 1;
			memmove(value->bytes, value->bytes + offset, sizeof(value->bytes) - offset);
		}
		if (!type_of(&die, &value->type))
			continue;
		value->bit_size = (unsigned)number_of(&die, DW_AT_bit_size);
		if (value->bit_size && dwarf_attr(&die, DW_AT_data_bit_offset, &attr)) {
			const ct_u64 bits = number_of(&die, DW_AT_data_bit_offset), unit = ct_value_size(value);

			if (!unit)
				continue;
			value->addr += bits / 8 / unit * unit;
			value->bit_offset = (unsigned)(bits - bits / 8 / unit * unit * 8);
		}
		if (have && !inherits)
			return 0;
		inner = *value; /* an unnamed one, or a base */
		if (!find_member(&inner, name, value))
			return 0;
	} while (!dwarf_siblingof(&die, &die));
	return 1;
}

int ct_value_member(const struct ct_value *whole, const char *name, struct ct_value *value, struct ct_error *err)
{
	struct ct_value from = *whole;

	if (!whole->has_type || find_member(&from, name, value))
		return ct_fail(err, CT_EXIT_USAGE, "there is no member %s in it", name);
	return 0;
}
