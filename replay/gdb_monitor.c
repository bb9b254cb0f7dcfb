// SPDX-License-Identifier: MIT
/* `monitor COMMAND` in gdb: what only a recording has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "formats/syscalls.h"
#include "replay/gdb_priv.h"

#define AROUND 10 /* events shown before and behind the present one */

static void when(struct ct_gdb *g, const char *args)
{
	char text[CT_MOMENT_TEXT];
	struct ct_error err;
	ct_u64 begin, end;

	(void)args;
	if (ct_timeline_now_text(g->tl, text, &err)) {
		ct_gdb_putf_hex(&g->out, "%s\n", err.msg);
		return;
	}
	ct_timeline_range(g->tl, &begin, &end);
	ct_gdb_putf_hex(&g->out, "%s (of events %llu to %llu)\n", text, (unsigned long long)begin,
			(unsigned long long)end - 1);
}

/* What going somewhere has come to. */
static void gone(struct ct_gdb *g, int failed, const struct ct_error *err)
{
	if (failed)
		ct_gdb_putf_hex(&g->out, "%s\n", err->msg);
	else
		g->last = (struct ct_stopped){.why = CT_ARRIVED_STEP, .tid = 0};
}

static void seek(struct ct_gdb *g, const char *args)
{
	struct ct_error err;

	if (!*args)
		ct_gdb_putf_hex(&g->out,
				"seek POS: e:NUMBER, e:NUMBER@ADDRESS#PASS, tick:NUMBER, t:+1.25s, start, end\n");
	else
		gone(g, ct_timeline_seek_text(g->tl, args, &err), &err);
}

/* ---- moments to come back to ------------------------------------------------------------------------------------ */

static void checkpoint(struct ct_gdb *g, const char *args)
{
	struct ct_gdb_checkpoint *c = realloc(g->checkpoints, (g->ncheckpoints + 1) * sizeof(*c));
	struct ct_timeline_stats st;
	struct ct_error err;

	(void)args;
	if (!c) {
		ct_gdb_putf_hex(&g->out, "out of memory\n");
		return;
	}
	g->checkpoints = c;
	c += g->ncheckpoints;
	if (ct_timeline_mark(g->tl, &err) || ct_timeline_now(g->tl, &c->at, &err) ||
	    ct_timeline_now_text(g->tl, c->text, &err)) {
		ct_gdb_putf_hex(&g->out, "%s\n", err.msg);
		return;
	}
	c->number = ++g->last_checkpoint;
	g->ncheckpoints++;
	ct_gdb_putf_hex(&g->out, "checkpoint %u at %s\n", c->number, c->text);
	ct_timeline_stats(g->tl, &st);
	ct_gdb_putf_hex(
		&g->out,
		"%zu checkpoints, %.1f MB, one every %.0f ms of replay; %llu returns to one, %llu single steps\n",
		st.checkpoints, (double)st.bytes / 1e6, (double)st.spacing_us / 1e3, (unsigned long long)st.restores,
		(unsigned long long)st.steps);
}

static void checkpoints(struct ct_gdb *g, const char *args)
{
	(void)args;
	for (size_t i = 0; i < g->ncheckpoints; i++)
		ct_gdb_putf_hex(&g->out, "%u at %s\n", g->checkpoints[i].number, g->checkpoints[i].text);
	if (!g->ncheckpoints)
		ct_gdb_putf_hex(&g->out, "no checkpoints\n");
}

/* NULL: there is none of this number, which has been said. */
static struct ct_gdb_checkpoint *find_checkpoint(struct ct_gdb *g, const char *args)
{
	unsigned number;

	for (size_t i = 0; sscanf(args, "%u", &number) == 1 && i < g->ncheckpoints; i++)
		if (g->checkpoints[i].number == number)
			return &g->checkpoints[i];
	ct_gdb_putf_hex(&g->out, "there is no checkpoint '%s'\n", args);
	return NULL;
}

static void restart(struct ct_gdb *g, const char *args)
{
	const struct ct_gdb_checkpoint *c = find_checkpoint(g, args);
	struct ct_error err;

	if (c)
		gone(g, ct_timeline_seek(g->tl, &c->at, &err), &err);
}

static void forget(struct ct_gdb *g, const char *args)
{
	struct ct_gdb_checkpoint *c = find_checkpoint(g, args), *end = g->checkpoints + g->ncheckpoints;

	if (c) {
		memmove(c, c + 1, (size_t)((char *)end - (char *)(c + 1)));
		g->ncheckpoints--;
	}
}

/* ---- what was recorded ------------------------------------------------------------------------------------------ */

static void events(struct ct_gdb *g, const char *args)
{
	struct ct_cursor *cur = ct_cursor_create(ct_timeline_recording(g->tl), NULL);
	const struct ct_event *ev;
	unsigned long long around = AROUND;
	struct ct_moment now;
	struct ct_error err;
	ct_u64 from;

	if (*args)
		sscanf(args, "%llu", &around);
	if (around > 1000)
		around = 1000;
	if (!cur || ct_timeline_now(g->tl, &now, &err)) {
		ct_cursor_destroy(cur);
		return;
	}
	from = now.next > around ? now.next - around : 1;
	if (!ct_cursor_seek_seq(cur, from, NULL))
		while (ct_cursor_next(cur, &ev, NULL) > 0 && ev->seq < now.next + around) {
			const void *payload = ct_event_payload(ev);

			ct_gdb_putf_hex(&g->out, "%s e:%llu thread %u %s", ev->seq == now.next ? "=>" : "  ",
					(unsigned long long)ev->seq, ev->tid, ct_event_type_name(ev->type));
			if (ev->type == CT_EV_SYSCALL && ((const struct ct_ev_syscall *)payload)->nr >= 0) {
				const struct ct_ev_syscall *sc = payload;
				const struct ct_syscall *row = ct_syscall(sc->nr);

				ct_gdb_putf_hex(&g->out, " %s = %lld", row ? row->name : "?", (long long)sc->ret);
			} else if (ev->type == CT_EV_SIGNAL) {
				ct_gdb_putf_hex(&g->out, " %d", ((const struct ct_ev_signal *)payload)->sig);
			} else if (ev->type == CT_EV_SWITCH) {
				ct_gdb_putf_hex(&g->out, " to %u", ((const struct ct_ev_switch *)payload)->to);
			}
			ct_gdb_putf_hex(&g->out, "\n");
		}
	ct_cursor_destroy(cur);
}

/* What was written up to now; as much of it as the log has. */
static void program_output(struct ct_gdb *g, const char *args)
{
	struct ct_cursor *cur = ct_cursor_create(ct_timeline_recording(g->tl), NULL);
	const struct ct_event *ev;
	struct ct_moment now;
	struct ct_error err;
	ct_u64 begin, end;

	(void)args;
	ct_timeline_range(g->tl, &begin, &end);
	if (!cur || ct_timeline_now(g->tl, &now, &err) || ct_cursor_seek_seq(cur, begin, NULL)) {
		ct_cursor_destroy(cur);
		return;
	}
	while (ct_cursor_next(cur, &ev, NULL) > 0 && ev->seq < now.next && g->out.len < CT_GDB_PACKET_MAX / 2) {
		const struct ct_ev_syscall *sc = ct_event_payload(ev);
		struct ct_buf_iter it = ct_buf_iter(ev);
		ct_s64 left;

		if (ev->type != CT_EV_SYSCALL || (sc->nr != 1 && sc->nr != 20) || sc->args[0] < 1 || sc->args[0] > 2 ||
		    sc->ret <= 0 || ev->pid != ct_timeline_pid(g->tl))
			continue;
		left = sc->ret;
		while (ct_buf_next(&it) && left > 0) {
			if (it.buf->kind != CT_BUF_IN || (sc->nr == 20 && it.buf->addr == sc->args[1]))
				continue;
			ct_gdb_put_hex(&g->out, it.data, it.buf->len < left ? it.buf->len : (size_t)left);
			if (it.buf->len < it.buf->want)
				ct_gdb_putf_hex(&g->out, "[...]");
			left -= it.buf->want;
		}
	}
	if (!g->out.len)
		ct_gdb_putf_hex(&g->out, "nothing yet\n");
	ct_cursor_destroy(cur);
}

static void help(struct ct_gdb *g, const char *args);

static const struct {
	const char *name;
	void (*run)(struct ct_gdb *g, const char *args);
	const char *text;
} commands[] = {
	{"when", when, "the present position: gdb's `monitor seek` and `ctbpf replay --to` take it"},
	{"seek", seek, "POS: go there"},
	{"checkpoint", checkpoint,
	 "give this moment a number to come back to, and say how many copies of the program there are"},
	{"checkpoints", checkpoints, "these numbers"},
	{"restart", restart, "N: go to the checkpoint N"},
	{"forget", forget, "N: the checkpoint N"},
	{"events", events, "[N]: the N events before this moment and behind it"},
	{"stdout", program_output, "what the program has written to standard output and error so far"},
	{"help", help, "this list"},
};

static void help(struct ct_gdb *g, const char *args)
{
	(void)args;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		ct_gdb_putf_hex(&g->out, "monitor %-11s %s\n", commands[i].name, commands[i].text);
}

void ct_gdb_monitor(struct ct_gdb *g, struct ct_gdb_text hex)
{
	char text[512], *args;
	size_t len;

	if (!ct_gdb_bytes(&hex, text, sizeof(text) - 1, &len)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	text[len] = 0;
	args = text + strcspn(text, " ");
	if (*args)
		*args++ = 0;
	args += strspn(args, " ");
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, text)) {
			commands[i].run(g, args);
			if (!g->out.len)
				ct_gdb_putf(&g->out, "OK");
			return;
		}
	ct_gdb_putf_hex(&g->out, "there is no `monitor %s`; `monitor help` lists what there is\n", text);
}
