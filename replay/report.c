// SPDX-License-Identifier: MIT
/* What is known about a divergence. ct_diverged keeps the moment; the rest is looked up when a report is asked for,
 * while the replica still stands where it went wrong. */
#include "replay/report.h"

#include <cpuid.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "replay/report_priv.h"

#define CALL_STRINGS 64    /* bytes of each string in a call */
#define NEAR         20000 /* events before the place in which trouble of the recorder's is called near */

static struct ct_event *copy_event(const struct ct_event *ev)
{
	struct ct_event *copy = ev ? malloc(ev->size) : NULL;

	if (copy)
		memcpy(copy, ev, ev->size);
	return copy;
}

int ct_diverged(struct ct_session *s, const struct ct_rthread *t, struct ct_error *err, const char *fmt, ...)
{
	struct ct_divergence *d = &s->divergence;
	va_list args;

	if (s->stops.hit) /* a user's stop, which the replay of the event did not expect */
		return -1;
	if (t && t->clock_error) /* that says nothing about the recording */
		return ct_fail(err, CT_EXIT_FAILED, "at event %llu: %s; try again, or use --clock fingerprint",
			       (unsigned long long)(s->ev ? s->ev->seq : 0), t->clock_error);
	free(d->ev);
	*d = (struct ct_divergence){.t = t, .ev = copy_event(s->ev)};
	va_start(args, fmt);
	vsnprintf(d->what, sizeof(d->what), fmt, args);
	va_end(args);
	d->has_regs = t && !ct_get_regs(t->real, &d->regs);
	d->has_want = s->sought;
	if (s->sought)
		d->want = *s->sought;
	return ct_fail(err, CT_EXIT_DIVERGED,
		       "diverged at event %llu (%s of thread %u): %s; rip %#llx rsp %#llx rax %#llx",
		       (unsigned long long)(s->ev ? s->ev->seq : 0), s->ev ? ct_event_type_name(s->ev->type) : "end",
		       t       ? t->tid
		       : s->ev ? s->ev->tid
			       : 0,
		       d->what, (unsigned long long)d->regs.r[CT_RIP], (unsigned long long)d->regs.r[CT_RSP],
		       (unsigned long long)d->regs.r[CT_RAX]);
}

/* ---- registers ---------------------------------------------------------------------------------------------- */

#define BIT(reg) (1u << (reg))
#define GENERAL  (((1u << CT_NREGS) - 1) & ~(BIT(CT_ORIG_RAX) | BIT(CT_CS) | BIT(CT_SS)))

/* What the event says about the registers before it. */
static ct_u32 expected(const struct ct_event *ev, struct ct_regs *want)
{
	static const ct_u8 arg[6] = {CT_RDI, CT_RSI, CT_RDX, CT_R10, CT_R8, CT_R9};
	const void *payload = ct_event_payload(ev);
	ct_u32 known = 0;

	switch (ev->type) {
	case CT_EV_SYSCALL: {
		const struct ct_ev_syscall *sc = payload;
		struct ct_buf_iter it = ct_buf_iter(ev);

		if (sc->nr < 0) { /* what rt_sigreturn restored */
			if (ct_buf_next(&it) && it.buf->kind == CT_BUF_REGS && it.buf->len >= sizeof(*want)) {
				memcpy(want, it.data, sizeof(*want));
				known = GENERAL;
			}
			break;
		}
		for (int i = 0; i < 6; i++) {
			want->r[arg[i]] = sc->args[i];
			known |= BIT(arg[i]);
		}
		want->r[CT_RIP] = want->r[CT_RCX] = sc->ip;
		want->r[CT_RSP] = sc->sp;
		known |= BIT(CT_RIP) | BIT(CT_RCX) | BIT(CT_RSP);
		break;
	}
	case CT_EV_ENTER: {
		const struct ct_ev_enter *n = payload;

		*want = n->regs;
		known = GENERAL & ~BIT(CT_RAX);
		break;
	}
	case CT_EV_SIGNAL: {
		const struct ct_ev_signal *sig = payload;

		*want = sig->regs;
		known = GENERAL;
		break;
	}
	case CT_EV_SWITCH: {
		const struct ct_ev_switch *sw = payload;

		*want = sw->regs;
		known = sw->flags & CT_SWF_EXITING ? 0 : sw->flags & CT_SWF_INSYS ? GENERAL & ~BIT(CT_RAX) : GENERAL;
		break;
	}
	case CT_EV_INSN: {
		const struct ct_ev_insn *in = payload;

		want->r[CT_RIP] = in->ip;
		known = BIT(CT_RIP);
		break;
	}
	}
	return known;
}

static void compare_regs(struct ct_report *r)
{
	const ct_u64 flags = 0xcd5; /* CF PF AF ZF SF DF OF: what user code computes */

	for (unsigned i = 0; i < CT_NREGS; i++) {
		ct_u64 x = r->got.r[i] ^ r->want.r[i];

		if ((r->known & BIT(i)) && (i == CT_RFLAGS ? x & flags : x))
			r->different |= BIT(i);
	}
}

/* ---- the call it stands at ---------------------------------------------------------------------------------- */

/* Bytes an IN buffer has, as far as the registers tell; 0: not known. */
static size_t input_size(const struct ct_rule *rule, const ct_u64 args[6])
{
	ct_u64 n = 0;

	switch (rule->size) {
	case CT_SZ_FIXED: n = rule->n; break;
	case CT_SZ_ARG: n = args[rule->sarg] * rule->mul + rule->n; break;
	case CT_SZ_CSTR: n = CALL_STRINGS; break;
	}
	return n > CALL_STRINGS ? CALL_STRINGS : n;
}

/* Formats the call a thread is about to make, in the form of the log's ENTER records, with what its pointers show. */
static void format_call(struct ct_report *r, const struct ct_rthread *t)
{
	struct {
		struct ct_event ev;
		struct ct_ev_enter n;
		unsigned char bufs[CT_MAX_RULES * (sizeof(struct ct_buf) + CALL_STRINGS)];
	} call = {.ev = {.type = CT_EV_ENTER, .tid = r->tid, .pid = r->pid}};
	const struct ct_syscall *row = ct_syscall(t->nr);
	const ct_u64 args[6] = {r->got.r[CT_RDI], r->got.r[CT_RSI], r->got.r[CT_RDX],
				r->got.r[CT_R10], r->got.r[CT_R8],  r->got.r[CT_R9]};
	size_t at = 0;

	call.n.nr = t->nr;
	call.n.regs = r->got;
	for (unsigned i = 0; row && i < row->rules.nrules && i < CT_MAX_RULES; i++) {
		const struct ct_rule *rule = &row->rules.rule[i];
		struct ct_buf b = {.kind = CT_BUF_IN, .arg = rule->arg};
		unsigned char data[CALL_STRINGS] = {0};
		size_t len;

		if (rule->dir != CT_DIR_IN || (rule->flags & CT_RF_DEREF) || rule->arg > 5)
			continue;
		len = input_size(rule, args);
		b.addr = args[rule->arg];
		while (len && !ct_replica_read(t->proc, b.addr, data, len)) /* the mapping's end */
			len--;
		if (!len)
			continue;
		if (rule->size == CT_SZ_CSTR)
			len = strnlen((char *)data, len - 1) + 1;
		b.len = b.want = (ct_u32)len;
		memcpy(call.bufs + at, &b, sizeof(b));
		memcpy(call.bufs + at + sizeof(b), data, len);
		at += sizeof(b) + ((len + 7) & ~(size_t)7);
		call.n.nbufs++;
	}
	call.ev.size = (ct_u32)(sizeof(call.ev) + sizeof(call.n) + at);
	if (!ct_event_check(&call, sizeof(call), NULL))
		ct_enter_format(&call.ev, CALL_STRINGS, r->call, sizeof(r->call));
}

/* ---- what led to it ----------------------------------------------------------------------------------------- */

static void advise(struct ct_report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void advise(struct ct_report *r, const char *fmt, ...)
{
	va_list args;

	if (r->nadvice == CT_REPORT_ADVICE)
		return;
	va_start(args, fmt);
	vsnprintf(r->advice[r->nadvice++], sizeof(r->advice[0]), fmt, args);
	va_end(args);
}

const char *ct_report_file_name(struct ct_session *s, const char *hash)
{
	struct ct_cursor *cur = ct_cursor_create(s->rec, NULL);
	static __thread char name[400];
	const struct ct_event *ev;

	snprintf(name, sizeof(name), "files/%.32s", hash);
	while (cur && ct_cursor_next(cur, &ev, NULL) > 0) {
		const struct ct_ev_file *f = ct_event_payload(ev);
		char have[33];
		const char *path;
		size_t len;

		if (ev->type != CT_EV_FILE)
			continue;
		ct_hash_format(f->hash, have);
		path = ct_event_text(ev, &len);
		if (!strncmp(have, hash, 32) && path) {
			snprintf(name, sizeof(name), "%.*s", (int)len, path);
			break;
		}
	}
	ct_cursor_destroy(cur);
	return name;
}

/* The last records of each thread, by number. */
struct history {
	ct_u32 tid;
	ct_u64 seq[CT_REPORT_EVENTS];
	size_t count; /* seen in all */
};

static struct history *find_history(struct history **list, size_t *n, ct_u32 tid)
{
	struct history *more;

	for (size_t i = 0; i < *n; i++)
		if ((*list)[i].tid == tid)
			return &(*list)[i];
	more = realloc(*list, (*n + 1) * sizeof(*more));
	if (!more)
		return NULL;
	*list = more;
	more[*n] = (struct history){.tid = tid};
	return &more[(*n)++];
}

static ct_u64 last_seq(const struct history *h)
{
	return h->seq[(h->count - 1) % CT_REPORT_EVENTS];
}

static int latest_first(const void *a, const void *b)
{
	ct_u64 x = last_seq(a), y = last_seq(b);

	return x < y ? 1 : x > y ? -1 : 0;
}

static void take_events(struct ct_report *r, struct ct_cursor *cur, const struct history *h)
{
	struct ct_report_thread *t = &r->thread[r->nthreads++];
	size_t n = h->count < CT_REPORT_EVENTS ? h->count : CT_REPORT_EVENTS;
	const struct ct_event *ev;

	t->tid = h->tid;
	for (size_t i = h->count - n; i < h->count; i++) {
		ct_cursor_seek_seq(cur, h->seq[i % CT_REPORT_EVENTS], NULL);
		if (ct_cursor_next(cur, &ev, NULL) > 0 && (t->event[t->count] = copy_event(ev)))
			t->count++;
	}
}

/* One walk from the session's start to the place: the threads' last events, and trouble the recorder had noted. */
static void look_back(struct ct_session *s, struct ct_report *r)
{
	struct ct_cursor *cur = ct_cursor_create(s->rec, NULL);
	ct_u64 end = r->ev ? r->ev->seq : UINT64_MAX, repaired = 0, repairs = 0, marked = 0;
	struct history *list = NULL;
	const struct ct_event *ev;
	size_t n = 0;
	int got;

	if (!cur)
		return;
	ct_cursor_seek_seq(cur, s->first_seq, NULL);
	while ((got = ct_cursor_next(cur, &ev, NULL)) && (got < 0 || ev->seq <= end)) {
		struct history *h;

		if (got < 0)
			continue;
		if (ev->type == CT_EV_SWITCH &&
		    (((const struct ct_ev_switch *)ct_event_payload(ev))->flags & CT_SWF_REPAIRED)) {
			repaired = ev->seq;
			repairs++;
		}
		if (ev->type == CT_EV_LOST || ev->type == CT_EV_UNSOUND)
			marked = ev->seq;
		if (ev->tid && ev->seq < end && (h = find_history(&list, &n, ev->tid)))
			h->seq[h->count++ % CT_REPORT_EVENTS] = ev->seq;
	}
	if (marked)
		advise(r,
		       "event %llu says that the log is broken there: nothing behind it can be replayed before the "
		       "next "
		       "snapshot",
		       (unsigned long long)marked);
	if (repaired && end - repaired < NEAR)
		advise(r,
		       "%llu thread switches before it were made up because the kernel did not report them, the last "
		       "at "
		       "event %llu: record again with --real-time, which has far fewer",
		       (unsigned long long)repairs, (unsigned long long)repaired);
	if (n)
		qsort(list, n, sizeof(*list), latest_first);
	for (size_t i = 0; i < n && r->nthreads < CT_REPORT_THREADS; i++)
		take_events(r, cur, &list[i]);
	free(list);
	ct_cursor_destroy(cur);
}

/* ---- what to try -------------------------------------------------------------------------------------------- */

static void advise_machine(struct ct_session *s, struct ct_report *r)
{
	const json_t *m = ct_recording_manifest(s->rec), *cpu = json_object_get(m, "cpu");
	const json_t *options = json_object_get(m, "options");
	const char *brand = json_string_value(json_object_get(cpu, "brand"));
	const char *release = json_string_value(json_object_get(json_object_get(m, "kernel"), "release"));
	int family = (int)json_integer_value(json_object_get(cpu, "family"));
	int model = (int)json_integer_value(json_object_get(cpu, "model"));
	int recorded = (int)json_integer_value(json_object_get(options, "cpu"));
	unsigned a, b, c, d, here_family, here_model;
	struct utsname u;

	if (__get_cpuid(1, &a, &b, &c, &d)) {
		here_family = a >> 8 & 15;
		here_model = a >> 4 & 15;
		if (here_family == 6 || here_family == 15)
			here_model |= a >> 12 & 0xf0;
		if (here_family == 15)
			here_family += a >> 20 & 0xff;
		if (cpu && ((int)here_family != family || (int)here_model != model))
			advise(r, "it was recorded on another CPU model (%s): replay it on one of these",
			       brand ? brand : "?");
	}
	if (s->stats.cpu != recorded)
		advise(r,
		       "it was recorded on CPU %d and replayed on CPU %d, which programs can tell: let CPU %d be used",
		       recorded, s->stats.cpu, recorded);
	if (!uname(&u) && release && strcmp(u.release, release))
		advise(r, "it was recorded under Linux %s, this is %s", release, u.release);
}

/* A replica traps at rdtsc and rdtscp; rdrand and rdseed it just executes. */
static bool advise_instruction(struct ct_report *r)
{
	for (size_t i = 0; i < r->ninsns; i++)
		if (r->insn[i].here && !strncmp(r->insn[i].text, "rdtsc", 5)) {
			advise(r,
			       "this %.6s was not recorded: it is in code that was generated or copied, or that could "
			       "not be told from data (`ctbpf dump --type note` names such files)",
			       r->insn[i].text);
			return true;
		}
	return false;
}

static void advise_event(struct ct_report *r)
{
	if (!r->ev)
		return;
	if (r->ev->type == CT_EV_SIGNAL || r->ev->type == CT_EV_SWITCH || r->ev->type == CT_EV_SNAPSHOT)
		advise(r,
		       "the place of an interruption was not found: `ctbpf dump --hex --from e:%llu --to e:%llu` shows "
		       "what "
		       "is known of it; `ctbpf check` tells by which clocks this machine can look for it",
		       (unsigned long long)r->ev->seq, (unsigned long long)r->ev->seq);
	else
		advise(r, "the cause lies before it: something the program read is not in the log, or was changed by "
			  "others; "
			  "look at the thread's events above");
	if (!r->nadvice)
		advise(r, "replay it again: a divergence that moves has its cause on this machine");
}

struct ct_report *ct_session_report(struct ct_session *s)
{
	const struct ct_divergence *d = &s->divergence;
	struct ct_report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ev = copy_event(d->ev ? d->ev : s->held ? s->ev : NULL);
	snprintf(r->what, sizeof(r->what), "%s", d->what);
	if (r->ev) {
		r->tid = r->ev->tid;
		r->pid = r->ev->pid;
		r->known = expected(r->ev, &r->want);
	}
	if (d->t) {
		r->tid = d->t->tid;
		r->pid = d->t->proc->pid;
	}
	if (d->has_want) {
		r->want = d->want;
		r->known = GENERAL;
	}
	r->has_got = d->has_regs;
	r->got = d->regs;
	if (r->has_got) {
		compare_regs(r);
		if (d->t->at_entry)
			format_call(r, d->t);
		ct_report_code(s, r, d->t, r->got.r[CT_RIP]);
	}
	look_back(s, r);
	advise_machine(s, r);
	if (!advise_instruction(r))
		advise_event(r);
	return r;
}

void ct_report_free(struct ct_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nthreads; i++)
		for (size_t k = 0; k < r->thread[i].count; k++)
			free(r->thread[i].event[k]);
	free(r->ev);
	free(r);
}
