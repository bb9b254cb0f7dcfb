// SPDX-License-Identifier: MIT
/* Calls of the program's functions, as CodeTracer's tracepoints have them: made in a diversion, which is thrown away.
 * Numbers and pointers are passed, by the System V ABI's six registers. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/worker.h"

#define MOST_ARGS   6
#define MOST_PASSES 1000 /* of the return address, by the function itself */
#define RED_ZONE    128  /* bytes below the stack pointer that are the interrupted function's */
#define DIRECTION   0x400ull

struct call {
	struct ct_dwarf_function f;
	ct_u64 arg[MOST_ARGS];
	size_t n;
};

/* Behind an argument: the comma or the closing parenthesis that is its own. */
static const char *end_of_argument(const char *at)
{
	unsigned depth = 0;
	char quote = 0;

	for (; *at; at++) {
		if (quote) {
			if (*at == '\\' && at[1])
				at++;
			else if (*at == quote)
				quote = 0;
		} else if (*at == '\'' || *at == '"') {
			quote = *at;
		} else if (*at == '(' || *at == '[') {
			depth++;
		} else if (depth && (*at == ')' || *at == ']')) {
			depth--;
		} else if (!depth && (*at == ',' || *at == ')')) {
			break;
		}
	}
	return at;
}

static int add_argument(const struct ct_dwarf_place *p, const char *from, size_t len, struct call *c,
			struct ct_error *err)
{
	struct ct_dwarf_number n = {0};
	struct ct_dwarf_value v;
	char *text;
	int ret;

	if (c->n == MOST_ARGS)
		return ct_fail(err, CT_EXIT_USAGE, "more than %d arguments cannot be passed", MOST_ARGS);
	text = strndup(from, len);
	if (!text)
		return native_no_memory(err);
	ret = ct_dwarf_eval(p, text, &v, err);
	if (!ret && ct_dwarf_shape(&v) == CT_DWARF_IS_ARRAY && v.where == CT_DWARF_IN_MEMORY)
		n.u = v.addr;
	else if (!ret && (ret = ct_dwarf_number(p, &v, &n, err)) == 0 && n.cls == CT_DWARF_FLOAT)
		ret = ct_fail(err, CT_EXIT_USAGE, "'%.60s' is not a whole number or a pointer: it cannot be passed",
			      text);
	free(text);
	c->arg[c->n++] = n.u;
	return ret;
}

static int find_function(struct worker *w, const char *name, struct call *c, struct ct_error *err)
{
	struct ct_dwarf_list found = {0};
	int ret = ct_dwarf_find_functions(w->d->dw, name, &found, err);

	if (!ret && (!found.n || !ct_dwarf_function_at(w->d->dw, found.addr[0], &c->f) || !c->f.has_die))
		ret = ct_fail(err, CT_EXIT_USAGE, "there is no function '%.60s' with debug information", name);
	ct_dwarf_list_free(&found);
	return ret;
}

/* NAME(ARGUMENT, ...) */
static int parse(struct worker *w, const struct ct_dwarf_place *p, const char *text, struct call *c,
		 struct ct_error *err)
{
	const char *open = strchr(text, '('), *at, *end;
	char name[256];
	int len;

	text += strspn(text, " \t");
	for (len = open ? (int)(open - text) : 0; len > 0 && isspace((unsigned char)text[len - 1]); len--)
		;
	if (len <= 0 || (size_t)len >= sizeof(name))
		return ct_fail(err, CT_EXIT_USAGE, "'%.60s' is not a call: NAME(ARGUMENT, ...)", text);
	snprintf(name, sizeof(name), "%.*s", len, text);
	at = open + 1 + strspn(open + 1, " \t");
	for (end = at; *at != ')'; at = end + (*end == ',')) {
		end = end_of_argument(at);
		if (!*end || add_argument(p, at, (size_t)(end - at), c, err))
			return err->status ? -1 : ct_fail(err, CT_EXIT_USAGE, "'%.60s' has no end", text);
	}
	if (at[1 + strspn(at + 1, " \t")])
		return ct_fail(err, CT_EXIT_USAGE, "'%.60s' is more than one call", text);
	return find_function(w, name, c, err);
}

static void no_output(void *ctx, const char *data, size_t len)
{
	(void)ctx, (void)data, (void)len;
}

/* In the diversion: the function is entered as if called by the instruction that is next, and left to it. */
static int run(struct worker *w, const struct call *c, struct ct_error *err)
{
	static const int order[MOST_ARGS] = {CT_RDI, CT_RSI, CT_RDX, CT_RCX, CT_R8, CT_R9};
	struct ct_timeline *tl = w->d->tl;
	struct ct_session *s = ct_timeline_session(tl);
	struct ct_stopped stopped = {0};
	struct ct_regs r;
	struct ct_stop back;
	ct_u64 sp;
	int ret;

	if (ct_session_regs(s, w->d->tid, &r, err))
		return -1;
	back = (struct ct_stop){CT_STOP_EXEC, r.r[CT_RIP], 1};
	sp = (r.r[CT_RSP] - RED_ZONE) & ~15ull;
	if (ct_timeline_write(tl, sp - 8, &back.addr, sizeof(back.addr), err))
		return -1;
	for (size_t i = 0; i < c->n; i++)
		r.r[order[i]] = c->arg[i];
	r.r[CT_RAX] = 0; /* vector registers that are passed */
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_RFLAGS] &= ~DIRECTION;
	r.r[CT_RSP] = sp - 8;
	r.r[CT_RIP] = c->f.entry;
	ret = ct_session_set_regs(s, w->d->tid, &r, err) || ct_timeline_set_stops(tl, &back, 1, err) ? -1 : 0;
	for (unsigned i = 0; !ret && i < MOST_PASSES; i++) {
		ret = ct_timeline_run_diverted(tl, w->d->tid, false, no_output, NULL, &stopped, err);
		if (ret || stopped.why != CT_ARRIVED_BREAK || ct_session_regs(s, w->d->tid, &r, err) ||
		    r.r[CT_RSP] == sp)
			break;
	}
	if (!ret && stopped.why == CT_ARRIVED_SIGNAL)
		ret = ct_fail(err, CT_EXIT_FAILED, "signal %d ends the call of %s", stopped.number, c->f.name);
	else if (!ret && (stopped.why != CT_ARRIVED_BREAK || r.r[CT_RSP] != sp))
		ret = ct_fail(err, CT_EXIT_FAILED, "%s does not return", c->f.name);
	ct_timeline_set_stops(tl, NULL, 0, &(struct ct_error){0});
	return ret;
}

json_t *worker_call(struct worker *w, const char *text, unsigned depth, json_t **invocation, struct ct_error *err)
{
	struct ct_dwarf_place p;
	struct ct_dwarf_value v;
	struct call c = {0};
	json_t *value = NULL;
	bool returns;

	if (native_frame(w->d, 0, &p, err) || parse(w, &p, text, &c, err))
		return NULL;
	returns = ct_dwarf_returned(&p, &c.f, &v); /* where it will be */
	if (returns && v.where == CT_DWARF_IN_MEMORY) {
		ct_fail(err, CT_EXIT_USAGE, "%s returns its result in memory: it cannot be called", c.f.name);
		return NULL;
	}
	if (ct_timeline_divert(w->d->tl, err))
		return NULL;
	if (!run(w, &c, err)) {
		native_moved(w->d);
		if (!returns)
			ct_fail(err, CT_EXIT_FAILED, "%s returns nothing", c.f.name);
		else if (!native_frame(w->d, 0, &p, err) && ct_dwarf_returned(&p, &c.f, &v))
			value = worker_value(&p, &v, depth);
	}
	*invocation = json_pack("{s:s, s:I, s:i}", "target_expression", c.f.name, "resolved_address",
				(json_int_t)c.f.entry, "argument_count", (int)c.n);
	if (ct_timeline_undivert(w->d->tl, err)) {
		json_decref(value);
		value = NULL;
	}
	native_moved(w->d);
	return value;
}
