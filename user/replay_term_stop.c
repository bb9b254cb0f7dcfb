// SPDX-License-Identifier: MIT
/* Breakpoints, watchpoints and what else the program is stopped at. */
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "user/replay_term.h"

/* Most programs get them all the time and mean nothing by it. */
#define HARMLESS                                                                                                       \
	(1ull << (SIGALRM - 1) | 1ull << (SIGURG - 1) | 1ull << (SIGIO - 1) | 1ull << (SIGVTALRM - 1) |                \
	 1ull << (SIGPROF - 1) | 1ull << (SIGCHLD - 1) | 1ull << (SIGWINCH - 1) | 7ull << (32 - 1))

/* What the dynamic linker calls when its list of libraries has changed: made for debuggers. */
#define LIBRARIES_CHANGED "_dl_debug_state"

static void resolve(struct term *t, struct term_point *p)
{
	unsigned long long addr;
	struct ct_place place = {0};
	const struct ct_dwarf_frame *f;
	char *end;

	if (p->watch)
		return;
	if (p->text[0] == '*') {
		addr = strtoull(p->text + 1, &end, 0);
		p->addr[0] = addr;
		p->n = 1;
		return;
	}
	if (isdigit((unsigned char)p->text[0]) && (f = term_the_frame(t))) /* a line of the file that is looked at */
		ct_symbols_place(t->sy, f->lookup, &place);
	p->n = ct_symbols_find(t->sy, p->text, place.file, p->addr, TERM_PLACES);
}

int term_moved(struct term *t, struct ct_error *err)
{
	ct_u32 current = ct_session_current(ct_timeline_session(t->tl));
	const struct ct_event *ev = NULL;
	struct ct_regs regs;
	int ret;

	term_forget_stack(t);
	t->line = 0;
	if (ct_session_regs(ct_timeline_session(t->tl), t->tid, &regs, NULL))
		t->tid = current; /* it is not there at this moment */
	/* Instructions map nothing. */
	if (ct_session_next(ct_timeline_session(t->tl), &ev, NULL) > 0 && ev->seq == t->updated)
		return 0;
	t->updated = ev ? ev->seq : 0;
	ret = ct_symbols_update(t->sy, err);
	for (size_t i = 0; ret > 0 && i < t->npoints; i++)
		if (!isdigit((unsigned char)t->points[i].text[0]) || !t->points[i].n)
			resolve(t, &t->points[i]);
	return ret < 0 ? -1 : 0;
}

int term_arm(struct term *t, const struct ct_stop *more, size_t n, struct ct_error *err)
{
	struct ct_stop *list = calloc(t->npoints * TERM_PLACES + n + 1, sizeof(*list));
	size_t count = 0;
	bool pending = false;
	ct_u64 hook;
	int ret;

	if (!list)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < n; i++)
		list[count++] = more[i];
	for (size_t i = 0; i < t->npoints; i++) {
		const struct term_point *p = &t->points[i];

		pending |= !p->n;
		for (size_t k = 0; k < p->n; k++)
			list[count++] = (struct ct_stop){p->watch ? CT_STOP_WRITE : CT_STOP_EXEC, p->addr[k],
							 p->watch ? p->len : 1};
	}
	if (pending && (hook = ct_dwarf_symbol(ct_symbols_dwarf(t->sy), LIBRARIES_CHANGED)))
		list[count++] = (struct ct_stop){CT_STOP_EXEC, hook, 1};
	ret = ct_timeline_set_stops(t->tl, list, count, err);
	free(list);
	ct_timeline_catch(t->tl, t->signals ? ~HARMLESS : 0, t->syscalls, t->execs);
	return ret;
}

static bool holds(struct term *t, const struct term_point *p)
{
	const struct ct_dwarf_place scope = term_scope(t);
	struct ct_error err = {0};
	bool is = true;

	if (p->condition && ct_dwarf_test(&scope, p->condition, &is, &err)) {
		ct_out_fmt(&t->out, "condition of breakpoint %d: %s\n", p->number, err.msg);
		is = true;
	}
	return is;
}

const struct term_point *term_point_at(struct term *t, const struct ct_stopped *stopped)
{
	const bool watch = stopped->why == CT_ARRIVED_WATCH;

	if (!watch && stopped->why != CT_ARRIVED_BREAK)
		return NULL;
	for (size_t i = 0; i < t->npoints; i++)
		for (size_t k = 0; k < t->points[i].n; k++)
			if (t->points[i].watch == watch && t->points[i].addr[k] == stopped->stop.addr &&
			    holds(t, &t->points[i]))
				return &t->points[i];
	return NULL;
}

int term_run(struct term *t, bool back, const struct ct_stop *more, size_t n, struct ct_stopped *stopped,
	     struct ct_error *err)
{
	for (;;) {
		if (term_arm(t, more, n, err) || ct_timeline_run(t->tl, back, stopped, err)) {
			struct ct_error ignored;

			term_moved(t, &ignored);
			return -1;
		}
		t->tid = stopped->tid;
		if (term_moved(t, err))
			return -1;
		if (stopped->why != CT_ARRIVED_BREAK && stopped->why != CT_ARRIVED_WATCH)
			return 0;
		for (size_t i = 0; i < n; i++)
			if (more[i].addr == stopped->stop.addr && more[i].kind == stopped->stop.kind)
				return 0;
		if (term_point_at(t, stopped))
			return 0;
		if (term_interrupted(t)) {
			stopped->why = CT_ARRIVED_INTERRUPT;
			return 0;
		}
	}
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static void list_points(struct term *t)
{
	for (size_t i = 0; i < t->npoints; i++) {
		const struct term_point *p = &t->points[i];

		ct_out_fmt(&t->out, "%d %s %s", p->number, p->watch ? "watchpoint" : "breakpoint", p->text);
		for (size_t k = 0; k < p->n; k++)
			ct_out_fmt(&t->out, "%s%#llx", k ? ", " : " at ", (unsigned long long)p->addr[k]);
		ct_out_fmt(&t->out, "%s%s%s\n", p->condition ? " if " : "", p->condition ? p->condition : "",
			   p->n ? "" : " (not there yet)");
	}
	if (!t->npoints)
		ct_out_str(&t->out, "no breakpoints\n");
}

static struct term_point *add(struct term *t, const char *text, struct ct_error *err)
{
	struct term_point *more = realloc(t->points, (t->npoints + 1) * sizeof(*more));

	if (more)
		t->points = more;
	if (!more || !(more[t->npoints] = (struct term_point){.text = strdup(text)}).text) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	more[t->npoints].number = ++t->last_number;
	return &more[t->npoints++];
}

static void drop(struct term *t, size_t i)
{
	free(t->points[i].text);
	free(t->points[i].condition);
	memmove(&t->points[i], &t->points[i + 1], (--t->npoints - i) * sizeof(*t->points));
}

void term_free_points(struct term *t)
{
	while (t->npoints)
		drop(t, t->npoints - 1);
	free(t->points);
}

int term_break(struct term *t, const char *args, struct ct_error *err)
{
	const char *condition = strstr(args, " if ");
	char text[512], *end = NULL;
	struct term_point *p;

	if (!*args) {
		list_points(t);
		return 0;
	}
	snprintf(text, sizeof(text), "%.*s", (int)(condition ? condition - args : (ptrdiff_t)strlen(args)), args);
	if (text[0] == '*' && (strtoull(text + 1, &end, 0), *end || !text[1]))
		return ct_fail(err, CT_EXIT_USAGE, "'%s' is not an address", text + 1);
	p = add(t, text, err);
	if (!p)
		return -1;
	resolve(t, p);
	if (isdigit((unsigned char)text[0]) && !p->n) {
		drop(t, t->npoints - 1);
		return ct_fail(err, CT_EXIT_USAGE, "there is no line %s here", text);
	}
	if (condition && !(p->condition = strdup(condition + 4)))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	ct_out_fmt(&t->out, "breakpoint %d", p->number);
	for (size_t i = 0; i < p->n; i++) {
		struct ct_place place;

		ct_symbols_place(t->sy, p->addr[i], &place);
		ct_out_fmt(&t->out, "%s%#llx", i ? ", " : " at ", (unsigned long long)p->addr[i]);
		if (place.line)
			ct_out_fmt(&t->out, ", %s:%d",
				   strrchr(place.file, '/') ? strrchr(place.file, '/') + 1 : place.file, place.line);
	}
	ct_out_str(&t->out,
		   p->n ? "\n" : ": nothing of this name is there yet; it is looked for when libraries come\n");
	return 0;
}

int term_watch(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_place scope = term_scope(t);
	struct ct_dwarf_value value;
	struct ct_dwarf_number number;
	struct term_point *p;
	ct_u64 size = 8;

	if (!*args)
		return ct_fail(err, CT_EXIT_USAGE, "watch what? A variable, *ADDRESS, or an address");
	if (ct_dwarf_eval(&scope, args, &value, err))
		return -1;
	if (value.where == CT_DWARF_IN_MEMORY) {
		size = ct_dwarf_size(&value);
	} else {
		if (value.has_type || ct_dwarf_number(&scope, &value, &number, err))
			return ct_fail(err, CT_EXIT_FAILED, "%s is not in memory here", args);
		value.addr = number.u & ~7ull; /* the word there */
	}
	if ((size != 1 && size != 2 && size != 4 && size != 8) || value.addr % size)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s has %llu bytes at %#llx; 1, 2, 4 or 8 aligned ones can be watched", args,
			       (unsigned long long)size, (unsigned long long)value.addr);
	p = add(t, args, err);
	if (!p)
		return -1;
	p->watch = true;
	p->addr[0] = value.addr;
	p->n = 1;
	p->len = (ct_u32)size;
	if (term_arm(t, NULL, 0, err)) { /* too many */
		drop(t, t->npoints - 1);
		return -1;
	}
	ct_out_fmt(&t->out, "watchpoint %d on %llu bytes at %#llx\n", p->number, (unsigned long long)size,
		   (unsigned long long)value.addr);
	return 0;
}

int term_delete(struct term *t, const char *args, struct ct_error *err)
{
	unsigned long long n;

	if (term_number(args, 0, &n, err))
		return -1;
	for (size_t i = t->npoints; i-- > 0;)
		if (!n || t->points[i].number == (int)n) {
			drop(t, i);
			if (n)
				return 0;
		}
	return n ? ct_fail(err, CT_EXIT_USAGE, "there is no breakpoint %llu", n) : 0;
}

int term_catch(struct term *t, const char *args, struct ct_error *err)
{
	const struct {
		const char *name;
		bool *on;
	} what[] = {{"signals", &t->signals}, {"syscalls", &t->syscalls}, {"execs", &t->execs}};
	const size_t len = strcspn(args, " ");
	const char *rest = args + len + strspn(args + len, " ");

	for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++)
		if (len && !strncmp(what[i].name, args, len) &&
		    (!*rest || !strcmp(rest, "off") || !strcmp(rest, "on"))) {
			*what[i].on = strcmp(rest, "off") != 0;
			return 0;
		}
	return ct_fail(err, CT_EXIT_USAGE, "catch signals, syscalls or execs; with `off` behind it, not any more");
}
