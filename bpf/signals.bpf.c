// SPDX-License-Identifier: MIT OR GPL-2.0
/* Signals: the registers before delivery, then the frame the kernel built for the handler; restartable sequences.
 *
 * There is no tracepoint after frame set-up, but the kernel resets the FPU for the handler right after it
 * (fpu__clear_user_states), and that is one: x86_fpu_regs_activated with rip at the handler. */
#include "target.bpf.h"

#define FRAME_MAX    (64u << 10)
#define XFRAME_MAGIC 0x46505853u /* FP_XSTATE_MAGIC1 */

static __always_inline bool is_fault(int sig, int code)
{
	return code > 0 && (sig == 4 || sig == 5 || sig == 7 || sig == 8 || sig == 11); /* ILL TRAP BUS FPE SEGV */
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(ct_signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
{
	u64 id = bpf_get_current_pid_tgid(), handler;
	u32 tgid = id >> 32, tid = (u32)id, flags = 0, how;
	struct pt_regs *frame;
	struct siginfo_fault si = {};
	struct ct_fingerprint *fp = NULL;
	struct scratch *x;
	struct bpf_dynptr d;
	u32 size = sizeof(x->signal);

	if (!mode || !(how = recorded(tgid)))
		return 0;
	x = scratch_get(SCRATCH_EVENTS);
	if (!x)
		return 0;
	frame = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	if (how == CT_MODE_REPLAY) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		cur.t.frame = (u64)frame;
	}

	handler = (u64)ka->sa.sa_handler;
	/* SEND_SIG_NOINFO and SEND_SIG_PRIV are the pointers 0 and 1: the read fails and si stays zero. */
	bpf_probe_read_kernel(&si, sizeof(si), (void *)info);
	x->signal.s.sig = sig;
	x->signal.s.fault_addr = 0;
	x->signal.s.code = si.code;
	x->signal.s.handler = handler;
	x->signal.s.sa_flags = ka->sa.sa_flags;
	copy_regs(&x->signal.s.regs, frame);
	if (is_fault(sig, si.code)) {
		flags |= CT_SIGF_SYNC;
		x->signal.s.fault_addr = si.addr;
	} else if ((s64)frame->orig_ax < 0) {
		flags |= CT_SIGF_ASYNC;
		if (how == CT_MODE_REPLAY) { /* a default action may dump core here: a position like any other */
			cur.t.regs = x->signal.s.regs;
			settle(LEFT_CLEAN, tgid, tid);
		}
		if (how == CT_MODE_REPLAY && handler > 1) {
			take_fingerprint(tid, &x->signal.s.regs, 0);
			fp = bpf_map_lookup_elem(&fingerprints, &tid);
		}
		if (fp)
			size += sizeof(*fp);
		else
			flags &= ~CT_SIGF_ASYNC;
	}
	x->signal.s.flags = flags;
	x->signal.s.pad = 0;
	event_init(&x->signal.h, size, CT_EV_SIGNAL, tgid, tid);
	if (bpf_ringbuf_reserve_dynptr(&ring, size, 0, &d)) {
		bpf_ringbuf_discard_dynptr(&d, 0);
		lost_one();
	} else {
		bpf_dynptr_write(&d, 0, &x->signal, sizeof(x->signal), 0);
		if (fp)
			bpf_dynptr_write(&d, sizeof(x->signal), fp, sizeof(*fp), 0);
		bpf_ringbuf_submit_dynptr(&d, BPF_RB_NO_WAKEUP);
	}
	if (how == CT_MODE_REPLAY && handler > 1) {
		if (cur.t.sig_handler) { /* the frame before this one was never seen */
			__sync_fetch_and_add(&counters.frames_missed, 1);
			say_unsound(tgid, tid, CT_UNSOUND_FRAME, cur.t.sig);
		}
		cur.t.sig_handler = handler;
		cur.t.sig_sp = frame->sp;
		cur.t.sig = sig;
	}
	return 0;
}

struct frame_copy {
	struct bpf_dynptr d;
	u64 addr;
	u32 off, left;
	int err;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8[1024]);
} frame_scratch SEC(".maps");

static long copy_frame_chunk(u32 i, struct frame_copy *c)
{
	u32 zero = 0, n = c->left;
	u8 *buf = bpf_map_lookup_elem(&frame_scratch, &zero);

	if (!buf || !n)
		return 1;
	if (n > 1024)
		n = 1024;
	if (bpf_probe_read_user(buf, n, (void *)c->addr)) {
		c->err = 1;
		return 1;
	}
	bpf_dynptr_write(&c->d, c->off, buf, n, 0);
	c->off += n;
	c->addr += n;
	c->left -= n;
	return 0;
}

SEC("tp_btf/x86_fpu_regs_activated")
int BPF_PROG(ct_fpu_activated)
{
	u64 id = bpf_get_current_pid_tgid(), sp, fx = 0, end;
	u32 tgid = id >> 32, tid = (u32)id, len, magic = 0, xsize = 0;
	struct pt_regs *frame;
	struct frame_copy c = {};
	struct scratch *x;

	if (mode != CT_MODE_REPLAY || recorded(tgid) != CT_MODE_REPLAY || cur.tid != tid || !cur.t.sig_handler)
		return 0;
	frame = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	sp = frame->sp;
	if (frame->ip != cur.t.sig_handler || sp == cur.t.sig_sp)
		return 0;
	cur.t.sig_handler = 0;

	/* struct rt_sigframe: pretcode, then the ucontext, whose mcontext points to the FPU image behind it; how long
	 * that is the image itself says (sw_reserved, at the end of its legacy area). */
	bpf_probe_read_user(&fx, 8, (void *)(sp + 8 + 40 + 23 * 8));
	end = sp + 8 + 936 - 8; /* without an FPU image: up to the siginfo's end */
	if (fx > sp && fx - sp < FRAME_MAX) {
		bpf_probe_read_user(&magic, 4, (void *)(fx + 464));
		bpf_probe_read_user(&xsize, 4, (void *)(fx + 468));
		end = fx + (magic == XFRAME_MAGIC && xsize >= 512 && xsize < FRAME_MAX ? xsize : 512);
	}
	len = end - sp;
	if (len > FRAME_MAX) {
		__sync_fetch_and_add(&counters.frames_missed, 1);
		say_unsound(tgid, tid, CT_UNSOUND_FRAME, cur.t.sig);
		return 0;
	}
	x = scratch_get(SCRATCH_EVENTS);
	if (!x)
		return 0;
	x->sigframe.f.flags = 0;
	x->sigframe.b.arg = 0;
	x->sigframe.b.flags = 0;
	x->sigframe.b.pad = 0;
	x->sigframe.f.sig = cur.t.sig;
	x->sigframe.f.nbufs = 1;
	copy_regs(&x->sigframe.f.regs, frame);
	x->sigframe.b.addr = sp;
	x->sigframe.b.len = len;
	x->sigframe.b.want = len;
	x->sigframe.b.kind = CT_BUF_OUT;
	event_init(&x->sigframe.h, sizeof(x->sigframe) + len, CT_EV_FRAME, tgid, tid);
	if (bpf_ringbuf_reserve_dynptr(&ring, sizeof(x->sigframe) + len, 0, &c.d)) {
		bpf_ringbuf_discard_dynptr(&c.d, 0);
		lost_one();
		return 0;
	}
	c.addr = sp;
	c.off = sizeof(x->sigframe);
	c.left = len;
	bpf_loop(FRAME_MAX / 1024, copy_frame_chunk, &c, 0);
	if (c.err) { /* cannot happen right after the kernel wrote it, but must not pass for a frame */
		x->sigframe.b.kind = CT_BUF_FAULT;
		x->sigframe.b.len = 0;
		x->sigframe.h.size = sizeof(x->sigframe);
	}
	bpf_dynptr_write(&c.d, 0, &x->sigframe, sizeof(x->sigframe), 0);
	bpf_ringbuf_submit_dynptr(&c.d, BPF_RB_NO_WAKEUP);
	if (c.err)
		say_unsound(tgid, tid, CT_UNSOUND_FRAME, cur.t.sig);
	return 0;
}

/* The vsyscall page is emulated in the fault of its execution (CONFIG_LEGACY_VSYSCALL_XONLY): no call that a replica
 * can make or be stopped at. */
SEC("?tp_btf/emulate_vsyscall")
int BPF_PROG(ct_vsyscall, int nr)
{
	u64 id = bpf_get_current_pid_tgid();

	if (mode && recorded(id >> 32) == CT_MODE_REPLAY)
		say_unsound(id >> 32, (u32)id, CT_UNSOUND_VSYSCALL, nr);
	return 0;
}

SEC("?tp_btf/rseq_ip_fixup")
int BPF_PROG(ct_rseq_fixup, unsigned long from, unsigned long start, unsigned long post, unsigned long abort_ip)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, tid = (u32)id;
	struct {
		struct ct_event h;
		struct ct_ev_rseq r;
	} * e;

	if (!mode || !recorded(tgid))
		return 0;
	if (!EVENT_RESERVE(e, CT_EV_RSEQ, tgid, tid))
		return 0;
	e->r.from_ip = from;
	e->r.start_ip = start;
	e->r.post_commit_offset = post;
	e->r.abort_ip = abort_ip;
	EVENT_SUBMIT(e);
	return 0;
}
