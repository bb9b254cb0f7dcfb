// SPDX-License-Identifier: MIT
/* The agent inside of a replayed CPython: called at the dispatch of instructions, it writes down lines, calls and
 * values. Freestanding: no library, no allocation, no function of the interpreter, not one store outside of its own
 * region; it runs on its own stack, so that not even the bytes below the program's stack pointer change. */
#include <stddef.h>

#include "replay/agents/python_shared.h"

#define OP_PLAIN        0
#define OP_RESUME       1
#define OP_RETURN       2
#define OP_RETURN_CONST 3
#define OP_YIELD        4
#define OP_SEND         5
#define OP_FUSED        6
#define OP_FUSED_STORE  7
#define OP_QUIET        8
#define OP_CALL         9
#define OP_CALL_KW      10
#define OP_CALL_EX      11
#define OP_CALLED       12
#define OP_CALL_METHOD  13
#define OP_YIELD_FROM   14
#define OP_RERAISE      15
#define OP_ASYNC_END    16
#define OP_ADD          17

#define CO_FAST_CELL 0x40
#define CO_FAST_FREE 0x80

#define HIDDEN __attribute__((visibility("hidden")))

__attribute__((section(".head"), used)) HIDDEN struct ct_pya_head H = {0};

static ct_u64 hash(ct_u64 x)
{
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

#include "replay/agents/blob/blob.h"

/* ---- tables ------------------------------------------------------------------------------------------------- */

static struct ct_pya_code *find_code(ct_u64 code, int check)
{
	struct ct_pya_code *table = (struct ct_pya_code *)(H.base + CT_PYA_CODES), *c;
	ct_u64 i = hash(code >> 4) % CT_PYA_NCODES;

	for (;; i = (i + 1) % CT_PYA_NCODES) {
		c = &table[i];
		if (!c->code || c->code == code)
			break;
	}
	/* Code objects are freed and others made in their place. */
	if (c->code != code || c->linetable != rd(code + H.off.co_linetable) ||
	    c->qualname != rd(code + H.off.co_qualname) || c->consts != rd(code + H.off.co_consts) || check ||
	    (H.off.co_version && c->version != rd32(code + H.off.co_version)))
		request(CT_PYREQ_CODE, code, (ct_u64)c);
	return c;
}

static __attribute__((noinline)) struct ct_pya_type *look_for_type(ct_u64 type)
{
	struct ct_pya_type *table = (struct ct_pya_type *)(H.base + CT_PYA_TYPES), *t;
	ct_u64 i = hash(type >> 4) % CT_PYA_NTYPES;

	for (;; i = (i + 1) % CT_PYA_NTYPES) {
		t = &table[i];
		if (!t->type || t->type == type)
			break;
	}
	if (t->type != type || t->name != rd(type + H.off.type_name))
		request(CT_PYREQ_TYPE, type, (ct_u64)t);
	return t;
}

static inline struct ct_pya_type *find_type(ct_u64 type)
{
	struct ct_pya_type *t = (struct ct_pya_type *)(H.base + CT_PYA_TYPES) + hash(type >> 4) % CT_PYA_NTYPES;

	return t->type == type && t->name == rd(type + H.off.type_name) ? t : look_for_type(type);
}

#include "replay/agents/blob/python_values.h"
#include "replay/agents/blob/python_digest.h"

/* ---- changes ------------------------------------------------------------------------------------------------ */

static struct ct_pya_seen *seen(ct_u64 frame, ct_u64 slot)
{
	return (struct ct_pya_seen *)(H.base + CT_PYA_SEEN) + hash(frame + slot * 0x10001) % CT_PYA_NSEEN;
}

static void record_value(ct_u64 frame, ct_u64 slot, ct_u64 o)
{
	ct_u64 *p = put();

	record_words(CT_PYR_VALUE, slot, frame, value(p + 2, p + CT_PYA_VALUE_MAX / 8, o, 0));
}

/* Written only if it is another one than at the last step. */
static void changed_value(ct_u64 frame, ct_u64 slot, ct_u64 name, ct_u64 run, ct_u64 o)
{
	struct ct_pya_seen *s = seen(frame, name ? name >> 3 : slot);
	const ct_u64 key = frame ^ (name ? name ^ run : slot << 48) ^ 1;
	ct_u64 *p, *q, digest;

	if (!o) {
		if (s->key == key && s->digest) {
			s->digest = 0;
			record_words(CT_PYR_GONE, slot, frame, put() + 2);
		}
		return;
	}
	digest = digest_of(name, o);
	if (s->key == key && s->digest == digest)
		return;
	s->key = key;
	s->digest = digest;
	p = put();
	q = p + 2;
	if (name)
		q = str(q, 0, name);
	record_words(CT_PYR_VALUE, slot, frame, value(q, p + CT_PYA_VALUE_MAX / 8, o, 0));
}

static ct_u64 runs; /* of functions, to tell one run of a class's body from the next */

static void forget_values(ct_u64 frame, const struct ct_pya_code *c)
{
	for (ct_u32 i = 0; i < c->nlocals; i++)
		seen(frame, i)->key = 0;
	if (c->module) {
		struct ct_pya_seen *s = seen(frame, CT_PYSLOT_NAMED);

		s->key = frame;
		s->digest = ++runs << 48;
	}
}

static void names(ct_u64 frame, ct_u64 space)
{
	const struct keys keys = read_keys(rd(space + H.off.dict_keys));
	const ct_u64 n = keys.n, at = keys.at, step = keys.step;
	ct_u64 values = rd(space + H.off.dict_values);
	const struct ct_pya_seen *run = seen(frame, CT_PYSLOT_NAMED);

	for (ct_u64 i = 0; i < n; i++) {
		ct_u64 k = rd(at + i * step + (step == 16 ? 0 : 8));
		ct_u64 v = values ? rd(values + H.off.values_data + 8 * i) : rd(at + i * step + (step == 16 ? 8 : 16));
		ct_u64 data;

		if (!k || !v || find_type(rd(k + 8))->kind != CT_PYK_STR || !(rd32(k + 32) >> 6 & 1))
			continue;
		data = k + H.off.str_ascii;
		if (rd8(data) == '_' && rd8(data + 1) == '_') /* __builtins__ and the like */
			continue;
		make_room(CT_PYA_ROOM / 2);
		changed_value(frame, CT_PYSLOT_NAMED, k, run->key == frame ? run->digest : 0, v);
	}
}

/* A variable about to be stored by the instruction at hand, which two lines share; slot -1: none. */
struct pending {
	ct_u32 slot;
	ct_u64 o; /* or KEEP: what it was */
};
#define KEEP 1ull

static int is_cell(const struct ct_pya_code *c, ct_u64 kinds, ct_u32 slot)
{
	return H.off.f_lasti ? slot >= c->cells : rd8(kinds + slot) & (CO_FAST_CELL | CO_FAST_FREE);
}

static void locals(ct_u64 frame, const struct ct_pya_code *c, const struct pending *pending)
{
	ct_u64 kinds = H.off.f_lasti ? 0 : rd(c->code + H.off.co_kinds) + H.off.bytes_data;

	for (ct_u32 i = 0; i < c->nlocals; i++) {
		ct_u64 o = rd(frame + H.off.f_localsplus + 8 * i) & ~(ct_u64)H.off.ref_mask;

		if (o && is_cell(c, kinds, i) && find_type(rd(o + 8))->kind == CT_PYK_CELL)
			o = rd(o + 16);
		if (pending && i == pending->slot) {
			if (pending->o == KEEP)
				continue;
			o = pending->o;
		}
		make_room(CT_PYA_ROOM / 2);
		changed_value(frame, i, 0, 0, o);
	}
	if (c->module) {
		ct_u64 space = rd(frame + H.off.f_locals);

		if (space && find_type(rd(space + 8))->kind == CT_PYK_DICT)
			names(frame, space);
	}
}

#include "replay/agents/blob/python_native.h"

/* ---- steps -------------------------------------------------------------------------------------------------- */

/* The frame that called, C functions left out. */
static ct_u64 previous(ct_u64 frame)
{
	ct_u64 f = rd(frame + H.off.f_previous);

	while (f && H.off.owner_c && rd8(f + H.off.f_owner) >= H.off.owner_c)
		f = rd(f + H.off.f_previous);
	return f;
}

static ct_u64 code_of(ct_u64 frame)
{
	return rd(frame + H.off.f_code) & ~(ct_u64)H.off.ref_mask;
}

/* The state of the thread that is in this frame; *interp is its interpreter. */
static ct_u64 thread_state(ct_u64 frame, ct_u64 *interp)
{
	for (*interp = rd(H.interp_head); *interp; *interp = rd(*interp + H.interp_next))
		for (ct_u64 t = rd(*interp + H.threads_head); t; t = rd(t + H.tstate_next))
			if (rd(H.tstate_frame ? t + H.tstate_frame : rd(t + H.tstate_cframe) + H.cframe_frame) == frame)
				return t;
	return 0;
}

/* Of a subinterpreter: its frames have no caller, although the thread has others below them. */
static int foreign(ct_u64 frame)
{
	ct_u64 head = rd(H.interp_head), interp;

	if (!head || !rd(head + H.interp_next) || !thread_state(frame, &interp) || interp == rd(H.interp_main))
		return 0;
	if (!H.foreign_told)
		request(CT_PYREQ_FOREIGN, 0, 0);
	H.foreign_told = 1;
	return 1;
}

/* The frame whose variables have been looked at last, at its RESUME, if no other instruction has been seen since. */
static ct_u64 just_entered;

static void enter(ct_u64 frame, struct ct_pya_code *c, ct_u64 how)
{
	ct_u64 *p = put();

	p[0] = CT_PYR(CT_PYR_ENTER, how, 4);
	p[1] = frame;
	p[2] = previous(frame);
	p[3] = c->id;
	done(p + 4);
	if (how == CT_PYE_CALL)
		forget_values(frame, c);
	if (H.values && c->wanted && !c->module) {
		locals(frame, c, NULL);
		just_entered = frame;
	}
}

static void line(ct_u64 frame, const struct ct_pya_code *c, ct_u64 unit, const struct pending *pending)
{
	if (!c->wanted)
		return;
	if (H.values && (pending || just_entered != frame))
		locals(frame, c, pending);
	just_entered = 0;
	record(CT_PYR_LINE, 0, frame, unit << 32 | c->id);
}

static void leave(ct_u64 frame, const struct ct_pya_code *c, ct_u64 how, ct_u64 result)
{
	if (H.values && c->wanted) {
		locals(frame, c, NULL);
		if (result)
			record_value(frame, CT_PYSLOT_RESULT, result);
	}
	record(CT_PYR_RETURN, how, frame, c->id);
}

#include "replay/agents/blob/python_old.h"

static void new_step(ct_u64 *regs)
{
	const ct_u64 frame = regs[H.frame_reg], ip = regs[H.next_reg];
	const unsigned char opcode = rd8(ip), op = H.op[opcode];
	ct_u64 prev_at = rd(frame + H.off.f_prev_instr);
	struct ct_pya_code *c;
	ct_u64 unit, arg, sp = regs[H.stack_reg];
	ct_s64 prev;
	ct_s32 *lines, now, before;
	unsigned char last = 0;
	int again;

	H.target = H.original[H.index];
	H.cur_frame = 0;
	if (frame != just_entered)
		just_entered = 0;
	if (H.off.owner_c && rd8(frame + H.off.f_owner) >= H.off.owner_c)
		return;
	/* Specialised, or woken up, and dispatched again. */
	again = prev_at == ip && !(op == OP_RESUME && H.off.starts_at_first);
	if ((again && op != OP_FUSED && op != OP_FUSED_STORE) || foreign(frame))
		return;
	make_room(CT_PYA_ROOM);
	answered();
	c = find_code(code_of(frame), 0);
	unit = (ip - c->first) / 2;
	if (unit >= c->count || unit < c->start)
		return;
	if (H.npending && op != OP_CALLED)
		native_end(frame, ip, prev_at, sp);
	if (op == OP_RESUME) {
		unsigned how = rd8(ip + 1) & 3;

		if (!how && H.off.co_warmup && (short)rd32(c->code + H.off.co_warmup) == H.off.warmup_first)
			c = find_code(c->code, 1); /* run for the first time: may be another in the place of one gone */
		enter(frame, c, how ? CT_PYE_RESUMED : CT_PYE_CALL);
		return;
	}
	lines = (ct_s32 *)c->lines;
	if (again)
		goto same;
	prev = ((ct_s64)prev_at - (ct_s64)c->first) / 2;
	if (prev >= 0 && prev < (ct_s64)c->count) {
		last = rd8(prev_at);
		if (H.op[last] == OP_FUSED || H.op[last] == OP_FUSED_STORE) {
			prev += H.skip[last];
			if (prev == (ct_s64)unit) /* its second part after all, told of already */
				goto same;
		}
	}
	if (H.op[last] != OP_RESUME || (ct_s64)unit != prev + 1)
		just_entered = 0;
	now = lines[unit];
	before = prev <= (ct_s64)c->start || prev >= (ct_s64)c->count ? -1 : lines[prev];
	/* Whether a line begins is decided as if quiet instructions were not there. */
	if (H.op[last] == OP_QUIET && (ct_s64)unit == prev + 1 && prev >= H.skip[last] &&
	    lines[prev - H.skip[last]] == now)
		before = now;
	if (now != -1 &&
	    (now != before || (H.off.resume_shows && H.op[last] == OP_RESUME && (ct_s64)unit != prev + 1) ||
	     ((ct_s64)unit < prev && op != OP_SEND)) &&
	    op != OP_QUIET)
		line(frame, c, unit, NULL);
same:
	switch (op) {
	case OP_RETURN: leave(frame, c, 0, rd(sp - 8) & ~(ct_u64)H.off.ref_mask); return;
	case OP_YIELD: leave(frame, c, 1, rd(sp - 8) & ~(ct_u64)H.off.ref_mask); return;
	case OP_RETURN_CONST:
		arg = rd8(ip + 1);
		if (H.off.extended_arg && unit && rd8(ip - 2) == H.off.extended_arg)
			arg |= (ct_u64)rd8(ip - 1) << 8;
		leave(frame, c, 0, rd(rd(c->code + H.off.co_consts) + H.off.tuple_items + 8 * arg));
		return;
	case OP_CALL:
	case OP_CALL_KW:
	case OP_CALL_EX:
		if (c->wanted && native_begin(frame, c, ip, sp, op))
			return; /* its end shows at the next instruction */
		break;
	case OP_CALLED:
		if (H.npending && *find_pending(frame))
			return;
		break;
	case OP_FUSED:
	case OP_FUSED_STORE: {
		ct_u64 second = unit + H.skip[opcode];

		if (second < c->count && lines[second] != -1 && lines[second] != lines[unit]) {
			struct pending stored = {(ct_u32)-1, 0};
			ct_u64 kinds = rd(c->code + H.off.co_kinds) + H.off.bytes_data;

			if (op == OP_FUSED_STORE) {
				stored.slot = rd8(ip + 1);
				stored.o = rd(sp - 8) & ~(ct_u64)H.off.ref_mask;
				if (rd8(kinds + stored.slot) & (CO_FAST_CELL | CO_FAST_FREE))
					stored.slot = (ct_u32)-1;
			}
			line(frame, c, second, &stored);
		}
		return;
	}
	}
	now = lines[unit];
	for (unit++; unit < c->count && lines[unit] == now;)
		unit++;
	H.cur_start = ip;
	H.cur_end = c->first + 2 * unit;
	H.cur_frame = frame;
}

HIDDEN __attribute__((used)) void agent_step(ct_u64 *regs)
{
	if (H.off.f_lasti)
		old_step(regs);
	else
		new_step(regs);
}

/* At a call of PyTraceBack_Here(frame object) by the evaluation loop: an exception has come to this frame. */
HIDDEN __attribute__((used)) void agent_exception(ct_u64 *regs)
{
	const ct_u64 object = ((struct regs *)regs)->rdi;
	const ct_u64 frame = H.off.f_lasti ? object : rd(object + H.off.pyframe_frame);
	ct_u64 tstate = 0, interp, type, exc, *p;
	struct ct_pya_code *c;

	H.target = H.traceback;
	just_entered = 0;
	if (!H.off.f_lasti)
		H.cur_frame = 0;
	if (foreign(frame))
		return;
	make_room(CT_PYA_ROOM);
	if (H.off.f_lasti)
		old_exception(frame);
	c = find_code(code_of(frame), 0);
	answered();
	native_gone(frame); /* a C function that it was in has raised it, or let it through */
	tstate = H.runtime_tstate ? rd(H.runtime_tstate) : thread_state(frame, &interp);
	if (tstate && c->wanted) {
		type = H.off.exc_type ? rd(tstate + H.off.exc_type) : 0;
		exc = rd(tstate + H.off.exc_value);
		if (type)
			record_value(frame, CT_PYSLOT_EXC_TYPE, type);
		if (exc)
			record_value(frame, CT_PYSLOT_EXC, exc);
	}
	p = put();
	p[0] = CT_PYR(CT_PYR_RAISE, 0, 4);
	p[1] = frame;
	p[2] = previous(frame);
	p[3] = ((H.off.f_lasti ? last_instr(frame) : rd(frame + H.off.f_prev_instr)) - c->first) / 2 << 32 | c->id;
	done(p + 4);
}

/* Stubs, and patched places. */
__asm__(ENTRY("entry", "agent_step") ENTRY("exc_entry", "agent_exception")
		ENTRY("begin_entry", "agent_begin") ".text\n");
