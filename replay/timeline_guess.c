// SPDX-License-Identifier: MIT
/* What the instruction before a moment may have been: the code says what may come before, and mostly what the registers
 * were then (a store changes none, an addition can be undone). */
#include "replay/timeline_before.h"
#include "replay/trampoline.h"

#define STACK_LOOKED_AT   1024 /* bytes */
#define STEPS_FROM_CALLER 1500

/* Registers that a called function may change (System V ABI). */
#define CALLER_SAVED                                                                                                   \
	(BIT(CT_RAX) | BIT(CT_RCX) | BIT(CT_RDX) | BIT(CT_RSI) | BIT(CT_RDI) | BIT(CT_R8) | BIT(CT_R9) | BIT(CT_R10) | \
	 BIT(CT_R11) | BIT(CT_RFLAGS))

bool ct_before_decode(const struct before *b, ct_u64 at, struct code *c)
{
	unsigned char bytes[16];
	size_t len = sizeof(bytes);

	if (at >= b->near_at && at + sizeof(bytes) <= b->near_at + sizeof(b->near))
		return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&b->dec, b->near + (at - b->near_at), len, &c->insn, c->op));
	while (len && ct_session_read(b->tl->s, b->tl->pid, at, bytes, len, NULL))
		len--;
	return len && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&b->dec, bytes, len, &c->insn, c->op));
}

/* Index of the general register that `reg` is (a part of); -1: it is none. */
static int general(ZydisRegister reg)
{
	const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15
		       ? (int)ct_reg_index(whole - ZYDIS_REGISTER_RAX)
		       : -1;
}

static void add(struct before *b, const struct guess *g)
{
	if (b->n < MOST_GUESSES)
		b->guess[b->n++] = *g;
}

ct_u64 ct_before_target(const struct code *c, ct_u64 at)
{
	for (unsigned i = 0; i < 2; i++)
		if (c->insn.raw.imm[i].size && c->insn.raw.imm[i].is_relative)
			return at + c->insn.length + (ct_u64)c->insn.raw.imm[i].value.s;
	return 0;
}

/* ---- what the registers were before an instruction ----------------------------------------------------------------
 */

/* add, sub, inc, dec of a whole register with something that is still there. */
static bool undo_sum(const struct code *c, struct ct_regs *r)
{
	const ZydisDecodedOperand *to = &c->op[0], *by = &c->op[1];
	const bool minus = c->insn.mnemonic == ZYDIS_MNEMONIC_SUB || c->insn.mnemonic == ZYDIS_MNEMONIC_DEC;
	const int reg = to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->size == 64 ? general(to->reg.value) : -1;
	ct_u64 amount = 1;

	if (reg < 0)
		return false;
	switch (c->insn.mnemonic) {
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC: break;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		if (by->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			amount = by->imm.value.u;
		} else {
			const int from = by->type == ZYDIS_OPERAND_TYPE_REGISTER ? general(by->reg.value) : -1;

			if (from < 0 || from == reg)
				return false;
			amount = r->r[from];
		}
		break;
	case ZYDIS_MNEMONIC_LEA:
		if (general(by->mem.base) != reg || by->mem.index != ZYDIS_REGISTER_NONE)
			return false;
		amount = (ct_u64)by->mem.disp.value;
		break;
	default: return false;
	}
	r->r[reg] += minus ? amount : -amount;
	return true;
}

static void undo(const struct code *c, struct guess *g)
{
	const ct_u32 stack = BIT(CT_RSP);
	ct_u32 written = 0;

	for (unsigned i = 0; i < c->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &c->op[i];

		if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) || op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (general(op->reg.value) >= 0)
			written |= BIT(general(op->reg.value));
	}
	if (c->insn.cpu_flags && (c->insn.cpu_flags->modified | c->insn.cpu_flags->set_0 | c->insn.cpu_flags->set_1 |
				  c->insn.cpu_flags->undefined))
		written |= BIT(CT_RFLAGS);
	if (undo_sum(c, &g->regs)) {
		written &= BIT(CT_RFLAGS);
	} else if (c->insn.meta.category == ZYDIS_CATEGORY_PUSH) {
		g->regs.r[CT_RSP] += c->insn.operand_width / 8;
		written &= ~stack;
	} else if (c->insn.meta.category == ZYDIS_CATEGORY_POP && c->insn.mnemonic != ZYDIS_MNEMONIC_LEAVE) {
		g->regs.r[CT_RSP] -= c->insn.operand_width / 8;
		written &= ~stack;
	} else if (c->insn.mnemonic == ZYDIS_MNEMONIC_LEAVE) {
		g->regs.r[CT_RBP] = g->regs.r[CT_RSP] - 8;
		written = stack;
	}
	g->unknown = written;
}

/* One round of a repeated instruction at `at`. */
void ct_guess_round(struct before *b, ct_u64 at)
{
	struct guess g = {.regs = b->m->regs, .steps = 1};
	unsigned char bytes[16] = {0};
	struct ct_rep rep;

	if (ct_session_read(b->tl->s, b->tl->pid, at, bytes, sizeof(bytes), NULL) || !ct_rep_decode(bytes, &rep) ||
	    !rep.len || rep.loads || (g.regs.r[CT_RFLAGS] & 0x400))
		return;
	g.regs.r[CT_RIP] = at;
	g.regs.r[CT_RCX]++;
	g.regs.r[CT_RSI] -= rep.rsi ? rep.size : 0;
	g.regs.r[CT_RDI] -= rep.rdi ? rep.size : 0;
	if (rep.compares)
		g.unknown = BIT(CT_RFLAGS);
	add(b, &g);
}

/* ---- which instruction it may have been ----------------------------------------------------------------------------
 */

/* Where the instruction that ends at `ip` begins, if the code before is decoded from many places: most of them agree.
 */
static ct_u64 linear_before(const struct before *b, ct_u64 ip)
{
	unsigned votes[16] = {0}, best = 0;

	for (ct_u64 from = ip - 64; from < ip; from++) {
		ct_u64 at = from, last = 0;
		struct code c;

		while (at < ip && ct_before_decode(b, at, &c)) {
			last = at;
			at += c.insn.length;
		}
		if (at == ip && last && ip - last < 16)
			votes[ip - last]++;
	}
	for (unsigned len = 1; len < 16; len++)
		if (votes[len] > votes[best])
			best = len;
	return best && votes[best] ? ip - best : 0;
}

void ct_guess_linear(struct before *b)
{
	const ct_u64 at = linear_before(b, b->m->regs.r[CT_RIP]);
	struct guess g = {.regs = b->m->regs, .steps = 1};
	struct code c;

	if (!at || !ct_before_decode(b, at, &c))
		return;
	g.regs.r[CT_RIP] = at;
	switch (c.insn.meta.category) {
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL: return;
	case ZYDIS_CATEGORY_CALL:
		g.unknown = CALLER_SAVED;
		g.call = true;
		break;
	case ZYDIS_CATEGORY_COND_BR:
		if (c.insn.opcode >= 0xe0 && c.insn.opcode <= 0xe2 && c.insn.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
			g.regs.r[CT_RCX]++; /* loop */
		break;
	default:
		if (c.insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) {
			ct_guess_round(b, at);
			return;
		}
		undo(&c, &g);
	}
	add(b, &g);
}

void ct_guess_jumps(struct before *b)
{
	const ct_u64 ip = b->m->regs.r[CT_RIP];
	struct guess g = {.regs = b->m->regs, .steps = 1};
	struct code c;

	for (ct_u64 at = ip - AROUND; at < ip + AROUND; at += c.insn.length) {
		if (!ct_before_decode(b, at, &c)) {
			c.insn.length = 1;
			continue;
		}
		if (at < ip && at + c.insn.length > ip) /* out of step */
			c.insn.length = (ZyanU8)(ip - at);
		else if ((c.insn.meta.category == ZYDIS_CATEGORY_COND_BR ||
			  c.insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR) &&
			 ct_before_target(&c, at) == ip) {
			g.regs.r[CT_RIP] = at;
			add(b, &g);
		}
	}
}

/* The function has just been entered: the return address says from where. */
void ct_guess_call(struct before *b)
{
	struct guess g = {.regs = b->m->regs, .call = true /* by way of a PLT, it may be */};
	ct_u64 back, at;
	struct code c;

	if (ct_session_read(b->tl->s, b->tl->pid, g.regs.r[CT_RSP], &back, sizeof(back), NULL))
		return;
	at = linear_before(b, back);
	if (!at || !ct_before_decode(b, at, &c) || c.insn.meta.category != ZYDIS_CATEGORY_CALL)
		return;
	g.regs.r[CT_RIP] = at;
	g.regs.r[CT_RSP] += 8;
	add(b, &g);
}

/* Whoever called what runs now: the values on the stack that have a call before them. From there it may be near. */
void ct_guess_callers(struct before *b)
{
	struct guess g = {.regs = b->m->regs, .unknown = ~CT_CALL_KNOWN, .steps = STEPS_FROM_CALLER};
	ct_u64 at, back;
	unsigned n = 0;
	struct code c;

	for (ct_u64 slot = b->m->regs.r[CT_RSP]; slot < b->m->regs.r[CT_RSP] + STACK_LOOKED_AT && n < CT_CALLERS;
	     slot += 8) {
		if (ct_session_read(b->tl->s, b->tl->pid, slot, &back, sizeof(back), NULL))
			break;
		at = back > AROUND ? linear_before(b, back) : 0;
		if (!at || !ct_before_decode(b, at, &c) || c.insn.meta.category != ZYDIS_CATEGORY_CALL)
			continue;
		g.regs.r[CT_RIP] = at;
		g.regs.r[CT_RSP] = slot + 8;
		add(b, &g);
		n++;
	}
}
