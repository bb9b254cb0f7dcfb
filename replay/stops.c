// SPDX-License-Identifier: MIT
/* Breakpoints and watchpoints of somebody who looks at a replay. They are there only while a thread runs: int3 at
 * execution addresses, debug registers for data. (With ct_session_stops_stay int3s stay while one stop after the other
 * is told of: that takes a third of the time; who reads memory does not see them.) To the rest of a session a hit looks
 * like a stop that it cannot use, and so it unwinds; the event at hand is still to come then, and running again goes on
 * from there. */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/session_priv.h"
#include "replay/trampoline.h"

#ifndef PTRACE_SYSEMU_SINGLESTEP
#define PTRACE_SYSEMU_SINGLESTEP 32
#endif
#define TRAP       (SIGTRAP << 8 | 0x7f)
#define INT3_CODE  0x80 /* si_code of an int3: SI_KERNEL */
#define DEBUG(n)   offsetof(struct user, u_debugreg[n])
#define REG(name)  offsetof(struct user_regs_struct, name)
#define DEBUG_REGS 4
#define PAGE       4096
#define NEAR       16 /* a patched call site covers less */
#define INT3       0xcc

static ct_u64 peek(const struct ct_rthread *t, size_t offset)
{
	return (ct_u64)ptrace(PTRACE_PEEKUSER, t->real, offset, 0);
}

static int poke(const struct ct_rthread *t, size_t offset, ct_u64 value)
{
	return ptrace(PTRACE_POKEUSER, t->real, offset, value) ? -1 : 0;
}

static void tell(struct ct_rthread *t, const struct ct_stop *stop)
{
	t->stops->hit = stop;
	t->stops->hit_tid = t->tid;
}

void ct_session_pass_stop(struct ct_session *s)
{
	struct ct_rthread *t = ct_session_thread(s, ct_session_current(s));

	if (t)
		t->told = peek(t, REG(rip));
	s->stops.hit = NULL;
	ct_stops_remember(s);
}

/* ---- around a thread's run ---------------------------------------------------------------------------------------
 */

static int set_watches(struct ct_rthread *t)
{
	const struct ct_stop_set *set = ct_stops_of(t);
	struct ct_stops *st = t->stops;
	ct_u64 dr7;

	st->used = 0;
	if (!set || !set->watches)
		return 0;
	dr7 = peek(t, DEBUG(7));
	for (size_t i = 0; i < set->n; i++) {
		static const unsigned char lengths[9] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
		const struct ct_stop *w = &set->list[i];
		int reg = DEBUG_REGS - 1;

		if (ct_stop_is_exec(w))
			continue;
		while (reg >= 0 && (dr7 >> (2 * reg) & 3))
			reg--;
		if (reg < 0 || poke(t, DEBUG(reg), w->addr))
			return -1;
		dr7 |= 1ull << (2 * reg) | (ct_u64)(lengths[w->len] << 2 | (w->kind == CT_STOP_WRITE ? 1 : 3))
						   << (16 + 4 * reg);
		st->used |= 1u << reg;
		st->by_reg[reg] = w;
	}
	if (!st->used)
		return 0;
	poke(t, DEBUG(6), 0);
	return poke(t, DEBUG(7), dr7);
}

static void unset_watches(struct ct_rthread *t)
{
	struct ct_stops *st = t->stops;
	ct_u64 dr7;

	if (!st->used)
		return;
	dr7 = peek(t, DEBUG(7));
	for (int reg = 0; reg < DEBUG_REGS; reg++)
		if (st->used >> reg & 1)
			dr7 &= ~(3ull << (2 * reg) | 15ull << (16 + 4 * reg));
	poke(t, DEBUG(7), dr7);
	st->used = 0;
}

/* The stops from `i` on that are in the same page, for all of them are read and written at once: *end is behind the
 * last; how much memory that is from the first one's address on. */
static size_t span(const struct ct_stop_set *st, size_t i, size_t *end)
{
	for (*end = i + 1; *end < st->n && st->list[*end].addr / PAGE == st->list[i].addr / PAGE; ++*end)
		;
	return (size_t)(st->list[*end - 1].addr - st->list[i].addr) + 1;
}

/* Patched call sites hide instructions, or have them elsewhere. */
static void unpatch(struct ct_rthread *t)
{
	const struct ct_stop_set *st = ct_stops_of(t);
	unsigned char raw[PAGE + 2 * NEAR], bare[PAGE + 2 * NEAR];

	if (!t->proc->mm)
		return;
	for (size_t i = 0, end; st && i < st->n; i = end) {
		const ct_u64 from = st->list[i].addr - NEAR;
		const size_t within = span(st, i, &end), len = within + 2 * NEAR;

		memset(raw, 0, sizeof(raw)); /* the pages around may not be there */
		if (!ct_mem_read(t->proc->memfd, from, raw, len) &&
		    !ct_mem_read(t->proc->memfd, from + NEAR, raw + NEAR, within))
			continue;
		memcpy(bare, raw, len);
		ct_mm_mask(t->proc->mm, from, bare, len);
		for (size_t k = i; k < end && memcmp(raw, bare, len) != 0; k++) {
			const size_t at = (size_t)(st->list[k].addr - st->list[i].addr);

			if (ct_stop_is_exec_of(&st->list[k], t) && memcmp(raw + at, bare + at, 2 * NEAR) != 0) {
				ct_mm_retire(t->proc);
				return;
			}
		}
	}
}

/* Puts an int3 at each address but `except`, or what was there. No other thread runs meanwhile. */
static void exchange(struct ct_rthread *t, bool in, ct_u64 except)
{
	struct ct_stop_set *st = ct_stops_of(t);
	unsigned char code[PAGE];

	for (size_t i = 0, end; st && i < st->n; i = end) {
		const ct_u64 from = st->list[i].addr;
		const size_t len = span(st, i, &end);
		const bool there = ct_mem_read(t->proc->memfd, from, code, len);

		if (in)
			for (size_t k = i; k < end; k++) {
				const struct ct_stop *stop = &st->list[k];
				unsigned char *c = &code[stop->addr - from];

				st->bytes[k] = INT3;
				if (there && ct_stop_is_exec_of(stop, t) && stop->addr != except) {
					st->bytes[k] = *c;
					*c = INT3;
				}
			}
		else
			for (size_t k = end; there && k-- > i;) /* backwards: there may be two at one address */
				if (ct_stop_is_exec_of(&st->list[k], t) && st->bytes[k] != INT3)
					code[st->list[k].addr - from] = st->bytes[k];
		if (there)
			ct_mem_write(t->proc->memfd, from, code, len);
	}
}

static void insert(struct ct_rthread *t, ct_u64 except)
{
	exchange(t, true, except);
	t->stops->by = t;
	t->proc->stops = t->stops;
}

void ct_stops_take_out(struct ct_stops *st)
{
	struct ct_rthread *t = st->by;

	if (!t)
		return;
	exchange(t, false, 0);
	t->proc->stops = NULL;
	st->by = NULL;
}

void ct_session_stops_stay(struct ct_session *s)
{
	s->stops.stay = true;
}

/* An agent looks at code, too. */
static bool stays(const struct ct_rthread *t)
{
	return t->stops->stay && !t->proc->agent;
}

void ct_stops_mask(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len)
{
	const struct ct_stop_set *set = p->stops && p->stops->by ? ct_stops_of(p->stops->by) : NULL;
	unsigned char *at = buf;

	for (size_t i = set ? ct_stops_first_at(set, addr) : 0; set && i < set->n && set->list[i].addr - addr < len;
	     i++)
		if (set->bytes[i] != INT3)
			at[set->list[i].addr - addr] = set->bytes[i];
}

/* What is at a stop, while the others stay. */
static bool put(struct ct_rthread *t, const struct ct_stop *stop, bool in)
{
	static const unsigned char int3 = INT3;
	const struct ct_stop_set *set = ct_stops_of(t);

	return !t->stops->by || ct_mem_write(t->proc->memfd, stop->addr, in ? &int3 : &set->bytes[stop - set->list], 1);
}

/* Over the instruction at `ip`, at which a stop has been told of. 1: it has been executed; 0: *status is another stop;
 * -1: it is gone. */
static int step_over(struct ct_rthread *t, int request, const struct ct_stop *stop, int *status)
{
	const ct_u64 ip = stop->addr;
	const int how = request == PTRACE_SYSEMU ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SINGLESTEP;
	unsigned char code[16] = {0};
	struct ct_rep rep;
	siginfo_t si;

	ct_replica_read(t->proc, ip, code, sizeof(code));
	if (ct_step_kind(code, sizeof(code)) == CT_STEP_CALL) {
		ct_stops_take_out(t->stops);
		insert(t, ip);
		if (ptrace(request, t->real, 0, 0) || ct_replica_wait(t->real, status) || !WIFSTOPPED(*status))
			return -1;
		ct_stops_take_out(t->stops);
		t->told = 0;
		return 0;
	}
	if (ct_rep_decode(code, &rep) && rep.len) { /* a step is one round */
		static const unsigned char int3 = INT3;
		unsigned char byte;

		ct_stops_take_out(t->stops);
		if (!ct_mem_read(t->proc->memfd, ip + rep.len, &byte, 1) ||
		    !ct_mem_write(t->proc->memfd, ip + rep.len, &int3, 1) || ptrace(request, t->real, 0, 0) ||
		    ct_replica_wait(t->real, status) || !WIFSTOPPED(*status) ||
		    !ct_mem_write(t->proc->memfd, ip + rep.len, &byte, 1))
			return -1;
		if (*status != TRAP || peek(t, REG(rip)) != ip + rep.len + 1 || byte == int3 ||
		    ptrace(PTRACE_GETSIGINFO, t->real, 0, &si) || si.si_code != INT3_CODE)
			return 0;
		t->told = 0;
		return poke(t, REG(rip), ip + rep.len) ? -1 : 1;
	}
	if (!put(t, stop, false) || ct_clock_step_by(t, how, status) || !put(t, stop, true))
		return -1;
	if (*status != TRAP)
		return 0;
	if (ptrace(PTRACE_GETSIGINFO, t->real, 0, &si) || si.si_code == 4 /* TRAP_HWBKPT */)
		return 0;
	t->told = 0;
	return 1;
}

/* Whether a debug register of ours has fired. */
static const struct ct_stop *watch_hit(struct ct_rthread *t)
{
	struct ct_stops *st = t->stops;
	const ct_u64 dr6 = st->used ? peek(t, DEBUG(6)) : 0;

	for (int reg = 0; reg < DEBUG_REGS; reg++)
		if (st->used >> reg & 1 && dr6 >> reg & 1)
			return st->by_reg[reg];
	return NULL;
}

static bool ours(ct_u64 ip)
{
	return ip < CT_INPROC_END;
}

int ct_stops_before(struct ct_rthread *t, int request, int *status)
{
	const struct ct_stop *stop;
	ct_u64 ip;
	int ret;

	if (t->stops && t->stops->by && (t->stops->by->proc != t->proc || !stays(t)))
		ct_stops_take_out(t->stops);
	if (!ct_stops_of(t)) {
		t->told = 0;
		return 0;
	}
	if (!t->stops->by)
		unpatch(t);
	ip = peek(t, REG(rip));
	for (;;) {
		if (!(stop = ct_stops_exec_at(t, ip)))
			break;
		if (t->told != ip) { /* it came here by no instruction of its own, or a step */
			t->told = ip;
			tell(t, stop);
			*status = TRAP;
			return 1;
		}
		if (set_watches(t))
			return -1;
		ret = step_over(t, request, stop, status);
		stop = ret >= 0 && *status == TRAP ? watch_hit(t) : NULL;
		unset_watches(t);
		if (stop)
			tell(t, stop);
		if (ret <= 0 || stop) {
			ct_stops_take_out(t->stops);
			return ret < 0 ? -1 : 1;
		}
		ip = peek(t, REG(rip));
	}
	t->told = 0;
	if (set_watches(t))
		return -1;
	if (!t->stops->by)
		insert(t, 0);
	return 0;
}

int ct_stops_after(struct ct_rthread *t, int status)
{
	const struct ct_stop *stop = NULL;
	siginfo_t si;
	ct_u64 ip;

	if (!ct_stops_of(t))
		return 0;
	if (!stays(t))
		ct_stops_take_out(t->stops);
	if (status == TRAP && !ptrace(PTRACE_GETSIGINFO, t->real, 0, &si)) {
		ip = peek(t, REG(rip));
		if (si.si_code == INT3_CODE && (stop = ct_stops_exec_at(t, ip - 1))) {
			t->told = ip - 1;
			poke(t, REG(rip), ip - 1);
		} else if (si.si_code != INT3_CODE && (stop = watch_hit(t)) && ours(ip)) {
			ct_stops_take_out(t->stops);
			unset_watches(t);
			return 2; /* our own code looked at it */
		}
	}
	unset_watches(t);
	if (stop)
		tell(t, stop);
	else
		ct_stops_take_out(t->stops);
	return stop ? 1 : 0;
}
