/* SPDX-License-Identifier: MIT
 * Parts of finding the instruction before a moment: timeline_guess.c (what it may have been, and the registers then),
 * timeline_before.c (going there, and proving it). */
#ifndef CT_TIMELINE_BEFORE_H
#define CT_TIMELINE_BEFORE_H

#include <Zydis/Zydis.h>

#include "replay/timeline_priv.h"

#define AROUND       4096 /* bytes of code in which jumps to an address are looked for */
#define MOST_GUESSES 24
#define BIT(reg)     (1u << (reg))

struct guess {
	struct ct_regs regs;
	ct_u32 unknown; /* bits of enum ct_reg */
	int steps;      /* of this instruction and those behind it, to the moment */
	bool call;      /* it is one, and the instruction before the moment is a way out of what it calls, or it */
};
struct before {
	struct ct_timeline *tl;
	const struct ct_moment *m;
	struct ct_error *err;
	ZydisDecoder dec;
	struct guess guess[MOST_GUESSES];
	unsigned n;
	ct_u64 began;
	bool quick;
	unsigned char near[2 * AROUND + 16]; /* code around the moment, as far as there is any */
	ct_u64 near_at;
};

struct code {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* The instruction at an address, as it is now. */
bool ct_before_decode(const struct before *b, ct_u64 at, struct code *c);
/* Where its relative jump or call leads; 0: it has none. */
ct_u64 ct_before_target(const struct code *c, ct_u64 at);
/* Each adds what may come before the moment: the instruction above it in the code, or a round of one that repeats; a
 * jump from near; the call of the function it is at the beginning of; the calls that are under way. */
void ct_guess_round(struct before *b, ct_u64 at);
void ct_guess_linear(struct before *b);
void ct_guess_jumps(struct before *b);
void ct_guess_call(struct before *b);
void ct_guess_callers(struct before *b);

#endif
