/* SPDX-License-Identifier: MIT
 * Machine code written piece by piece, for a place of which the address is known. */
#ifndef CT_EMITTER_H
#define CT_EMITTER_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

struct ct_emitter {
	unsigned char *code;
	size_t room, len;
	ct_u64 at;   /* where code[0] will lie */
	bool failed; /* there was no room, or something was out of reach */
};

/* Opcodes of instructions for ct_emit_memory. */
enum { CT_OP_CMP = 0x3b /* register with memory */, CT_OP_STORE = 0x89, CT_OP_LOAD = 0x8b };

void ct_emit(struct ct_emitter *e, const void *bytes, size_t len);
#define CT_EMIT(e, ...) ct_emit(e, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))
/* The distance to `target` in 32 bits, `more` bytes before the instruction's end. */
void ct_emit_rel(struct ct_emitter *e, ct_u64 target, unsigned more);
/* An instruction of one register and one word of memory. */
void ct_emit_memory(struct ct_emitter *e, unsigned char opcode, unsigned reg, ct_u64 addr);
/* A short forward jump, and its destination. */
size_t ct_emit_jump(struct ct_emitter *e, unsigned char opcode);
void ct_emit_here(struct ct_emitter *e, size_t jump);

#endif
