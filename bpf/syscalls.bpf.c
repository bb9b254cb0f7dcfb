// SPDX-License-Identifier: MIT OR GPL-2.0
/* System calls: one record a call, written when it returns, with everything the kernel wrote to user memory.
 *
 * What a call writes is data, not code: rows of formats/syscalls.def, loaded into `rules` and `subrules`. They are
 * turned into a list of buffers first (collect), then one record of the right size is reserved and filled (emit). */
#include "files.bpf.h"
#include "target.bpf.h"

#define MAX_BUFS   256
#define IN_MAX     32         /* bytes kept of data the program passed in ... */
#define IN_STR_MAX 256        /* ... and of strings */
#define CHUNK      (1u << 20) /* buffers above go into DATA records of at most this size */
#define COPY       4096       /* step of the copy loop on kernels without bpf_probe_read_user_dynptr */
#define MAX_CHUNKS 4096

#define EINTR              4
#define EFAULT             14
#define RESTART_MIN        -516 /* -ERESTARTSYS .. -ERESTART_RESTARTBLOCK */
#define RESTART_MAX        -512
#define NR_rt_sigreturn    15
#define NR_execve          59
#define NR_exit            60
#define NR_restart_syscall 219
#define NR_exit_group      231
#define NR_execveat        322

extern int bpf_probe_read_user_dynptr(struct bpf_dynptr *d, u32 off, u32 size, const void *src) __ksym __weak;

const volatile struct ct_sysrules rules[CT_MAX_SYSCALL] = {};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct ct_subkey);
	__type(value, struct ct_sysrules);
} subrules SEC(".maps");

/* One call being looked at. Programs on one CPU do not nest here. */
struct call {
	s64 ret;
	u64 args[6];
	u32 tgid, tid;
	s32 nr;
	u32 nbufs;
	u32 flags; /* CT_SYSF_* */
	u32 bytes; /* of buffers in the record, headers and padding included */
	u32 in_only;
	u32 rules_nr; /* row of `rules` in force, unless ... */
	u32 use_sub;  /* ... c->r is a copy of one of `subrules` */
	u32 have_ref;
	u64 fault_addr;
	struct ct_sysrules r;
	struct ct_file_ref ref;
	struct ct_buf buf[MAX_BUFS];
	u8 copy[COPY];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline struct call *this_call(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&calls, &zero);
}

static __always_inline u64 arg(const struct call *c, u32 i)
{
	return i < 6 ? c->args[i] : 0;
}

static __always_inline u64 reg_arg(const struct pt_regs *regs, u32 i)
{
	switch (i) {
	case 0: return regs->di;
	case 1: return regs->si;
	case 2: return regs->dx;
	case 3: return regs->r10;
	case 4: return regs->r8;
	default: return regs->r9;
	}
}

static __always_inline u64 user64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}
static __always_inline u32 user32(u64 addr)
{
	u32 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u32 pad8(u32 n)
{
	return (n + 7) & ~7u;
}

/* ---- collect ------------------------------------------------------------------------------------------- */

static __always_inline void add(struct call *c, u64 addr, u64 len, u8 kind, u8 argno)
{
	u32 n = c->nbufs, want = len > 0x7ffff000 ? 0x7ffff000 : len;
	struct ct_buf *b;

	if (!addr || !len)
		return;
	if (n >= MAX_BUFS) {
		c->flags |= CT_SYSF_TRUNCATED;
		return;
	}
	b = &c->buf[n];
	b->addr = addr;
	b->want = want;
	b->len = want;
	b->kind = kind;
	b->arg = argno;
	b->flags = 0;
	b->pad = 0;
	if (kind == CT_BUF_IN && want > IN_MAX)
		b->len = IN_MAX;
	if (kind == CT_BUF_OUT && want > CHUNK) {
		b->flags = CT_BUFF_CHUNKED;
		b->len = 0;
	}
	c->bytes += sizeof(*b) + pad8(b->len);
	c->nbufs = n + 1;
}

static __always_inline void add_str(struct call *c, u64 addr, u32 max, u8 kind, u8 argno)
{
	s64 len;

	if (!addr)
		return;
	if (max > IN_STR_MAX || !max)
		max = IN_STR_MAX;
	len = bpf_probe_read_user_str(c->copy, max & 511, (void *)addr);
	if (len > 0) {
		u32 n = c->nbufs;

		add(c, addr, len, kind, argno);
		/* add() cuts IN data shorter than strings may be */
		if (n < MAX_BUFS && kind == CT_BUF_IN && c->nbufs == n + 1) {
			c->bytes += pad8(len) - pad8(c->buf[n].len);
			c->buf[n].len = len;
		}
	}
}

struct vec {
	u64 addr, left;
	u32 kind, argno;
};
static long add_iovec_one(u32 i, struct vec *v)
{
	struct call *c = this_call();
	u64 iov[2] = {};
	u64 n;

	if (!c || !v->left)
		return 1;
	if (bpf_probe_read_user(iov, sizeof(iov), (void *)(v->addr + i * 16ull)))
		return 1;
	n = iov[1] < v->left ? iov[1] : v->left;
	add(c, iov[0], n, v->kind, v->argno);
	v->left -= n;
	return 0;
}
static __noinline int add_iovec(u64 addr, u64 count, u64 bytes, u32 kind, u32 argno)
{
	struct vec v = {.addr = addr, .left = bytes, .kind = kind, .argno = argno};

	if (count > 1024) /* UIO_MAXIOV */
		count = 1024;
	bpf_loop(count, add_iovec_one, &v, 0);
	return 0;
}

/* struct user_msghdr: name, namelen, iov, iovlen, control, controllen, flags. */
static __noinline int add_msghdr(u64 addr, u64 bytes, u32 kind, u32 argno)
{
	struct call *c = this_call();
	u64 m[7] = {};

	if (!c || bpf_probe_read_user(m, sizeof(m), (void *)addr))
		return 0;
	if (kind == CT_BUF_OUT) {
		add(c, addr, sizeof(m), kind, argno);
		add(c, m[0], (u32)m[1] > 128 ? 128 : (u32)m[1], kind, argno);
		add(c, m[4], m[5] > (64 << 10) ? (64 << 10) : m[5], kind, argno);
	}
	add_iovec(m[2], m[3], bytes, kind, argno);
	return 0;
}
struct mvec {
	u64 addr;
	u32 kind, argno;
};
static long add_mmsghdr_one(u32 i, struct mvec *v)
{
	struct call *c = this_call();
	u64 at = v->addr + i * 64ull; /* struct mmsghdr: a msghdr, msg_len, padding */

	if (!c)
		return 1;
	if (v->kind == CT_BUF_OUT)
		add(c, at + 56, 4, v->kind, v->argno);
	add_msghdr(at, user32(at + 56), v->kind, v->argno);
	return 0;
}
static long add_strv_one(u32 i, struct mvec *v)
{
	struct call *c = this_call();
	u64 s = user64(v->addr + i * 8ull);

	if (!c || !s)
		return 1;
	add_str(c, s, 128, CT_BUF_IN, v->argno);
	return 0;
}

static __always_inline bool applies(u32 cond, s64 ret)
{
	switch (cond) {
	case CT_IF_OK: return ret >= 0;
	case CT_IF_ZERO: return ret == 0;
	case CT_IF_POS: return ret > 0;
	case CT_IF_ERR: return ret < 0;
	case CT_IF_INTR: return ret == -EINTR || (ret >= RESTART_MIN && ret <= RESTART_MAX);
	default: return true;
	}
}

/* A read of a regular file that the recorder keeps: its identity instead of its bytes. */
static __always_inline bool add_by_reference(struct call *c, const struct ct_rule *r, u64 addr, u64 count)
{
	u64 pos;

	if (mode != CT_MODE_REPLAY || c->ret < CT_REF_MIN || r->mul || (c->flags & CT_SYSF_SWITCHED))
		return false;
	pos = r->n < 6 ? arg(c, r->n) : ~0ull;
	if (!file_reference((s32)c->args[0], pos, c->ret, &c->ref))
		return false;
	if (c->nbufs >= MAX_BUFS)
		return false;
	c->have_ref = c->nbufs + 1;
	c->buf[c->nbufs & (MAX_BUFS - 1)] = (struct ct_buf){
		.addr = addr, .want = c->ret, .len = sizeof(c->ref), .kind = CT_BUF_FILE, .arg = r->arg};
	c->bytes += sizeof(struct ct_buf) + sizeof(c->ref);
	c->nbufs++;
	if (c->ref.flags & CT_FILE_OFFER) { /* not kept yet: the bytes go along, this only offers it */
		c->buf[c->have_ref - 1 & (MAX_BUFS - 1)].want = 0;
		c->ref.flags = 0;
		return false;
	}
	__sync_fetch_and_add(&counters.by_reference, c->ret);
	return true;
}

static __always_inline void add_mapping(struct call *c)
{
	if ((s32)c->args[4] < 0 || (c->args[3] & 0x20) /* MAP_ANONYMOUS */ || c->nbufs >= MAX_BUFS)
		return;
	if (!file_identity((s32)c->args[4], &c->ref, c->args[3]))
		return;
	c->ref.offset = c->args[5];
	c->ref.len = c->args[1];
	c->have_ref = c->nbufs + 1;
	c->buf[c->nbufs & (MAX_BUFS - 1)] = (struct ct_buf){
		.addr = c->ret, .want = c->args[1], .len = sizeof(c->ref), .kind = CT_BUF_FILE, .arg = 0};
	c->bytes += sizeof(struct ct_buf) + sizeof(c->ref);
	c->nbufs++;
}

__noinline int apply_rule(u32 i)
{
	struct call *c = this_call();
	struct ct_rule rule;
	const struct ct_rule *r = &rule;
	u64 addr, a, len = 0;
	s64 ret;
	u8 kind, argno;

	if (!c || i >= CT_MAX_RULES)
		return 0;
	if (c->use_sub)
		rule = c->r.rule[i];
	else
		rule = *(const struct ct_rule *)&rules[c->rules_nr & (CT_MAX_SYSCALL - 1)].rule[i];
	ret = c->ret;
	argno = r->arg;
	if (r->dir == CT_DIR_IN) {
		kind = CT_BUF_IN;
	} else {
		if (c->in_only || !applies(r->cond, ret))
			return 0;
		kind = CT_BUF_OUT;
	}
	addr = arg(c, r->arg);
	if (r->size == CT_SZ_FILEMAP) {
		add_mapping(c);
		return 0;
	}
	if (r->flags & CT_RF_DEREF)
		addr = addr ? user64(addr + r->off) : 0;
	if (!addr)
		return 0;
	a = arg(c, r->sarg);

	switch (r->size) {
	case CT_SZ_FIXED: len = r->n; break;
	case CT_SZ_RET: len = ret >= 0 ? (u64)ret * r->mul + r->n : 0; break;
	case CT_SZ_ARG: len = a * r->mul + r->n; break;
	case CT_SZ_RETMIN: len = ret < 0 ? 0 : (u64)ret < a ? (u64)ret * r->mul : a * r->mul; break;
	case CT_SZ_PTR32: len = a ? (u64)user32(a + r->soff) * r->mul + r->n : 0; break;
	case CT_SZ_PTR64: len = a ? user64(a + r->soff) * r->mul + r->n : 0; break;
	case CT_SZ_BITS: len = (a + 63) / 64 * 8; break;
	case CT_SZ_CPUMASK: len = (a + 7) / 8; break;
	case CT_SZ_PAGES: len = (a + 4095) / 4096; break;
	case CT_SZ_IOC: len = a >> 16 & 0x3fff; break;
	case CT_SZ_CSTR: add_str(c, addr, r->n, kind, argno); return 0;
	case CT_SZ_IOVEC: add_iovec(addr, a, ret > 0 ? ret : 0, kind, argno); return 0;
	case CT_SZ_MSGHDR: add_msghdr(addr, ret > 0 ? ret : 0, kind, argno); return 0;
	case CT_SZ_MMSGHDR: {
		struct mvec v = {.addr = addr, .kind = kind, .argno = argno};

		bpf_loop(ret > 0 && ret <= 1024 ? ret : 0, add_mmsghdr_one, &v, 0);
		return 0;
	}
	case CT_SZ_STRV: {
		struct mvec v = {.addr = addr, .argno = argno};

		bpf_loop(64, add_strv_one, &v, 0);
		return 0;
	}
	case CT_SZ_FILEREAD:
		if (ret <= 0 || add_by_reference(c, r, addr, a))
			return 0;
		if (r->mul) {
			add_iovec(addr, a, ret, kind, argno);
			return 0;
		}
		len = ret;
		break;
	}
	if (len > (1ull << 31)) { /* more than any call writes: a length word changed under us */
		c->flags |= CT_SYSF_TRUNCATED;
		return 0;
	}
	add(c, addr, len, kind, argno);
	return 0;
}

/* Finds the row of the table for call `nr`: c->r.action and .nrules, and where apply_rule finds the rules. */
static __always_inline void find_rules(struct call *c, s32 nr)
{
	struct ct_subkey key;
	struct ct_sysrules *sub;
	u32 row = nr;

	c->use_sub = 0;
	if (row >= CT_MAX_SYSCALL) {
		c->r.action = CT_ACT_UNKNOWN;
		c->r.nrules = 0;
		return;
	}
	c->rules_nr = row;
	c->r.action = rules[row].action;
	c->r.nrules = rules[row].nrules;
	if (rules[row].subarg >= 6)
		return;
	key.nr = nr;
	key.cmd = arg(c, rules[row].subarg) & rules[row].submask;
	sub = bpf_map_lookup_elem(&subrules, &key);
	if (sub) {
		c->r = *sub;
		c->use_sub = 1;
	} else if ((rules[row].flags & CT_SYSR_IOC_OUT) && (key.cmd >> 30 & 2)) { /* _IOC_READ */
		add(c, arg(c, 2), key.cmd >> 16 & 0x3fff, CT_BUF_OUT, 2);
	} else if (rules[row].flags & CT_SYSR_SUB_STRICT) {
		c->r.action = CT_ACT_UNKNOWN;
	}
}

#define NR_clone            56
#define NR_fork             57
#define NR_vfork            58
#define NR_clone3           435
#define CLONE_PIDFD         0x1000
#define CLONE_PARENT_SETTID 0x100000

static __always_inline bool is_clone(s32 nr)
{
	return nr == NR_clone || nr == NR_fork || nr == NR_vfork || nr == NR_clone3;
}

/* What is written depends on flags, and in the child the arguments may point to memory its parent uses otherwise by
 * now. The child's own number is stored on its way to its first return. */
static __noinline void collect_clone(struct call *c, s32 nr)
{
	u64 flags = c->args[0], parent_tid = c->args[2], pidfd = c->args[2];

	if (c->ret == 0) {
		struct task_struct *task = bpf_get_current_task_btf();

		add(c, (u64)task->set_child_tid, 4, CT_BUF_OUT, 0);
		return;
	}
	if (c->ret < 0 || nr == NR_fork || nr == NR_vfork)
		return;
	if (nr == NR_clone3) { /* struct clone_args: flags, pidfd, child_tid, parent_tid, ... */
		add(c, c->args[0], c->args[1] > 88 ? 88 : c->args[1], CT_BUF_IN, 0);
		flags = user64(c->args[0]);
		pidfd = user64(c->args[0] + 8);
		parent_tid = user64(c->args[0] + 24);
	}
	if (flags & CLONE_PIDFD)
		add(c, pidfd, 4, CT_BUF_OUT, 0);
	if (flags & CLONE_PARENT_SETTID)
		add(c, parent_tid, 4, CT_BUF_OUT, 0);
}

static __always_inline void collect(struct call *c, s32 nr)
{
	c->nbufs = 0;
	c->bytes = 0;
	c->have_ref = 0;
	c->fault_addr = 0;
	find_rules(c, nr);
	if (is_clone(nr)) {
		collect_clone(c, nr);
		return;
	}
	for (u32 i = 0; i < CT_MAX_RULES; i++) {
		if (i >= c->r.nrules)
			break;
		apply_rule(i);
	}
}

/* ---- emit ----------------------------------------------------------------------------------------------- */

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

static __always_inline void fill_regs(struct ct_ev_syscall *s, const struct pt_regs *regs, s64 ret, u32 nbufs,
				      u32 flags)
{
	s->ret = ret;
	s->args[0] = regs->di;
	s->args[1] = regs->si;
	s->args[2] = regs->dx;
	s->args[3] = regs->r10;
	s->args[4] = regs->r8;
	s->args[5] = regs->r9;
	s->ip = regs->ip;
	s->sp = regs->sp;
	s->rflags = regs->flags;
	s->saved = CT_SAVED_HASH(regs->bx, regs->bp, regs->r12, regs->r13, regs->r14, regs->r15);
	s->nr = regs->orig_ax;
	s->nbufs = nbufs;
	s->flags = flags;
}
static __always_inline void fill(struct ct_ev_syscall *s, const struct call *c, const struct pt_regs *regs)
{
	fill_regs(s, regs, c->ret, c->nbufs, c->flags);
}

/* Most calls by far have no buffer, or one small one: their record needs no list of buffers first. */
#define SIMPLE 256
#define SMALL  96
#define TINY   32
#define SIMPLE_RECORD(name, bytes)                                                                                     \
	struct name {                                                                                                  \
		struct ct_event h;                                                                                     \
		struct ct_ev_syscall s;                                                                                \
		struct ct_buf b;                                                                                       \
		u8 data[bytes];                                                                                        \
	}
SIMPLE_RECORD(simple_record, SIMPLE);
SIMPLE_RECORD(small_record, SMALL);
SIMPLE_RECORD(tiny_record, TINY);

/* Reserves a record with room for `room` bytes, of which `len` are used, and fills it in. Every cache line of a record
 * has to travel to the consumer's CPU: hence three sizes. */
#define EMIT_ONE(type, room)                                                                                           \
	({                                                                                                             \
		struct type *e_ = bpf_ringbuf_reserve(&ring, sizeof(*e_), 0);                                          \
		u32 n_ = len;                                                                                          \
		if (e_) {                                                                                              \
			e_->b.addr = addr;                                                                             \
			e_->b.len = len;                                                                               \
			e_->b.want = want;                                                                             \
			e_->b.kind = kind;                                                                             \
			e_->b.arg = r->arg;                                                                            \
			e_->b.flags = 0;                                                                               \
			e_->b.pad = 0;                                                                                 \
			asm volatile("%0 &= 511" : "+r"(n_));                                                          \
			if (n_ > room)                                                                                 \
				n_ = room;                                                                             \
			if (bpf_probe_read_user(e_->data, n_, (void *)addr)) {                                         \
				e_->b.kind = CT_BUF_FAULT;                                                             \
				e_->b.len = 0;                                                                         \
				h.size -= len;                                                                         \
				if (kind == CT_BUF_OUT && ret != -EFAULT) {                                            \
					flags |= CT_SYSF_FAULT;                                                        \
					__sync_fetch_and_add(&counters.faults, 1);                                     \
				}                                                                                      \
			}                                                                                              \
			fill_regs(&e_->s, regs, ret, 1, flags);                                                        \
			e_->h = h;                                                                                     \
			EVENT_SUBMIT(e_);                                                                              \
		} else {                                                                                               \
			lost_one();                                                                                    \
		}                                                                                                      \
	})

static __always_inline bool emit_simple(const struct pt_regs *regs, s64 ret, u32 nr, u32 flags, u32 tgid, u32 tid)
{
	const struct ct_rule *r = (const struct ct_rule *)&rules[nr].rule[0];
	u32 nrules = rules[nr].nrules, len, want = 0, kind = CT_BUF_OUT;
	struct ct_event h;
	u64 addr, n;

	if (nrules > 1) {
		const struct ct_rule *second = (const struct ct_rule *)&rules[nr].rule[1];

		if (reg_arg(regs, second->arg))
			return false;
	}
	addr = nrules ? reg_arg(regs, r->arg) : 0;
	if (addr && r->dir == CT_DIR_IN)
		kind = CT_BUF_IN;
	else if (addr && !applies(r->cond, ret))
		addr = 0;
	if (addr) {
		if (r->size == CT_SZ_FIXED)
			n = r->n;
		else if (r->size == CT_SZ_ARG)
			n = reg_arg(regs, r->sarg);
		else
			n = ret > 0 ? ret : 0;
		want = n;
		if (kind == CT_BUF_IN) {
			if (n > 0x7ffff000)
				return false;
			n = n > IN_MAX ? IN_MAX : n;
		}
		if (n > SIMPLE)
			return false;
		if (!n)
			addr = 0;
	}
	if (!addr) {
		struct syscall_record *small;

		if (!EVENT_RESERVE(small, CT_EV_SYSCALL, tgid, tid))
			return true;
		fill_regs(&small->s, regs, ret, 0, flags);
		EVENT_SUBMIT(small);
		return true;
	}
	len = n;
	event_init(&h, sizeof(struct simple_record) - SIMPLE + len, CT_EV_SYSCALL, tgid, tid);
	if (len <= TINY)
		EMIT_ONE(tiny_record, TINY);
	else if (len <= SMALL)
		EMIT_ONE(small_record, SMALL);
	else
		EMIT_ONE(simple_record, SIMPLE);
	if (flags & CT_SYSF_FAULT)
		say_unsound(tgid, tid, CT_UNSOUND_FAULT, addr);
	return true;
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
	return c->nbufs <= MEDIUM_BUFS && c->bytes <= MEDIUM && !c->have_ref;
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
	collect(c, c->nr);
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

static __always_inline int hold_mapping(struct call *c)
{
	struct ct_map_range range = {.addr = c->ret, .len = c->args[1]};

	return hold(CT_HOLD_FILE, c->tgid, c->tid, &range);
}

/* The new image waits in the kernel until the recorder has attached to it. */
static __noinline void emit_exec(u32 tgid, u32 tid, const struct pt_regs *regs)
{
	bool held = hold(CT_HOLD_EXEC, tgid, tid, NULL) == 0;
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
		say_unsound(tgid, tid, CT_UNSOUND_EXEC_NOT_HELD, 0);
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

SEC("tp_btf/sys_enter")
int BPF_PROG(ct_sys_enter, struct pt_regs *regs, long nr)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, tid = (u32)id;
	struct call *c;

	if (!mode || !recorded(tgid))
		return 0;
	if (mode == CT_MODE_REPLAY) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		cur.t.flags = (cur.t.flags & ~(TS_SWITCHED | TS_USER | TS_FP)) | TS_INSYS;
		cur.t.nr = nr;
		cur.t.frame = (u64)regs;
	}
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
	u32 tgid = id >> 32, tid = (u32)id, flags = 0, row;
	struct call *c;
	s32 nr, rules_nr;

	if (!mode || !recorded(tgid))
		return 0;
	nr = (s32)regs->orig_ax;
	rules_nr = nr;
	if (mode == CT_MODE_REPLAY) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		if (!(cur.t.flags & TS_INSYS))
			flags |= CT_SYSF_NO_ENTER;
		if (cur.t.flags & TS_SWITCHED)
			flags |= CT_SYSF_SWITCHED;
		cur.t.flags &= ~TS_INSYS;
		cur.t.frame = (u64)regs;
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
	c->ret = ret;
	c->nr = nr;
	c->tgid = tgid;
	c->tid = tid;
	set_args(c, regs);
	if (nr < 0) {
		emit_sigreturn(c, regs);
		return 0;
	}
	collect(c, rules_nr);
	if (ret >= 0 && (c->r.action == CT_ACT_UNKNOWN || c->r.action == CT_ACT_REFUSE))
		c->flags |= CT_SYSF_UNKNOWN;
	if (!c->nbufs)
		emit_small(c, regs);
	else if (fits_medium(c))
		emit_medium(c, regs);
	else
		emit_large(c, regs);

	if (mode != CT_MODE_REPLAY)
		return 0;
	if (c->flags & (CT_SYSF_TRUNCATED | CT_SYSF_FAULT | CT_SYSF_UNKNOWN)) {
		if (c->flags & CT_SYSF_TRUNCATED)
			say_unsound(tgid, tid, CT_UNSOUND_TRUNCATED, nr);
		if (c->flags & CT_SYSF_FAULT)
			say_unsound(tgid, tid, CT_UNSOUND_FAULT, c->fault_addr);
		if (c->flags & CT_SYSF_UNKNOWN)
			say_unsound(tgid, tid, CT_UNSOUND_SYSCALL, nr);
	}
	if (c->have_ref && nr == 9 && !file_is_kept(&c->ref)) {
		if (hold_mapping(c))
			say_unsound(tgid, tid, CT_UNSOUND_FILE, c->ret);
	}
	if (cur.t.flags & TS_EXEC)
		emit_exec(tgid, tid, regs);
	return 0;
}
