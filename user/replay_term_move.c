// SPDX-License-Identifier: MIT
/* Steps by source lines and instructions, over calls and out of them, in both directions.
 *
 * Forwards a call is left when its return address is come to with the stack as it was. Backwards the call was where the
 * return address was written to the stack: a watchpoint finds it, whatever the code looks like. */
#include <string.h>

#include "replay/disasm.h"
#include "user/replay_term.h"

#define MOST_STEPS 2000000 /* of one line */
#define STUB       3       /* instructions of a stub between a call and what is called */

/* How a move ended: it went on to where it was to go; stopped somewhere else, of which has been told; failed. */
enum { DONE, STOPPED, FAILED = -1 };

static int regs_of(struct term *t, struct ct_regs *r, struct ct_error *err)
{
	return ct_session_regs(ct_timeline_session(t->tl), t->tid, r, err);
}

static bool instruction(struct term *t, ct_u64 at, struct ct_disasm *insn)
{
	unsigned char code[15];
	size_t len = sizeof(code);

	while (len && ct_session_read(ct_timeline_session(t->tl), ct_timeline_pid(t->tl), at, code, len, NULL))
		len--;
	return ct_disassemble(code, len, at, insn);
}

static int one(struct term *t, bool back, struct ct_stopped *st, struct ct_error *err)
{
	const ct_u32 tid = t->tid;

	if (ct_timeline_step(t->tl, tid, back, st, err) || term_moved(t, err))
		return FAILED;
	if (st->why == CT_ARRIVED_STEP)
		return DONE;
	t->tid = st->tid;
	if (st->why == CT_ARRIVED_BREAK && !term_point_at(t, st)) { /* a condition that does not hold */
		t->tid = tid;
		return one(t, back, st, err);
	}
	return STOPPED;
}

/* Runs on to `addr` with the stack not below `least`, or to wherever it is stopped before. */
static int run_to(struct term *t, ct_u64 addr, ct_u64 least, struct ct_stopped *st, struct ct_error *err)
{
	const struct ct_stop stop = {CT_STOP_EXEC_BY, addr, t->tid};
	struct ct_regs r;

	for (;;) {
		if (term_run(t, false, &stop, 1, st, err))
			return FAILED;
		if (st->why != CT_ARRIVED_BREAK || st->stop.addr != addr)
			return STOPPED;
		if (regs_of(t, &r, err))
			return FAILED;
		if (r.r[CT_RSP] >= least)
			return DONE;
		if (term_point_at(t, st))
			return STOPPED;
		if (term_interrupted(t)) {
			st->why = CT_ARRIVED_INTERRUPT;
			return STOPPED;
		}
	}
}

/* Runs back to where the return address in `slot` is written. */
static int run_back_to_call(struct term *t, ct_u64 slot, struct ct_stopped *st, struct ct_error *err)
{
	const struct ct_stop stop = {CT_STOP_WRITE, slot, 8};
	const ct_u32 tid = t->tid;
	struct ct_disasm insn;
	struct ct_regs r;

	for (;;) {
		if (term_run(t, true, &stop, 1, st, err))
			return FAILED;
		if (st->why != CT_ARRIVED_WATCH || st->stop.addr != slot)
			return STOPPED;
		if (regs_of(t, &r, err))
			return FAILED;
		if (st->tid == tid && instruction(t, r.r[CT_RIP], &insn) && insn.kind == CT_KIND_CALL &&
		    r.r[CT_RSP] == slot + 8)
			return DONE;
		if (term_interrupted(t)) {
			st->why = CT_ARRIVED_INTERRUPT;
			return STOPPED;
		}
	}
}

/* ---- by lines --------------------------------------------------------------------------------------------------- */

/* In a function that has just been called: to behind its prologue, or out of it again if it has no lines. */
static int enter(struct term *t, ct_u64 back_at, ct_u64 rsp, struct ct_stopped *st, struct ct_error *err)
{
	struct ct_place place;
	struct ct_disasm insn;
	struct ct_dwarf_function f;
	struct ct_regs r;
	ct_u64 body;
	int ret;

	for (int i = 0; i <= STUB; i++) {
		if (regs_of(t, &r, err))
			return FAILED;
		ct_symbols_place(t->sy, r.r[CT_RIP], &place);
		if (place.line) {
			if (!ct_dwarf_function_at(ct_symbols_dwarf(t->sy), r.r[CT_RIP], &f) || f.entry != r.r[CT_RIP])
				return DONE;
			body = ct_dwarf_body(ct_symbols_dwarf(t->sy), &f);
			return body > r.r[CT_RIP] ? run_to(t, body, 0, st, err) : DONE;
		}
		if (!instruction(t, r.r[CT_RIP], &insn) ||
		    (insn.kind != CT_KIND_JUMP && strcmp(insn.text, "endbr64") != 0))
			break;
		if ((ret = one(t, false, st, err)))
			return ret;
	}
	return run_to(t, back_at, rsp, st, err);
}

/* One instruction, and if it is a call, what is called, unless that is to be gone into. *entered: it has been. */
static int forward(struct term *t, bool into, bool *entered, struct ct_stopped *st, struct ct_error *err)
{
	struct ct_disasm insn;
	struct ct_regs r, now;
	ct_u64 behind;
	int ret;

	*entered = false;
	if (regs_of(t, &r, err))
		return FAILED;
	if (!instruction(t, r.r[CT_RIP], &insn) || insn.kind != CT_KIND_CALL)
		return one(t, false, st, err);
	behind = r.r[CT_RIP] + insn.len;
	if (!into)
		return run_to(t, behind, r.r[CT_RSP], st, err);
	if ((ret = one(t, false, st, err)) || (ret = enter(t, behind, r.r[CT_RSP], st, err)))
		return ret;
	if (regs_of(t, &now, err))
		return FAILED;
	*entered = now.r[CT_RIP] != behind;
	return DONE;
}

/* One instruction back, and if that was a return, over what was called, unless that is to be gone into. */
static int backward(struct term *t, bool into, bool *entered, struct ct_stopped *st, struct ct_error *err)
{
	struct ct_place place;
	struct ct_disasm insn;
	struct ct_regs r;
	int ret;

	*entered = false;
	if ((ret = one(t, true, st, err)))
		return ret;
	if (regs_of(t, &r, err))
		return FAILED;
	if (!instruction(t, r.r[CT_RIP], &insn) || insn.kind != CT_KIND_RETURN)
		return DONE;
	ct_symbols_place(t->sy, r.r[CT_RIP], &place);
	*entered = into && place.line;
	return *entered ? DONE : run_back_to_call(t, r.r[CT_RSP], st, err);
}

static int where(struct term *t, struct ct_place *place, ct_u64 *ip, struct ct_error *err)
{
	struct ct_regs r;

	if (regs_of(t, &r, err))
		return FAILED;
	*ip = r.r[CT_RIP];
	ct_symbols_place(t->sy, *ip, place);
	return DONE;
}

static int line_forward(struct term *t, bool into, struct ct_stopped *st, struct ct_error *err)
{
	struct ct_place from, now;
	ct_u64 ip;
	bool entered;
	int ret = where(t, &from, &ip, err);

	for (unsigned i = 0; !ret && i < MOST_STEPS; i++) {
		ret = forward(t, into, &entered, st, err);
		if (ret || !from.line || entered || term_interrupted(t))
			return ret;
		if (ip = 0, (ret = where(t, &now, &ip, err)))
			return ret;
		if (ip >= from.line_begin && ip < from.line_end)
			continue;
		/* In the midst of a line, as after a return, it goes on; so it does in other code of the same line. */
		if (!now.line || (ip == now.line_begin && (now.line != from.line || now.begin != from.begin)))
			return DONE;
		from = now;
	}
	return ret;
}

/* From the beginning of a line to that of the one before, from its midst to its own. */
static int line_back(struct term *t, bool into, struct ct_stopped *st, struct ct_error *err)
{
	bool own = true, entered, moved = false; /* it is about the line it began in; it has come some way in a line */
	struct ct_place from, now;
	ct_u64 ip;
	int ret = where(t, &from, &ip, err);

	for (unsigned i = 0; !ret && i < MOST_STEPS; i++) {
		if (from.line && moved && ip == from.line_begin)
			return DONE;
		ret = backward(t, into, &entered, st, err);
		if (ret || !from.line || term_interrupted(t) || (ret = where(t, &now, &ip, err)))
			return ret;
		if (ip >= from.line_begin && ip < from.line_end && !entered) {
			moved = true;
			continue;
		}
		/* What was before is no part of the line, which is come into in its midst, then. */
		if (moved || !own)
			return one(t, false, st, err);
		if (!now.line)
			return DONE;
		from = now;
		own = false;
		moved = true;
	}
	return ret;
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static int tell(struct term *t, int ret, const struct ct_stopped *st, bool back)
{
	if (ret == STOPPED)
		term_tell(t, st, back);
	else if (ret == DONE)
		term_tell_place(t, true);
	return ret == FAILED ? -1 : 0;
}

typedef int mover(struct term *t, bool flag, struct ct_stopped *st, struct ct_error *err);

static int repeat(struct term *t, const char *args, mover *move, bool flag, bool back, struct ct_error *err)
{
	struct ct_stopped st = {.why = CT_ARRIVED_STEP};
	unsigned long long n;
	int ret = DONE;

	if (term_number(args, 1, &n, err) || term_arm(t, NULL, 0, err))
		return -1;
	while (n-- && ret == DONE && !term_interrupted(t))
		ret = move(t, flag, &st, err);
	return tell(t, ret, &st, back);
}

static int single(struct term *t, bool back, struct ct_stopped *st, struct ct_error *err)
{
	return one(t, back, st, err);
}

int term_step(struct term *t, const char *args, struct ct_error *err)
{
	return repeat(t, args, line_forward, true, false, err);
}

int term_next(struct term *t, const char *args, struct ct_error *err)
{
	return repeat(t, args, line_forward, false, false, err);
}

int term_rstep(struct term *t, const char *args, struct ct_error *err)
{
	return repeat(t, args, line_back, true, true, err);
}

int term_back(struct term *t, const char *args, struct ct_error *err)
{
	return repeat(t, args, line_back, false, true, err);
}

int term_stepi(struct term *t, const char *args, struct ct_error *err)
{
	return repeat(t, args, single, false, false, err);
}

int term_backi(struct term *t, const char *args, struct ct_error *err)
{
	return repeat(t, args, single, true, true, err);
}

/* Where the function that is looked at returns to, and what rsp is then. */
static int caller(struct term *t, ct_u64 *pc, ct_u64 *cfa, struct ct_error *err)
{
	const struct ct_dwarf_frame *f = term_the_frame(t);
	size_t i = t->at;

	while (f && i < t->stack.n && t->stack.frame[i].inlined) /* what it is in returns */
		i++;
	if (!f || i + 1 >= t->stack.n || !t->stack.frame[i].cfa || t->stack.frame[i].signal)
		return ct_fail(err, CT_EXIT_FAILED, "it is not known who has called this function");
	*cfa = t->stack.frame[i].cfa;
	*pc = t->stack.frame[i + 1].pc;
	return 0;
}

int term_finish(struct term *t, const char *args, struct ct_error *err)
{
	struct ct_stopped st;
	struct ct_regs r;
	ct_u64 pc, cfa;
	int ret;

	(void)args;
	if (caller(t, &pc, &cfa, err))
		return -1;
	ret = run_to(t, pc, cfa, &st, err);
	if (ret == DONE && !regs_of(t, &r, err))
		ct_out_fmt(&t->out, "returned, rax is %#llx\n", (unsigned long long)r.r[CT_RAX]);
	return tell(t, ret, &st, false);
}

int term_rfinish(struct term *t, const char *args, struct ct_error *err)
{
	struct ct_stopped st;
	ct_u64 pc, cfa;

	(void)args;
	if (caller(t, &pc, &cfa, err))
		return -1;
	return tell(t, run_back_to_call(t, cfa - 8, &st, err), &st, true);
}

static int run_on(struct term *t, bool back, struct ct_error *err)
{
	struct ct_stopped st;

	if (term_run(t, back, NULL, 0, &st, err))
		return -1;
	term_tell(t, &st, back);
	return 0;
}

int term_continue(struct term *t, const char *args, struct ct_error *err)
{
	(void)args;
	return run_on(t, false, err);
}

int term_rc(struct term *t, const char *args, struct ct_error *err)
{
	(void)args;
	return run_on(t, true, err);
}

int term_goto(struct term *t, const char *args, struct ct_error *err)
{
	int ret = ct_timeline_seek_text(t->tl, args, err);

	t->tid = 0; /* whoever runs there */
	if (ret) {
		struct ct_error ignored;

		term_moved(t, &ignored);
		return -1;
	}
	if (term_moved(t, err))
		return -1;
	term_tell_place(t, false);
	return 0;
}
