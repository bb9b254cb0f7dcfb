// SPDX-License-Identifier: MIT
/* The gdb server: a packet in, a reply out. What gdb writes goes to a diversion, which ends when gdb has put the
 * registers back as they were and lets the program go on. */
#include "replay/gdb_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replay/gdb_priv.h"

#define RANGE 200000 /* instructions of a range step */

/* ---- the socket ------------------------------------------------------------------------------------------------- */

static int send_all(struct ct_gdb *g, const char *data, size_t len)
{
	while (len && !g->gone) {
		const ssize_t n = send(g->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			g->gone = true;
			break;
		}
		data += n;
		len -= (size_t)n;
	}
	return g->gone ? -1 : 0;
}

static void send_packet(struct ct_gdb *g, const char *data, size_t len)
{
	unsigned char sum = 0;
	struct ct_gdb_out packet = {0};

	for (size_t i = 0; i < len; i++)
		sum = (unsigned char)(sum + (unsigned char)data[i]);
	ct_gdb_put(&packet, "$", 1);
	ct_gdb_put(&packet, data, len);
	ct_gdb_putf(&packet, "#%02x", sum);
	if (!packet.failed)
		send_all(g, packet.data, packet.len);
	ct_gdb_free(&packet);
}

static bool receive(struct ct_gdb *g, bool wait)
{
	struct pollfd p = {.fd = g->fd, .events = POLLIN};
	ssize_t n;

	if (g->at < g->have)
		return true;
	if (!wait && poll(&p, 1, 0) <= 0)
		return false;
	do
		n = recv(g->fd, g->buf, sizeof(g->buf), 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		g->gone = true;
		return false;
	}
	g->at = 0;
	g->have = (size_t)n;
	return true;
}

/* Asked while the program runs: Ctrl-C, or gdb is gone. Other bytes are left for later. */
static bool interrupted(void *ctx)
{
	struct ct_gdb *g = ctx;

	while (receive(g, false) && (g->buf[g->at] == '+' || g->buf[g->at] == '-'))
		g->at++;
	if (g->gone)
		return true;
	if (g->at < g->have && g->buf[g->at] == 3) {
		g->at++;
		return true;
	}
	return false;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

void ct_gdb_put_thread(struct ct_gdb *g, struct ct_gdb_out *o, ct_u32 tid)
{
	if (g->multiprocess)
		ct_gdb_putf(o, "p%x.%x", ct_timeline_pid(g->tl), tid);
	else
		ct_gdb_putf(o, "%x", tid);
}

bool ct_gdb_has_thread(struct ct_gdb *g, ct_u32 tid)
{
	struct ct_session_thread *list;
	bool found = false;
	size_t n;

	if (ct_session_threads(ct_timeline_session(g->tl), &list, &n, NULL))
		return false;
	for (size_t i = 0; i < n; i++)
		found |= list[i].tid == tid && list[i].pid == ct_timeline_pid(g->tl);
	free(list);
	return found;
}

/* The one that runs, if it is of the process; else any. */
static ct_u32 some_thread(struct ct_gdb *g)
{
	struct ct_session_thread *list;
	ct_u32 tid = 0;
	size_t n;

	if (ct_session_threads(ct_timeline_session(g->tl), &list, &n, NULL))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (list[i].pid == ct_timeline_pid(g->tl) && (!tid || list[i].current))
			tid = list[i].tid;
	free(list);
	return tid;
}

static void list_threads(struct ct_gdb *g)
{
	struct ct_session_thread *list;
	size_t n;

	if (ct_session_threads(ct_timeline_session(g->tl), &list, &n, NULL)) {
		ct_gdb_putf(&g->out, "l");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i].pid != ct_timeline_pid(g->tl))
			continue;
		ct_gdb_putf(&g->out, g->out.len ? "," : "m");
		ct_gdb_put_thread(g, &g->out, list[i].tid);
	}
	if (!g->out.len)
		ct_gdb_putf(&g->out, "l");
	free(list);
}

static void select_thread(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_gdb_thread id;
	const bool runs = ct_gdb_word(&t, "c");

	if ((!runs && !ct_gdb_word(&t, "g")) || !ct_gdb_thread(&t, &id)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	if (id.tid > 0 && !ct_gdb_has_thread(g, (ct_u32)id.tid)) {
		ct_gdb_putf(&g->out, "E03");
		return;
	}
	if (id.tid > 0)
		*(runs ? &g->goes : &g->tid) = (ct_u32)id.tid;
	ct_gdb_putf(&g->out, "OK");
}

/* ---- stops ------------------------------------------------------------------------------------------------------ */

static void put_stop(struct ct_gdb *g)
{
	const struct ct_stopped *st = &g->last;
	ct_u32 tid = st->tid;

	if (!ct_gdb_has_thread(g, tid))
		tid = some_thread(g);
	if (!tid) { /* nobody of the process is left */
		ct_gdb_putf(&g->out, g->multiprocess ? "W00;process:%x" : "W00", ct_timeline_pid(g->tl));
		return;
	}
	g->tid = g->goes = tid;
	ct_gdb_putf(&g->out, "T%02x",
		    st->why == CT_ARRIVED_SIGNAL      ? ct_gdb_signal(st->number)
		    : st->why == CT_ARRIVED_INTERRUPT ? 2
						      : 5);
	ct_gdb_putf(&g->out, "thread:");
	ct_gdb_put_thread(g, &g->out, tid);
	ct_gdb_putf(&g->out, ";");
	switch (st->why) {
	case CT_ARRIVED_BEGIN: ct_gdb_putf(&g->out, "replaylog:begin;"); break;
	case CT_ARRIVED_END: ct_gdb_putf(&g->out, "replaylog:end;"); break;
	case CT_ARRIVED_BREAK: ct_gdb_putf(&g->out, "swbreak:;"); break;
	case CT_ARRIVED_WATCH:
		ct_gdb_putf(&g->out, "%s:%llx;", ct_gdb_watch_name(g, st->stop.addr),
			    (unsigned long long)st->stop.addr);
		break;
	case CT_ARRIVED_SYSCALL: ct_gdb_putf(&g->out, "syscall_return:%x;", (unsigned)st->number); break;
	case CT_ARRIVED_EXEC: {
		static const char request[] = "exec-file:read::0,1000";

		struct ct_gdb_out saved = g->out;

		ct_gdb_clear(&g->text);
		g->out = (struct ct_gdb_out){0};
		ct_gdb_xfer(g, (struct ct_gdb_text){request, request + sizeof(request) - 1});
		ct_gdb_free(&g->out);
		g->out = saved;
		ct_gdb_putf(&g->out, "exec:");
		ct_gdb_put_hex(&g->out, g->text.data, g->text.len);
		ct_gdb_putf(&g->out, ";");
		break;
	}
	case CT_ARRIVED_STEP:
	case CT_ARRIVED_SIGNAL:
	case CT_ARRIVED_INTERRUPT: break;
	}
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static void say(struct ct_gdb *g, const char *text, size_t len)
{
	struct ct_gdb_out o = {0};

	ct_gdb_put(&o, "O", 1);
	ct_gdb_put_hex(&o, text, len);
	if (!o.failed)
		send_packet(g, o.data, o.len);
	ct_gdb_free(&o);
}

static void output(void *ctx, const char *data, size_t len)
{
	say(ctx, data, len);
}

void ct_gdb_say_error(struct ct_gdb *g, const struct ct_error *err)
{
	say(g, "ctbpf: ", 7);
	say(g, err->msg, strlen(err->msg));
	say(g, "\n", 1);
}

/* gdb has written somewhere. If all registers are as before, it is done with whatever that was for. */
static bool in_call(struct ct_gdb *g)
{
	return ct_timeline_diverted(g->tl) && ct_timeline_registers_differ(g->tl);
}

static bool at_point(struct ct_gdb *g, ct_u64 ip)
{
	for (size_t i = 0; i < g->npoints; i++)
		if (g->points[i].type < 2 && g->points[i].addr == ip)
			return true;
	return false;
}

static int range_step(struct ct_gdb *g, ct_u32 tid, const struct ct_gdb_action *a, struct ct_error *err)
{
	struct ct_regs r;

	for (unsigned i = 0; i < RANGE; i++) {
		if (ct_timeline_step(g->tl, tid, false, &g->last, err))
			return -1;
		if (g->last.why != CT_ARRIVED_STEP || ct_session_regs(ct_timeline_session(g->tl), tid, &r, err) ||
		    r.r[CT_RIP] < a->start || r.r[CT_RIP] >= a->end || at_point(g, r.r[CT_RIP]) || interrupted(g))
			break;
	}
	return 0;
}

static void go(struct ct_gdb *g, const struct ct_gdb_action *a, ct_u32 tid, bool back)
{
	struct ct_error err = {0};
	const bool step = a->what == 's' || a->what == 'r';
	int ret;

	if (!back && in_call(g)) {
		ret = ct_timeline_run_diverted(g->tl, tid, step, output, g, &g->last, &err);
	} else {
		if (ct_timeline_diverted(g->tl) && ct_timeline_memory_differs(g->tl) && !g->told_discarded) {
			static const char text[] =
				"ctbpf: a recording does not change: what was written is discarded\n";

			say(g, text, sizeof(text) - 1);
			g->told_discarded = true;
		}
		ct_timeline_catch(g->tl, ~g->pass, g->syscalls, !back);
		ct_timeline_condition_is(g->tl, ct_gdb_conditions_key(g));
		if (a->what == 'r' && !back)
			ret = range_step(g, tid, a, &err);
		else if (step)
			ret = ct_timeline_step(g->tl, tid, back, &g->last, &err);
		else
			ret = ct_timeline_run(g->tl, back, &g->last, &err);
	}
	if (ret) {
		ct_gdb_say_error(g, &err);
		g->last = (struct ct_stopped){.why = back ? CT_ARRIVED_BEGIN : CT_ARRIVED_END, .tid = tid};
	}
	put_stop(g);
}

static void cont(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_gdb_action a;
	ct_s64 stepped;
	ct_u32 tid = some_thread(g);

	if (!ct_gdb_stepped(t, &stepped)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	if (stepped > 0)
		tid = (ct_u32)stepped;
	else if (stepped < 0 || in_call(g))
		tid = g->tid;
	if (!ct_gdb_parse_cont(t, tid, &a) || !a.what || !ct_gdb_has_thread(g, tid)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	go(g, &a, tid, false);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static void supported(struct ct_gdb *g, struct ct_gdb_text t)
{
	ct_gdb_word(&t, ":");
	while (t.p < t.end) {
		struct ct_gdb_text part = ct_gdb_until(&t, ';');

		if (ct_gdb_word(&part, "multiprocess+"))
			g->multiprocess = true;
	}
	ct_gdb_putf(&g->out,
		    "PacketSize=%x;QStartNoAckMode+;vContSupported+;ReverseStep+;ReverseContinue+;swbreak+;hwbreak+;"
		    "qXfer:features:read+;qXfer:auxv:read+;qXfer:exec-file:read+;qXfer:libraries-svr4:read+;"
		    "qXfer:threads:read+;qXfer:siginfo:read+;QPassSignals+;QCatchSyscalls+;exec-events+;"
		    "ConditionalBreakpoints+%s",
		    CT_GDB_PACKET_MAX - 1, g->multiprocess ? ";multiprocess+" : "");
}

static void pass_signals(struct ct_gdb *g, struct ct_gdb_text t)
{
	ct_u64 mask = 0, sig;

	while (ct_gdb_hex(&t, &sig)) {
		const int number = sig < 256 ? ct_gdb_signal_of((int)sig) : 0;

		if (number)
			mask |= 1ull << (number - 1);
		ct_gdb_word(&t, ";");
	}
	g->pass = mask;
	ct_gdb_putf(&g->out, "OK");
}

static void thread_alive(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_gdb_thread id;

	ct_gdb_putf(&g->out,
		    ct_gdb_thread(&t, &id) && id.tid > 0 && ct_gdb_has_thread(g, (ct_u32)id.tid) ? "OK" : "E01");
}

static void query(struct ct_gdb *g, struct ct_gdb_text t)
{
	if (ct_gdb_word(&t, "Supported")) {
		supported(g, t);
	} else if (ct_gdb_word(&t, "Xfer:")) {
		ct_gdb_xfer(g, t);
	} else if (ct_gdb_word(&t, "fThreadInfo")) {
		list_threads(g);
	} else if (ct_gdb_word(&t, "sThreadInfo")) {
		ct_gdb_putf(&g->out, "l");
	} else if (ct_gdb_word(&t, "Attached")) {
		ct_gdb_putf(&g->out, "1"); /* so that gdb detaches instead of killing */
	} else if (ct_gdb_word(&t, "Rcmd,")) {
		ct_gdb_monitor(g, t);
	} else if (ct_gdb_word(&t, "Symbol:")) {
		ct_gdb_putf(&g->out, "OK");
	} else if (t.end - t.p == 1 && *t.p == 'C') {
		ct_gdb_putf(&g->out, "QC");
		ct_gdb_put_thread(g, &g->out, g->tid);
	}
}

static void set(struct ct_gdb *g, struct ct_gdb_text t)
{
	if (ct_gdb_word(&t, "StartNoAckMode")) {
		g->no_ack = true;
		ct_gdb_putf(&g->out, "OK");
	} else if (ct_gdb_word(&t, "PassSignals:")) {
		pass_signals(g, t);
	} else if (ct_gdb_word(&t, "CatchSyscalls:")) {
		g->syscalls = ct_gdb_word(&t, "1"); /* gdb picks out those it wants */
		ct_gdb_putf(&g->out, "OK");
	}
}

/* False: gdb does not want to go on. */
static bool answer(struct ct_gdb *g)
{
	struct ct_gdb_text t = {g->in.data, g->in.data + g->in.len};
	char first;

	ct_gdb_clear(&g->out);
	if (!g->in.len)
		return true;
	first = *t.p++;
	switch (first) {
	case '?': put_stop(g); break;
	case 'q': query(g, t); break;
	case 'Q': set(g, t); break;
	case 'H': select_thread(g, t); break;
	case 'T': thread_alive(g, t); break;
	case 'm': ct_gdb_read_memory(g, t); break;
	case 'M': ct_gdb_write_memory(g, t, false); break;
	case 'X': ct_gdb_write_memory(g, t, true); break;
	case 'g':
	case 'p':
	case 'G':
	case 'P': ct_gdb_registers(g, t, first); break;
	case 'Z': ct_gdb_insert_point(g, t); break;
	case 'z': ct_gdb_remove_point(g, t); break;
	case 'c': go(g, &(struct ct_gdb_action){.what = 'c'}, g->goes, false); break;
	case 's': go(g, &(struct ct_gdb_action){.what = 's'}, g->goes, false); break;
	case 'b':
		if (ct_gdb_word(&t, "c") || ct_gdb_word(&t, "s"))
			go(g, &(struct ct_gdb_action){.what = t.p[-1]}, g->goes, true);
		break;
	case 'v':
		if (ct_gdb_word(&t, "Cont?"))
			ct_gdb_putf(&g->out, "vCont;c;C;s;S;t;r");
		else if (ct_gdb_word(&t, "Cont"))
			cont(g, t);
		else if (ct_gdb_word(&t, "File:"))
			ct_gdb_file(g, t);
		else if (ct_gdb_word(&t, "Kill")) {
			ct_gdb_putf(&g->out, "OK");
			return false;
		}
		break;
	case 'D': ct_gdb_putf(&g->out, "OK"); return false;
	case 'k': return false;
	}
	return true;
}

int ct_gdb_serve(struct ct_timeline *tl, int fd, struct ct_error *err)
{
	struct ct_gdb *g = calloc(1, sizeof(*g));
	bool on = true;

	if (!g)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	g->tl = tl;
	g->fd = fd;
	g->last = (struct ct_stopped){.why = CT_ARRIVED_STEP};
	g->tid = g->goes = some_thread(g);
	g->last.tid = g->tid;
	ct_timeline_set_interrupt(tl, interrupted, g);
	ct_timeline_set_condition(tl, ct_gdb_condition_met, g);
	while (on && !g->gone && receive(g, true)) {
		switch (ct_gdb_feed(&g->in, g->buf[g->at++])) {
		case CT_GDB_PACKET:
			if (!g->no_ack)
				send_all(g, "+", 1);
			on = answer(g);
			if (on || g->out.len)
				send_packet(g, g->out.failed || !g->out.data ? "" : g->out.data,
					    g->out.failed ? 0 : g->out.len);
			break;
		case CT_GDB_DAMAGED:
			if (!g->no_ack)
				send_all(g, "-", 1);
			break;
		case CT_GDB_NAK: /* of the reply */
			if (!g->no_ack && g->out.data)
				send_packet(g, g->out.data, g->out.len);
			break;
		case CT_GDB_ACK:
		case CT_GDB_BREAK:
		case CT_GDB_MORE: break;
		}
	}
	ct_timeline_set_interrupt(tl, NULL, NULL);
	ct_timeline_set_condition(tl, NULL, NULL);
	ct_gdb_forget_points(g);
	ct_timeline_set_stops(tl, NULL, 0, NULL);
	ct_gdb_close_files(g);
	free(g->checkpoints);
	ct_gdb_free(&g->out);
	ct_gdb_free(&g->text);
	free(g);
	return 0;
}
