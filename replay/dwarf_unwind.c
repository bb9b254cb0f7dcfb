/* SPDX-License-Identifier: MIT
 * Debug information: stacks, by call frame information; where there is none, by frame pointers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define RED_ZONE  128
#define XMM_AT    160 /* in an XSAVE image */
#define RBP_FRAME 16  /* what `push %rbp` and the call have left */

void ct_dwarf_regs_from(struct ct_dwarf_regs *to, const struct ct_regs *from, const void *xsave, size_t xsave_len)
{
	static const ct_u8 at[CT_DW_REGS] = {CT_RAX, CT_RDX, CT_RCX, CT_RBX, CT_RSI, CT_RDI, CT_RBP, CT_RSP, CT_R8,
					     CT_R9,  CT_R10, CT_R11, CT_R12, CT_R13, CT_R14, CT_R15, CT_RIP};

	memset(to, 0, sizeof(*to));
	for (unsigned i = 0; i < CT_DW_REGS; i++)
		to->r[i] = from->r[at[i]];
	to->known = (1u << CT_DW_REGS) - 1;
	to->fs_base = from->r[CT_FS_BASE];
	if (xsave && xsave_len >= XMM_AT + sizeof(to->xmm)) {
		memcpy(to->xmm, (const ct_u8 *)xsave + XMM_AT, sizeof(to->xmm));
		to->has_xmm = true;
	}
}

/* ---- one frame ---- */

static Dwarf_Frame *frame_at(struct ct_dwarf *d, ct_u64 addr)
{
	Dwfl_Module *mod = dwfl_addrmodule(d->dwfl, addr);
	Dwarf_Frame *frame = NULL;
	Dwarf_Addr bias;
	Dwarf_CFI *cfi;

	if (!mod)
		return NULL;
	cfi = dwfl_module_eh_cfi(mod, &bias);
	if (cfi && !dwarf_cfi_addrframe(cfi, addr - bias, &frame))
		return frame;
	cfi = dwfl_module_dwarf_cfi(mod, &bias);
	return cfi && !dwarf_cfi_addrframe(cfi, addr - bias, &frame) ? frame : NULL;
}

static ct_u64 cfa_of(Dwarf_Frame *frame, const struct ct_dwarf_regs *regs, const struct ct_dwarf_memory *mem)
{
	const struct ct_dwarf_location l = {.regs = regs, .mem = mem};
	ct_u64 cfa;
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) || !n || !ct_dwarf_compute(&l, NULL, ops, n, NULL, &cfa))
		return 0;
	return cfa;
}

ct_u64 ct_dwarf_cfa(struct ct_dwarf *d, const struct ct_dwarf_regs *regs, const struct ct_dwarf_memory *mem)
{
	Dwarf_Frame *frame = frame_at(d, regs->r[CT_DW_RIP]);
	const ct_u64 cfa = frame ? cfa_of(frame, regs, mem) : 0;

	free(frame);
	return cfa;
}

/* A register of the caller. */
static bool caller_register(Dwarf_Frame *frame, int reg, ct_u64 cfa, const struct ct_dwarf_regs *regs,
			    const struct ct_dwarf_memory *mem, ct_u64 *value)
{
	const struct ct_dwarf_location l = {.regs = regs, .mem = mem, .cfa = cfa};
	Dwarf_Op room[3], *ops;
	bool is_value = false;
	size_t n;

	if (dwarf_frame_register(frame, reg, room, &ops, &n))
		return false;
	if (!n) { /* the same value, or undefined */
		*value = regs->r[reg];
		return !ops && (regs->known >> reg & 1);
	}
	/* DW_OP_regN: it is in another register. */
	if (n == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom < DW_OP_reg0 + CT_DW_REGS) {
		const unsigned other = ops[0].atom - DW_OP_reg0;

		*value = regs->r[other];
		return regs->known >> other & 1;
	}
	if (ops[n - 1].atom == DW_OP_stack_value) {
		is_value = true;
		n--;
	}
	/* The CFA is on the stack when the rule is an expression. */
	if (!ct_dwarf_compute(&l, NULL, ops, n, &cfa, value))
		return false;
	return is_value || mem->read(mem->ctx, *value, value, 8);
}

static bool by_cfi(struct ct_dwarf *d, struct ct_dwarf_frame *f, const struct ct_dwarf_memory *mem,
		   struct ct_dwarf_regs *up)
{
	Dwarf_Frame *frame = frame_at(d, f->lookup);
	bool ok = false;
	int ra;

	if (!frame)
		return false;
	ra = dwarf_frame_info(frame, NULL, NULL, &f->signal);
	f->cfa = cfa_of(frame, &f->regs, mem);
	*up = (struct ct_dwarf_regs){.fs_base = f->regs.fs_base};
	for (int i = 0; f->cfa && i < CT_DW_REGS; i++)
		if (caller_register(frame, i, f->cfa, &f->regs, mem, &up->r[i]))
			up->known |= 1u << i;
	free(frame);
	if (!f->cfa)
		return false;
	if (ra == CT_DW_RIP)
		ok = up->known >> CT_DW_RIP & 1;
	if (!(up->known >> CT_DW_RSP & 1)) {
		up->r[CT_DW_RSP] = f->cfa;
		up->known |= 1u << CT_DW_RSP;
	}
	if (!ok) /* the outermost frame says so by an undefined return address */
		up->r[CT_DW_RIP] = 0;
	return true;
}

/* Code of which nothing is known: it may have a frame pointer, or have been called just now. */
static bool by_guess(struct ct_dwarf *d, struct ct_dwarf_frame *f, bool innermost, const struct ct_dwarf_memory *mem,
		     struct ct_dwarf_regs *up)
{
	const ct_u64 rsp = f->regs.r[CT_DW_RSP], rbp = f->regs.r[CT_DW_RBP];
	ct_u64 pair[2];

	f->guessed = true;
	*up = (struct ct_dwarf_regs){.fs_base = f->regs.fs_base};
	if (innermost && mem->read(mem->ctx, rsp, pair, 8) && dwfl_addrmodule(d->dwfl, pair[0]) &&
	    (!(f->regs.known >> CT_DW_RBP & 1) || rbp < rsp || !mem->read(mem->ctx, rbp, pair, 16) ||
	     !dwfl_addrmodule(d->dwfl, pair[1]))) {
		*up = f->regs;
		mem->read(mem->ctx, rsp, pair, 8);
		up->r[CT_DW_RIP] = pair[0];
		up->r[CT_DW_RSP] = f->cfa = rsp + 8;
		up->has_xmm = false;
		return true;
	}
	if (!(f->regs.known >> CT_DW_RBP & 1) || rbp + RED_ZONE < rsp || !mem->read(mem->ctx, rbp, pair, 16))
		return false;
	up->r[CT_DW_RBP] = pair[0];
	up->r[CT_DW_RIP] = pair[1];
	up->r[CT_DW_RSP] = f->cfa = rbp + RBP_FRAME;
	up->known = 1u << CT_DW_RBP | 1u << CT_DW_RIP | 1u << CT_DW_RSP;
	return true;
}

/* ---- the stack ---- */

static struct ct_dwarf_frame *add(struct ct_dwarf_stack *s, size_t *cap, const struct ct_dwarf_frame *f)
{
	if (s->n == *cap) {
		size_t more_cap = *cap ? 2 * *cap : 16;
		struct ct_dwarf_frame *more = realloc(s->frame, more_cap * sizeof(*more));

		if (!more)
			return NULL;
		s->frame = more;
		*cap = more_cap;
	}
	s->frame[s->n] = *f;
	return &s->frame[s->n++];
}

static ct_u32 call_attribute(Dwarf_Die *die, unsigned which)
{
	Dwarf_Attribute attr;
	Dwarf_Word w;

	return dwarf_attr(die, which, &attr) && !dwarf_formudata(&attr, &w) ? (ct_u32)w : 0;
}

/* The frame, and before it one for each function that is inlined there. */
static bool add_with_inlined(struct ct_dwarf *d, struct ct_dwarf_stack *s, size_t *cap, size_t max,
			     struct ct_dwarf_frame *f)
{
	Dwarf_Die scopes[CT_DWARF_DEEP];
	size_t n = 0;

	f->has_function = ct_dwarf_function_at(d, f->lookup, &f->function);
	f->has_line = ct_dwarf_line_at(d, f->lookup, &f->line);
	if (f->has_function && f->function.has_die)
		n = ct_dwarf_scopes_in(&f->function, f->lookup - f->function.bias, scopes);
	while (n-- > 0 && s->n < max) {
		struct ct_dwarf_frame in = *f;
		Dwarf_Files *files;
		const char *file;
		size_t nfiles;
		ct_u32 number;

		if (dwarf_tag(&scopes[n]) != DW_TAG_inlined_subroutine)
			continue;
		in.inlined = in.has_scope = true;
		in.scope = scopes[n];
		in.name = ct_dwarf_qualified(d, &scopes[n]);
		if (!add(s, cap, &in))
			return false;
		/* Outside, it is at the line of the call. */
		number = call_attribute(&scopes[n], DW_AT_call_file);
		f->line.line = call_attribute(&scopes[n], DW_AT_call_line);
		f->line.column = call_attribute(&scopes[n], DW_AT_call_column);
		file = dwarf_getsrcfiles(&f->function.cu, &files, &nfiles) || number >= nfiles
			       ? NULL
			       : dwarf_filesrc(files, number, NULL, NULL);
		f->line.file = file ? ct_dwarf_path(d, &f->function.cu, file) : NULL;
		f->has_line = f->line.file && f->line.line;
	}
	f->name = f->has_function ? f->function.name : NULL;
	f->has_scope = f->has_function && f->function.has_die;
	if (f->has_scope)
		f->scope = f->function.die;
	return add(s, cap, f) != NULL;
}

unsigned ct_dwarf_inline_depth(struct ct_dwarf *d, ct_u64 addr)
{
	Dwarf_Die scopes[CT_DWARF_DEEP];
	struct ct_dwarf_function f;
	unsigned depth = 0;

	if (!ct_dwarf_function_at(d, addr, &f) || !f.has_die)
		return 0;
	for (size_t n = ct_dwarf_scopes(&f.cu, addr - f.bias, scopes); n-- > 0;)
		depth += dwarf_tag(&scopes[n]) == DW_TAG_inlined_subroutine;
	return depth;
}

int ct_dwarf_unwind(struct ct_dwarf *d, const struct ct_dwarf_regs *regs, const struct ct_dwarf_memory *mem, size_t max,
		    struct ct_dwarf_stack *stack, struct ct_error *err)
{
	struct ct_dwarf_frame f = {.regs = *regs, .pc = regs->r[CT_DW_RIP], .lookup = regs->r[CT_DW_RIP]};
	size_t cap = 0;

	*stack = (struct ct_dwarf_stack){0};
	while (stack->n < max) {
		const bool innermost = !stack->n;
		struct ct_dwarf_regs up;
		const bool found = by_cfi(d, &f, mem, &up) || by_guess(d, &f, innermost, mem, &up);
		const ct_u64 rsp = f.regs.r[CT_DW_RSP];
		const bool signal = f.signal;

		if (!add_with_inlined(d, stack, &cap, max, &f)) {
			ct_dwarf_stack_free(stack);
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
		if (!found) {
			snprintf(stack->why, sizeof(stack->why),
				 "nothing says how to go on from %#llx: no call frame information there",
				 (unsigned long long)f.pc);
			return 0;
		}
		if (!up.r[CT_DW_RIP]) {
			stack->whole = true;
			return 0;
		}
		if (up.r[CT_DW_RSP] <= rsp && !signal) {
			snprintf(stack->why, sizeof(stack->why),
				 "the stack is damaged at %#llx, or goes round in a circle", (unsigned long long)rsp);
			return 0;
		}
		/* A call's return address may be behind the function's end; an interrupted instruction is where it is.
		 */
		f = (struct ct_dwarf_frame){
			.regs = up, .pc = up.r[CT_DW_RIP], .lookup = up.r[CT_DW_RIP] - (signal ? 0 : 1)};
	}
	return 0;
}

void ct_dwarf_stack_free(struct ct_dwarf_stack *stack)
{
	free(stack->frame);
	*stack = (struct ct_dwarf_stack){0};
}
