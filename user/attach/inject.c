// SPDX-License-Identifier: MIT
/* System calls made by a stopped thread for us, safe against our own sudden death.
 *
 * The thread runs a stub: `syscall; mov $15,%eax; syscall`. We stop it between the two by PTRACE_SYSCALL; if nobody is
 * there any more to stop it, the second call is rt_sigreturn on a frame that holds all it had before. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "user/attach/target.h"

#define TIMEOUT_MS    30000 /* a fork, or a wait for memory, on a machine that is busy */
#define NT_X86_SHSTK_ 0x204

/* The kernel's struct rt_sigframe (arch/x86/include/asm/sigframe.h), which is user ABI. */
struct sigframe {
	ct_u64 pretcode;
	ct_u64 uc_flags, uc_link;
	ct_u64 ss_sp;
	ct_u32 ss_flags, ss_pad;
	ct_u64 ss_size;
	ct_u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	ct_u16 cs, gs, fs, ss;
	ct_u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
	ct_u64 sigmask;
	unsigned char info[128];
};
_Static_assert(sizeof(struct sigframe) == 8 + 304 + 128, "layout of rt_sigframe");

#define UC_FP_XSTATE         1
#define UC_SIGCONTEXT_SS     2
#define UC_STRICT_RESTORE_SS 4

/* The FPU image as signal frames have it: the regset's, with the software bytes that describe it, and a trailer. */
static void build_fpstate(unsigned char *out, const unsigned char *xsave, size_t len)
{
	ct_u64 xcr0;
	ct_u32 word;

	memcpy(out, xsave, len);
	memcpy(&xcr0, xsave + 464, 8); /* ptrace reports XCR0 here */
	memset(out + 464, 0, 48);
	word = FP_XSTATE_MAGIC1;
	memcpy(out + 464, &word, 4);
	word = len + 4;
	memcpy(out + 468, &word, 4);
	memcpy(out + 472, &xcr0, 8);
	word = len;
	memcpy(out + 480, &word, 4);
	word = FP_XSTATE_MAGIC2;
	memcpy(out + len, &word, 4);
}

static void build_frame(struct sigframe *f, const struct ct_thread *th, ct_u64 fpstate)
{
	const ct_u64 *r = th->regs.r;
	long restart = (long)r[CT_RAX];

	memset(f, 0, sizeof(*f));
	f->uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f->ss_sp = th->state.altstack_sp;
	f->ss_flags = th->state.altstack_size ? th->state.altstack_flags : 2 /* SS_DISABLE */;
	f->ss_size = th->state.altstack_size;
	f->r8 = r[CT_R8], f->r9 = r[CT_R9], f->r10 = r[CT_R10], f->r11 = r[CT_R11];
	f->r12 = r[CT_R12], f->r13 = r[CT_R13], f->r14 = r[CT_R14], f->r15 = r[CT_R15];
	f->di = r[CT_RDI], f->si = r[CT_RSI], f->bp = r[CT_RBP], f->bx = r[CT_RBX];
	f->dx = r[CT_RDX], f->ax = r[CT_RAX], f->cx = r[CT_RCX], f->sp = r[CT_RSP];
	f->ip = r[CT_RIP], f->flags = r[CT_RFLAGS];
	f->cs = r[CT_CS], f->ss = r[CT_SS];
	f->fpstate = fpstate;
	f->sigmask = th->sigmask;
	/* The kernel restarts an interrupted call on its way out of this very stop; after rt_sigreturn it does not,
	 * so the frame makes user code call again, or, where that would start a timeout anew, see EINTR. */
	if ((long)r[CT_ORIG_RAX] >= 0) {
		if (restart == -512 || restart == -513 || restart == -514) {
			f->ip -= 2;
			f->ax = r[CT_ORIG_RAX];
		} else if (restart == -516) {
			f->ax = (ct_u64)-EINTR;
		}
	}
}

/* Ptrace options for the process injected into, or (exit_kill) for a child made by it. */
static unsigned long options(const struct ct_inject *in, bool exit_kill)
{
	return PTRACE_O_TRACESYSGOOD | (exit_kill ? PTRACE_O_EXITKILL : 0) |
	       (in->t->seccomp ? PTRACE_O_SUSPEND_SECCOMP : 0);
}

static bool uses_shadow_stack(pid_t tid)
{
	ct_u64 ssp;
	struct iovec iov = {&ssp, sizeof(ssp)};

	return ptrace(PTRACE_GETREGSET, tid, NT_X86_SHSTK_, &iov) == 0;
}

int ct_inject_begin(struct ct_inject *in, struct ct_target *t, struct ct_thread *th, struct ct_error *err)
{
	const struct ct_map *stack = ct_maps_find(&t->maps, th->regs.r[CT_RSP] - 129);
	size_t len = sizeof(struct sigframe) + 64 + th->xsave_len + 8;
	unsigned char *image = NULL;
	ct_u64 fpstate;

	memset(in, 0, sizeof(*in));
	in->t = t;
	in->thread = th;
	in->tid = th->tid;
	if (t->astray)
		return ct_fail(err, CT_EXIT_FAILED, "a thread of %d (%s) has not come back from an injected call",
			       t->pid, t->comm);
	if (!th->xsave)
		return ct_fail(err, CT_EXIT_FAILED, "the state of thread %d of %d (%s) is not known", (int)th->tid,
			       t->pid, t->comm);
	if (!t->stub)
		return ct_fail(err, CT_EXIT_FAILED, "process %d (%s) has no vDSO to put code in", t->pid, t->comm);
	/* The red zone, then the FPU image, which must be aligned to 64; rsp is at frame + 8 when rt_sigreturn runs.
	 * More is not needed, and some stacks have no more: signals are blocked, and the stub does not push anything.
	 */
	fpstate = (th->regs.r[CT_RSP] - 128 - th->xsave_len - 8) & ~63ull;
	in->frame = (fpstate - sizeof(struct sigframe)) & ~15ull;
	if (!stack || stack->shared || (stack->prot & 3) != 3 || in->frame < stack->start ||
	    in->frame > th->regs.r[CT_RSP])
		return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s) has no room on its stack", (int)th->tid,
			       t->pid, t->comm);
	if (uses_shadow_stack(th->tid))
		return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s) has a shadow stack", (int)th->tid, t->pid,
			       t->comm);

	/* A filter may kill for a call it does not expect. */
	if (t->seccomp && ptrace(PTRACE_SETOPTIONS, th->tid, 0, options(in, 0)))
		return ct_fail_errno(err, CT_EXIT_FAILED, "the seccomp filter of %d (%s) cannot be suspended", t->pid,
				     t->comm);

	len = fpstate + th->xsave_len + 8 - in->frame;
	in->frame_len = len;
	in->saved = malloc(len);
	image = calloc(1, len);
	if (!in->saved || !image || !ct_mem_read(t->memfd, in->frame, in->saved, len)) {
		free(image);
		free(in->saved);
		in->saved = NULL;
		return ct_fail(err, CT_EXIT_FAILED, "cannot read the stack of thread %d of %d (%s)", (int)th->tid,
			       t->pid, t->comm);
	}
	build_frame((struct sigframe *)image, th, fpstate);
	build_fpstate(image + (fpstate - in->frame), th->xsave, th->xsave_len);
	if (!ct_mem_write(t->memfd, in->frame, image, len)) {
		free(image);
		free(in->saved);
		in->saved = NULL;
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot write the stack of thread %d of %d (%s)",
				     (int)th->tid, t->pid, t->comm);
	}
	free(image);
	return 0;
}

int ct_inject_somewhere(struct ct_inject *in, struct ct_target *t, struct ct_error *err)
{
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].stopped && !ct_inject_begin(in, t, &t->threads[i], err))
			return 0;
	return -1;
}

static int lost(struct ct_inject *in, pid_t tid, struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_NOT_ATTACHED, "thread %d of %d (%s) was killed or vanished during an injected call",
		       (int)tid, in->t->pid, in->t->comm);
}

/* Goes on to the next stop that is not about a signal. */
static int step(struct ct_inject *in, pid_t tid, int request, int *status, struct ct_error *err)
{
	for (;;) {
		if (ptrace(request, tid, 0, 0) || ct_wait_stop_fairly(tid, status, TIMEOUT_MS) || !WIFSTOPPED(*status))
			return lost(in, tid, err);
		if (*status >> 16 || WSTOPSIG(*status) == (SIGTRAP | 0x80))
			return 0;
		/* With all signals blocked only synchronous ones get here: the stub is not what we wrote. */
		return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s) got signal %d during an injected call",
			       (int)tid, in->t->pid, in->t->comm, WSTOPSIG(*status));
	}
}

static int enter(struct ct_inject *in, pid_t tid, ct_u64 stub, long nr, const ct_u64 args[6], struct ct_error *err)
{
	struct ct_regs r = in->thread->regs;
	int status;

	r.r[CT_RAX] = nr;
	r.r[CT_ORIG_RAX] = (ct_u64)-1; /* no restart of the call that was interrupted */
	r.r[CT_RDI] = args[0], r.r[CT_RSI] = args[1], r.r[CT_RDX] = args[2];
	r.r[CT_R10] = args[3], r.r[CT_R8] = args[4], r.r[CT_R9] = args[5];
	r.r[CT_RIP] = stub;
	r.r[CT_RSP] = in->frame + 8;
	r.r[CT_RFLAGS] &= ~0x500ull; /* TF, DF */
	/* In this order: from the first line on, a thread left alone runs the stub, which restores mask and registers.
	 */
	if (ct_set_regs(tid, &r) || ct_set_sigmask(tid, ~0ull))
		return lost(in, tid, err);
	do { /* to the call's entry */
		if (step(in, tid, PTRACE_SYSCALL, &status, err))
			return -1;
	} while (status >> 16 == PTRACE_EVENT_STOP);
	return 0;
}

int ct_inject_call(struct ct_inject *in, long nr, const ct_u64 args[6], long *ret, struct ct_error *err)
{
	struct ct_regs r;
	int status;

	if (enter(in, in->tid, in->t->stub, nr, args, err))
		return -1;
	do { /* to its exit */
		if (step(in, in->tid, PTRACE_SYSCALL, &status, err))
			return -1;
	} while (status >> 16);
	if (ct_get_regs(in->tid, &r))
		return lost(in, in->tid, err);
	*ret = (long)r.r[CT_RAX];
	return 0;
}

int ct_inject_clone(struct ct_inject *in, unsigned long flags, pid_t *child, pid_t *ns_pid, struct ct_error *err)
{
	const ct_u64 args[6] = {flags};
	unsigned long msg = 0;
	struct ct_regs r;
	int status;

	*child = 0;
	ptrace(PTRACE_SETOPTIONS, in->tid, 0,
	       options(in, in->tid != in->thread->tid) | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		       PTRACE_O_TRACEVFORK);
	if (enter(in, in->tid, in->t->clone_stub, SYS_clone, args, err))
		return -1;
	for (;;) {
		if (step(in, in->tid, PTRACE_SYSCALL, &status, err))
			return -1;
		if (!(status >> 16))
			break;
		if (status >> 16 == PTRACE_EVENT_STOP)
			continue;
		if (!ptrace(PTRACE_GETEVENTMSG, in->tid, 0, &msg) && msg) {
			*child = msg;
			/* From here on the child dies with us. */
			ptrace(PTRACE_SETOPTIONS, *child, 0, options(in, true));
		}
	}
	if (ct_get_regs(in->tid, &r))
		return lost(in, in->tid, err);
	if (!*child) {
		errno = -(int)(long)r.r[CT_RAX];
		return ct_fail_errno(err, CT_EXIT_FAILED, "process %d (%s) may not clone itself", in->t->pid,
				     in->t->comm);
	}
	*ns_pid = (pid_t)r.r[CT_RAX];
	if (ct_wait_interrupted_fairly(*child, TIMEOUT_MS))
		return lost(in, *child, err);
	ptrace(PTRACE_SETOPTIONS, *child, 0, options(in, true));
	return 0;
}

int ct_inject_end(struct ct_inject *in, struct ct_error *err)
{
	struct ct_thread *th = in->thread;
	int status, ret = 0;

	if (!in->saved)
		return 0;
	/* Back into a stop on the way to user mode, where the kernel still looks at restart codes. */
	if (ptrace(PTRACE_INTERRUPT, th->tid, 0, 0))
		ret = lost(in, th->tid, err);
	while (!ret) {
		if (step(in, th->tid, PTRACE_CONT, &status, err))
			ret = -1;
		else if (status >> 16 == PTRACE_EVENT_STOP)
			break;
	}
	if (!ret && (ct_set_sigmask(th->tid, th->sigmask) || ct_set_regs(th->tid, &th->regs)))
		ret = lost(in, th->tid, err);
	/* A thread that did not come back is still in the stub, and needs the frame: it lies in what nobody uses. */
	if (ret)
		in->t->astray = true;
	else
		ct_mem_write(in->t->memfd, in->frame, in->saved, in->frame_len);
	free(in->saved);
	in->saved = NULL;
	return ret;
}
