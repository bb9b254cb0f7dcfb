/* SPDX-License-Identifier: MIT
 * Part of all agents: reading the program's memory, writing records, asking the tracer, how the program's code comes
 * here and goes back. Included by an agent's one file behind its head H, which begins with `target` and `rsp` and has
 * buffer, answers, no_answers, answer and batch, and its hash(). */
#ifndef CT_BLOB_H
#define CT_BLOB_H

static ct_u64 rd(ct_u64 addr)
{
	return *(const volatile ct_u64 *)addr;
}
static ct_u32 rd32(ct_u64 addr)
{
	return *(const volatile ct_u32 *)addr;
}
static unsigned char rd8(ct_u64 addr)
{
	return *(const volatile unsigned char *)addr;
}

static struct ct_pya_buffer *buffer(void)
{
	return (struct ct_pya_buffer *)H.buffer;
}

/* The tracer does what is asked for while this thread stands at the int3. */
static void request(ct_u64 what, ct_u64 arg, ct_u64 arg2)
{
	volatile struct ct_pya_buffer *b = buffer();

	b->request = what;
	b->arg = arg;
	b->arg2 = arg2;
	__asm__ volatile("int3" ::: "memory");
}

/* ---- records ------------------------------------------------------------------------------------------------ */

static void make_room(ct_u64 bytes)
{
	if (buffer()->pos + bytes > buffer()->end)
		request(CT_PYREQ_DRAIN, 0, 0);
}

static ct_u64 *put(void)
{
	return (ct_u64 *)(H.buffer + buffer()->pos);
}
static void done(ct_u64 *end)
{
	buffer()->pos = (ct_u64)end - H.buffer;
}

static void record(unsigned type, ct_u64 arg, ct_u64 frame, ct_u64 what)
{
	ct_u64 *p = put();

	p[0] = CT_PYR(type, arg, 3);
	p[1] = frame;
	p[2] = what;
	done(p + 3);
}

/* Of a value whose words, up to `end`, lie behind the first two. */
static void record_words(unsigned type, ct_u64 slot, ct_u64 frame, ct_u64 *end)
{
	ct_u64 *p = put();

	p[0] = CT_PYR(type, slot, end - p);
	p[1] = frame;
	done(end);
}

/* System calls that the replica answered by itself since it was told of them last. The address of the next answer is
 * followed by that of the end; an answer has its index in its second half word. */
static void answered(void)
{
	const ct_u64 at = H.answers ? rd(H.answers) : 0, end = at ? rd(H.answers + 8) : 0;
	ct_u64 *p;

	if ((at == H.answer && buffer()->batch == H.batch) || end == H.no_answers)
		return; /* else the tracer tells of each event */
	H.answer = at;
	H.batch = buffer()->batch;
	p = put();
	p[0] = CT_PYR(CT_PYR_ANSWER, at == end, 2);
	p[1] = at == end ? 0 : rd32(at + 4);
	done(p + 2);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

#include "replay/agents/blob/node.h"

/* ---- entries ------------------------------------------------------------------------------------------------ */

struct regs { /* in the order of push */
	ct_u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
};

_Static_assert(__builtin_offsetof(__typeof__(H), target) == 0 && __builtin_offsetof(__typeof__(H), rsp) == 8,
	       "what ENTRY relies on");

/* The program's code arrives here with every register as it has it. */
#define ENTRY(name, function)                                                                                          \
	".section ." name ",\"ax\"\n"                                                                                  \
	"	mov	%rsp, H+8(%rip)\n"                                                                                       \
	"	lea	stack_top(%rip), %rsp\n"                                                                                 \
	"	push	%rax\n	push	%rcx\n	push	%rdx\n	push	%rbx\n	push	%rbp\n	push	%rsi\n	"                                    \
	"push	%rdi\n"                                                                                                  \
	"	push	%r8\n	push	%r9\n	push	%r10\n	push	%r11\n	push	%r12\n	push	%r13\n	"                                      \
	"push	%r14\n	push	%r15\n"                                                                                      \
	"	mov	%rsp, %rdi\n"                                                                                            \
	"	lahf\n	seto	%al\n	push	%rax\n" /* a third of what pushfq and popfq take; nobody gets here     \
							   with DF set */                                              \
	"	call	" function "\n"                                                                                \
	"	pop	%rax\n	add	$0x7f, %al\n	sahf\n"                                                                          \
	"	pop	%r15\n	pop	%r14\n	pop	%r13\n	pop	%r12\n	pop	%r11\n	pop	%r10\n	"                                          \
	"pop	%r9\n	pop	%r8\n"                                                                                          \
	"	pop	%rdi\n	pop	%rsi\n	pop	%rbp\n	pop	%rbx\n	pop	%rdx\n	pop	%rcx\n	"                                          \
	"pop	%rax\n"                                                                                                   \
	"	mov	H+8(%rip), %rsp\n"                                                                                       \
	"	jmp	*H(%rip)\n"

#endif
