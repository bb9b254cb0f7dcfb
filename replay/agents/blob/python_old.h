/* SPDX-License-Identifier: MIT
 * Part of the agent in CPython: versions up to 3.10. A frame is evaluated by a C call of its own; when an instruction
 * is dispatched, the frame has that one's index already, so what came before it is remembered here, by thread.
 * Included by python_blob.c: an image is made of one file. */
#ifndef CT_PYTHON_OLD_H
#define CT_PYTHON_OLD_H

#define UNKNOWN     1ull /* instead of an instruction's address */
#define STORE_FAST  125
#define STORE_DEREF 137
#define THREADS     64 /* a full stretch of the table: an entry is replaced */

static struct ct_pya_thread *dispatching; /* of H.cur_frame */

static ct_u64 first_instr(ct_u64 code)
{
	return rd(code + H.off.co_code) + H.off.bytes_data;
}

/* The one in its frame; 0: none yet. */
static ct_u64 last_instr(ct_u64 frame)
{
	const ct_s32 lasti = (ct_s32)rd32(frame + H.off.f_lasti);

	return lasti < 0 ? 0 : first_instr(code_of(frame)) + (ct_u64)lasti * H.off.lasti_bytes;
}

static struct ct_pya_thread *this_thread(void)
{
	struct ct_pya_thread *table = (struct ct_pya_thread *)(H.base + CT_PYA_THREADS), *t;
	ct_u64 self, i;

	__asm__("mov %%fs:0, %0" : "=r"(self)); /* the C library's block of the thread has its own address there */
	i = hash(self >> 4);
	for (int n = 0; n < THREADS; n++) {
		t = &table[(i + n) % CT_PYA_NTHREADS];
		if (t->thread == self)
			return t;
		if (!t->thread)
			break;
	}
	t->thread = self;
	t->frame = t->back = t->begun = t->raised = 0;
	return t;
}

/* Instructions that went by without the agent were counted by stubs. */
static void stubs_say(void)
{
	if (H.cur_frame && dispatching)
		dispatching->prev = H.cur_start - 2;
	H.cur_frame = 0;
}

/* The thread will go on in the caller of this frame. */
static void back_to(struct ct_pya_thread *t, ct_u64 caller)
{
	t->frame = caller;
	t->prev = caller ? last_instr(caller) : 0;
	t->back = t->begun = t->raised = 0;
}

/* A code object may be made in the place of one that is gone, of the very same parts; not of the same instructions,
 * lines and constants. */
static struct ct_pya_code *code_begun(ct_u64 code)
{
	struct ct_pya_code *c = find_code(code, 0);
	const ct_u64 part[] = {rd(code + H.off.co_code), rd(code + H.off.co_linetable)},
		     consts = rd(code + H.off.co_consts), n = rd(consts + 16);
	ct_u64 sum = rd32(code + H.off.co_firstlineno) ^ rd(code + H.off.co_filename);

	for (int i = 0; i < 2; i++) {
		const ct_u64 data = part[i] + H.off.bytes_data, len = rd(part[i] + 16);

		for (ct_u64 k = 0; k + 8 <= len; k += 8)
			sum = hash(sum ^ rd(data + k));
		for (ct_u64 k = len & ~7ull; k < len; k++)
			sum = hash(sum ^ rd8(data + k));
	}
	for (ct_u64 i = 0; i < n && i < 64; i++)
		sum = hash(sum ^ rd(consts + H.off.tuple_items + 8 * i));
	sum = (ct_u32)hash(sum) | 1;
	if (c->version && c->version != (ct_u32)sum)
		c = find_code(code, 1);
	c->version = (ct_u32)sum;
	return c;
}

static struct ct_pya_code *tell_begun(ct_u64 frame, ct_u64 begun)
{
	struct ct_pya_code *c = code_begun(code_of(frame));

	enter(frame, c, begun - 1);
	return c;
}

/* At the beginning of the evaluation loop. The call may yet fail, as one that is too deep. */
HIDDEN __attribute__((used)) void agent_begin(const ct_u64 *regs)
{
	const ct_u64 frame = regs[H.begin_reg], prev = last_instr(frame);
	struct ct_pya_thread *t = this_thread();

	H.target = H.moved_begin;
	stubs_say();
	back_to(t, rd(frame + H.off.f_previous));
	t->back = t->frame;
	t->back_prev = t->prev;
	t->frame = frame;
	t->begun = 1 + (prev ? CT_PYE_RESUMED : CT_PYE_CALL);
	t->prev = H.off.line_starts ? 0 : prev;
}

static void await(ct_u64 frame, ct_u64 is)
{
	ct_u64 *p = put();

	p[0] = CT_PYR(CT_PYR_AWAIT, is, 2);
	p[1] = frame;
	done(p + 2);
}

/* Of the stretches of instructions that the table has, one begins here. */
static int starts_line(const struct ct_pya_code *c, ct_u64 unit)
{
	const ct_s32 *lines = (const ct_s32 *)c->lines;

	if (H.off.line_starts)
		return ((const unsigned char *)(lines + c->count))[unit];
	return !unit || lines[unit - 1] != lines[unit];
}

/* 3.9: whether a handler begins a line is decided as if it came before all else, unless the exception was raised by the
 * first instruction of a line, or on the function's first one (ceval.c: instr_prev = INT_MAX). */
static int handler_line(const struct ct_pya_code *c, ct_u64 raised, ct_u64 prev, ct_u64 ip)
{
	const unsigned op = prev > UNKNOWN ? H.op[rd8(prev)] : OP_PLAIN;
	ct_u64 unit, start;

	if (!H.off.handler_lines || (!raised && op != OP_RERAISE && (op != OP_ASYNC_END || ip == prev + 2)))
		return 0;
	if (raised == 2 || prev <= UNKNOWN)
		return raised == 2;
	unit = (prev - c->first) / 2;
	for (start = unit; !starts_line(c, start);)
		start--;
	return start && start != unit;
}

/* Variables stored in, which the instruction before has emptied. */
static struct pending emptied(const struct ct_pya_code *c, ct_u64 prev, ct_u64 ip)
{
	const ct_u32 arg = rd8(ip + 1);

	if (prev > UNKNOWN && H.op[rd8(prev)] == OP_ADD && rd8(ip) == STORE_FAST)
		return (struct pending){arg, KEEP};
	if (prev > UNKNOWN && H.op[rd8(prev)] == OP_ADD && rd8(ip) == STORE_DEREF)
		return (struct pending){c->cells + arg, KEEP};
	return (struct pending){(ct_u32)-1, 0};
}

static void old_step(const ct_u64 *regs)
{
	const ct_u64 frame = regs[H.frame_reg], ip = regs[H.next_reg] - 2, sp = regs[H.stack_reg];
	const unsigned char op = H.op[rd8(ip)];
	struct ct_pya_thread *t;
	struct ct_pya_code *c;
	ct_u64 prev, begun, raised, unit;
	struct pending kept;
	ct_s32 *lines, now, before;

	if (H.index == CT_PYA_SWITCH_INDEX)
		H.target = H.switch_table ? rd(H.switch_table + 8 * regs[H.switch_reg]) : regs[H.switch_reg];
	else
		H.target = H.original[H.index];
	stubs_say();
	if (foreign(frame))
		return;
	make_room(CT_PYA_ROOM);
	answered();
	t = this_thread();
	prev = t->frame == frame ? t->prev : t->back == frame ? t->back_prev : UNKNOWN;
	begun = t->frame == frame ? t->begun : 0;
	raised = t->frame == frame ? t->raised : 0;
	t->frame = frame;
	t->prev = ip;
	t->back = t->begun = t->raised = 0;
	c = begun ? tell_begun(frame, begun) : find_code(code_of(frame), 0);
	unit = (ip - c->first) / 2;
	if (unit >= c->count)
		return;
	if (prev > UNKNOWN) {
		if (H.npending)
			native_end(frame, ip, prev, sp);
		if (H.op[rd8(prev)] == OP_YIELD_FROM && prev != ip)
			await(frame, 0);
	}
	lines = (ct_s32 *)c->lines;
	now = lines[unit];
	before = starts_line(c, unit) ? -1 : now;
	if (!H.off.line_starts && prev != UNKNOWN)
		before = prev ? lines[(prev - c->first) / 2] : -1;
	kept = emptied(c, prev, ip);
	if (now != -1 && (now != before || (prev > UNKNOWN && ip < prev) || handler_line(c, raised, prev, ip)))
		line(frame, c, unit, &kept);
	switch (op) {
	case OP_RETURN:
	case OP_YIELD:
		leave(frame, c, op == OP_YIELD, rd(sp - 8));
		back_to(t, rd(frame + H.off.f_previous));
		return;
	case OP_YIELD_FROM: await(frame, 1); return;
	case OP_CALL:
	case OP_CALL_KW:
	case OP_CALL_EX:
	case OP_CALL_METHOD:
		if (c->wanted)
			native_begin(frame, c, ip, sp, op);
		return; /* an end shows at the next instruction */
	case OP_RERAISE:
	case OP_ASYNC_END:
	case OP_ADD: return; /* the next instruction is to be looked at */
	}
	do
		unit++;
	while (unit < c->count && !starts_line(c, unit));
	H.cur_start = ip + 2;
	H.cur_end = c->first + 2 * unit + 2;
	H.cur_frame = frame;
	dispatching = t;
}

/* An exception has come to this frame, maybe thrown into it. */
static void old_exception(ct_u64 frame)
{
	struct ct_pya_thread *t = this_thread();
	const ct_u64 caller = rd(frame + H.off.f_previous), begun = t->frame == frame ? t->begun : 0;

	stubs_say();
	if (begun)
		tell_begun(frame, begun);
	back_to(t, caller);
	t->back = caller;
	t->back_prev = t->prev;
	t->frame = frame;
	t->prev = last_instr(frame);
	t->raised = begun ? 2 : 1;
}

#endif
