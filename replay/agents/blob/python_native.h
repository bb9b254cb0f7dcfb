/* SPDX-License-Identifier: MIT
 * Part of the agent in CPython: calls of C functions. They have no frame; what is about to be called lies on the stack
 * at a call instruction, and the instruction after it finds the result there.
 * Included by python_blob.c: an image is made of one file. */
#ifndef CT_PYTHON_NATIVE_H
#define CT_PYTHON_NATIVE_H

/* Offsets in PyCFunctionObject and PyMethodDescrObject, the same in all versions. */
#define M_DEF    16
#define M_SELF   24
#define M_MODULE 32
#define D_TYPE   16
#define D_METHOD 40

/* ---- frames that are in a call: a hash table in which nothing is ever found behind a gap -------------------- */

static ct_u64 *pending(ct_u64 i)
{
	return (ct_u64 *)(H.base + CT_PYA_PENDING) + i % CT_PYA_NPENDING;
}
static ct_u64 home(ct_u64 frame)
{
	return CT_PYA_PENDING_HOME(frame);
}

static ct_u64 *find_pending(ct_u64 frame)
{
	ct_u64 i = home(frame);

	while (*pending(i) && *pending(i) != frame)
		i++;
	return pending(i);
}

/* Whether it was in one. */
static int native_gone(ct_u64 frame)
{
	ct_u64 *at = H.npending ? find_pending(frame) : NULL;
	ct_u64 gap;

	if (!at || !*at)
		return 0;
	*at = 0;
	H.npending--;
	gap = (ct_u64)(at - pending(0));
	for (ct_u64 i = gap + 1; *pending(i); i++) {
		/* Into the gap, unless that is before where its search begins. */
		if ((i - home(*pending(i))) % CT_PYA_NPENDING < (i - gap) % CT_PYA_NPENDING)
			continue;
		*pending(gap) = *pending(i);
		*pending(i) = 0;
		gap = i;
	}
	return 1;
}

static int native_pending(ct_u64 frame)
{
	ct_u64 *at = find_pending(frame);

	if (*at)
		return 1;
	if (H.npending >= CT_PYA_NPENDING / 2) /* that deep in C: not told of */
		return 0;
	*at = frame;
	H.npending++;
	return 1;
}

/* ---- which function ------------------------------------------------------------------------------------------ */

static ct_u32 native_id(ct_u64 def, ct_u64 owner, ct_u32 module)
{
	const ct_u64 check = owner ? rd(owner + (module ? STR_HASH : H.off.type_name)) : 0;
	struct ct_pya_native *n = (struct ct_pya_native *)(H.base + CT_PYA_NATIVES) +
				  hash(def ^ (owner << 7 | owner >> 57)) % CT_PYA_NNATIVES;

	if (n->def != def || n->owner != owner || n->check != check || n->module != module) {
		n->def = def;
		n->owner = owner;
		n->check = check;
		n->module = module;
		request(CT_PYREQ_NATIVE, 0, (ct_u64)n);
	}
	return n->id;
}

/* The callable and its arguments, of which the first one is in `first` if it is not among the others. */
struct call {
	ct_u64 callable, first, args, nargs;
};

static ct_u64 stack_item(ct_u64 addr)
{
	return rd(addr) & ~(ct_u64)H.off.ref_mask;
}

/* Up to 3.10. */
static int old_call(struct call *c, ct_u64 arg, ct_u64 sp, unsigned op)
{
	if (op == OP_CALL_KW)
		sp -= 8; /* their names */
	c->args = sp - 8 * arg;
	c->nargs = arg;
	c->callable = rd(c->args - 8);
	if (op == OP_CALL_METHOD && rd(c->args - 16)) {
		c->first = c->callable;
		c->callable = rd(c->args - 16);
	}
	return c->callable != 0;
}

static int read_call(struct call *c, ct_u64 ip, ct_u64 sp, unsigned op)
{
	ct_u64 arg = rd8(ip + 1), base, tuple;

	if (H.off.extended_arg && (rd8(ip - 2) == H.off.extended_arg || rd8(ip - 2) == H.off.extended_quick))
		arg |= (ct_u64)rd8(ip - 1) << 8;
	c->first = 0;
	if (H.off.f_lasti && op != OP_CALL_EX)
		return old_call(c, arg, sp, op);
	if (op == OP_CALL_EX) {
		c->callable = stack_item(sp - 8 * (H.off.ex_callable + (H.off.ex_maybe ? arg & 1 : 0)));
		tuple = stack_item(sp - 8 * (H.off.ex_maybe ? 1 + (arg & 1) : 2));
		if (!tuple || find_type(rd(tuple + 8))->kind != CT_PYK_TUPLE)
			return 0; /* the instruction itself makes it one */
		c->args = tuple + H.off.tuple_items;
		c->nargs = rd(tuple + 16);
		return c->callable != 0;
	}
	if (op == OP_CALL_KW)
		sp -= 8; /* their names */
	c->args = sp - 8 * arg;
	c->nargs = arg;
	base = c->args - 16;
	if (H.off.callable_first || stack_item(base)) {
		c->callable = stack_item(base);
		c->first = stack_item(base + 8);
	} else {
		c->callable = stack_item(base + 8);
	}
	return c->callable != 0;
}

static void native_argument(ct_u64 frame, ct_u64 slot, ct_u64 o)
{
	if (!o)
		return;
	make_room(CT_PYA_ROOM / 2);
	record_value(CT_PYA_CALLEE(frame), slot, o);
}

/* A call instruction is about to be executed. Returns 1 if a C function is what it calls. Slot 0 is what a method is
 * of, the others are its arguments. */
static int native_begin(ct_u64 frame, const struct ct_pya_code *code, ct_u64 ip, ct_u64 sp, unsigned op)
{
	ct_u64 self, owner, module = 0, def;
	struct call c;
	ct_u32 id;

	if (!read_call(&c, ip, sp, op))
		return 0;
	switch (find_type(rd(c.callable + 8))->kind) {
	case CT_PYK_CFUNCTION:
		def = rd(c.callable + M_DEF);
		module = rd(c.callable + M_MODULE);
		self = rd(c.callable + M_SELF);
		if (module && find_type(rd(module + 8))->kind != CT_PYK_STR)
			module = 0;
		if (module)
			owner = module, self = 0;
		else if (self)
			owner = find_type(rd(self + 8))->kind == CT_PYK_TYPE ? self : rd(self + 8);
		else
			owner = 0;
		break;
	case CT_PYK_METHODDESC:
		def = rd(c.callable + D_METHOD);
		owner = rd(c.callable + D_TYPE);
		if (!c.first && !c.nargs) /* fails without having called anything */
			return 0;
		self = c.first;
		c.first = 0;
		if (!self) {
			self = stack_item(c.args);
			c.args += 8;
			c.nargs--;
		}
		break;
	default: return 0;
	}
	id = native_id(def, owner, module != 0);
	if (!native_pending(frame))
		return 0;
	record(CT_PYR_NATIVE, 0, frame, (ct_u64)id << 32 | code->id);
	if (!H.values)
		return 1;
	native_argument(frame, 0, self);
	native_argument(frame, 1, c.first);
	for (ct_u64 i = 0; i < c.nargs && i < H.items; i++)
		native_argument(frame, i + 1 + (c.first != 0), stack_item(c.args + 8 * i));
	return 1;
}

/* The frame goes on at `ip`, after the instruction at `prev`: if that called a C function it has returned. */
static void native_end(ct_u64 frame, ct_u64 ip, ct_u64 prev, ct_u64 sp)
{
	const ct_u64 next = prev + 2ull * H.skip[rd8(prev)];
	const unsigned char op = H.op[rd8(prev)];
	ct_u64 result;

	if (op == OP_CALL && ip < next && ip == prev + 4) /* 3.11: PRECALL, then CALL */
		return;
	if (!native_gone(frame))
		return;
	/* Some forms of a call do the next instruction, too, which drops the result. */
	result = H.values && ip == next && op != OP_PLAIN ? stack_item(sp - 8) : 0;
	if (result)
		record_value(frame, CT_PYSLOT_RESULT, result);
	record_words(CT_PYR_NATIVE_END, 0, frame, put() + 2);
}

#endif
