// SPDX-License-Identifier: MIT OR GPL-2.0
/* What a system call writes to user memory, and what of its arguments is kept: a list of buffers, from the rows of
 * formats/syscalls.def, which are data (`rules`, `subrules`). */
#include "call.bpf.h"

const volatile struct ct_sysrules rules[CT_MAX_SYSCALL] = {};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct ct_subkey);
	__type(value, struct ct_sysrules);
} subrules SEC(".maps");

/* One call being looked at. Programs on one CPU do not nest here. */
struct calls_map calls SEC(".maps");

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
	if (kind == CT_BUF_IN && want > in_max)
		b->len = in_max;
	if (kind == CT_BUF_OUT && want > CHUNK) {
		b->flags = CT_BUFF_CHUNKED;
		b->len = 0;
		c->chunked = 1;
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

/* A read of a regular file that the recorder keeps: its identity instead of its bytes. */
static __always_inline bool add_by_reference(struct call *c, const struct ct_rule *r, u64 addr, u64 count)
{
	u64 pos;

	if (!c->replay || c->ret < CT_REF_MIN || r->mul || (c->flags & CT_SYSF_SWITCHED))
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

__noinline int collect(s32 nr)
{
	struct call *c = this_call();

	if (!c)
		return 0;
	c->nbufs = 0;
	c->bytes = 0;
	c->have_ref = 0;
	c->chunked = 0;
	c->fault_addr = 0;
	find_rules(c, nr);
	if (is_clone(nr)) {
		collect_clone(c, nr);
		return 0;
	}
	for (u32 i = 0; i < CT_MAX_RULES; i++) {
		if (i >= c->r.nrules)
			break;
		apply_rule(i);
	}
	return 0;
}
