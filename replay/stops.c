// SPDX-License-Identifier: MIT
/* Breakpoints and watchpoints of somebody who looks at a replay. They are there only while a thread runs: int3 at
 * execution addresses, debug registers for data. To the rest of a session a hit looks like a stop that it cannot use,
 * and so it unwinds; the event at hand is still to come then, and running again goes on from there. */
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
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
#define TRAP        (SIGTRAP << 8 | 0x7f)
#define INT3_CODE   0x80 /* si_code of an int3: SI_KERNEL */
#define DEBUG(n)    offsetof(struct user, u_debugreg[n])
#define REG(name)   offsetof(struct user_regs_struct, name)
#define DEBUG_REGS  4
#define MOST_POINTS 65536
#define PAGE        4096
#define NEAR        16 /* a patched call site covers less */
#define INT3        0xcc

static ct_u64 peek(const struct ct_rthread *t, size_t offset)
{
	return (ct_u64)ptrace(PTRACE_PEEKUSER, t->real, offset, 0);
}

static int poke(const struct ct_rthread *t, size_t offset, ct_u64 value)
{
	return ptrace(PTRACE_POKEUSER, t->real, offset, value) ? -1 : 0;
}

static bool concerns(const struct ct_rthread *t)
{
	const struct ct_stops *st = t->stops;

	if (!st || !st->n)
		return false;
	for (size_t i = 0; i < st->nothers; i++)
		if (st->others[i] == t->proc->pid)
			return true;
	return st->pid == t->proc->pid;
}

static int by_address(const void *a, const void *b)
{
	const struct ct_stop *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int ct_session_set_stops(struct ct_session *s, ct_u32 pid, const struct ct_stop *list, size_t n, struct ct_error *err)
{
	struct ct_stops *st = &s->stops;
	struct ct_stop *copy = malloc((n ? n : 1) * sizeof(*copy));
	unsigned char *bytes = malloc(n ? n : 1);
	unsigned watches = 0;

	for (size_t i = 0; i < n; i++)
		watches += !ct_stop_is_exec(&list[i]);
	if (!copy || !bytes || watches > CT_STOP_WATCHES || n > MOST_POINTS) {
		free(copy);
		free(bytes);
		return watches > CT_STOP_WATCHES
			       ? ct_fail(err, CT_EXIT_FAILED, "%u watchpoints are too many: the CPU has %d to spare",
					 watches, CT_STOP_WATCHES)
			       : ct_fail(err, CT_EXIT_FAILED, "too many breakpoints");
	}
	if (n)
		memcpy(copy, list, n * sizeof(*copy));
	qsort(copy, n, sizeof(*copy), by_address);
	free(st->list);
	free(st->bytes);
	st->list = copy;
	st->bytes = bytes;
	st->n = n;
	if (st->pid != pid)
		st->nothers = 0;
	st->pid = pid;
	st->watches = watches;
	st->hit = NULL;
	ct_stops_remember(s);
	return 0;
}

int ct_session_stop_too(struct ct_session *s, ct_u32 pid, struct ct_error *err)
{
	struct ct_stops *st = &s->stops;
	ct_u32 *more = realloc(st->others, (st->nothers + 1) * sizeof(*more));

	if (!more)
		return ct_fail_memory(err);
	st->others = more;
	more[st->nothers++] = pid;
	return 0;
}

void ct_stops_free(struct ct_stops *st)
{
	free(st->others);
	free(st->list);
	free(st->bytes);
}

const struct ct_stop *ct_session_stopped(const struct ct_session *s, ct_u32 *tid)
{
	if (s->stops.hit)
		*tid = s->stops.hit_tid;
	return s->stops.hit;
}

void ct_session_pass_stop(struct ct_session *s)
{
	struct ct_rthread *t = ct_session_thread(s, ct_session_current(s));

	if (t)
		t->told = peek(t, REG(rip));
	s->stops.hit = NULL;
	ct_stops_remember(s);
}

/* Whether it is one of instructions, and for this thread. */
static bool is_exec_of(const struct ct_stop *stop, const struct ct_rthread *t)
{
	return stop->kind == CT_STOP_EXEC || (stop->kind == CT_STOP_EXEC_BY && stop->len == t->tid);
}

static const struct ct_stop *exec_at(const struct ct_rthread *t, ct_u64 ip)
{
	const struct ct_stops *st = t->stops;
	size_t lo = 0, hi = st->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (st->list[mid].addr < ip)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < st->n && st->list[lo].addr == ip; lo++)
		if (is_exec_of(&st->list[lo], t))
			return &st->list[lo];
	return NULL;
}

bool ct_stops_within(const struct ct_rthread *t, ct_u64 addr, ct_u64 len)
{
	for (size_t i = 0; concerns(t) && i < t->stops->n; i++)
		if (is_exec_of(&t->stops->list[i], t) && t->stops->list[i].addr - addr < len)
			return true;
	return false;
}

bool ct_stops_watch(const struct ct_rthread *t, ct_u64 addr, ct_u64 len)
{
	for (size_t i = 0; concerns(t) && t->stops->watches && i < t->stops->n; i++) {
		const struct ct_stop *w = &t->stops->list[i];

		if (!ct_stop_is_exec(w) && w->addr < addr + len && addr < w->addr + w->len)
			return true;
	}
	return false;
}

unsigned ct_stops_debug_regs(const struct ct_rthread *t)
{
	return concerns(t) ? t->stops->watches : 0;
}

static void tell(struct ct_rthread *t, const struct ct_stop *stop)
{
	t->stops->hit = stop;
	t->stops->hit_tid = t->tid;
}

/* ---- what is written by no instruction -------------------------------------------------------------------------- */

static struct ct_replica *watched_process(struct ct_session *s)
{
	struct ct_replica *p = NULL;

	for (size_t i = 0; i < s->nprocs; i++)
		if (s->procs[i]->pid == s->stops.pid && !s->procs[i]->gone)
			p = s->procs[i];
	return p;
}

static void read_watched(struct ct_session *s, ct_u64 *now)
{
	const struct ct_replica *p = watched_process(s);
	unsigned k = 0;

	memset(now, 0, CT_STOP_WATCHES * sizeof(*now));
	for (size_t i = 0; p && i < s->stops.n; i++)
		if (!ct_stop_is_exec(&s->stops.list[i]))
			ct_replica_read(p, s->stops.list[i].addr, &now[k++], s->stops.list[i].len);
}

void ct_stops_remember(struct ct_session *s)
{
	if (s->stops.watches)
		read_watched(s, s->stops.was);
}

void ct_stops_look(struct ct_session *s)
{
	ct_u64 now[CT_STOP_WATCHES];
	unsigned k = 0;

	if (!s->stops.watches || s->stops.hit)
		return;
	read_watched(s, now);
	for (size_t i = 0; i < s->stops.n; i++) {
		if (ct_stop_is_exec(&s->stops.list[i]))
			continue;
		if (now[k] != s->stops.was[k] && !s->stops.hit) {
			s->stops.hit = &s->stops.list[i];
			s->stops.hit_tid = s->ev->tid;
		}
		k++;
	}
	memcpy(s->stops.was, now, sizeof(now));
}

/* ---- around a thread's run ---------------------------------------------------------------------------------------
 */

static int set_watches(struct ct_rthread *t)
{
	struct ct_stops *st = t->stops;
	ct_u64 dr7 = peek(t, DEBUG(7));

	st->used = 0;
	for (size_t i = 0; st->watches && i < st->n; i++) {
		static const unsigned char lengths[9] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
		const struct ct_stop *w = &st->list[i];
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
static size_t span(const struct ct_stops *st, size_t i, size_t *end)
{
	for (*end = i + 1; *end < st->n && st->list[*end].addr / PAGE == st->list[i].addr / PAGE; ++*end)
		;
	return (size_t)(st->list[*end - 1].addr - st->list[i].addr) + 1;
}

/* Patched call sites hide instructions, or have them elsewhere. */
static void unpatch(struct ct_rthread *t)
{
	const struct ct_stops *st = t->stops;
	unsigned char raw[PAGE + 2 * NEAR], bare[PAGE + 2 * NEAR];

	if (!t->proc->mm)
		return;
	for (size_t i = 0, end; i < st->n; i = end) {
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

			if (is_exec_of(&st->list[k], t) && memcmp(raw + at, bare + at, 2 * NEAR) != 0) {
				ct_mm_retire(t->proc);
				return;
			}
		}
	}
}

/* Puts an int3 at each address but `except`, or what was there. No other thread runs meanwhile. */
static void exchange(struct ct_rthread *t, bool in, ct_u64 except)
{
	struct ct_stops *st = t->stops;
	unsigned char code[PAGE];

	for (size_t i = 0, end; i < st->n; i = end) {
		const ct_u64 from = st->list[i].addr;
		const size_t len = span(st, i, &end);
		const bool there = ct_mem_read(t->proc->memfd, from, code, len);

		if (in)
			for (size_t k = i; k < end; k++) {
				const struct ct_stop *stop = &st->list[k];
				unsigned char *c = &code[stop->addr - from];

				st->bytes[k] = INT3;
				if (there && is_exec_of(stop, t) && stop->addr != except) {
					st->bytes[k] = *c;
					*c = INT3;
				}
			}
		else
			for (size_t k = end; there && k-- > i;) /* backwards: there may be two at one address */
				if (is_exec_of(&st->list[k], t) && st->bytes[k] != INT3)
					code[st->list[k].addr - from] = st->bytes[k];
		if (there)
			ct_mem_write(t->proc->memfd, from, code, len);
	}
	st->inserted = in;
}

static void insert(struct ct_rthread *t, ct_u64 except)
{
	exchange(t, true, except);
}

static void take_out(struct ct_rthread *t)
{
	if (t->stops->inserted)
		exchange(t, false, 0);
}

/* Over the instruction at `ip`, at which a stop has been told of. 1: it has been executed; 0: *status is another stop;
 * -1: it is gone. */
static int step_over(struct ct_rthread *t, int request, ct_u64 ip, int *status)
{
	const int how = request == PTRACE_SYSEMU ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SINGLESTEP;
	unsigned char code[16] = {0};
	struct ct_rep rep;
	siginfo_t si;

	ct_replica_read(t->proc, ip, code, sizeof(code));
	if (ct_step_kind(code, sizeof(code)) == CT_STEP_CALL) {
		insert(t, ip);
		if (ptrace(request, t->real, 0, 0) || ct_replica_wait(t->real, status) || !WIFSTOPPED(*status))
			return -1;
		take_out(t);
		t->told = 0;
		return 0;
	}
	if (ct_rep_decode(code, &rep) && rep.len) { /* a step is one round */
		static const unsigned char int3 = INT3;
		unsigned char byte;

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
	if (ct_clock_step_by(t, how, status))
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

	if (!concerns(t)) {
		t->told = 0;
		return 0;
	}
	unpatch(t);
	ip = peek(t, REG(rip));
	for (;;) {
		if (!(stop = exec_at(t, ip)))
			break;
		if (t->told != ip) { /* it came here by no instruction of its own, or a step */
			t->told = ip;
			tell(t, stop);
			*status = TRAP;
			return 1;
		}
		if (set_watches(t))
			return -1;
		ret = step_over(t, request, ip, status);
		stop = ret >= 0 && *status == TRAP ? watch_hit(t) : NULL;
		unset_watches(t);
		if (stop)
			tell(t, stop);
		if (ret <= 0 || stop)
			return ret < 0 ? -1 : 1;
		ip = peek(t, REG(rip));
	}
	t->told = 0;
	if (set_watches(t))
		return -1;
	insert(t, 0);
	return 0;
}

int ct_stops_after(struct ct_rthread *t, int status)
{
	const struct ct_stop *stop = NULL;
	siginfo_t si;
	ct_u64 ip;

	if (!concerns(t))
		return 0;
	take_out(t);
	if (status == TRAP && !ptrace(PTRACE_GETSIGINFO, t->real, 0, &si)) {
		ip = peek(t, REG(rip));
		if (si.si_code == INT3_CODE && (stop = exec_at(t, ip - 1))) {
			t->told = ip - 1;
			poke(t, REG(rip), ip - 1);
		} else if (si.si_code != INT3_CODE && (stop = watch_hit(t)) && ours(ip)) {
			unset_watches(t);
			return 2; /* our own code looked at it */
		}
	}
	unset_watches(t);
	if (stop)
		tell(t, stop);
	return stop ? 1 : 0;
}
