// SPDX-License-Identifier: MIT OR GPL-2.0
/* Fingerprints: enough of a thread's surroundings to find, in a replay, the one moment at which it was interrupted.
 *
 * Registers alone do not tell iterations of `1: incq counter(%rip); jmp 1b` apart, so the memory operands of the code
 * around rip are decoded and sampled: whatever a loop counts in is among them. */
#include "target.bpf.h"

#define BEFORE   72  /* bytes of code looked at before rip ... */
#define CODE     144 /* ... and in all */
#define CODE_BUF 512 /* what the verifier takes for the end of two reads of up to 255 bytes */

/* Below are the page with our rseq area (user/attach/target.h), which the kernel writes to at will, and the replica's;
 * above is the last page, in which uprobes' copies of instructions may be. */
#define LOWEST  0x30000
#define HIGHEST 0x7fffffffdff0ull

struct harvest {
	struct ct_fingerprint fp;
	u64 reg[16]; /* by the numbers ModRM uses */
	u64 ip;
	u8 code[CODE_BUF];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct harvest);
} harvest_scratch SEC(".maps");

/* Compilers drop the masks that the verifier needs to see. */
#define CODE_AT(h, i)                                                                                                  \
	({                                                                                                             \
		u32 i_ = (i);                                                                                          \
		asm volatile("%0 &= 255" : "+r"(i_));                                                                  \
		(h)->code[i_];                                                                                         \
	})
#define REG_AT(h, i)                                                                                                   \
	({                                                                                                             \
		u32 i_ = (i);                                                                                          \
		asm volatile("%0 &= 15" : "+r"(i_));                                                                   \
		(h)->reg[i_];                                                                                          \
	})
static __always_inline s32 disp32(struct harvest *h, u32 i)
{
	return (s32)(CODE_AT(h, i) | CODE_AT(h, i + 1) << 8 | CODE_AT(h, i + 2) << 16 | (u32)CODE_AT(h, i + 3) << 24);
}

/* Takes byte i of the code for a ModRM byte. Most are not; a wrong address costs a sample, nothing else. Visits the
 * bytes nearest to rip first. Order and count of samples need not be reproducible: the addresses are logged. */
static long harvest_one(u32 k, void *ctx)
{
	u32 zero = 0, i = (k & 1) ? BEFORE + (k + 1) / 2 : BEFORE - k / 2;
	struct harvest *h = bpf_map_lookup_elem(&harvest_scratch, &zero);
	u32 modrm, mod, rm, rex, n;
	u64 addr;

	if (!h || i < 2 || i >= CODE - 6)
		return 0;
	n = h->fp.noperands;
	if (n >= CT_FP_HARVEST)
		return 1;
	modrm = CODE_AT(h, i);
	mod = modrm >> 6;
	rm = modrm & 7;
	if (mod == 3)
		return 0;
	rex = CODE_AT(h, i - 2); /* prefix, opcode, ModRM: the common case */
	if ((rex & 0xf0) != 0x40)
		rex = 0;
	if (rm == 4) { /* SIB */
		u32 sib = CODE_AT(h, i + 1), base = (sib & 7) | (rex & 1) << 3, index = (sib >> 3 & 7) | (rex & 2) << 2;
		s64 disp = mod == 1 ? (s64)(signed char)CODE_AT(h, i + 2) : mod == 2 ? disp32(h, i + 2) : 0;

		if (mod == 0 && (base & 7) == 5)
			return 0;
		addr = REG_AT(h, base) + disp;
		if (index != 4)
			addr += REG_AT(h, index) << (sib >> 6);
	} else if (mod == 0 && rm == 5) { /* rip-relative, without an immediate behind it */
		addr = h->ip - BEFORE + i + 5 + disp32(h, i + 1);
	} else if (mod == 0) {
		return 0; /* (reg): sampled as the register's own 64 bytes */
	} else {
		s64 disp = mod == 1 ? (s64)(signed char)CODE_AT(h, i + 1) : disp32(h, i + 1);

		if (disp >= 0 && disp < CT_FP_GPR - 16)
			return 0; /* within those 64 bytes */
		addr = REG_AT(h, rm | (rex & 1) << 3) + disp;
	}
	addr &= ~7ull;
	if (addr < LOWEST || addr > HIGHEST)
		return 0;
	if (addr >= h->ip - 4096 && addr < h->ip + 4096)
		return 0; /* code: replay patches it */
	if (n >= CT_FP_HARVEST)
		return 1;
	asm volatile("%0 &= 63" : "+r"(n));
	if (n >= CT_FP_HARVEST)
		return 1;
	if (bpf_probe_read_user(h->fp.operand[n].data, 16, (void *)addr))
		return 0;
	h->fp.operand[n].addr = addr;
	h->fp.noperands = n + 1;
	return 0;
}

static long sample_gpr(u32 k, void *ctx)
{
	u32 zero = 0;
	struct harvest *h = bpf_map_lookup_elem(&harvest_scratch, &zero);
	u64 addr;

	if (!h || k >= CT_FP_GPRS)
		return 1;
	/* harvest.reg is in ModRM order: rax rcx rdx rbx rsp rbp rsi rdi r8..r15. The fingerprint's order is that of
	 * ct_regs: r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 | rcx rdx rsi rdi. A nibble each, last one first. */
	addr = REG_AT(h, 0x762189ab35cdefull >> 4 * k) & ~7ull;
	if (addr < LOWEST || addr > HIGHEST)
		return 0;
	if (!bpf_probe_read_user(h->fp.gpr[k], CT_FP_GPR, (void *)addr))
		h->fp.mask |= 2u << k;
	return 0;
}

/* Code may end within sight, with its mapping: either page may not be there. What cannot be read becomes zeros, which
 * are no operands. */
static __always_inline void read_code(struct harvest *h)
{
	const u64 from = h->ip - BEFORE;
	u32 first = 4096 - (from & 4095);

	if (first >= CODE) {
		bpf_probe_read_user(h->code, CODE, (void *)from);
		return;
	}
	asm volatile("%0 &= 255" : "+r"(first));
	bpf_probe_read_user(h->code, first, (void *)from);
	bpf_probe_read_user(h->code + first, CODE - first & 255, (void *)(from + first));
}

__noinline int take_fingerprint(u32 tid, const struct ct_regs *regs, u32 flags)
{
	u32 zero = 0;
	struct harvest *h = bpf_map_lookup_elem(&harvest_scratch, &zero);

	if (!h || !regs)
		return 0;
	h->fp.mask = 0;
	h->fp.noperands = 0;
	h->fp.ticks = 0;
	h->fp.flags = flags;
	h->fp.pad = 0;
	h->ip = regs->r[CT_RIP];
	h->reg[0] = regs->r[CT_RAX];
	h->reg[1] = regs->r[CT_RCX];
	h->reg[2] = regs->r[CT_RDX];
	h->reg[3] = regs->r[CT_RBX];
	h->reg[4] = regs->r[CT_RSP];
	h->reg[5] = regs->r[CT_RBP];
	h->reg[6] = regs->r[CT_RSI];
	h->reg[7] = regs->r[CT_RDI];
	h->reg[8] = regs->r[CT_R8];
	h->reg[9] = regs->r[CT_R9];
	h->reg[10] = regs->r[CT_R10];
	h->reg[11] = regs->r[CT_R11];
	h->reg[12] = regs->r[CT_R12];
	h->reg[13] = regs->r[CT_R13];
	h->reg[14] = regs->r[CT_R14];
	h->reg[15] = regs->r[CT_R15];
	if (use_ticks && !(flags & CT_FPF_LATE)) { /* late: others have been counted */
		h->fp.ticks = ticks_of(tid);
		h->fp.flags |= CT_FPF_TICKS;
	}
	if (flags & CT_FPF_LATE)
		goto out;
	if (!bpf_probe_read_user(h->fp.stack, CT_FP_STACK, (void *)(regs->r[CT_RSP] - 128)))
		h->fp.mask |= 1;
	bpf_loop(CT_FP_GPRS, sample_gpr, NULL, 0);
	read_code(h);
	bpf_loop(2 * BEFORE - 8, harvest_one, NULL, 0);
out:
	bpf_map_update_elem(&fingerprints, &tid, &h->fp, BPF_ANY);
	return 0;
}
