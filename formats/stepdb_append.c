/* SPDX-License-Identifier: MIT
 * Appending to the step database: names, threads, calls, steps, values.
 *
 * The way of a step is short: a table of lines instead of a hash, five stores, and a chunk every 4096 of them. */
#include <string.h>

#include "stepdb_writer.h"

const char *ct_value_kind_name(unsigned kind)
{
	switch (kind) {
#define X(num, sym, name)                                                                                              \
	case num: return name;
		CT_VALUE_KINDS(X)
#undef X
	default: return NULL;
	}
}

void ct_stepdb_counts(const struct ct_stepdb_writer *w, struct ct_stepdb_counts *counts)
{
	*counts = (struct ct_stepdb_counts){
		.steps = sd_total(w, CT_STEPS), .calls = sd_total(w, CT_CALLS), .values = sd_total(w, CT_VALUES)};
	for (unsigned k = 0; k < CT_NROWS; k++)
		counts->bytes += w->t[k].file.size;
}

/* ---- Names ---- */

static ct_u32 add_name(struct ct_stepdb_writer *w, unsigned table, const char *text, size_t len, const ct_u64 *v)
{
	ct_u32 id = w->failed ? 0 : sd_names_add(&w->cat, table, text, len, v);

	if (!id && !w->failed)
		sd_no_memory(w);
	return id;
}

ct_u32 ct_stepdb_file(struct ct_stepdb_writer *w, const char *path, size_t len)
{
	return add_name(w, CT_FILES, path, len, NULL);
}

ct_u32 ct_stepdb_type(struct ct_stepdb_writer *w, const char *name, size_t len)
{
	return add_name(w, CT_TYPES, name, len, NULL);
}

ct_u32 ct_stepdb_string(struct ct_stepdb_writer *w, const char *text, size_t len)
{
	return add_name(w, CT_STRINGS, text, len, NULL);
}

ct_u32 ct_stepdb_function(struct ct_stepdb_writer *w, const char *name, size_t len, ct_u32 file, ct_u32 line,
			  const char *language)
{
	static const ct_u64 zeros[CT_NAME_INTS];
	ct_u64 v[CT_NAME_INTS] = {[CT_FN_FILE] = file, [CT_FN_LINE] = line};
	ct_u32 id;

	v[CT_FN_LANGUAGE] = language ? ct_stepdb_string(w, language, strlen(language)) : 0;
	id = add_name(w, CT_FUNCTIONS, name, len, v);
	/* Its statistics have the same id. */
	while (id && w->cat.t[CT_STATS].n < id)
		if (!add_name(w, CT_STATS, NULL, 0, zeros))
			return 0;
	return id;
}

/* ---- Threads ---- */

struct sd_thread *sd_new_thread(struct ct_stepdb_writer *w)
{
	struct sd_thread *th = realloc(w->thread, (w->nthreads + 1) * sizeof(*th));

	if (!th)
		return NULL;
	w->thread = th;
	th[w->nthreads] = (struct sd_thread){0};
	return &th[w->nthreads++];
}

ct_u32 ct_stepdb_thread(struct ct_stepdb_writer *w, ct_u32 tid, ct_u32 pid, const char *name, ct_u64 seq)
{
	ct_u64 v[CT_NAME_INTS] = {[CT_TH_TID] = tid, [CT_TH_PID] = pid, [CT_TH_SEQ] = seq};
	ct_u32 id = add_name(w, CT_THREADS, name ? name : "", name ? strlen(name) : 0, v);

	if (id && !sd_new_thread(w)) {
		sd_no_memory(w);
		return 0;
	}
	return id;
}

ct_u32 ct_stepdb_thread_by_tid(const struct ct_stepdb_writer *w, ct_u32 tid)
{
	const struct sd_names *t = &w->cat.t[CT_THREADS];

	for (ct_u32 id = t->n; id; id--)
		if (t->row[id - 1].v[CT_TH_TID] == tid)
			return id;
	return 0;
}

static struct sd_thread *find_thread(struct ct_stepdb_writer *w, ct_u32 thread)
{
	return !w->failed && thread && thread <= w->nthreads ? &w->thread[thread - 1] : NULL;
}

void ct_stepdb_event(struct ct_stepdb_writer *w, ct_u32 thread, ct_u64 seq, ct_u64 time_ns)
{
	struct sd_thread *th = find_thread(w, thread);

	if (!th)
		return;
	th->seq = seq;
	th->ns = time_ns;
}

/* ---- Frames ---- */

struct sd_frame *sd_new_frame(struct ct_stepdb_writer *w)
{
	struct sd_frame *f = w->spare;

	if (!f)
		return calloc(1, sizeof(*f));
	w->spare = f->next;
	*f = (struct sd_frame){0};
	return f;
}

static void free_frame(struct ct_stepdb_writer *w, struct sd_frame *f)
{
	f->next = w->spare;
	w->spare = f;
}

bool sd_push(struct ct_stepdb_writer *w, struct sd_thread *th, struct sd_frame *f)
{
	if (th->depth == th->cap) {
		size_t cap = th->cap ? 2 * th->cap : 32;
		struct sd_frame **stack = realloc(th->stack, cap * sizeof(*stack));

		if (!stack)
			return false;
		th->stack = stack;
		th->cap = cap;
	}
	if (f->function > th->nactive) {
		size_t n = (size_t)w->cat.t[CT_FUNCTIONS].n + 64;
		ct_u32 *active = realloc(th->active, n * sizeof(*active));

		if (!active)
			return false;
		memset(active + th->nactive, 0, (n - th->nactive) * sizeof(*active));
		th->active = active;
		th->nactive = n;
	}
	th->active[f->function - 1]++;
	th->stack[th->depth++] = f;
	return true;
}

/* Takes the innermost call off the stack, and counts its time. */
static struct sd_frame *pop(struct ct_stepdb_writer *w, struct sd_thread *th)
{
	struct sd_frame *f = th->stack[--th->depth];
	ct_u64 ns = th->ns > f->since_ns ? th->ns - f->since_ns : 0;
	struct ct_name *stat = &w->cat.t[CT_STATS].row[f->function - 1];

	f->active_ns += ns;
	if (th->depth)
		th->stack[th->depth - 1]->child_ns += ns;
	if (--th->active[f->function - 1] == 0)
		stat->v[CT_STAT_TOTAL_NS] += ns;
	w->cat.t[CT_STATS].dirty[f->function - 1] = 1;
	f->last_step = th->last_step > f->from_step ? th->last_step : 0;
	return f;
}

void sd_park(struct ct_stepdb_writer *w, struct sd_frame *f)
{
	struct sd_frame **bucket = &w->suspended[f->id % SD_SUSPENDED];

	f->next = *bucket;
	*bucket = f;
	w->nsuspended++;
}

static struct sd_frame *unpark(struct ct_stepdb_writer *w, ct_u64 call)
{
	for (struct sd_frame **f = &w->suspended[call % SD_SUSPENDED]; *f; f = &(*f)->next)
		if ((*f)->id == call) {
			struct sd_frame *found = *f;

			*f = found->next;
			w->nsuspended--;
			return found;
		}
	return NULL;
}

/* Of a table without texts, whose rows are told apart by up to three integers of 32 bits; the same as add_name, sooner.
 */
static ct_u32 add_known(struct ct_stepdb_writer *w, struct sd_recent *recent, unsigned table, const ct_u64 *v)
{
	const ct_u64 key[2] = {v[0] << 32 | v[1], sd_cat[table].nkeys > 2 ? v[2] : 0};
	struct sd_recent *r = &recent[((key[0] ^ key[1] << 16) * 0x9e3779b97f4a7c15ull >> 32) % SD_RECENT];

	if (r->id && r->key[0] == key[0] && r->key[1] == key[1])
		return r->id;
	*r = (struct sd_recent){{key[0], key[1]}, add_name(w, table, NULL, 0, v)};
	return r->id;
}

/* ---- Calls ---- */

static ct_u32 call_site(struct ct_stepdb_writer *w, const struct sd_frame *caller, ct_u32 function)
{
	ct_u64 v[CT_NAME_INTS] = {[CT_SITE_LOCATION] = caller ? caller->location : 0, [CT_SITE_FUNCTION] = function};
	ct_u32 id = add_known(w, w->site, CT_SITES, v);

	if (id) {
		w->cat.t[CT_SITES].row[id - 1].v[CT_SITE_CALLS]++;
		w->cat.t[CT_SITES].dirty[id - 1] = 1;
	}
	return id;
}

ct_u64 ct_stepdb_call(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 function, bool attached)
{
	struct sd_thread *th = find_thread(w, thread);
	struct sd_wtable *t = &w->t[CT_CALLS];
	struct sd_frame *f, *caller;
	ct_u32 site;

	if (!th || !function || function > w->cat.t[CT_FUNCTIONS].n)
		return 0;
	caller = th->depth ? th->stack[th->depth - 1] : NULL;
	site = call_site(w, caller, function);
	f = site ? sd_new_frame(w) : NULL;
	if (!f) {
		sd_no_memory(w);
		return 0;
	}
	*f = (struct sd_frame){.id = sd_total(w, CT_CALLS) + 1,
			       .parent = caller ? caller->id : 0,
			       .from_step = caller ? th->last_step : 0,
			       .enter_event = th->seq,
			       .enter_ns = th->ns,
			       .since_ns = th->ns,
			       .function = function,
			       .thread = thread,
			       .depth = (ct_u32)th->depth + 1,
			       .site = site};
	if (!sd_push(w, th, f)) {
		free_frame(w, f);
		sd_no_memory(w);
		return 0;
	}
	w->cat.t[CT_STATS].row[function - 1].v[CT_STAT_CALLS]++;
	w->cat.t[CT_STATS].dirty[function - 1] = 1;
	th->raising = false;

	/* What is not known yet is put where it takes no room. */
	t->col[CT_CALL_PARENT][t->rows] = f->parent;
	t->col[CT_CALL_THREAD][t->rows] = thread;
	t->col[CT_CALL_FUNCTION][t->rows] = function;
	t->col[CT_CALL_FROM_STEP][t->rows] = f->from_step;
	t->col[CT_CALL_DEPTH][t->rows] = f->depth;
	t->col[CT_CALL_FLAGS][t->rows] = attached ? CT_CALLF_ATTACHED : 0;
	t->col[CT_CALL_ENTER_EVENT][t->rows] = f->enter_event;
	t->col[CT_CALL_ENTER_TIME][t->rows] = f->enter_ns;
	t->col[CT_CALL_STATE][t->rows] = CT_CALL_OPEN;
	t->col[CT_CALL_FIRST_STEP][t->rows] = f->from_step;
	t->col[CT_CALL_LAST_STEP][t->rows] = f->from_step;
	t->col[CT_CALL_EXIT_EVENT][t->rows] = f->enter_event;
	t->col[CT_CALL_DURATION][t->rows] = 0;
	t->col[CT_CALL_SELF][t->rows] = 0;
	t->col[CT_CALL_EXCEPTION][t->rows] = 0;
	if (++t->rows == SD_CHUNK_ROWS && sd_flush_table(w, CT_CALLS) < 0)
		return 0;
	return f->id;
}

/* The call has ended; it is off its stack. */
static int end_call(struct ct_stepdb_writer *w, struct sd_frame *f, const struct sd_thread *th,
		    enum ct_call_state state, ct_u32 exception)
{
	struct ct_name *stat = &w->cat.t[CT_STATS].row[f->function - 1];
	struct sd_wtable *calls = &w->t[CT_CALLS], *exits = &w->t[CT_EXITS];
	ct_u64 self = f->active_ns > f->child_ns ? f->active_ns - f->child_ns : 0;
	ct_u64 end_ns = th->ns > f->enter_ns ? th->ns : f->enter_ns;
	ct_u64 v[SD_EXIT_NCOLS] = {[SD_EXIT_CALL] = f->id,
				   [SD_EXIT_COL(CT_CALL_STATE)] = state,
				   [SD_EXIT_COL(CT_CALL_FIRST_STEP)] = f->first_step,
				   [SD_EXIT_COL(CT_CALL_LAST_STEP)] = f->last_step,
				   [SD_EXIT_COL(CT_CALL_EXIT_EVENT)] = th->seq,
				   [SD_EXIT_COL(CT_CALL_DURATION)] = end_ns - f->enter_ns,
				   [SD_EXIT_COL(CT_CALL_SELF)] = self,
				   [SD_EXIT_COL(CT_CALL_EXCEPTION)] = exception};

	stat->v[CT_STAT_SELF_NS] += self;
	stat->v[CT_STAT_EXCEPTIONS] += state == CT_CALL_RAISED;
	if (end_ns - f->enter_ns > stat->v[CT_STAT_MAX_NS])
		stat->v[CT_STAT_MAX_NS] = end_ns - f->enter_ns;
	w->cat.t[CT_STATS].dirty[f->function - 1] = 1;
	w->cat.t[CT_SITES].row[f->site - 1].v[CT_SITE_TOTAL_NS] += f->active_ns;
	w->cat.t[CT_SITES].dirty[f->site - 1] = 1;
	if (f->id > calls->done) {
		for (unsigned c = CT_CALL_STATE; c < CT_CALL_NCOLS; c++)
			calls->col[c][f->id - calls->done - 1] = v[SD_EXIT_COL(c)];
		free_frame(w, f);
		return 0;
	}
	memcpy(w->exits[exits->rows++], v, sizeof(v));
	free_frame(w, f);
	return exits->rows == SD_CHUNK_ROWS ? sd_flush_exits(w) : 0;
}

static int put_value(struct ct_stepdb_writer *w, const struct sd_thread *th, const struct sd_frame *f,
		     enum ct_value_kind kind, ct_u32 name, const void *node, size_t len)
{
	struct sd_wtable *t = &w->t[CT_VALUES];
	ct_u64 v[CT_NAME_INTS] = {[CT_VAR_FUNCTION] = f->function, [CT_VAR_NAME] = name, [CT_VAR_KIND] = (ct_u64)kind};
	struct ct_error err = {0};
	ct_u32 variable;

	if (!(w->trusts || ct_node_check(node, len)) || name > w->cat.t[CT_STRINGS].n || !ct_value_kind_name(kind)) {
		ct_fail(&err, CT_EXIT_FAILED, "steps: a value of %zu bytes makes no sense: a mistake of the builder",
			len);
		return sd_fail(w, &err);
	}
	variable = add_known(w, w->variable, CT_VARIABLES, v);
	if (!variable)
		return -1;
	if (variable >> SD_PAIR_SHIFT) {
		ct_fail(&err, CT_EXIT_FAILED, "steps: more than %u different variables; choose fewer functions",
			(1u << SD_PAIR_SHIFT) - 1);
		return sd_fail(w, &err);
	}
	if (!sd_put(&t->bytes, node, len))
		return sd_no_memory(w);
	t->col[CT_VALUE_VARIABLE][t->rows] = variable;
	t->col[CT_VALUE_STEP][t->rows] = th->last_step > f->from_step ? th->last_step : f->from_step;
	t->col[CT_VALUE_CALL][t->rows] = f->id;
	t->col[CT_VALUE_NODE][t->rows] = t->bytes.len;
	if (++t->rows == SD_CHUNK_ROWS || t->bytes.len >= SD_CHUNK_BYTES)
		return sd_flush_table(w, CT_VALUES);
	return 0;
}

int ct_stepdb_return(struct ct_stepdb_writer *w, ct_u32 thread, const void *node, size_t len)
{
	struct sd_thread *th = find_thread(w, thread);

	if (!th || !th->depth)
		return -1;
	if (len && put_value(w, th, th->stack[th->depth - 1], CT_VALUE_RETURN, 0, node, len) < 0)
		return -1;
	th->raising = false;
	return end_call(w, pop(w, th), th, CT_CALL_RETURNED, 0);
}

/* Without a value its type is told, at least. */
static int put_raise(struct ct_stepdb_writer *w, struct sd_thread *th, ct_u32 type, const void *node, size_t len)
{
	ct_u8 small[64];
	struct ct_node_builder b = {.data = small, .cap = sizeof(small), .fixed = true};

	ct_node_plain(&b, CT_NODE_REF, &(struct ct_node_info){.type = type});
	th->raising = true;
	return put_value(w, th, th->stack[th->depth - 1], CT_VALUE_EXCEPTION, 0, len ? node : b.data,
			 len ? len : b.len);
}

int ct_stepdb_raise(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 type, const void *node, size_t len)
{
	struct sd_thread *th = find_thread(w, thread);

	w->raises = true;
	return th && th->depth ? put_raise(w, th, type, node, len) : -1;
}

int ct_stepdb_unwind(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 type, const void *node, size_t len)
{
	struct sd_thread *th = find_thread(w, thread);

	if (!th || !th->depth || (!w->raises && !th->raising && put_raise(w, th, type, node, len) < 0))
		return -1;
	return end_call(w, pop(w, th), th, CT_CALL_RAISED, type);
}

int ct_stepdb_suspend(struct ct_stepdb_writer *w, ct_u32 thread, const void *node, size_t len)
{
	struct sd_thread *th = find_thread(w, thread);

	if (!th || !th->depth)
		return -1;
	if (len && put_value(w, th, th->stack[th->depth - 1], CT_VALUE_YIELD, 0, node, len) < 0)
		return -1;
	sd_park(w, pop(w, th));
	return 0;
}

int ct_stepdb_reenter(struct ct_stepdb_writer *w, ct_u32 thread, ct_u64 call)
{
	struct sd_thread *th = find_thread(w, thread);
	struct sd_frame *f = th ? unpark(w, call) : NULL;
	ct_u8 small[64];
	struct ct_node_builder b = {.data = small, .cap = sizeof(small), .fixed = true};

	if (!f)
		return -1;
	f->thread = thread;
	f->since_ns = th->ns;
	ct_node_int(&b, th->depth ? (ct_s64)th->stack[th->depth - 1]->id : 0, NULL);
	if (sd_push(w, th, f))
		return put_value(w, th, f, CT_VALUE_RESUME, 0, b.data, b.len);
	free_frame(w, f);
	return sd_no_memory(w);
}

int ct_stepdb_drop(struct ct_stepdb_writer *w, ct_u64 call)
{
	struct sd_frame *f = w->failed ? NULL : unpark(w, call);

	return f ? end_call(w, f, &w->thread[f->thread - 1], CT_CALL_RETURNED, 0) : -1;
}

/* ---- Steps ---- */

static struct sd_lines *lines_of(struct ct_stepdb_writer *w, ct_u32 function)
{
	if (function > w->nlines) {
		size_t n = (size_t)w->cat.t[CT_FUNCTIONS].n + 64;
		struct sd_lines *lines = realloc(w->lines, n * sizeof(*lines));

		if (!lines)
			return NULL;
		memset(lines + w->nlines, 0, (n - w->nlines) * sizeof(*lines));
		w->lines = lines;
		w->nlines = n;
	}
	return &w->lines[function - 1];
}

static ct_u32 find_location(struct ct_stepdb_writer *w, ct_u32 function, ct_u32 line)
{
	struct sd_lines *l = lines_of(w, function);
	const ct_u64 *fn = w->cat.t[CT_FUNCTIONS].row[function - 1].v;
	ct_u64 v[CT_NAME_INTS] = {[CT_LOC_FUNCTION] = function, [CT_LOC_FILE] = fn[CT_FN_FILE], [CT_LOC_LINE] = line};
	ct_u32 id = add_name(w, CT_LOCATIONS, NULL, 0, v), at = line - (ct_u32)fn[CT_FN_LINE];

	if (!id || !l || at >= SD_LINES_MAX)
		return id;
	l->base = (ct_u32)fn[CT_FN_LINE];
	if (at >= l->n) {
		ct_u32 n = (at | 31) + 1, *location = realloc(l->location, n * sizeof(*location));

		if (!location)
			return id;
		memset(location + l->n, 0, (n - l->n) * sizeof(*location));
		l->location = location;
		l->n = n;
	}
	l->location[at] = id;
	return id;
}

static inline ct_u64 put_step(struct ct_stepdb_writer *w, struct sd_thread *th, ct_u32 thread, struct sd_frame *f,
			      ct_u32 location)
{
	struct sd_wtable *t = &w->t[CT_STEPS];
	unsigned row = t->rows;
	ct_u64 id = t->done + row + 1;

	f->location = location;
	if (!f->first_step)
		f->first_step = id;
	th->last_step = id;
	t->col[CT_STEP_LOCATION][row] = location;
	t->col[CT_STEP_CALL][row] = f->id;
	t->col[CT_STEP_THREAD][row] = thread;
	t->col[CT_STEP_EVENT][row] = th->seq;
	t->col[CT_STEP_TIME][row] = th->ns;
	t->rows = row + 1;
	if (row + 1 == SD_CHUNK_ROWS && sd_flush_table(w, CT_STEPS) < 0)
		return 0;
	return id;
}

ct_u64 ct_stepdb_steps(struct ct_stepdb_writer *w, ct_u32 thread, const ct_u32 *lines, size_t n)
{
	struct sd_thread *th = find_thread(w, thread);
	ct_u64 first = 0;
	struct sd_frame *f;

	if (!th || !th->depth || !n)
		return 0;
	f = th->stack[th->depth - 1];
	th->raising = false;
	w->cat.t[CT_STATS].row[f->function - 1].v[CT_STAT_STEPS] += n;
	w->cat.t[CT_STATS].dirty[f->function - 1] = 1;
	for (size_t i = 0; i < n; i++) {
		const struct sd_lines *l = f->function <= w->nlines ? &w->lines[f->function - 1] : NULL;
		ct_u32 at = l ? lines[i] - l->base : 0, location = l && at < l->n ? l->location[at] : 0;
		ct_u64 id;

		if (!location) {
			location = find_location(w, f->function, lines[i]);
			if (!location)
				return 0;
		}
		id = put_step(w, th, thread, f, location);
		if (!id)
			return 0;
		first = first ? first : id;
	}
	return first;
}

ct_u64 ct_stepdb_step(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 line)
{
	return ct_stepdb_steps(w, thread, &line, 1);
}

int ct_stepdb_somewhere(struct ct_stepdb_writer *w, ct_u32 thread)
{
	struct sd_thread *th = find_thread(w, thread);
	struct sd_frame *f = th && th->depth ? th->stack[th->depth - 1] : NULL;

	if (!f)
		return -1;
	f->location = find_location(w, f->function, 0);
	return f->location ? 0 : -1;
}

/* ---- Values ---- */

int ct_stepdb_value(struct ct_stepdb_writer *w, ct_u32 thread, enum ct_value_kind kind, ct_u32 name, const void *node,
		    size_t len)
{
	struct sd_thread *th = find_thread(w, thread);

	return th && th->depth ? put_value(w, th, th->stack[th->depth - 1], kind, name, node, len) : -1;
}

ct_u32 ct_stepdb_span(struct ct_stepdb_writer *w, const struct ct_stepdb_span *span)
{
	ct_u64 v[CT_NAME_INTS] = {[CT_SPAN_PARENT] = span->parent,     [CT_SPAN_THREAD] = span->thread,
				  [CT_SPAN_FIRST] = span->first_step,  [CT_SPAN_LAST] = span->last_step,
				  [CT_SPAN_BEGIN_NS] = span->begin_ns, [CT_SPAN_END_NS] = span->end_ns};

	v[CT_SPAN_KIND] = ct_stepdb_string(w, span->kind, strlen(span->kind));
	return add_name(w, CT_SPANS, span->label, strlen(span->label), v);
}
