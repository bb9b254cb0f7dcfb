// SPDX-License-Identifier: MIT
/* Trampolines: the code at an address is replaced by a jump to a piece of code that sums up all registers without
 * touching a flag (lea, jrcxz), stops if the sum is the wanted one, else runs the replaced instructions and goes back.
 */
#include "replay/trampoline.h"

#include <Zydis/Zydis.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "replay/emitter.h"
#include "replay/inproc.h"

#define CODE_MAX 512

#define CALL_TO_JMP   0x10       /* in the ModRM byte of ff: /2 is call, /4 is jmp */
#define HABIT         16         /* stops inside of the covered instructions, after which they are left alone */
#define LANDING_PAGES 2          /* what a narrow jump leads to may lie across a boundary */
#define LANDING_BELOW (2u << 20) /* of free room: a stack that grows keeps a gap of 256 pages (mm/mmap.c) */

#define DIRECTION 0x400ull /* DF */

/* lea (%rcx,%reg,1<<scale),%rcx; rsp can only be the base. */
static void emit_add(struct ct_emitter *e, int reg, int scale)
{
	if (reg == 4)
		CT_EMIT(e, 0x48, 0x8d, 0x0c, 0x0c); /* lea (%rsp,%rcx,1),%rcx */
	else
		CT_EMIT(e, (unsigned char)(0x48 | (reg & 8 ? 2 : 0)), 0x8d, 0x0c,
			(unsigned char)(scale << 6 | (reg & 7) << 3 | 1));
}

/* Goes on behind this if rcx is 0, else to where the last of `fail` say. A jrcxz alone does not reach far enough. */
static void emit_unless_zero(struct ct_emitter *e, size_t *fail, unsigned *nfail)
{
	CT_EMIT(e, 0xe3, 0x05);                   /* jrcxz over the jump */
	CT_EMIT(e, 0xe9, 0x00, 0x00, 0x00, 0x00); /* jmp fail */
	fail[(*nfail)++] = e->len;
}

static void emit_restore(struct ct_emitter *e, ct_u64 save, ct_u64 wide)
{
	CT_EMIT(e, 0x48, 0x8b, 0x15); /* mov wide(%rip),%rdx */
	ct_emit_rel(e, wide, 0);
	CT_EMIT(e, 0x48, 0x8b, 0x0d); /* mov save(%rip),%rcx */
	ct_emit_rel(e, save, 0);
}

static ct_u64 reg_value(const struct ct_regs *r, unsigned reg)
{
	return r->r[ct_reg_index(reg)];
}

/* As a call does: onto the stack, with no flag touched. */
static void emit_push(struct ct_emitter *e, ct_u64 value)
{
	CT_EMIT(e, 0x48, 0x8d, 0x64, 0x24, 0xf8); /* lea -8(%rsp),%rsp */
	CT_EMIT(e, 0xc7, 0x04, 0x24);             /* movl $,(%rsp) */
	ct_emit(e, &value, 4);
	CT_EMIT(e, 0xc7, 0x44, 0x24, 0x04); /* movl $,4(%rsp) */
	ct_emit(e, (const unsigned char *)&value + 4, 4);
}

/* call *operand, as a push and jmp *operand. Not where the operand would be another after the push. */
static bool relocate_indirect_call(struct ct_emitter *e, const ZydisDecodedInstruction *insn,
				   const unsigned char *bytes, ct_u64 back)
{
	const unsigned rm = insn->raw.modrm.offset;
	const bool by_rsp =
		insn->raw.modrm.rm == 4 && !insn->raw.rex.B && (insn->raw.modrm.mod == 3 || insn->raw.sib.base == 4);

	if (insn->opcode != 0xff || insn->raw.modrm.reg != 2 || by_rsp)
		return false;
	emit_push(e, back);
	ct_emit(e, bytes, rm);
	CT_EMIT(e, (unsigned char)(bytes[rm] + CALL_TO_JMP));
	ct_emit(e, bytes + rm + 1, insn->length - rm - 1u);
	return true;
}

/* One replaced instruction at its new place. Only what can be moved without a change of meaning. */
static bool relocate(struct ct_emitter *e, ZydisDecoder *dec, const unsigned char *bytes, size_t len, ct_u64 at)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(dec, bytes, len, &insn, ops)))
		return false;
	if (insn.attributes & ZYDIS_ATTRIB_IS_RELATIVE) {
		for (int i = 0; i < 2; i++) {
			ct_u64 target;

			if (!insn.raw.imm[i].size || !insn.raw.imm[i].is_relative)
				continue;
			target = at + insn.length + (ct_u64)insn.raw.imm[i].value.s;
			if (insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR) {
				CT_EMIT(e, 0xe9);
			} else if (insn.meta.category == ZYDIS_CATEGORY_COND_BR && insn.opcode >= 0x70 &&
				   insn.opcode <= 0x8f) {
				CT_EMIT(e, 0x0f, (unsigned char)(0x80 | (insn.opcode & 15)));
			} else if (insn.opcode == 0xe8) { /* the return address is that of the original */
				emit_push(e, at + insn.length);
				CT_EMIT(e, 0xe9);
			} else {
				return false; /* loop, jrcxz */
			}
			ct_emit_rel(e, target, 0);
			return true;
		}
		if (insn.raw.disp.size != 32)
			return false;
		if (insn.meta.category == ZYDIS_CATEGORY_CALL)
			emit_push(e, at + insn.length);
		/* rip-relative memory operand: the displacement follows the instruction to its new place */
		size_t disp_at = e->len + insn.raw.disp.offset;
		ct_s64 disp = insn.raw.disp.value + (ct_s64)(at - (e->at + e->len));

		ct_emit(e, bytes, insn.length);
		if ((ct_s32)disp != disp || e->failed)
			return false;
		if (insn.meta.category == ZYDIS_CATEGORY_CALL)
			e->code[disp_at - 1] += CALL_TO_JMP;
		memcpy(e->code + disp_at, &(ct_s32){(ct_s32)disp}, 4);
		return true;
	}
	switch (insn.meta.category) {
	case ZYDIS_CATEGORY_CALL: return relocate_indirect_call(e, &insn, bytes, at + insn.length);
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_INTERRUPT: return false;
	default: ct_emit(e, bytes, insn.length); return true;
	}
}

size_t ct_relocate(const unsigned char *bytes, size_t len, ct_u64 at, ct_u64 to, unsigned char *out, size_t room)
{
	struct ct_emitter e = {.code = out, .room = room, .at = to};
	ZydisDecodedInstruction insn;
	ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0; i < len; i += insn.length)
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&dec, NULL, bytes + i, len - i, &insn)) ||
		    !relocate(&e, &dec, bytes + i, len - i, at + i))
			return 0;
	return e.failed ? 0 : e.len;
}

/* An unmapped page within reach of a rel32 jump. */
static ct_u64 find_room(pid_t pid, ct_u64 ip)
{
	const ct_u64 reach = 1ull << 30;
	struct ct_maps maps;
	ct_u64 best = 0;

	if (ct_maps_read(pid, &maps, NULL))
		return 0;
	for (size_t i = 0; i + 1 < maps.count; i++) {
		ct_u64 end = maps.map[i].end, next = maps.map[i + 1].start;

		if (next - end < 4 * CT_PAGE || next < CT_GADGET)
			continue;
		/* Not next to a mapping: stacks grow into what is below them. */
		if (end + CT_PAGE > ip && end - ip < reach && !best)
			best = end + CT_PAGE;
		else if (end + CT_PAGE <= ip && ip - end < reach)
			best = end + CT_PAGE;
	}
	ct_maps_deinit(&maps);
	return best;
}

bool ct_rep_decode(const unsigned char *bytes, struct ct_rep *rep)
{
	ZydisDecodedInstruction insn;
	ZydisDecoder dec;

	memset(rep, 0, sizeof(*rep));
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&dec, NULL, bytes, ZYDIS_MAX_INSTRUCTION_LENGTH, &insn)) ||
	    !(insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)))
		return true;
	switch (insn.opcode) {
	case 0xa4: /* movs */
	case 0xa5: rep->rsi = rep->rdi = true; break;
	case 0xa6: /* cmps */
	case 0xa7: rep->rsi = rep->rdi = rep->compares = true; break;
	case 0xaa: /* stos */
	case 0xab: rep->rdi = true; break;
	case 0xac: /* lods */
	case 0xad: rep->rsi = rep->loads = true; break;
	case 0xae: /* scas */
	case 0xaf: rep->rdi = rep->compares = true; break;
	default: return false;
	}
	rep->len = insn.length;
	rep->size = insn.opcode & 1 ? insn.operand_width / 8 : 1;
	rep->until_equal = insn.attributes & ZYDIS_ATTRIB_HAS_REPNE;
	return insn.address_width == 64;
}

/* How many bytes of whole instructions a jump of tr->jump bytes replaces, 0: too many instructions, or none. */
static unsigned cover(struct ct_trampoline *tr, ZydisDecoder *dec, const unsigned char *bytes, size_t len)
{
	ZydisDecodedInstruction insn;
	unsigned covered = 0;

	tr->ninner = 0;
	while (covered < tr->jump) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(dec, NULL, bytes + covered, len - covered, &insn)))
			return 0;
		if (covered) {
			if (tr->ninner == 3)
				return 0;
			tr->inner[tr->ninner++] = tr->ip + covered;
		}
		covered += insn.length;
	}
	return covered;
}

/* Five bytes behind ip, within reach of a short jump, that nothing runs: fill between an unconditional jump or return
 * and what is aligned behind it. Where a loop's head lies in the bytes that a long jump would replace, each round would
 * be a stop. ip is the beginning of an instruction, so decoding from there is in step. */
static ct_u64 find_slot(int memfd, ZydisDecoder *dec, ct_u64 ip)
{
	unsigned char code[160];
	ZydisDecodedInstruction insn;
	bool ended = false;
	size_t fill = 0;

	if (!ct_code_read(memfd, ip, code, sizeof(code)))
		return 0;
	for (size_t at = 0; at < sizeof(code) - 16; at += insn.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(dec, NULL, code + at, sizeof(code) - at, &insn)))
			return 0;
		if (ended && (insn.mnemonic == ZYDIS_MNEMONIC_NOP || insn.mnemonic == ZYDIS_MNEMONIC_INT3)) {
			fill += insn.length;
			if (fill >= CT_TRAMPOLINE_JUMP) {
				size_t start = at + insn.length - fill;

				return start >= 2 && start - 2 <= 127 ? ip + start : 0;
			}
			continue;
		}
		ended = insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR || insn.meta.category == ZYDIS_CATEGORY_RET;
		fill = 0;
	}
	return 0;
}

int ct_trampoline_install(struct ct_trampoline *tr, struct ct_rthread *t, const struct ct_regs *regs, ct_u32 unknown)
{
	const ct_u64 ip = regs->r[CT_RIP];
	unsigned char bytes[CT_TRAMPOLINE_MAX + 16], jump[CT_TRAMPOLINE_JUMP] = {0xe9}, hop[2] = {0xeb};
	ct_u64 from;
	unsigned char code[CODE_MAX];
	struct ct_emitter e = {.code = code, .room = sizeof(code)};
	ZydisDecodedInstruction insn;
	ZydisDecoder dec;
	unsigned covered = 0;
	const ct_u64 save = CT_PAGE, wide = CT_PAGE + 8, zero = CT_PAGE + 16;
	size_t fail[CT_TRAMPOLINE_HINTS + 1];
	unsigned nfail = 0;
	ct_u64 sum = 0;
	ct_s64 rel;

	memset(tr, 0, sizeof(*tr));
	tr->t = t;
	tr->ip = ip;
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ct_code_read(t->proc->memfd, ip, bytes, sizeof(bytes)))
		return -1;
	/* The sum must be the same in each round, which it cannot be if the direction flag is set. */
	if (!ct_rep_decode(bytes, &tr->rep) || (tr->rep.len && (regs->r[CT_RFLAGS] & DIRECTION)))
		return -1;
	tr->jump = CT_TRAMPOLINE_JUMP;
	covered = cover(tr, &dec, bytes, sizeof(bytes));
	if (tr->ninner && (tr->slot = find_slot(t->proc->memfd, &dec, ip))) {
		tr->jump = 2;
		covered = cover(tr, &dec, bytes, sizeof(bytes));
		if (!ct_mem_read(t->proc->memfd, tr->slot, tr->slot_orig, sizeof(tr->slot_orig)))
			return -1;
	}
	if (!covered)
		return -1;
	if (covered > CT_TRAMPOLINE_MAX)
		return -1;
	tr->covered = covered;
	memcpy(tr->orig, bytes, covered);
	tr->page = ct_mm_pages(t, ip);
	tr->mapped = !tr->page;
	if (!tr->page && !(tr->page = find_room(t->real, ip)))
		return -1;
	e.at = tr->page;

	/* rcx and rdx are saved in a page of their own: a store near code that runs costs a flush of the pipeline. */
	CT_EMIT(&e, 0x48, 0x89, 0x0d); /* mov %rcx,save(%rip) */
	ct_emit_rel(&e, e.at + save, 0);
	CT_EMIT(&e, 0x48, 0x89, 0x15); /* mov %rdx,wide(%rip) */
	ct_emit_rel(&e, e.at + wide, 0);
	if (unknown & 1u << CT_RCX)
		CT_EMIT(&e, 0xb9, 0x00, 0x00, 0x00, 0x00); /* mov $0,%ecx */
	else
		sum = reg_value(regs, 1);
	if (tr->rep.len && unknown & ~(1u << CT_RFLAGS)) /* sums of those are of what stays the same */
		return -1;
	if (tr->rep.len) { /* rcx counts down while the other goes up: together they stay the same */
		int scale = tr->rep.size == 8 ? 3 : tr->rep.size == 4 ? 2 : tr->rep.size == 2 ? 1 : 0;
		int reg = tr->rep.rsi ? 6 : 7;

		CT_EMIT(&e, 0x48, 0x8d, 0x0c,
			(unsigned char)(scale << 6 | 1 << 3 | reg)); /* lea (%reg,%rcx,size),%rcx */
		sum = (sum << scale) + reg_value(regs, reg);
	}
	for (int reg = 0; reg < 16; reg++) {
		int scale = reg == 4 ? 0 : reg & 3;

		if (reg == 1 || (tr->rep.len && (reg == 6 || reg == 7) && (reg == 6 ? tr->rep.rsi : tr->rep.rdi)) ||
		    (tr->rep.loads && reg == 0))
			continue;
		if (unknown >> ct_reg_index(reg) & 1)
			continue;
		emit_add(&e, reg, scale);
		sum += reg_value(regs, reg) << scale;
	}
	CT_EMIT(&e, 0x48, 0xba); /* movabs $-sum,%rdx */
	sum = -sum;
	ct_emit(&e, &sum, 8);
	emit_add(&e, 2, 0);
	emit_unless_zero(&e, fail, &nfail);
	for (int i = 0; i < CT_TRAMPOLINE_HINTS; i++) { /* at first: of a word that is zero */
		const ct_u64 addr = e.at + zero, want = 0;

		CT_EMIT(&e, 0x48, 0xb9); /* movabs $addr,%rcx */
		tr->hint[i] = e.at + e.len;
		ct_emit(&e, &addr, 8);
		CT_EMIT(&e, 0x48, 0x8b, 0x09); /* mov (%rcx),%rcx */
		CT_EMIT(&e, 0x48, 0xba);       /* movabs $-want,%rdx */
		ct_emit(&e, &want, 8);
		emit_add(&e, 2, 0);
		emit_unless_zero(&e, fail, &nfail);
	}
	emit_restore(&e, e.at + save, e.at + wide);
	CT_EMIT(&e, 0xcc); /* int3 */
	tr->stop = e.at + e.len;
	for (unsigned i = 0; i < nfail && !e.failed; i++)
		memcpy(e.code + fail[i] - 4, &(ct_s32){(ct_s32)(e.len - fail[i])}, 4);
	emit_restore(&e, e.at + save, e.at + wide);
	tr->go_on = e.at + e.len;
	tr->place[tr->nplaces].moved = tr->go_on;
	tr->place[tr->nplaces++].original = ip;
	for (unsigned at = 0; at < covered; at += insn.length) {
		ZydisDecoderDecodeInstruction(&dec, NULL, bytes + at, covered - at, &insn);
		if (!relocate(&e, &dec, bytes + at, covered - at, ip + at))
			return -1;
		if (!at)
			tr->moved_next = e.at + e.len;
		tr->place[tr->nplaces].moved = e.at + e.len;
		tr->place[tr->nplaces++].original = ip + at + insn.length;
	}
	CT_EMIT(&e, 0xe9); /* jmp back */
	ct_emit_rel(&e, ip + covered, 0);
	from = tr->slot ? tr->slot : ip;
	rel = (ct_s64)(e.at - (from + CT_TRAMPOLINE_JUMP));
	if (e.failed || (ct_s32)rel != rel)
		return -1;
	memcpy(jump + 1, &(ct_s32){(ct_s32)rel}, 4);
	hop[1] = (unsigned char)(tr->slot - (ip + 2));
	if (tr->mapped && ct_replica_call(t, SYS_mmap, tr->page, 2 * CT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (long)tr->page)
		return -1;
	if (!ct_mem_write(t->proc->memfd, tr->page, e.code, e.len) ||
	    !ct_mem_write(t->proc->memfd, from, jump, CT_TRAMPOLINE_JUMP) ||
	    (tr->slot && !ct_mem_write(t->proc->memfd, ip, hop, 2))) {
		if (tr->mapped)
			ct_replica_call(t, SYS_munmap, tr->page, 2 * CT_PAGE, 0, 0, 0, 0);
		return -1;
	}
	return 0;
}

int ct_trampoline_hint(struct ct_trampoline *tr, ct_u64 addr, ct_u64 want)
{
	const ct_u64 at = tr->hint[tr->nhints++ % CT_TRAMPOLINE_HINTS];
	const ct_u64 minus = -want;

	/* movabs $addr,%rcx; mov (%rcx),%rcx; movabs $-want,%rdx */
	return ct_mem_write(tr->t->proc->memfd, at, &addr, 8) && ct_mem_write(tr->t->proc->memfd, at + 13, &minus, 8)
		       ? 0
		       : -1;
}

/* The page of `to`, if a landing fits there. */
static ct_u64 landing_page(const struct ct_maps *maps, ct_u64 to)
{
	const ct_u64 page = to & ~(ct_u64)(CT_PAGE - 1);

	if (page < CT_INPROC_END || page >= 1ull << 47)
		return 0;
	for (size_t i = 0; i < maps->count; i++)
		if (maps->map[i].start < page + LANDING_PAGES * CT_PAGE + LANDING_BELOW &&
		    page < maps->map[i].end + CT_PAGE)
			return 0;
	return page;
}

/* Makes a jump of the first `len` bytes of `code`: prefixes that mean nothing, the opcode, and what is left of them for
 * the low bytes of the distance, while the high ones are what stands behind. Returns the page to which it leads, 0:
 * none is free. */
static ct_u64 narrow_jump(const struct ct_trampoline *tr, const struct ct_maps *maps, unsigned char *code, unsigned len,
			  ct_u64 *to)
{
	const unsigned char es = 0x26; /* ignored in long mode */

	for (unsigned opcode = 0; opcode < len; opcode++) {
		const unsigned left = len - opcode - 1;

		for (ct_u32 low = 0; low < 1u << 8 * left; low += CT_PAGE) {
			ct_s32 rel;
			ct_u64 page;

			memset(code, es, opcode);
			code[opcode] = 0xe9;
			memcpy(code + opcode + 1, &low, left);
			memcpy(&rel, code + opcode + 1, 4);
			*to = tr->ip + opcode + CT_TRAMPOLINE_JUMP + (ct_u64)(ct_s64)rel;
			page = landing_page(maps, *to);
			if (page)
				return page;
		}
	}
	return 0;
}

int ct_trampoline_entered(struct ct_trampoline *tr)
{
	const unsigned len = (unsigned)(tr->inner[0] - tr->ip);
	unsigned char code[2 * CT_TRAMPOLINE_JUMP], land[14] = {0xff, 0x25}; /* jmp *0(%rip), and the address */
	const int memfd = tr->t->proc->memfd;
	struct ct_maps maps;
	ct_u64 page, to = 0;

	if (++tr->inner_stops != HABIT || !ct_mem_read(memfd, tr->ip, code, len + CT_TRAMPOLINE_JUMP - 1) ||
	    ct_maps_read(tr->t->real, &maps, NULL))
		return 0;
	memcpy(code, tr->orig, tr->jump);
	page = narrow_jump(tr, &maps, code, len, &to);
	ct_maps_deinit(&maps);
	if (!page || ct_replica_call(tr->t, SYS_mmap, page, LANDING_PAGES * CT_PAGE, PROT_READ | PROT_EXEC,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (long)page)
		return 0;
	tr->landing = page;
	memcpy(land + 6, &tr->page, 8);
	if (!ct_mem_write(memfd, to, land, sizeof(land)) || !ct_mem_write(memfd, tr->ip, tr->orig, tr->jump) ||
	    !ct_mem_write(memfd, tr->ip, code, len) ||
	    (tr->slot && !ct_mem_write(memfd, tr->slot, tr->slot_orig, CT_TRAMPOLINE_JUMP)))
		return -1;
	tr->slot = 0;
	tr->jump = tr->covered = len;
	tr->ninner = 0;
	return 0;
}

void ct_trampoline_remove(struct ct_trampoline *tr)
{
	if (tr->landing)
		ct_replica_call(tr->t, SYS_munmap, tr->landing, LANDING_PAGES * CT_PAGE, 0, 0, 0, 0);
	ct_mem_write(tr->t->proc->memfd, tr->ip, tr->orig, tr->jump);
	if (tr->slot)
		ct_mem_write(tr->t->proc->memfd, tr->slot, tr->slot_orig, CT_TRAMPOLINE_JUMP);
	if (tr->mapped)
		ct_replica_call(tr->t, SYS_munmap, tr->page, 2 * CT_PAGE, 0, 0, 0, 0);
}
