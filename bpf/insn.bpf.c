// SPDX-License-Identifier: MIT OR GPL-2.0
/* Instructions whose result no replay can compute: rdtsc, rdtscp, rdrand, rdseed. Found by disassembly, probed by
 * uprobes: one at the instruction remembers it, one behind it reads the result. */
#include "target.bpf.h"

/* Cookie bits 0..15: kind << 8 | length of the instruction at this place, 0 if there is none; COOKIE_AFTER: the one
 * before this place is such an instruction. user/attach/insn_scan.h has the other end. */
#define COOKIE_AFTER 0x10000

static __always_inline void emit_insn(u32 tgid, u32 tid, struct pt_regs *ctx)
{
	struct {
		struct ct_event h;
		struct ct_ev_insn i;
	} * e;
	struct scratch *x = scratch_get(SCRATCH_UPROBE);

	if (!x || !EVENT_RESERVE(e, CT_EV_INSN, tgid, tid))
		return;
	e->i.ip = cur.t.insn_ip;
	e->i.kind = cur.t.insn >> 8;
	e->i.len = cur.t.insn & 0xff;
	__builtin_memset(&e->i.regs, 0, sizeof(e->i.regs));
	bpf_probe_read_kernel(&x->frame, sizeof(x->frame), ctx);
	copy_regs(&e->i.regs, &x->frame);
	EVENT_SUBMIT(e);
}

SEC("uprobe")
int ct_insn(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), cookie;
	u32 tgid = id >> 32, tid = (u32)id;

	if (mode != CT_MODE_REPLAY || !recorded(tgid))
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	if (cur.tid != tid)
		make_current(tgid, tid);
	/* A jump from elsewhere may lead to the place behind an instruction: then it has not run. */
	if ((cookie & COOKIE_AFTER) && cur.t.insn && cur.t.insn_ip + (cur.t.insn & 0xff) == PT_REGS_IP(ctx))
		emit_insn(tgid, tid, ctx);
	cur.t.insn = cookie & 0xffff;
	cur.t.insn_ip = PT_REGS_IP(ctx);
	return 0;
}
