/* SPDX-License-Identifier: MIT OR GPL-2.0
 * The record of a system call with one small buffer at most: reserved and filled at once, without a list of buffers. */
#ifndef CT_SIMPLE_BPF_H
#define CT_SIMPLE_BPF_H

#include "call.bpf.h"

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
	s->rflags = use_ticks == CT_TICKS_STEP ? regs->flags & ~X86_FLAGS_TF : regs->flags;
	s->saved = CT_SAVED_HASH(regs->bx, regs->bp, regs->r12, regs->r13, regs->r14, regs->r15);
	s->nr = regs->orig_ax;
	s->nbufs = nbufs;
	s->flags = flags;
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
			n = n > in_max ? in_max : n;
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

#endif
