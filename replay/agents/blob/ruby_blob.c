// SPDX-License-Identifier: MIT
/* The agent inside of a replayed Ruby: called when an instruction begins that is more than the one before it, it writes
 * down lines, calls and values. Freestanding: no library, no allocation, no function of the interpreter, not one store
 * outside of its own regions; it runs on its own stack. */
#include <stddef.h>

#include "replay/agents/ruby_shared.h"

#define HIDDEN __attribute__((visibility("hidden")))

/* RUBY_EVENT_* that instructions are marked with */
#define EV_LINE  0x1u
#define EV_ENTER (0x2u | 0x8u | 0x100u)  /* CLASS, CALL, B_CALL */
#define EV_LEAVE (0x4u | 0x10u | 0x200u) /* END, RETURN, B_RETURN */
#define EV_TELL  (EV_LINE | EV_ENTER | EV_LEAVE)

/* a control frame; its first word of environment has its kind */
#define CFP_PC     0
#define CFP_SP     8
#define CFP_ISEQ   16
#define CFP_SELF   24
#define CFP_EP     32
#define FRAME_KIND 0x7fff0001u
#define RESCUE     0x78880001u
#define CFUNC      0x55550001u
#define CFRAME     0x80u
#define BMETHOD    0x40u

#define TAG_RETURN 1
#define TAG_BREAK  2

__attribute__((section(".head"), used)) HIDDEN struct ct_rba_head H = {0};

static ct_u64 hash(ct_u64 x)
{
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 32;
	x *= 0xff51afd7ed558ccdull;
	return x ^ x >> 29;
}

#include "replay/agents/blob/blob.h"

/* Never 0. In two chains: each multiplication has to wait for the one before. */
static ct_u64 digest_of(const ct_u64 *w, const ct_u64 *end)
{
	ct_u64 a = 1, b = 2;

	for (; w + 1 < end; w += 2) {
		a = (a ^ w[0]) * 0xff51afd7ed558ccdull;
		b = (b ^ w[1]) * 0xc4ceb9fe1a85ec53ull;
		a ^= a >> 32;
		b ^= b >> 32;
	}
	if (w < end)
		a = (a ^ w[0]) * 0xff51afd7ed558ccdull;
	return hash(a ^ hash(b)) | 1;
}

/* ---- tables ------------------------------------------------------------------------------------------------- */

/* Of what else lies in the same place when a sequence is freed and another made. */
static ct_u64 fingerprint(ct_u64 body)
{
	ct_u64 x = rd(body), locals = rd(body + H.off.locals);
	ct_u32 n = rd32(body + H.off.local_count);

	for (ct_u32 i = 0; i < H.off.location_size; i += 8)
		x = hash(x ^ rd(body + H.off.location + i));
	x ^= rd(body + H.off.insns_body);
	for (ct_u32 i = 0; i < n && i < 8; i++)
		x = hash(x ^ rd(locals + 8 * i));
	return x;
}

static struct ct_rba_iseq *find_iseq(ct_u64 iseq, ct_u64 cfp, int again)
{
	struct ct_rba_iseq *table = (struct ct_rba_iseq *)(H.base + CT_RBA_ISEQS), *c;
	const ct_u64 ep = rd(cfp + CFP_EP), variant = rd(ep) & BMETHOD ? rd(ep - 16) : 0;
	ct_u64 home = hash(iseq ^ variant << 1) % CT_RBA_NISEQS, i = 0, body = rd(iseq + 16);
	const ct_u64 check = fingerprint(body);

	for (; i < CT_RBA_PROBES; i++) {
		c = &table[(home + i) % CT_RBA_NISEQS];
		if (!c->iseq || (c->iseq == iseq && c->variant == variant))
			break;
	}
	if (i == CT_RBA_PROBES)
		c = &table[(home + iseq % 13) % CT_RBA_NISEQS];
	if (c->iseq != iseq || c->variant != variant || c->body != body || c->encoded != rd(body + 8) ||
	    c->check != check || again) {
		buffer()->arg3 = cfp;
		request(CT_RBREQ_ISEQ, iseq, (ct_u64)c);
		c->check = check;
		c->variant = variant;
	}
	return c;
}

static struct ct_rba_type *find_type(ct_u64 key)
{
	struct ct_rba_type *table = (struct ct_rba_type *)(H.base + CT_RBA_TYPES), *t;
	ct_u64 home = hash(key >> 3) % CT_RBA_NTYPES, i = 0, check = key & 7 ? 0 : rd(key + 16);

	for (; i < CT_RBA_PROBES; i++) {
		t = &table[(home + i) % CT_RBA_NTYPES];
		if (!t->key || t->key == key)
			break;
	}
	if (i == CT_RBA_PROBES)
		t = &table[(home + key % 13) % CT_RBA_NTYPES];
	if (t->key != key || t->check != check || (t->count_at && t->count != rd(t->count_at))) {
		request(CT_RBREQ_TYPE, key, (ct_u64)t);
		t->check = check;
	}
	return t;
}

static ct_u32 method_id(ct_u64 me)
{
	/* its definition, what it is called, whose it is */
	const ct_u64 check = hash(rd(me + 16) ^ hash(rd(me + 24) ^ rd(me + 32) << 1));
	struct ct_rba_method *m = (struct ct_rba_method *)(H.base + CT_RBA_METHODS) + hash(me >> 3) % CT_RBA_NMETHODS;

	if (m->me != me || m->check != check) {
		request(CT_RBREQ_METHOD, me, (ct_u64)m);
		m->me = me;
		m->check = check;
	}
	return m->id;
}

#include "replay/agents/blob/ruby_values.h"

/* ---- changes ------------------------------------------------------------------------------------------------ */

static void record_value(ct_u64 frame, ct_u64 slot, ct_u64 o)
{
	ct_u64 *p = put();

	record_words(CT_RBR_VALUE, slot, frame, value(p + 2, p + CT_PYA_VALUE_MAX / 8, o, 0));
}

/* Written only if it is another one than at the last step. `quiet`: as new variables are, it is not told of. */
static void changed_value(ct_u64 frame, ct_u64 slot, ct_u64 key, ct_u64 o, int quiet)
{
	struct ct_pya_seen *s = (struct ct_pya_seen *)(H.base + CT_RBA_SEEN) + hash(key) % CT_RBA_NSEEN;
	ct_u64 *p, *q, digest;

	if (s->key != key && quiet)
		return;
	make_room(CT_PYA_ROOM / 2);
	p = put();
	q = value(p + 2, p + CT_PYA_VALUE_MAX / 8, o, 0);
	digest = digest_of(p + 2, q);
	if (s->key == key && s->digest == digest)
		return;
	s->key = key;
	s->digest = digest;
	record_words(CT_RBR_VALUE, slot, frame, q);
}

static void forget(ct_u64 frame, ct_u64 slot)
{
	const ct_u64 key = frame ^ slot << 48 ^ 1;

	((struct ct_pya_seen *)(H.base + CT_RBA_SEEN) + hash(key) % CT_RBA_NSEEN)->key = 0;
}

/* Its own variables are new with each run of a frame; those of frames around it are told of when they have changed
 * since code at the same depth saw them. */
static void locals(ct_u64 frame, ct_u64 cfp, const struct ct_rba_iseq *c)
{
	const struct ct_rba_var *v = (const struct ct_rba_var *)c->vars;
	ct_u64 ep = rd(cfp + CFP_EP), level = 0;

	for (ct_u32 i = 0; i < c->nvars; i++) {
		ct_u64 at, o, key;

		for (; level < v[i].level; level++)
			ep = rd(ep - 8) & ~(ct_u64)3;
		at = ep - 8 * (ct_u64)v[i].back;
		o = rd(at);
		key = level > c->level && !c->method ? hash(frame) ^ at : frame ^ (ct_u64)i << 48 ^ 1;
		changed_value(frame, i, key, o, o == H.off.nil && i >= c->nargs);
	}
	if (c->method) {
		ct_u64 self = rd(cfp + CFP_SELF), kind;

		if (self && !(self & 7) && self != H.off.nil && self != H.off.undef) {
			kind = rd(self) & T_MASK;
			if (kind == T_STRUCT || kind == T_OBJECT)
				changed_value(frame, CT_RBR_SELF, frame ^ 0xfffull << 48 ^ 1, self, 0);
		}
	}
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

static ct_u64 kind_of(ct_u64 cfp)
{
	return rd(rd(cfp + CFP_EP));
}

/* What rescues or ensures is part of the frame that it was pushed upon. */
static ct_u64 owner(ct_u64 cfp)
{
	while ((kind_of(cfp) & FRAME_KIND) == RESCUE)
		cfp += H.off.cfp_size;
	return cfp;
}

/* What lies between a frame and the one that made it has been left. */
static void enter(ct_u64 frame, ct_u64 what)
{
	ct_u64 *p = put();

	p[0] = CT_PYR(CT_RBR_ENTER, 0, 4);
	p[1] = frame;
	p[2] = what;
	p[3] = owner(frame + H.off.cfp_size);
	done(p + 4);
}

/* The method that a frame of a C function is of; 0: it is another frame. */
static ct_u64 native_method(ct_u64 cfp)
{
	return (kind_of(cfp) & FRAME_KIND) == CFUNC && (kind_of(cfp) & CFRAME) ? rd(rd(cfp + CFP_EP) - 16) : 0;
}

/* Is what calls it asked for? */
static int native_wanted(ct_u64 cfp, ct_u64 end)
{
	while (cfp < end && ((kind_of(cfp) & CFRAME) || !rd(cfp + CFP_ISEQ)))
		cfp += H.off.cfp_size;
	/* A file that is being loaded has a frame already, but no code. */
	return cfp < end && rd(cfp + CFP_PC) && find_iseq(rd(cfp + CFP_ISEQ), cfp, 0)->wanted;
}

static ct_u64 stack_end(ct_u64 ec)
{
	return rd(ec) + 8 * rd(ec + 8);
}

/* A stack seen for the first time: frames further out than this one. Control frames lie at its end, the outermost
 * last. */
static void tell_frames(ct_u64 ec, ct_u64 cfp)
{
	const ct_u64 size = H.off.cfp_size, end = stack_end(ec);

	for (ct_u64 f = end - size; f > cfp && f < end; f -= size) {
		ct_u64 kind = kind_of(f);

		if (native_method(f) && native_wanted(f, end)) {
			make_room(CT_PYA_ROOM / 2);
			record(CT_RBR_FRAME, 0, f, method_id(native_method(f)));
		}
		if ((kind & CFRAME) || (kind & FRAME_KIND) == RESCUE || !rd(f + CFP_ISEQ) || !rd(f + CFP_PC))
			continue;
		make_room(CT_PYA_ROOM / 2);
		record(CT_RBR_FRAME, 0, f, find_iseq(rd(f + CFP_ISEQ), f, 0)->id);
	}
}

static void be_on(ct_u64 ec, ct_u64 cfp)
{
	ct_u64 *known = &H.known[hash(ec >> 4) % CT_RBA_STACKS];

	answered();
	if (H.raised && ec == H.stack && cfp <= H.raised && native_method(H.raised) == H.raised_method)
		record(CT_RBR_RESCUED, 0, H.raised, 0);
	H.raised = 0;
	if (ec == H.stack)
		return;
	H.stack = ec;
	record_words(CT_RBR_STACK, 0, ec, put() + 2);
	if (*known == ec)
		return;
	*known = ec;
	tell_frames(ec, owner(cfp));
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

HIDDEN __attribute__((used)) void agent_step(ct_u64 *regs)
{
	volatile struct ct_rba_near *near = (volatile struct ct_rba_near *)H.near;
	const ct_u64 cfp = regs[H.cfp_reg], pc = regs[H.pc_reg], ec = regs[H.ec_reg], site = near->index;
	const int leave = site == H.leave[0] || site == H.leave[1];
	const struct ct_rba_slot *slot;
	struct ct_rba_iseq *c;
	ct_u64 iseq = rd(cfp + CFP_ISEQ), frame, pos, from = near->start;
	ct_u32 events;
	int rescue;

	H.target = H.moved[site];
	near->start = near->end = 0;
	if (!iseq)
		return;
	make_room(CT_PYA_ROOM);
	c = find_iseq(iseq, cfp, 0);
	pos = (pc - c->encoded) / 8;
	if (pc < c->encoded || pos >= c->size)
		return;
	/* Evaluated text begins without an event; a loop may jump to its beginning. */
	if (!pos && c->top && (from < c->encoded || from >= c->encoded + 8ull * c->size)) {
		c = find_iseq(iseq, cfp, 1);
		events = EV_ENTER;
	} else {
		events = 0;
	}
	slot = (const struct ct_rba_slot *)c->slots + pos;
	events |= slot->events & EV_TELL;
	rescue = c->level > 0;
	if (leave && !rescue && !(events & EV_LEAVE))
		events |= EV_LEAVE;
	if (events) {
		const ct_u64 what = pos << 32 | c->id;

		be_on(ec, cfp);
		frame = owner(cfp);
		if (events & EV_ENTER) {
			enter(frame, what);
			if (H.values && c->wanted) {
				for (ct_u32 i = 0; i < c->nvars; i++)
					forget(frame, i);
				forget(frame, 0xfff);
				locals(frame, cfp, c);
			}
		}
		if (c->wanted && (events & (EV_LINE | EV_LEAVE))) {
			if (H.values)
				locals(frame, cfp, c);
			make_room(CT_PYA_ROOM / 2);
			if (events & EV_LINE)
				record(CT_RBR_LINE, 0, frame, what);
			if (H.values && (events & EV_LEAVE))
				record_value(frame, CT_PYSLOT_RESULT, rd(rd(cfp + CFP_SP) - 8));
		}
		if (events & EV_LEAVE)
			record(CT_RBR_RETURN, 0, frame, what);
	}
	if (site == H.jump_out && H.values && c->wanted) { /* throw: its operand's low byte says why */
		const ct_u64 why = rd(pc + 8) & 0xff;

		be_on(ec, cfp);
		make_room(CT_PYA_ROOM / 2);
		if (why == TAG_RETURN || why == TAG_BREAK)
			record_value(owner(cfp), why == TAG_BREAK ? CT_RBR_BREAK : CT_RBR_AWAY,
				     rd(rd(cfp + CFP_SP) - 8));
	}
	if (leave)
		return;
	near->start = events ? pc + 8 : pc;
	near->end = c->encoded + 8ull * (pos + 1 < c->size ? slot[1].next : c->size);
}

/* A method written in C is called, with what a function has in its registers, or has returned. */
static void native(const ct_u64 *regs, ct_u64 ec, int ends)
{
	const struct regs *r = (const struct regs *)regs;
	const ct_u64 cfp = rd(ec + 16), me = native_method(cfp);
	ct_u32 argc = (ct_u32)r->rsi;

	if (!me || !native_wanted(cfp, stack_end(ec)))
		return;
	make_room(CT_PYA_ROOM);
	be_on(ec, cfp);
	if (ends && H.values)
		record_value(cfp, CT_PYSLOT_RESULT, r->rax);
	if (ends)
		record(CT_RBR_RETURN, 0, cfp, method_id(me));
	else
		enter(cfp, method_id(me));
	if (ends || !H.values)
		return;
	record_value(cfp, CT_RBR_SELF, r->rdi);
	for (ct_u32 i = 0; i < argc && i < H.items; i++) {
		make_room(CT_PYA_ROOM / 2);
		record_value(cfp, i, rd(r->rdx + 8ull * i));
	}
}

static int native_site(const ct_u64 *regs)
{
	const ct_u64 site = ((volatile struct ct_rba_near *)H.near)->index;

	for (ct_u32 i = 0; i < H.nnative; i++) {
		if (site == H.native[i].begin)
			H.target = H.native[i].go_on;
		else if (site == H.native[i].end)
			H.target = H.moved[site];
		else
			continue;
		native(regs, regs[H.native[i].ec_reg], site == H.native[i].end);
		return 1;
	}
	return 0;
}

/* Where an exception has been made ready and hooks would be called: the thread is in a register. */
HIDDEN __attribute__((used)) void agent_raise(ct_u64 *regs)
{
	volatile struct ct_rba_near *near = (volatile struct ct_rba_near *)H.near;
	ct_u64 ec, end, cfp, frame, inner;
	struct ct_rba_iseq *c;

	if (native_site(regs))
		return;
	ec = rd(regs[H.thread_reg] + H.off.th_ec);
	end = stack_end(ec);
	inner = cfp = rd(ec + 16);
	H.target = H.moved[near->index];
	near->start = near->end = 0;
	while (cfp < end && (kind_of(cfp) & CFRAME))
		cfp += H.off.cfp_size;
	if (cfp >= end || !rd(cfp + CFP_ISEQ) || !rd(cfp + CFP_PC))
		return;
	make_room(CT_PYA_ROOM);
	be_on(ec, cfp);
	c = find_iseq(rd(cfp + CFP_ISEQ), cfp, 0);
	frame = owner(cfp);
	if (native_method(inner)) {
		H.raised = inner;
		H.raised_method = native_method(inner);
	}
	if (c->wanted)
		record_value(frame, CT_PYSLOT_EXC, rd(ec + H.off.ec_errinfo));
	/* The frame's place is behind the instruction that it is in. */
	record(CT_RBR_RAISE, 0, frame, ((rd(cfp + CFP_PC) - c->encoded) / 8 - 1) << 32 | c->id);
}

__asm__(ENTRY("entry", "agent_step") ENTRY("exc_entry", "agent_raise") ".text\n");
