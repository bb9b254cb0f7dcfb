/* SPDX-License-Identifier: MIT
 * For tests of the step database: a random program written to it and, beside it, to plain arrays.
 *
 * The arrays are the naive model: whatever the database answers, they answer by looking at every row. */
#ifndef STEPDB_HELPERS_H
#define STEPDB_HELPERS_H

#include "formats/stepdb_private.h"
#include "tests/unit/recording_helpers.h"

/* A new step database in the recording open at fd. */
static inline struct ct_stepdb_writer *create_steps(int fd)
{
	struct ct_error err = {0};
	struct ct_stepdb_writer *w = ct_stepdb_create(fd, "rec.ctr", test_uuid, &err);

	must(w != NULL, err.msg);
	return w;
}

struct model_call {
	ct_u64 parent, from_step, enter_event, enter_ns, first_step, last_step, exit_event, duration;
	ct_u32 thread, function, depth, exception;
	unsigned state;
};
struct model_step {
	ct_u32 function, file, line, thread;
	ct_u64 call, event, ns;
};
struct model_value {
	ct_u32 function, name, kind;
	ct_u64 call, step;
	ct_s64 number; /* what the node says */
};
#define MODEL_THREADS   3
#define MODEL_FUNCTIONS 12
#define MODEL_NAMES     5
#define MODEL_DEPTH     40
struct model {
	struct model_call *call; /* [id] */
	struct model_step *step;
	struct model_value *value;
	size_t ncalls, nsteps, nvalues, cap;
	ct_u64 stack[MODEL_THREADS][MODEL_DEPTH];
	unsigned depth[MODEL_THREADS];
	ct_u64 last_step[MODEL_THREADS], event[MODEL_THREADS], ns[MODEL_THREADS];
	ct_u64 suspended[16];
	unsigned nsuspended;
	bool stay; /* what is suspended goes on in the thread that it was called in */
	ct_u64 seed, seq, now;
	struct ct_stepdb_writer *w;
};

static inline ct_u64 model_random(struct model *m, ct_u64 n)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed % n;
}

/* The same names in every database: ids are what the order here makes them. */
static inline void model_declare(struct ct_stepdb_writer *w)
{
	char name[32];

	for (unsigned i = 0; i < 4; i++)
		must(ct_stepdb_file(w, name, (size_t)snprintf(name, sizeof(name), "/src/m%u.py", i)) == i + 1, "file");
	for (unsigned i = 0; i < MODEL_FUNCTIONS; i++)
		must(ct_stepdb_function(w, name, (size_t)snprintf(name, sizeof(name), "C.f%u", i), i % 4 + 1, i * 20,
					"python") == i + 1,
		     "function");
	/* String 1 is the language. */
	for (unsigned i = 0; i < MODEL_NAMES; i++)
		must(ct_stepdb_string(w, name, (size_t)snprintf(name, sizeof(name), "v%u", i)) == i + 2, "string");
	must(ct_stepdb_type(w, "int", 3) == 1 && ct_stepdb_type(w, "Error", 5) == 2, "type");
}

static inline void model_start(struct model *m, struct ct_stepdb_writer *w, ct_u64 seed)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed * 2654435761 + 88172645463325252ull;
	m->w = w;
	m->now = 1000;
	model_declare(w);
	for (unsigned i = 0; i < MODEL_THREADS; i++)
		must(ct_stepdb_thread(w, 100 + i, 100, "worker", 1) == i + 1, "thread");
}

static inline void model_grow(struct model *m)
{
	if (m->nsteps + m->ncalls + m->nvalues + 8 < m->cap)
		return;
	m->cap = m->cap ? 2 * m->cap : 1024;
	m->call = realloc(m->call, m->cap * sizeof(*m->call));
	m->step = realloc(m->step, m->cap * sizeof(*m->step));
	m->value = realloc(m->value, m->cap * sizeof(*m->value));
	must(m->call && m->step && m->value, "realloc");
}

static inline void model_value(struct model *m, unsigned t, ct_u64 call, enum ct_value_kind kind, ct_u32 name)
{
	ct_u8 bytes[64];
	struct ct_node_builder b = {.data = bytes, .cap = sizeof(bytes), .fixed = true};
	ct_s64 number = (ct_s64)model_random(m, 2000) - 1000;
	const struct model_call *c = &m->call[call];

	ct_node_int(&b, number, &(struct ct_node_info){.type = 1});
	m->value[++m->nvalues] = (struct model_value){
		c->function, name, kind, call, m->last_step[t] > c->from_step ? m->last_step[t] : c->from_step, number};
	if (kind == CT_VALUE_RETURN)
		must(ct_stepdb_return(m->w, t + 1, b.data, b.len) == 0, "return");
	else if (kind == CT_VALUE_EXCEPTION)
		must(ct_stepdb_unwind(m->w, t + 1, 2, b.data, b.len) == 0, "unwind");
	else
		must(ct_stepdb_value(m->w, t + 1, kind, name, b.data, b.len) == 0, "value");
}

static inline void model_end(struct model *m, unsigned t, ct_u64 call, unsigned state)
{
	struct model_call *c = &m->call[call];

	c->state = state;
	c->exception = state == CT_CALL_RAISED ? 2 : 0;
	c->last_step = m->last_step[t] > c->from_step ? m->last_step[t] : 0;
	c->exit_event = m->event[t];
	/* Entered in another thread, it may end at an earlier time than it began. */
	c->duration = m->ns[t] > c->enter_ns ? m->ns[t] - c->enter_ns : 0;
}

/* One thing happens in one thread. */
static inline void model_act(struct model *m)
{
	unsigned t = (unsigned)(m->seq / 5 % MODEL_THREADS), d = m->depth[t];
	ct_u64 what = model_random(m, 100), top = d ? m->stack[t][d - 1] : 0;

	model_grow(m);
	if (what < 4) {
		m->event[t] = ++m->seq;
		m->ns[t] = m->now += model_random(m, 5000);
		ct_stepdb_event(m->w, t + 1, m->event[t], m->ns[t]);
	} else if (!d || (what < 12 && d < MODEL_DEPTH)) {
		ct_u32 f = (ct_u32)model_random(m, MODEL_FUNCTIONS) + 1;
		ct_u64 id = ct_stepdb_call(m->w, t + 1, f, false);

		m->call[++m->ncalls] = (struct model_call){.parent = top,
							   .from_step = top ? m->last_step[t] : 0,
							   .enter_event = m->event[t],
							   .enter_ns = m->ns[t],
							   .thread = t + 1,
							   .function = f,
							   .depth = d + 1};
		must(id == m->ncalls, "call id");
		m->stack[t][m->depth[t]++] = id;
		model_value(m, t, id, CT_VALUE_ARGUMENT, 2);
	} else if (what < 17) {
		model_end(m, t, top, CT_CALL_RETURNED);
		model_value(m, t, top, CT_VALUE_RETURN, 0);
		m->depth[t]--;
	} else if (what < 18 && m->event[t]) {
		/* A step in between, so that every unwinding is an exception of its own. */
		ct_u32 f = m->call[top].function;
		ct_u64 id = ct_stepdb_step(m->w, t + 1, (f - 1) * 20);

		m->step[++m->nsteps] =
			(struct model_step){f, (f - 1) % 4 + 1, (f - 1) * 20, t + 1, top, m->event[t], m->ns[t]};
		must(id == m->nsteps, "step id");
		m->last_step[t] = id;
		m->call[top].first_step = m->call[top].first_step ? m->call[top].first_step : id;
		model_end(m, t, top, CT_CALL_RAISED);
		model_value(m, t, top, CT_VALUE_EXCEPTION, 0);
		m->depth[t]--;
	} else if (what < 19 && m->nsuspended < 16) {
		must(ct_stepdb_suspend(m->w, t + 1, NULL, 0) == 0, "suspend");
		m->suspended[m->nsuspended++] = top;
		m->depth[t]--;
	} else if (what < 20 && m->nsuspended && d < MODEL_DEPTH &&
		   !(m->stay && m->call[m->suspended[m->nsuspended - 1]].thread != t + 1)) {
		ct_u64 call = m->suspended[--m->nsuspended];

		must(ct_stepdb_reenter(m->w, t + 1, call) == 0, "reenter");
		m->value[++m->nvalues] = (struct model_value){
			m->call[call].function,
			0,
			CT_VALUE_RESUME,
			call,
			m->last_step[t] > m->call[call].from_step ? m->last_step[t] : m->call[call].from_step,
			(ct_s64)top};
		m->stack[t][m->depth[t]++] = call;
	} else if (what < 40) {
		model_value(m, t, top, CT_VALUE_LOCAL, (ct_u32)model_random(m, MODEL_NAMES) + 2);
	} else {
		ct_u32 f = m->call[top].function, line = (f - 1) * 20 + (ct_u32)model_random(m, 19);
		ct_u64 id = ct_stepdb_step(m->w, t + 1, line);

		m->step[++m->nsteps] = (struct model_step){f, (f - 1) % 4 + 1, line, t + 1, top, m->event[t], m->ns[t]};
		must(id == m->nsteps, "step id");
		m->last_step[t] = id;
		m->call[top].first_step = m->call[top].first_step ? m->call[top].first_step : id;
	}
}

static inline void model_free(struct model *m)
{
	free(m->call);
	free(m->step);
	free(m->value);
}

/* ---- Comparing; each returns NULL, or "WRONG: ..." for what differs, or the message of an error ---- */

static inline const char *the_error(const struct ct_error *err)
{
	static char text[sizeof(err->msg)];

	memcpy(text, err->msg, sizeof(text));
	return text;
}

static inline const char *differ_steps(struct ct_stepdb *db, const struct model *m, ct_u64 from, ct_u64 n)
{
	struct ct_error err = {0};

	for (ct_u64 id = from; id < from + n && id <= m->nsteps; id++) {
		const struct model_step *s = &m->step[id];
		const struct ct_name *loc;
		ct_u64 row[CT_STEP_NCOLS];

		if (!ct_stepdb_step_row(db, id, row, &err))
			return the_error(&err);
		loc = ct_stepdb_name(db, CT_LOCATIONS, row[CT_STEP_LOCATION]);
		if (!loc || loc->v[CT_LOC_FUNCTION] != s->function || loc->v[CT_LOC_FILE] != s->file ||
		    loc->v[CT_LOC_LINE] != s->line)
			return "WRONG: a step's location";
		if (row[CT_STEP_CALL] != s->call || row[CT_STEP_THREAD] != s->thread ||
		    row[CT_STEP_EVENT] != s->event || row[CT_STEP_TIME] != s->ns)
			return "WRONG: a step";
	}
	return NULL;
}

static inline const char *differ_calls(struct ct_stepdb *db, const struct model *m, ct_u64 from, ct_u64 n)
{
	struct ct_error err = {0};

	for (ct_u64 id = from; id < from + n && id <= m->ncalls; id++) {
		const struct model_call *c = &m->call[id];
		ct_u64 row[CT_CALL_NCOLS];

		if (!ct_stepdb_call_row(db, id, row, &err))
			return the_error(&err);
		if (row[CT_CALL_PARENT] != c->parent || row[CT_CALL_THREAD] != c->thread ||
		    row[CT_CALL_FUNCTION] != c->function || row[CT_CALL_FROM_STEP] != c->from_step ||
		    row[CT_CALL_DEPTH] != c->depth || row[CT_CALL_ENTER_EVENT] != c->enter_event ||
		    row[CT_CALL_ENTER_TIME] != c->enter_ns)
			return "WRONG: how a call began";
		if (row[CT_CALL_STATE] != c->state || row[CT_CALL_EXCEPTION] != c->exception)
			return "WRONG: how a call ended";
		if (c->state && (row[CT_CALL_FIRST_STEP] != c->first_step || row[CT_CALL_LAST_STEP] != c->last_step ||
				 row[CT_CALL_EXIT_EVENT] != c->exit_event || row[CT_CALL_DURATION] != c->duration))
			return "WRONG: when a call ended";
	}
	return NULL;
}

static inline const char *differ_values(struct ct_stepdb *db, const struct model *m)
{
	struct ct_scan_spec spec = {.table = CT_VALUES};
	struct ct_error err = {0};
	struct ct_scan *scan = ct_scan_open(db, &spec, &err);
	const char *ret = NULL;
	ct_u64 id, n = 0;

	int got = scan ? 0 : -1;

	while (!ret && scan && (got = ct_scan_next(scan, &id, &err)) == 1) {
		const struct model_value *v = &m->value[id];
		const struct ct_name *var;
		ct_u64 variable, step, call;
		struct ct_node node;
		const ct_u8 *p;
		size_t len;

		if (++n != id || id > m->nvalues) {
			ret = "WRONG: rows of values";
			break;
		}
		if (ct_scan_get(scan, CT_VALUE_VARIABLE, &variable, &err) < 0 ||
		    ct_scan_get(scan, CT_VALUE_STEP, &step, &err) < 0 ||
		    ct_scan_get(scan, CT_VALUE_CALL, &call, &err) < 0 || ct_scan_node(scan, &p, &len, &err) < 0)
			return the_error(&err);
		var = ct_stepdb_name(db, CT_VARIABLES, variable);
		if (!var || var->v[CT_VAR_FUNCTION] != v->function || var->v[CT_VAR_NAME] != v->name ||
		    var->v[CT_VAR_KIND] != v->kind || call != v->call || step != v->step)
			ret = "WRONG: a value's row";
		else if (!ct_node_next(&p, p + len, &node) || node.tag != CT_NODE_INT || node.integer != v->number)
			ret = "WRONG: a value";
	}
	ct_scan_close(scan);
	if (got < 0)
		return the_error(&err);
	return ret ? ret : n == m->nvalues ? NULL : "WRONG: how many values there are";
}

/* All of it. */
static inline const char *differ(struct ct_stepdb *db, const struct model *m)
{
	struct ct_stepdb_info info;
	const char *ret;

	ct_stepdb_info(db, &info);
	if (info.steps != m->nsteps || info.calls != m->ncalls || info.values != m->nvalues)
		return "WRONG: how many rows there are";
	ret = differ_steps(db, m, 1, m->nsteps);
	ret = ret ? ret : differ_calls(db, m, 1, m->ncalls);
	return ret ? ret : differ_values(db, m);
}

#endif
