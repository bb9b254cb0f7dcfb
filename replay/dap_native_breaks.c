/* SPDX-License-Identifier: MIT
 * Native code: where breakpoints are, whether they are hit, how often they have been. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "replay/dap_native.h"

#define FATAL                                                                                                          \
	(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) | 1ull << (SIGILL - 1) |                  \
	 1ull << (SIGABRT - 1) | 1ull << (SIGSYS - 1) | 1ull << (SIGTRAP - 1))

static void free_place(void *data)
{
	struct native_place *p = data;

	ct_dwarf_list_free(&p->at);
	free(p->expression);
	free(p);
}

static int resolve_line(struct dap_native *d, struct dap_break *b, struct native_place *p, struct ct_error *err)
{
	const char **files;
	size_t n;
	int ret;

	if (native_find_files(d, b->path, &files, &n, err))
		return -1;
	ret = ct_dwarf_find_line(d->dw, native_is_one_of, files, b->line, &b->actual, &p->at, err);
	free(files);
	if (!n)
		snprintf(b->message, sizeof(b->message),
			 "no program of the recording was compiled from this file, or "
			 "its debug information is not there");
	else if (!p->at.n)
		snprintf(b->message, sizeof(b->message), "there is no code on this line or behind it");
	return ret;
}

static int resolve_function(struct dap_native *d, struct dap_break *b, struct native_place *p, struct ct_error *err)
{
	if (ct_dwarf_find_functions(d->dw, b->name, &p->at, err))
		return -1;
	if (!p->at.n)
		snprintf(b->message, sizeof(b->message), "there is no function '%.100s'", b->name);
	return 0;
}

static ct_u64 parse_signals(const char *text)
{
	ct_u64 mask = 0;

	for (int sig = 1; text && sig < 64; sig++) {
		const char *name = sigabbrev_np(sig), *at = name ? strcasestr(text, name) : NULL;
		const size_t n = name ? strlen(name) : 0;

		/* As a word: SEGV or SIGSEGV. */
		for (; at; at = strcasestr(at + 1, name)) {
			const bool begins = at == text || strchr(" ,", at[-1]) ||
					    (at - text >= 3 && !strncasecmp(at - 3, "SIG", 3));

			if (begins && (!at[n] || strchr(" ,", at[n])))
				mask |= 1ull << (sig - 1);
		}
	}
	return mask;
}

static int resolve_exception(struct dap_native *d, struct dap_break *b, struct native_place *p)
{
	static const char *const throws[] = {"__cxa_throw", "__cxa_rethrow", "rust_panic"};

	if (!strcmp(b->name, "raised")) {
		for (size_t i = 0; i < sizeof(throws) / sizeof(*throws); i++) {
			const ct_u64 at = ct_dwarf_symbol(d->dw, throws[i]);

			if (at)
				ct_dwarf_list_add(&p->at, at);
		}
		if (!p->at.n)
			snprintf(b->message, sizeof(b->message), "this program can neither throw nor panic");
	} else if (!strcmp(b->name, "uncaught")) {
		p->signals = FATAL;
	} else if (!strcmp(b->name, "signal")) {
		p->signals = b->condition ? parse_signals(b->condition) : ~0ull;
		if (!p->signals)
			snprintf(b->message, sizeof(b->message), "no signal is named in '%.80s'", b->condition);
	} else {
		snprintf(b->message, sizeof(b->message), "there is no filter '%.80s'", b->name);
	}
	return 0;
}

/* "0xADDRESS/BYTES", as data_info gives it, behind it what it is called. */
static int resolve_data(struct dap_break *b, struct native_place *p)
{
	unsigned long long addr, len;
	int end = 0;

	if (sscanf(b->name, "%llx/%llu %n", &addr, &len, &end) != 2 || !end || !len) {
		snprintf(b->message, sizeof(b->message), "this is no id of data");
		return 0;
	}
	p->expression = strdup(b->name + end);
	while (len && p->nwatches < CT_STOP_WATCHES) {
		ct_u32 n = 8;

		while (n > len || addr % n)
			n /= 2;
		p->watch[p->nwatches++] = (struct ct_stop){
			b->access && strcmp(b->access, "write") != 0 ? CT_STOP_ACCESS : CT_STOP_WRITE, addr, n};
		addr += n;
		len -= n;
	}
	if (len) {
		p->nwatches = 0;
		snprintf(b->message, sizeof(b->message),
			 "this is too long to be watched: the processor watches %d times 8 bytes; choose a part of it",
			 CT_STOP_WATCHES);
	}
	return p->expression ? 0 : -1;
}

static unsigned watches(const struct dap_native *d, const struct dap_break *but)
{
	unsigned n = 0;

	for (const struct dap_break *b = *d->host->breaks; b; b = b->next)
		if (b != but && b->data)
			n += ((struct native_place *)b->data)->nwatches;
	return n;
}

int dap_native_resolve(struct dap_debuggee *base, struct dap_break *b, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	struct native_place *p = calloc(1, sizeof(*p));
	unsigned long long addr;
	int ret = 0;

	if (b->free_data)
		b->free_data(b->data);
	b->data = p;
	b->free_data = free_place;
	b->verified = false;
	b->message[0] = 0;
	if (!p)
		return native_no_memory(err);
	switch (b->kind) {
	case DAP_LINE: ret = resolve_line(d, b, p, err); break;
	case DAP_FUNCTION: ret = resolve_function(d, b, p, err); break;
	case DAP_EXCEPTION: ret = resolve_exception(d, b, p); break;
	case DAP_DATA: ret = resolve_data(b, p); break;
	case DAP_INSN:
		if (sscanf(b->name, "%llx", &addr) == 1)
			ct_dwarf_list_add(&p->at, addr + (ct_u64)b->offset);
		else
			snprintf(b->message, sizeof(b->message), "'%.60s' is no address", b->name);
		break;
	}
	if (ret)
		return -1;
	if (p->nwatches && watches(d, b) + p->nwatches > CT_STOP_WATCHES) {
		snprintf(b->message, sizeof(b->message), "the processor can watch %d places at the same time, no more",
			 CT_STOP_WATCHES);
		p->nwatches = 0;
	}
	b->verified = p->at.n || p->nwatches || p->signals;
	return 0;
}

json_t *dap_native_data_info(struct dap_debuggee *base, ct_u64 reference, ct_u64 frame, const char *name,
			     struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	char id[400], *expression = NULL;
	struct ct_dwarf_place place;
	struct ct_dwarf_value v;
	struct ct_error why = {0};
	json_t *o;
	ct_u64 size;

	(void)err;
	if (native_named(d, reference, frame, name, &place, &v, &expression, &why))
		return json_pack("{s:n, s:o}", "dataId", "description", dap_text(why.msg, strlen(why.msg)));
	size = v.bit_size ? (v.bit_offset + v.bit_size + 7) / 8 : ct_dwarf_size(&v);
	if (v.where != CT_DWARF_IN_MEMORY || !size || size > 8 * CT_STOP_WATCHES) {
		o = json_pack("{s:n, s:s}", "dataId", "description",
			      v.where == CT_DWARF_IN_MEMORY ? "too large to be watched: choose a part of it"
			      : v.where == CT_DWARF_HELD    ? "not in memory but in a register: that cannot be watched"
							    : v.why);
		free(expression);
		return o;
	}
	snprintf(id, sizeof(id), "%#llx/%llu %.300s", (unsigned long long)v.addr, (unsigned long long)size, expression);
	o = json_pack("{s:o, s:o, s:[s, s], s:b}", "dataId", dap_text(id, strlen(id)), "description",
		      dap_text(expression, strlen(expression)), "accessTypes", "write", "readWrite", "canPersist", 1);
	free(expression);
	return o;
}

/* ---- hits ---- */

bool native_is_at(const struct dap_break *b, const struct ct_stopped *at)
{
	const struct native_place *p = b->data;

	if (at->why == CT_ARRIVED_SIGNAL)
		return at->number > 0 && at->number <= 64 && p->signals >> (at->number - 1) & 1;
	for (unsigned i = 0; at->why == CT_ARRIVED_WATCH && i < p->nwatches; i++)
		if (p->watch[i].addr == at->stop.addr)
			return true;
	for (size_t i = 0; at->why == CT_ARRIVED_BREAK && i < p->at.n; i++)
		if (p->at.addr[i] == at->stop.addr)
			return true;
	return false;
}

static void complain(struct dap_native *d, struct dap_break *b, const struct ct_error *err)
{
	char text[700];

	if (b->complained)
		return;
	b->complained = true;
	snprintf(text, sizeof(text), "ctbpf: condition '%.200s' cannot be told, and counts as not met: %.300s\n",
		 b->condition, err->msg);
	native_say(d, text);
}

/* Whether its condition is met; of an exception it names signals. */
bool native_condition_met(struct dap_native *d, struct dap_break *b)
{
	struct ct_dwarf_place place;
	struct ct_error err = {0};
	bool is = false;

	if (!b->condition || b->kind == DAP_EXCEPTION)
		return true;
	if (native_frame(d, 0, &place, &err) || ct_dwarf_test(&place, b->condition, &is, &err))
		complain(d, b, &err);
	return is;
}

/* ---- how often ---- */

struct counted {
	struct dap_native *d;
	struct dap_break *b;
	ct_u64 n;
};

static ct_u64 count_one(void *ctx, const struct ct_stopped *what)
{
	struct counted *c = ctx;

	c->d->tid = what->tid;
	native_moved(c->d);
	c->n += native_is_at(c->b, what) && native_condition_met(c->d, c->b);
	return 0;
}

/* Hits before the present moment, from the beginning of the timeline on: it is gone through once more. */
static int count(struct dap_native *d, struct dap_break *b, ct_u64 *n, struct ct_error *err)
{
	struct native_place *p = b->data;
	struct counted c = {d, b, 0};
	const struct ct_choice noting = {count_one, NULL, &c};
	struct ct_stop *list = malloc((p->at.n + p->nwatches + 1) * sizeof(*list));
	struct ct_moment now, begin = {0};
	const ct_u32 tid = d->tid;
	size_t len = 0;
	ct_u64 end;
	int ret;

	if (!list)
		return native_no_memory(err);
	for (size_t i = 0; i < p->at.n; i++)
		list[len++] = (struct ct_stop){CT_STOP_EXEC, p->at.addr[i], 1};
	for (unsigned i = 0; i < p->nwatches; i++)
		list[len++] = p->watch[i];
	ct_timeline_range(d->tl, &begin.next, &end);
	ret = ct_timeline_now(d->tl, &now, err) || ct_timeline_set_stops(d->tl, list, len, err) ||
			      ct_timeline_seek(d->tl, &begin, err)
		      ? -1
		      : 0;
	free(list);
	if (ret)
		return -1;
	ct_timeline_catch(d->tl, p->signals, false, false);
	ct_timeline_set_choice(d->tl, &noting);
	ret = ct_timeline_visit(d->tl, &now, err);
	ct_timeline_set_choice(d->tl, NULL);
	if (ct_timeline_seek(d->tl, &now, err))
		ret = -1;
	native_moved(d);
	d->tid = tid;
	*n = c.n;
	p->counted = ret == 0;
	return ret < 0 ? -1 : 0;
}

int native_hit(struct dap_native *d, struct dap_break *b, const struct ct_stopped *at, bool back, struct ct_error *err)
{
	/* Its number belongs to what is behind it then. */
	const bool crossed = back && at->why == CT_ARRIVED_WATCH;
	struct native_place *p = b->data;
	const bool chosen = p->chosen;

	p->chosen = false;
	if (!chosen && !native_condition_met(d, b))
		return 0;
	if (b->hits.op) {
		ct_u64 number;

		if (!p->counted) {
			if (count(d, b, &p->seen, err))
				return -1;
			p->seen += at->why != CT_ARRIVED_WATCH || crossed;
		} else if (!back) {
			p->seen++;
		}
		number = p->seen;
		p->here = at->why != CT_ARRIVED_WATCH;
		p->seen -= crossed;
		if (!dap_hits_match(&b->hits, number))
			return 0;
	}
	if (!b->log)
		return 1;
	native_log(d, b);
	return 0;
}

void native_leaves(struct dap_native *d, bool back)
{
	for (struct dap_break *b = *d->host->breaks; b; b = b->next) {
		struct native_place *p = b->data;

		if (p && p->here && back)
			p->seen--;
		if (p)
			p->here = p->chosen = false;
	}
}

/* ---- by their numbers, backwards: each stop has a bit for each of those that have to do with it ---- */

#define MOST_NUMBERED 64

static bool is_numbered(const struct dap_break *b)
{
	return b->data && b->hits.op && !b->broken && b->verified;
}

static ct_u64 note(void *ctx, const struct ct_stopped *what)
{
	struct dap_native *d = ctx;
	ct_u64 met = 0;
	unsigned k = 0;

	if (native_is_extra(d->run, what)) /* for who runs to judge */
		return 0;
	d->tid = what->tid;
	native_moved(d);
	for (struct dap_break *b = *d->host->breaks; b && k < MOST_NUMBERED; b = b->next)
		if (is_numbered(b))
			met |= (ct_u64)(native_is_at(b, what) && native_condition_met(d, b)) << k++;
	return met;
}

/* Those that have no number are not for this to judge. */
static bool choose(void *ctx, const struct ct_stopped *what, ct_u64 met)
{
	struct dap_native *d = ctx;
	bool wanted = false, only = met != 0;
	unsigned k = 0;

	for (struct dap_break *b = *d->host->breaks; b; b = b->next) {
		const struct native_place *p = b->data;

		if (is_numbered(b) && k < MOST_NUMBERED)
			wanted |= (met >> k++ & 1) && dap_hits_match(&b->hits, p->seen);
		else if (p && !b->broken && b->verified && native_is_at(b, what))
			only = false;
	}
	k = 0;
	for (struct dap_break *b = *d->host->breaks; b && k < MOST_NUMBERED; b = b->next)
		if (is_numbered(b) && (met >> k++ & 1)) {
			struct native_place *p = b->data;

			p->chosen = wanted || !only;
			p->seen -= !p->chosen;
		}
	return wanted || !only;
}

int native_choose_by_number(struct dap_native *d, const struct native_run *how, struct ct_error *err)
{
	const struct ct_choice choice = {note, choose, d};
	bool some = false;

	for (struct dap_break *b = *d->host->breaks; b; b = b->next) {
		struct native_place *p = b->data;

		some |= is_numbered(b);
		if (is_numbered(b) && !p->counted && count(d, b, &p->seen, err))
			return -1;
	}
	d->run = how;
	ct_timeline_set_choice(d->tl, some ? &choice : NULL);
	return 0;
}

void native_forget_counts(struct dap_native *d)
{
	for (struct dap_break *b = *d->host->breaks; b; b = b->next)
		if (b->data)
			((struct native_place *)b->data)->counted = ((struct native_place *)b->data)->here = false;
}
