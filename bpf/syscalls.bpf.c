// SPDX-License-Identifier: MIT OR GPL-2.0
/* System calls: one record a call, written when it returns, with everything the kernel wrote to user memory.
 *
 * The list of buffers comes from collect.bpf.c; one record of the right size is reserved and filled in place. */
#include "simple.bpf.h"
#include "uprobes.bpf.h"

extern int bpf_probe_read_user_dynptr(struct bpf_dynptr *d, u32 off, u32 size, const void *src) __ksym __weak;

struct out {
	struct bpf_dynptr d;
	u64 addr;
	u32 off, left;
	u32 fault;
	u32 base; /* index added to the loop's */
};

static long copy_step(u32 i, struct out *o)
{
	struct call *c = this_call();
	u32 n = o->left;

	if (!c || !n)
		return 1;
	if (n > COPY)
		n = COPY;
	if (bpf_probe_read_user(c->copy, n, (void *)o->addr)) {
		o->fault = 1;
		return 1;
	}
	bpf_dynptr_write(&o->d, o->off, c->copy, n, 0);
	o->off += n;
	o->addr += n;
	o->left -= n;
	return 0;
}

/* Copies `len` bytes of user memory to offset o->off of the record; false if they are not resident. */
static __always_inline bool copy_user(struct out *o, u64 addr, u32 len)
{
	if (use_read_dynptr)
		return bpf_probe_read_user_dynptr(&o->d, o->off, len, (void *)addr) == 0;
	o->addr = addr;
	o->left = len;
	o->fault = 0;
	u32 at = o->off;

	bpf_loop(CHUNK / COPY + 1, copy_step, o, 0);
	o->off = at;
	return !o->fault && !o->left;
}

static long emit_buf(u32 i, struct out *o)
{
	struct call *c = this_call();
	struct ct_buf b;

	if (!c || i >= c->nbufs || i >= MAX_BUFS)
		return 1;
	b = c->buf[i];
	o->off += sizeof(b);
	if (b.kind == CT_BUF_FILE) {
		bpf_dynptr_write(&o->d, o->off, &c->ref, sizeof(c->ref), 0);
	} else if (b.len && !copy_user(o, b.addr, b.len)) {
		/* A call that failed with EFAULT had an address nobody can read. */
		if (b.kind == CT_BUF_OUT && c->ret != -EFAULT) {
			c->flags |= CT_SYSF_FAULT;
			c->fault_addr = b.addr;
			__sync_fetch_and_add(&counters.faults, 1);
		}
		b.kind = CT_BUF_FAULT;
		b.len = 0;
	}
	bpf_dynptr_write(&o->d, o->off - sizeof(b), &b, sizeof(b), 0);
	o->off += pad8(b.len);
	return 0;
}

struct chunks {
	u64 addr;
	u32 left, tgid, tid;
};
static long emit_chunk(u32 i, struct chunks *k)
{
	struct out o = {};
	struct {
		struct ct_event h;
		struct ct_ev_data d;
	} e = {};
	u32 n = k->left;
	bool ok;

	if (!n)
		return 1;
	if (n > CHUNK)
		n = CHUNK;
	e.d.addr = k->addr;
	e.d.len = n;
	event_init(&e.h, sizeof(e) + n, CT_EV_DATA, k->tgid, k->tid);
	if (bpf_ringbuf_reserve_dynptr(&ring, sizeof(e) + n, 0, &o.d)) {
		bpf_ringbuf_discard_dynptr(&o.d, 0);
		lost_one();
	} else {
		o.off = sizeof(e);
		ok = copy_user(&o, k->addr, n);
		if (!ok) {
			e.d.flags = CT_BUF_FAULT;
			e.d.len = 0;
			e.h.size = sizeof(e);
			__sync_fetch_and_add(&counters.faults, 1);
		}
		bpf_dynptr_write(&o.d, 0, &e, sizeof(e), 0);
		bpf_ringbuf_submit_dynptr(&o.d, BPF_RB_NO_WAKEUP);
		if (!ok)
			say_unsound(k->tgid, k->tid, CT_UNSOUND_FAULT, k->addr);
	}
	k->addr += n;
	k->left -= n;
	return 0;
}
static long emit_chunked(u32 i, u32 *unused)
{
	struct call *c = this_call();
	struct chunks k = {};

	if (!c || i >= c->nbufs || i >= MAX_BUFS)
		return 1;
	if (!(c->buf[i].flags & CT_BUFF_CHUNKED))
		return 0;
	k.addr = c->buf[i].addr;
	k.left = c->buf[i].want;
	k.tgid = c->tgid;
	k.tid = c->tid;
	bpf_loop(MAX_CHUNKS, emit_chunk, &k, 0);
	return 0;
}

static __always_inline void fill(struct ct_ev_syscall *s, const struct call *c, const struct pt_regs *regs)
{
	fill_regs(s, regs, c->ret, c->nbufs, c->flags);
}

static __always_inline void emit_small(struct call *c, const struct pt_regs *regs)
{
	struct syscall_record *e;

	if (!EVENT_RESERVE(e, CT_EV_SYSCALL, c->tgid, c->tid))
		return;
	fill(&e->s, c, regs);
	EVENT_SUBMIT(e);
}

static __noinline void emit_large(struct call *c, const struct pt_regs *regs)
{
	struct scratch *x = scratch_get(SCRATCH_EVENTS);
	struct out o = {};
	u32 zero = 0, size = sizeof(x->syscall) + c->bytes;

	if (!x)
		return;
	if (size > CT_EVENT_MAX - CHUNK) { /* many large buffers: the rest would not fit one record */
		c->flags |= CT_SYSF_TRUNCATED;
		c->nbufs = 0;
		size = sizeof(x->syscall);
	}
	bpf_loop(c->nbufs, emit_chunked, &zero, 0);
	event_init(&x->syscall.h, size, CT_EV_SYSCALL, c->tgid, c->tid);
	if (bpf_ringbuf_reserve_dynptr(&ring, size, 0, &o.d)) {
		bpf_ringbuf_discard_dynptr(&o.d, 0);
		lost_one();
		return;
	}
	o.off = sizeof(x->syscall);
	bpf_loop(c->nbufs, emit_buf, &o, 0);
	x->syscall.h.size = o.off < size ? o.off : size;
	fill(&x->syscall.s, c, regs);
	bpf_dynptr_write(&o.d, 0, &x->syscall, sizeof(x->syscall), 0);
	bpf_ringbuf_submit_dynptr(&o.d, BPF_RB_NO_WAKEUP);
}

/* The common case, a few small buffers: a reservation of constant size is filled in place, which costs a third of
 * what a dynptr does. The record says how much of it is used. */
#define MEDIUM      256 /* bytes of buffers, headers included */
#define MEDIUM_BUFS 4
struct medium_record {
	struct syscall_record r;
	u8 bufs[2 * MEDIUM]; /* twice: the verifier adds up the bounds of offset and length */
};

static __always_inline bool fits_medium(const struct call *c)
{
	return c->nbufs <= MEDIUM_BUFS && c->bytes <= MEDIUM && !c->have_ref && !c->chunked;
}

static __noinline void emit_medium(struct call *c, const struct pt_regs *regs)
{
	struct medium_record *m;
	struct ct_event h;
	u32 off = 0;

	event_init(&h, sizeof(m->r) + c->bytes, CT_EV_SYSCALL, c->tgid, c->tid);
	m = bpf_ringbuf_reserve(&ring, sizeof(*m), 0);
	if (!m) {
		lost_one();
		return;
	}
	for (u32 i = 0; i < MEDIUM_BUFS; i++) {
		struct ct_buf *b;
		u32 len, at = off;

		if (i >= c->nbufs)
			break;
		asm volatile("%0 &= 255" : "+r"(at));
		b = (struct ct_buf *)(m->bufs + at);
		*b = c->buf[i];
		off += sizeof(*b);
		len = c->buf[i].len;
		at = off;
		asm volatile("%0 &= 255" : "+r"(at));
		if (len > MEDIUM - sizeof(*b))
			break;
		if (len && bpf_probe_read_user(m->bufs + at, len, (void *)c->buf[i].addr)) {
			if (b->kind == CT_BUF_OUT && c->ret != -EFAULT) {
				c->flags |= CT_SYSF_FAULT;
				c->fault_addr = b->addr;
				__sync_fetch_and_add(&counters.faults, 1);
			}
			b->kind = CT_BUF_FAULT;
			b->len = 0;
			len = 0;
		}
		off += pad8(len);
	}
	fill(&m->r.s, c, regs);
	h.size = sizeof(m->r) + off;
	m->r.h = h;
	EVENT_SUBMIT(m);
}

/* rt_sigreturn replaces all registers: they are its result. */
struct sigreturn_record {
	struct ct_event h;
	struct ct_ev_syscall s;
	struct ct_buf b;
	struct ct_regs regs;
};
static __noinline void emit_sigreturn(struct call *c, const struct pt_regs *regs)
{
	struct sigreturn_record *e;

	if (!EVENT_RESERVE(e, CT_EV_SYSCALL, c->tgid, c->tid))
		return;
	c->nbufs = 1;
	fill(&e->s, c, regs);
	__builtin_memset(&e->b, 0, sizeof(e->b));
	e->b.kind = CT_BUF_REGS;
	e->b.len = e->b.want = sizeof(e->regs);
	__builtin_memset(&e->regs, 0, sizeof(e->regs));
	copy_regs(&e->regs, regs);
	EVENT_SUBMIT(e);
}

/* Calls that never return, that return somewhere else, or whose arguments are gone by then. */
static __noinline void emit_enter(struct call *c, const struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *x = scratch_get(SCRATCH_EVENTS);
	struct out o = {};
	u32 size;

	if (!x)
		return;
	c->in_only = 1;
	collect(c->nr);
	c->in_only = 0;
	if (c->bytes > CHUNK)
		c->nbufs = c->bytes = 0; /* only for people: never worth losing the record for */
	size = sizeof(x->enter) + c->bytes;
	x->enter.n.nr = c->nr;
	x->enter.n.nbufs = c->nbufs;
	x->enter.n.flags = 0;
	x->enter.n.clear_child_tid = 0;
	x->enter.n.robust_list = 0;
	copy_regs(&x->enter.n.regs, regs);
	if (c->nr == NR_exit || c->nr == NR_exit_group) {
		x->enter.n.clear_child_tid = (u64)task->clear_child_tid;
		x->enter.n.robust_list = (u64)task->robust_list;
	}
	event_init(&x->enter.h, size, CT_EV_ENTER, c->tgid, c->tid);
	if (bpf_ringbuf_reserve_dynptr(&ring, size, 0, &o.d)) {
		bpf_ringbuf_discard_dynptr(&o.d, 0);
		lost_one();
		return;
	}
	o.off = sizeof(x->enter);
	bpf_loop(c->nbufs, emit_buf, &o, 0);
	x->enter.h.size = o.off < size ? o.off : size;
	bpf_dynptr_write(&o.d, 0, &x->enter, sizeof(x->enter), 0);
	bpf_ringbuf_submit_dynptr(&o.d, BPF_RB_NO_WAKEUP);
}

/* The new image waits in the kernel until the recorder has attached to it. */
static __noinline void emit_exec(u32 tgid, u32 tid, const struct pt_regs *regs)
{
	u64 since = bpf_ktime_get_ns();
	bool held = hold(CT_HOLD_EXEC, tgid, tid, cur.t.exec_from, NULL) == 0;
	struct {
		struct ct_event h;
		struct ct_ev_exec x;
	} * e;

	cur.t.flags &= ~TS_EXEC;
	if (EVENT_RESERVE(e, CT_EV_EXEC, tgid, tid)) {
		e->x.old_tid = cur.t.exec_from;
		e->x.flags = held ? CT_EXECF_HELD : 0;
		__builtin_memset(&e->x.regs, 0, sizeof(e->x.regs));
		copy_regs(&e->x.regs, regs);
		bpf_get_current_comm(e->x.comm, sizeof(e->x.comm));
		EVENT_SUBMIT(e);
	}
	if (!held)
		say_unsound(tgid, tid, CT_UNSOUND_EXEC_NOT_HELD, bpf_ktime_get_ns() - since);
}

/* The content of a mapped file is what it was when it was mapped, and what is stored through mappings. A call that
 * writes to it changes memory in a way that no record holds. */
static __always_inline void look_for_writes(const struct pt_regs *regs, s32 nr, s64 ret, u32 tgid, u32 tid)
{
	s32 fd = -1;

	switch (nr) {
	case 1:   /* write */
	case 18:  /* pwrite64 */
	case 20:  /* writev */
	case 40:  /* sendfile */
	case 296: /* pwritev */
	case 328: /* pwritev2 */
		if (ret > 0)
			fd = regs->di;
		break;
	case 77: /* ftruncate: who shrinks it takes pages away, who extends it makes some accessible */
		if (!ret)
			fd = regs->di;
		break;
	case 285: /* fallocate, other than for more room (FALLOC_FL_KEEP_SIZE) */
		if (!ret && regs->si & ~1ul)
			fd = regs->di;
		break;
	case 275: /* splice */
	case 326: /* copy_file_range */
		if (ret > 0)
			fd = regs->dx;
		break;
	}
	if (fd >= 0 && file_is_mapped(fd))
		say_unsound(tgid, tid, CT_UNSOUND_WRITTEN, fd);
}

/* Said before the record of the call: no replay should get as far as to make it. */
static __always_inline void look_at_place(const struct pt_regs *regs, s32 nr, s64 ret, u32 tgid, u32 tid)
{
	u64 start, len = regs->si;

	switch (nr) {
	case 9: /* mmap */ start = ret; break;
	case 11: /* munmap */ start = ret ? ~0ull : regs->di; break;
	case 25: /* mremap */
		start = ret;
		len = regs->dx;
		break;
	default: return;
	}
	if (start < CT_PLACES_BEGIN || (start < CT_PLACES_END + 4096 && start + len > CT_PLACES_END))
		say_unsound(tgid, tid, CT_UNSOUND_PLACE, start);
}

#define O_TRUNC 01000

/* A file that is opened with O_TRUNC may have been mapped by somebody who does not write: watch_writes knows nothing.
 */
static __always_inline void look_for_truncation(const struct pt_regs *regs, s32 nr, s64 fd, u32 tgid, u32 tid)
{
	u64 flags = 0;

	switch (nr) {
	case 2: /* open */ flags = regs->si; break;
	case 85: /* creat */ flags = O_TRUNC; break;
	case 257: /* openat */ flags = regs->dx; break;
	case 437: /* openat2: the first member of its struct open_how */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)regs->dx);
		break;
	}
	if (flags & O_TRUNC && file_is_mapped((s32)fd))
		say_unsound(tgid, tid, CT_UNSOUND_WRITTEN, fd);
}

/* Memory that a child will have in common with it, and can write to: what mmap and shmat map so. */
static __always_inline bool shares_memory(const struct pt_regs *regs, s32 nr, s64 ret)
{
	if (ret < 0 && ret >= -4095)
		return false;
	return (nr == 9 && (regs->r10 & 1) /* MAP_SHARED */ && (regs->dx & 2) /* PROT_WRITE */) ||
	       (nr == 30 && !(regs->dx & 010000) /* SHM_RDONLY */);
}
static __noinline int note_sharing(u32 tgid)
{
	struct ct_proc *proc = bpf_map_lookup_elem(&procs, &tgid);

	if (proc)
		proc->how |= CT_PROC_SHARES;
	return 0;
}

/* ---- the programs ----------------------------------------------------------------------------------------- */

static __always_inline void set_args(struct call *c, const struct pt_regs *regs)
{
	c->args[0] = regs->di;
	c->args[1] = regs->si;
	c->args[2] = regs->dx;
	c->args[3] = regs->r10;
	c->args[4] = regs->r8;
	c->args[5] = regs->r9;
}

/* 1: the thread is in a system call that the kernel's handling of a probe makes, which at its end looks like a return
 * from a signal handler. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32);
} in_probe SEC(".maps");

static __always_inline void probe_call_begins(void)
{
	u32 *in = bpf_task_storage_get(&in_probe, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (in)
		*in = 1;
}

/* Also of one that had begun before anything was recorded. */
static __always_inline bool probe_call_ends(u64 ip)
{
	u32 *in = bpf_task_storage_get(&in_probe, bpf_get_current_task_btf(), 0, 0);

	if (!in || !*in)
		return in_uprobes_page(ip) || in_nop_trampoline(ip);
	*in = 0;
	return true;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(ct_sys_enter, struct pt_regs *regs, long nr)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, tid = (u32)id, how;
	struct call *c;

	if (!mode || !(how = recorded(tgid)))
		return 0;
	if (how == CT_MODE_REPLAY) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		cur.t.flags = (cur.t.flags & ~(TS_SWITCHED | TS_USER | TS_FP)) | TS_INSYS;
		cur.t.nr = nr;
		cur.t.frame = (u64)regs;
		if (bpf_get_current_task_btf()->thread_info.status & TS_COMPAT)
			say_unsound(tgid, tid, CT_UNSOUND_CALL32, nr);
		/* It, or somebody, has changed its affinity: threads on two CPUs have no order. */
		if (bpf_get_smp_processor_id() != pinned_cpu)
			say_unsound(tgid, tid, CT_UNSOUND_FOREIGN_CPU, bpf_get_smp_processor_id());
	}
	if (how == CT_MODE_EVENTS && (nr == NR_uretprobe || nr == NR_uprobe))
		probe_call_begins();
	if (nr < 0 || nr >= CT_MAX_SYSCALL || !(rules[nr].flags & CT_SYSR_ENTER))
		return 0;
	c = this_call();
	if (!c)
		return 0;
	c->nr = nr;
	c->tgid = tgid;
	c->tid = tid;
	c->ret = 0;
	c->flags = 0;
	set_args(c, regs);
	emit_enter(c, regs);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(ct_sys_exit, struct pt_regs *regs, long ret)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, tid = (u32)id, flags = 0, row, how;
	struct call *c;
	s32 nr, rules_nr;

	if (!mode || !(how = recorded(tgid)))
		return 0;
	nr = (s32)regs->orig_ax;
	rules_nr = nr;
	/* How the kernel handles a probe of ours at a return, or at a 5-byte nop: no call of the program's. */
	if (how == CT_MODE_EVENTS && (nr < 0 || nr == NR_uretprobe || nr == NR_uprobe) && probe_call_ends(regs->ip))
		return 0;
	if (how == CT_MODE_REPLAY) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		if (!(cur.t.flags & TS_INSYS))
			flags |= CT_SYSF_NO_ENTER;
		if (cur.t.flags & TS_SWITCHED)
			flags |= CT_SYSF_SWITCHED;
		cur.t.flags &= ~TS_INSYS;
		cur.t.frame = (u64)regs;
		if (watch_writes)
			look_for_writes(regs, nr, ret, tgid, tid);
		look_at_place(regs, nr, ret, tgid, tid);
		if (nr == NR_restart_syscall)
			rules_nr = cur.t.restart_nr;
		else if (ret == RESTART_MIN)
			cur.t.restart_nr = nr;
	}
	row = rules_nr;
	if (row < CT_MAX_SYSCALL && (rules[row].flags & CT_SYSR_SIMPLE) && !(cur.t.flags & TS_EXEC) && !is_clone(nr) &&
	    emit_simple(regs, ret, row, flags, tgid, tid))
		return 0;
	c = this_call();
	if (!c)
		return 0;
	c->flags = flags;
	c->in_only = 0;
	c->replay = how == CT_MODE_REPLAY;
	c->ret = ret;
	c->nr = nr;
	c->tgid = tgid;
	c->tid = tid;
	set_args(c, regs);
	if (nr < 0 && how == CT_MODE_REPLAY && cur.t.nr != NR_rt_sigreturn) { /* syscall(-1): no more than ENOSYS */
		say_unsound(tgid, tid, CT_UNSOUND_SYSCALL, nr);
		emit_small(c, regs);
		return 0;
	}
	if (nr < 0) {
		emit_sigreturn(c, regs);
		return 0;
	}
	collect(rules_nr);
	if (ret >= 0 && (c->r.action == CT_ACT_UNKNOWN || c->r.action == CT_ACT_REFUSE))
		c->flags |= CT_SYSF_UNKNOWN;
	if (!c->nbufs)
		emit_small(c, regs);
	else if (fits_medium(c))
		emit_medium(c, regs);
	else
		emit_large(c, regs);

	if (how != CT_MODE_REPLAY)
		return 0;
	if (shares_memory(regs, nr, ret))
		note_sharing(tgid);
	if (c->flags & (CT_SYSF_TRUNCATED | CT_SYSF_FAULT | CT_SYSF_UNKNOWN)) {
		if (c->flags & CT_SYSF_TRUNCATED)
			say_unsound(tgid, tid, CT_UNSOUND_TRUNCATED, nr);
		if (c->flags & CT_SYSF_FAULT)
			say_unsound(tgid, tid, CT_UNSOUND_FAULT, c->fault_addr);
		if (c->flags & CT_SYSF_UNKNOWN)
			say_unsound(tgid, tid, CT_UNSOUND_SYSCALL, nr);
	}
	if (ret >= 0)
		look_for_truncation(regs, nr, ret, tgid, tid);
	if (c->have_ref && nr == 9 && !file_is_kept(&c->ref)) {
		/* One that is answered late is the recorder's to judge. */
		if (hold(CT_HOLD_FILE, tgid, tid, c->ret, &c->ref) < 0)
			say_unsound(tgid, tid, CT_UNSOUND_FILE, c->ret);
	}
	if (cur.t.flags & TS_EXEC)
		emit_exec(tgid, tid, regs);
	return 0;
}
