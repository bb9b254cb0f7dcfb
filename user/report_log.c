/* SPDX-License-Identifier: MIT
 * `ctbpf report`: system calls by time and bytes, and time off the CPU. From the events of the log alone, in one pass.
 *
 * The log has the time at which a call returns, not at which it begins, and a switch only when another recorded thread
 * gets the CPU. So each time is given as two bounds, and both are true. */
#include <stdlib.h>
#include <string.h>

#include "../formats/syscalls.h"
#include "cmd.h"
#include "dump.h"
#include "keymap.h"
#include "report.h"

#define PREEMPTED   -2 /* in place of a system call's number: left while it could have gone on */
#define UNKNOWN     CT_MAX_SYSCALL
#define NTALLIES    (CT_MAX_SYSCALL + 2)
#define TALLY(nr)   ((nr) >= -1 && (nr) < CT_MAX_SYSCALL ? (nr) + 1 : UNKNOWN + 1)
#define RESTARTS(r) ((r) <= -512 && (r) >= -516) /* the kernel's own: the call is made again */

struct tally { /* of a system call, or of where a thread waited */
	ct_u64 calls, errors, most_ns, least_ns, longest_ns, read, written;
	size_t thread;
	int nr;
};
struct thread {
	ct_u32 tid, pid;
	ct_u64 first_ns, last_ns;
	ct_u64 since_ns;  /* of its event before */
	ct_u64 left_ns;   /* another thread has the CPU since */
	ct_u64 waited_ns; /* of the call that it is in */
	int where;        /* it was when it left */
	bool away, known;
	ct_u64 least_ns, most_ns, waits; /* sums over its places */
};
struct pass {
	struct report *r;
	struct tally call[NTALLIES];
	bool waits[CT_MAX_SYSCALL]; /* can wait for something outside of the process */
	ct_u8 bytes[CT_MAX_SYSCALL];
	struct ct_keymap tids, places;
	struct thread *thread;
	struct tally *place;
	size_t thread_room, place_room;
	ct_u64 lost, damaged, begin_ns, end_ns;
	bool switched;
};

/* ---- What is known of calls ---- */

enum { READS = 1, WRITES = 2 };
static const struct {
	const char *name;
	ct_u8 bytes; /* what its result counts */
} transfers[] = {{"read", READS},
		 {"pread64", READS},
		 {"readv", READS},
		 {"preadv", READS},
		 {"preadv2", READS},
		 {"recvfrom", READS},
		 {"recvmsg", READS},
		 {"getrandom", READS},
		 {"getdents64", READS},
		 {"process_vm_readv", READS},
		 {"mq_timedreceive", READS},
		 {"write", WRITES},
		 {"pwrite64", WRITES},
		 {"writev", WRITES},
		 {"pwritev", WRITES},
		 {"pwritev2", WRITES},
		 {"sendto", WRITES},
		 {"sendmsg", WRITES},
		 {"vmsplice", WRITES},
		 {"process_vm_writev", WRITES},
		 {"sendfile", READS | WRITES},
		 {"splice", READS | WRITES},
		 {"copy_file_range", READS | WRITES}};
static const char *const waiting[] = {
	"read",        "readv",           "recvfrom",  "recvmsg",      "recvmmsg",        "accept",
	"accept4",     "connect",         "poll",      "ppoll",        "select",          "pselect6",
	"epoll_wait",  "epoll_pwait",     "nanosleep", "epoll_pwait2", "clock_nanosleep", "futex",
	"futex_waitv", "wait4",           "waitid",    "pause",        "rt_sigsuspend",   "rt_sigtimedwait",
	"flock",       "restart_syscall", "msgrcv",    "semop",        "semtimedop",      "mq_timedreceive"};

static void know_calls(struct pass *p)
{
	for (size_t i = 0; i < sizeof(transfers) / sizeof(transfers[0]); i++) {
		int nr = ct_syscall_nr(transfers[i].name);

		if (nr >= 0 && nr < CT_MAX_SYSCALL)
			p->bytes[nr] = transfers[i].bytes;
	}
	for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++) {
		int nr = ct_syscall_nr(waiting[i]);

		if (nr >= 0 && nr < CT_MAX_SYSCALL)
			p->waits[nr] = true;
	}
}

/* Bytes that came from a file without the log holding them: nothing was waited for that the table is about. */
static bool is_file_read(const struct ct_event *ev)
{
	struct ct_buf_iter it = ct_buf_iter(ev);
	bool file = false;

	while (!file && ct_buf_next(&it))
		file = it.buf->kind == CT_BUF_FILE;
	return file;
}

/* ---- Threads ---- */

/* One that was there before may have been in its first call for as long as there is a log. */
static struct thread *thread_of(struct pass *p, ct_u32 tid, ct_u32 pid, ct_u64 ns)
{
	size_t i = ct_keymap_at(&p->tids, tid, 0);
	struct thread *t;

	if (i == SIZE_MAX || ct_array_reach(&p->thread, &p->thread_room, i, sizeof(*t)) < 0)
		return NULL;
	t = &p->thread[i];
	if (!t->known)
		*t = (struct thread){
			.tid = tid, .pid = pid, .first_ns = ns, .last_ns = ns, .since_ns = p->begin_ns, .known = true};
	return t;
}

static ct_u64 between(ct_u64 from, ct_u64 to)
{
	return to > from ? to - from : 0; /* clocks of two CPUs may disagree by microseconds */
}

static struct tally *place_of(struct pass *p, const struct thread *t, int nr)
{
	size_t thread = (size_t)(t - p->thread), i = ct_keymap_at(&p->places, thread, (ct_u64)(nr + 8));
	struct tally *place;

	if (i == SIZE_MAX || ct_array_reach(&p->place, &p->place_room, i, sizeof(*place)) < 0)
		return NULL;
	place = &p->place[i];
	place->thread = thread;
	place->nr = nr;
	return place;
}

/* ---- Events ---- */

static int on_switch(struct pass *p, struct thread *t, const struct ct_event *ev)
{
	const struct ct_ev_switch *sw = ct_event_payload(ev);
	size_t leaving = (size_t)(t - p->thread);
	struct thread *to = thread_of(p, sw->to, sw->to_pid, ev->time_ns);
	struct tally *place;
	ct_u64 ns;

	p->switched = true;
	if (!to)
		return -1;
	t = &p->thread[leaving];
	t->away = !(sw->flags & CT_SWF_EXITING);
	t->left_ns = ev->time_ns;
	t->where = sw->flags & CT_SWF_INSYS ? sw->nr : PREEMPTED;
	if (!to->away)
		return 0;
	to->away = false;
	ns = between(to->left_ns, ev->time_ns);
	if (to->where != PREEMPTED) { /* told when the call returns */
		to->waited_ns += ns;
		return 0;
	}
	place = place_of(p, to, PREEMPTED);
	if (!place)
		return -1;
	place->calls++;
	place->least_ns += ns;
	place->most_ns += between(to->since_ns, ev->time_ns);
	place->longest_ns = ns > place->longest_ns ? ns : place->longest_ns;
	to->since_ns = ev->time_ns;
	return 0;
}

static int on_syscall(struct pass *p, struct thread *t, const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	struct tally *call = &p->call[TALLY(sc->nr)], *place;
	ct_u64 most = between(t->since_ns, ev->time_ns), least = t->waited_ns < most ? t->waited_ns : most;
	ct_u8 bytes = sc->nr >= 0 && sc->nr < CT_MAX_SYSCALL ? p->bytes[sc->nr] : 0;

	t->waited_ns = 0;
	t->away = false;
	if (p->r->tid && t->tid != p->r->tid)
		return 0;
	call->nr = sc->nr;
	call->calls++;
	call->errors += sc->ret < 0 && sc->ret >= -4095 && !RESTARTS(sc->ret);
	call->most_ns += most;
	call->least_ns += least;
	call->longest_ns = most > call->longest_ns ? most : call->longest_ns;
	if (sc->ret > 0 && bytes & READS)
		call->read += (ct_u64)sc->ret;
	if (sc->ret > 0 && bytes & WRITES)
		call->written += (ct_u64)sc->ret;
	if (!least && (sc->nr < 0 || sc->nr >= CT_MAX_SYSCALL || !p->waits[sc->nr] || is_file_read(ev)))
		return 0;
	place = place_of(p, t, sc->nr);
	if (!place)
		return -1;
	place->calls++;
	place->most_ns += most;
	place->least_ns += least;
	place->longest_ns = most > place->longest_ns ? most : place->longest_ns;
	return 0;
}

/* The child may have the number of a thread that is gone. */
static int on_fork(struct pass *p, const struct ct_event *ev)
{
	const struct ct_ev_fork *fork = ct_event_payload(ev);
	struct thread *child;

	if (!(fork->flags & (CT_FORKF_FOLLOWED | CT_FORKF_EVENTS)))
		return 0;
	child = thread_of(p, fork->child_tid, fork->child_pid, ev->time_ns);
	if (!child)
		return -1;
	child->since_ns = ev->time_ns;
	child->waited_ns = 0;
	child->away = false;
	return 0;
}

static int on_event(struct pass *p, const struct ct_event *ev)
{
	struct thread *t;
	int ret = 0;
	size_t i;

	p->begin_ns = p->begin_ns ? p->begin_ns : ev->time_ns;
	p->end_ns = ev->time_ns > p->end_ns ? ev->time_ns : p->end_ns;
	switch (ev->type) {
	case CT_EV_LOST: p->lost += ((const struct ct_ev_lost *)ct_event_payload(ev))->count; return 0;
	/* The recorder's own, and what goes before another record of the same moment. */
	case CT_EV_FILE:
	case CT_EV_SNAPSHOT:
	case CT_EV_UNSOUND:
	case CT_EV_NOTE:
	case CT_EV_END:
	case CT_EV_PAUSE:
	case CT_EV_FUNCTION:
	case CT_EV_DATA: return 0;
	default: break;
	}
	t = thread_of(p, ev->tid, ev->pid, ev->time_ns);
	if (!t)
		return -1;
	i = (size_t)(t - p->thread);
	t->last_ns = ev->time_ns > t->last_ns ? ev->time_ns : t->last_ns;
	switch (ev->type) {
	case CT_EV_SWITCH: return on_switch(p, t, ev); /* is in a call, or between: nothing has ended */
	case CT_EV_SYSCALL: ret = on_syscall(p, t, ev); break;
	case CT_EV_FORK: ret = on_fork(p, ev); break;
	case CT_EV_EXIT: t->away = false; break;
	default: break;
	}
	p->thread[i].since_ns = ev->time_ns;
	return ret;
}

/* Threads that did not get the CPU again before the end. */
static int end_waits(struct pass *p, struct ct_error *err)
{
	for (size_t i = 0; i < p->tids.count; i++) {
		struct thread *t = &p->thread[i];
		struct tally *place = t->away ? place_of(p, t, t->where) : NULL;
		ct_u64 ns = t->waited_ns + between(t->left_ns, p->end_ns);

		if (!t->away)
			continue;
		if (!place)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		place->calls++;
		place->least_ns += ns;
		place->most_ns += between(t->since_ns, p->end_ns);
		place->longest_ns = ns > place->longest_ns ? ns : place->longest_ns;
	}
	return 0;
}

static int walk(struct pass *p, struct ct_error *err)
{
	const struct query_span *span = &p->r->span;
	struct ct_cursor *cur = ct_cursor_create(p->r->q.rec, err);
	const struct ct_event *ev;
	int got = cur ? 0 : -1;

	if (cur && span->first_seq)
		got = ct_cursor_seek_seq(cur, span->first_seq, err);
	while (cur && got >= 0) {
		struct ct_error why;

		got = ct_cursor_next(cur, &ev, &why);
		if (got == 0 || (got > 0 && ev->seq > span->last_seq))
			break;
		if (got < 0) {
			p->damaged++;
			got = 0;
		} else if (on_event(p, ev) < 0) {
			got = ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
	}
	ct_cursor_destroy(cur);
	return got < 0 ? -1 : end_waits(p, err);
}

/* ---- Rows ---- */

struct order {
	const struct pass *p;
	enum report_by by;
};

static ct_u64 measure(const struct tally *t, enum report_by by)
{
	return by == BY_CALLS ? t->calls : by == BY_BYTES ? t->read + t->written : t->most_ns;
}

static int compare_calls(const void *a, const void *b, void *arg)
{
	const struct tally *x = a, *y = b;
	ct_u64 m = measure(x, ((struct order *)arg)->by), n = measure(y, ((struct order *)arg)->by);

	if (m != n)
		return m < n ? 1 : -1;
	return x->calls != y->calls ? (x->calls < y->calls) - (x->calls > y->calls) : (x->nr > y->nr) - (x->nr < y->nr);
}

static void put_label(struct query_rows *rows, int nr)
{
	char buf[CT_HUMAN];
	const char *label = nr == PREEMPTED ? "(preempted)" : ct_syscall_label(buf, nr);

	query_text(rows, label, strlen(label));
}

static void put_bytes(struct report *r, struct query_rows *rows, ct_u64 bytes)
{
	char text[CT_HUMAN];

	if (r->q.form != QUERY_TABLE)
		query_int(rows, (int64_t)bytes);
	else if (bytes)
		query_text(rows, text, strlen(ct_human_bytes(text, bytes)));
	else
		query_null(rows);
}

static void put_calls(struct pass *p)
{
	static const char *const names[] = {"call", "calls",  "errors", "at_most_ns", "longest_ns", "switched_away_ns",
					    "read", "written"};
	struct report *r = p->r;
	struct order order = {p, r->by};
	struct query_rows rows;
	size_t n = 0;

	for (size_t i = 0; i < NTALLIES; i++)
		if (p->call[i].calls)
			p->call[n++] = p->call[i];
	qsort_r(p->call, n, sizeof(*p->call), compare_calls, &order);
	report_title(r, "System calls");
	report_begin(r, &rows, "syscalls", names, 8, 0xfe);
	for (size_t i = 0; i < report_shown(r, n); i++) {
		const struct tally *t = &p->call[i];

		put_label(&rows, t->nr);
		query_int(&rows, (int64_t)t->calls);
		query_int(&rows, (int64_t)t->errors);
		query_put_duration(&r->q, &rows, t->most_ns);
		query_put_duration(&r->q, &rows, t->longest_ns);
		query_put_duration(&r->q, &rows, t->least_ns);
		put_bytes(r, &rows, t->read);
		put_bytes(r, &rows, t->written);
	}
	report_end(
		r, &rows, n,
		"The log has the time at which a call returns. At most: since the event before of the same thread, so\n"
		"with the program's own work before the call. Switched away: of that, while another recorded thread\n"
		"had the CPU: the call has waited at least so long.\n");
}

static int compare_places(const void *a, const void *b, void *arg)
{
	const struct thread *threads = ((struct order *)arg)->p->thread;
	const struct tally *x = a, *y = b;
	const struct thread *s = &threads[x->thread], *t = &threads[y->thread];

	if (s != t)
		return s->most_ns != t->most_ns ? (s->most_ns < t->most_ns) - (s->most_ns > t->most_ns)
						: (s > t) - (s < t);
	return x->most_ns != y->most_ns ? (x->most_ns < y->most_ns) - (x->most_ns > y->most_ns)
					: (x->nr > y->nr) - (x->nr < y->nr);
}

static void put_place(struct report *r, struct query_rows *rows, const struct thread *t, const struct tally *place)
{
	query_int(rows, t->tid);
	if (place)
		put_label(rows, place->nr);
	else
		query_text(rows, "(all)", 5);
	query_int(rows, (int64_t)(place ? place->calls : t->waits));
	query_put_duration(&r->q, rows, place ? place->least_ns : t->least_ns);
	query_put_duration(&r->q, rows, place ? place->most_ns : t->most_ns);
	if (place)
		query_put_duration(&r->q, rows, place->longest_ns);
	else
		query_null(rows);
	if (!place)
		query_put_duration(&r->q, rows, between(t->first_ns, t->last_ns));
	else
		query_null(rows);
}

static void put_places(struct pass *p)
{
	static const char *const names[] = {"tid",        "where",      "times",  "at_least_ns",
					    "at_most_ns", "longest_ns", "seen_ns"};
	struct report *r = p->r;
	struct order order = {p, BY_DEFAULT};
	const struct thread *last = NULL;
	size_t n = p->places.count, shown = 0, rows_of = 0, all = 0;
	struct query_rows rows;

	for (size_t i = 0; i < n; i++) {
		struct thread *t = &p->thread[p->place[i].thread];

		t->least_ns += p->place[i].least_ns;
		t->most_ns += p->place[i].most_ns;
		t->waits += p->place[i].calls;
	}
	if (n)
		qsort_r(p->place, n, sizeof(*p->place), compare_places, &order);
	report_title(r, "Off the CPU");
	report_begin(r, &rows, "offcpu", names, 7, 0x7d);
	/* --top counts the places of each thread. */
	for (size_t i = 0; i < n; i++) {
		const struct tally *place = &p->place[i];
		const struct thread *t = &p->thread[place->thread];

		if (r->tid && t->tid != r->tid)
			continue;
		if (t != last) {
			put_place(r, &rows, t, NULL);
			rows_of = 0;
		}
		last = t;
		all++;
		if (r->top && rows_of++ >= r->top)
			continue;
		put_place(r, &rows, t, place);
		shown++;
	}
	report_end(r, &rows, shown == all ? 0 : all,
		   p->switched ? "At least: while another recorded thread had the CPU. At most: since the thread's "
				 "event before, so\n"
				 "with its own work before the call. Seen: from its first event to its last. Programs "
				 "that are\n"
				 "not recorded do not show in the log.\n"
			       : "The log has no switches between threads: there is one, or it was recorded with "
				 "--no-replay. At\n"
				 "most: since the thread's event before, so with its own work before the call.\n");
}

int report_log(struct report *r, bool syscalls, bool offcpu, struct ct_error *err)
{
	struct pass *p = calloc(1, sizeof(*p));
	char count[CT_HUMAN];
	int ret;

	if (!p)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	p->r = r;
	know_calls(p);
	ret = walk(p, err);
	if (ret == 0 && (p->lost || p->damaged)) {
		fprintf(stderr, "ctbpf report: %s: ", ct_recording_path(r->q.rec));
		if (p->lost)
			fprintf(stderr, "%s events were lost", ct_human_count(count, p->lost));
		if (p->damaged)
			fprintf(stderr, "%s%s damaged blocks were left out", p->lost ? ", " : "",
				ct_human_count(count, p->damaged));
		fputs(": the sums are of what is there\n", stderr);
	}
	if (ret == 0 && syscalls)
		put_calls(p);
	if (ret == 0 && offcpu)
		put_places(p);
	ct_keymap_free(&p->tids);
	ct_keymap_free(&p->places);
	free(p->thread);
	free(p->place);
	free(p);
	return ret;
}
