/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Functions of native code, by their registers: a part of calls.bpf.c, on the stacks of calls there. */

static __always_inline u32 native_left(u64 cookie)
{
	return cookie & (CT_SITE_JUMPS | CT_SITE_SILENT) ? 0 : CT_LEFT_VALUE;
}

/* What these cost is far more than counting them. */
static __always_inline void note_stepped(u64 cookie)
{
	if (cookie & CT_SITE_SLOW)
		count(&stats.stepped);
}

static __always_inline int native_enter(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	u64 arg[CT_CALL_NARGS] = {ctx->di, ctx->si, ctx->dx, ctx->cx, ctx->r8, ctx->r9};

	note_stepped(cookie);
	return enter((u32)cookie, ctx->sp, arg, cookie >> 32 & 7);
}

SEC("uprobe")
int ct_call_enter(struct pt_regs *ctx)
{
	return wanted() ? native_enter(ctx) : 1;
}

/* At the return address, the stack pointer is behind it; at instructions that leave, it is on it. */
SEC("uprobe")
int ct_call_leave(struct pt_regs *ctx)
{
	u64 cookie;

	if (!wanted())
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	note_stepped(cookie);
	return leave(cookie & CT_SITE_LEAVES ? ctx->sp : ctx->sp - 8, native_left(cookie), ctx->ax);
}

SEC("uprobe")
int ct_call_session(struct pt_regs *ctx)
{
	if (!wanted())
		return 1; /* nor at its return */
	return bpf_session_is_return() ? leave(ctx->sp - 8, native_left(bpf_get_attach_cookie(ctx)), ctx->ax)
				       : native_enter(ctx);
}
