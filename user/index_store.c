// SPDX-License-Identifier: MIT
/* Steps into the step database: numbers of the builder's to the database's, values to nodes. */
#include "user/index_store_priv.h"

#include <stdlib.h>
#include <string.h>

#include "replay/steps/merge.h"

#define COMMIT_SECONDS 1 /* between commits; each ends chunks and waits for the disk */

static int on_file(void *ctx, ct_u32 id, const char *path, struct ct_error *err)
{
	struct ct_index_store *s = ctx;

	return ct_step_renumber(&s->file, id, ct_stepdb_file(s->w, path, strlen(path)), err);
}

static int on_language(void *ctx, const char *language, struct ct_error *err)
{
	struct ct_index_store *s = ctx;

	(void)err;
	s->language = language;
	return 0;
}

static int on_function(void *ctx, ct_u32 id, ct_u32 file, const char *name, ct_u32 line, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	const bool native = file == CT_STEP_NATIVE;
	ct_u32 f = ct_stepdb_function(s->w, name, strlen(name), native ? 0 : s->file[file], line,
				      native ? "c" : s->language);

	return ct_step_renumber(&s->function, id, f, err);
}

static int on_thread(void *ctx, ct_u32 tid, ct_u32 pid, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct index_thread *more = realloc(s->thread, (s->nthreads + 1) * sizeof(*more));
	ct_u32 id = ct_stepdb_thread_by_tid(s->w, tid);

	if (!more)
		return ct_fail_memory(err);
	s->thread = more;
	if (!id)
		id = ct_stepdb_thread(s->w, tid, pid, "", s->seq);
	more[s->nthreads++] = (struct index_thread){.tid = tid, .id = id};
	return 0;
}

static struct index_thread *get_thread(struct ct_index_store *s, ct_u32 tid)
{
	struct index_thread *t = NULL;

	for (size_t i = 0; i < s->nthreads && !t; i++)
		if (s->thread[i].tid == tid)
			t = &s->thread[i];
	if (t && t->seq != s->seq) {
		t->seq = s->seq;
		ct_stepdb_event(s->w, t->id, s->seq, s->ns);
	}
	return t;
}

static int commit(struct ct_index_store *s, ct_u64 seq, struct ct_error *err)
{
	void *position = NULL;
	size_t len = 0;
	int ret = 0;

	if (s->agents)
		ret = ct_index_position(s, seq, &position, &len, err);
	if (!ret)
		ret = ct_stepdb_commit(s->w, position, len, false, err);
	free(position);
	clock_gettime(CLOCK_MONOTONIC, &s->committed);
	return ret;
}

static int on_event(void *ctx, ct_u64 seq, ct_u64 time_ns, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct timespec now;

	s->seq = seq ? seq - 1 : 0;                /* what follows runs before it: the last one that was */
	s->ns = time_ns > s->ns ? time_ns : s->ns; /* the log's may step back */
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - s->committed.tv_sec + (now.tv_nsec - s->committed.tv_nsec) / 1e9 < COMMIT_SECONDS)
		return 0;
	return commit(s, seq, err);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

typedef ct_u32 interner(struct ct_stepdb_writer *w, const char *text, size_t len);

/* The same text often comes from the same place. */
static struct index_name *place_of(struct index_name *known, ct_u64 at)
{
	return &known[(at * 0x9e3779b97f4a7c15ull >> 32) % INDEX_NAMES];
}

static ct_u32 learn(struct ct_index_store *s, struct index_name *n, interner *add, ct_u64 at, const char *text,
		    size_t len)
{
	const ct_u32 id = add(s->w, text, len);

	if (!id || len >= sizeof(n->text))
		return id;
	n->at = at;
	n->id = id;
	n->len = (unsigned)len;
	memcpy(n->text, text, len);
	n->text[len] = 0;
	return id;
}

static ct_u32 intern(struct ct_index_store *s, struct index_name *known, interner *add, const char *text)
{
	struct index_name *n = place_of(known, (ct_u64)text);

	return n->id && n->at == (ct_u64)text && !strcmp(n->text, text)
		       ? n->id
		       : learn(s, n, add, (ct_u64)text, text, strlen(text));
}

static ct_u32 type_id(struct ct_index_store *s, const char *type)
{
	return intern(s, s->type, ct_stepdb_type, type);
}
static ct_u32 name_id(struct ct_index_store *s, const char *name)
{
	return intern(s, s->name, ct_stepdb_string, name);
}

/* By where it was in the program, if that is known. */
static ct_u32 field_id(struct ct_index_store *s, const struct ct_value *v)
{
	const ct_u64 at = v->address ? v->address : (ct_u64)v->text.data;
	struct index_name *n;

	if (v->tag != CT_VALUE_STRING)
		return name_id(s, "?");
	n = place_of(s->name, at);
	return n->id && n->at == at && n->len == v->text.len && !memcmp(n->text, v->text.data, n->len)
		       ? n->id
		       : learn(s, n, ct_stepdb_string, at, v->text.data, v->text.len);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static void put_value(struct ct_index_store *s, const struct ct_value *v);

static void put_children(struct ct_index_store *s, const struct ct_value *v, enum ct_node_tag tag,
			 const struct ct_node_info *info)
{
	ct_node_open(&s->node, tag, info);
	for (size_t i = 0; i < v->child.count; i++) {
		const struct ct_value *c = &v->child.list[i];

		if (tag == CT_NODE_OBJECT && i % 2 == 0)
			ct_node_field(&s->node, field_id(s, c));
		else
			put_value(s, c);
	}
	ct_node_close(&s->node);
}

static void put_value(struct ct_index_store *s, const struct ct_value *v)
{
	struct ct_node_info info = {.type = type_id(s, v->type),
				    .address = v->address,
				    .length = v->flags & CT_VALUE_TRUNCATED ? v->length : 0,
				    .truncated = v->flags & CT_VALUE_TRUNCATED};
	char text[80];
	int len;

	switch ((enum ct_value_tag)v->tag) {
	case CT_VALUE_NONE: ct_node_plain(&s->node, CT_NODE_NULL, NULL); return;
	case CT_VALUE_BOOL: ct_node_plain(&s->node, v->i ? CT_NODE_TRUE : CT_NODE_FALSE, NULL); return;
	case CT_VALUE_INT: info.address = 0, ct_node_int(&s->node, v->i, &info); return;
	case CT_VALUE_BIGINT: ct_node_text(&s->node, CT_NODE_NUMBER, v->text.data, v->text.len, &info); return;
	case CT_VALUE_FLOAT: info.address = 0, ct_node_float(&s->node, v->f[0], &info); return;
	case CT_VALUE_COMPLEX:
		len = snprintf(text, sizeof(text), "(%.17g%+.17gj)", v->f[0], v->f[1]);
		ct_node_text(&s->node, CT_NODE_NUMBER, text, (size_t)len, &info);
		return;
	case CT_VALUE_STRING: ct_node_text(&s->node, CT_NODE_STRING, v->text.data, v->text.len, &info); return;
	case CT_VALUE_BYTES: ct_node_text(&s->node, CT_NODE_BYTES, v->text.data, v->text.len, &info); return;
	case CT_VALUE_SEQUENCE: put_children(s, v, CT_NODE_LIST, &info); return;
	case CT_VALUE_TUPLE: put_children(s, v, CT_NODE_TUPLE, &info); return;
	case CT_VALUE_TABLE: put_children(s, v, CT_NODE_DICT, &info); return;
	case CT_VALUE_SET: put_children(s, v, CT_NODE_SET, &info); return;
	case CT_VALUE_STRUCT: put_children(s, v, CT_NODE_OBJECT, &info); return;
	case CT_VALUE_TEXT:
	case CT_VALUE_TYPE:
	case CT_VALUE_FUNCTION: ct_node_text(&s->node, CT_NODE_TEXT, v->text.data, v->text.len, &info); return;
	case CT_VALUE_RAW: ct_node_plain(&s->node, CT_NODE_REF, &info); return;
	}
}

/* The node of a value; length 0 without one. */
static size_t make_node(struct ct_index_store *s, const struct ct_value *v)
{
	ct_node_reset(&s->node);
	if (v)
		put_value(s, v);
	return s->node.failed ? 0 : s->node.len;
}

static int flush_values(struct ct_index_store *s, const struct index_thread *t, struct ct_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < s->npending && !ret; i++)
		if (s->pending[i].tid == t->tid)
			ret = ct_stepdb_value(s->w, t->id, CT_VALUE_LOCAL, s->pending[i].name,
					      s->held + s->pending[i].at, s->pending[i].len);
	s->npending = s->nheld = 0;
	return ret ? ct_stepdb_failed(s->w, err) : 0;
}

static int hold_value(struct ct_index_store *s, const struct index_thread *t, ct_u32 name, size_t len,
		      struct ct_error *err)
{
	if (s->npending == s->pending_room) {
		size_t room = s->pending_room ? s->pending_room * 2 : 64;
		void *more = realloc(s->pending, room * sizeof(*s->pending));

		if (!more)
			return ct_fail_memory(err);
		s->pending = more;
		s->pending_room = room;
	}
	if (s->nheld + len > s->held_room) {
		size_t room = (s->nheld + len) * 2;
		void *more = realloc(s->held, room);

		if (!more)
			return ct_fail_memory(err);
		s->held = more;
		s->held_room = room;
	}
	memcpy(s->held + s->nheld, s->node.data, len);
	s->pending[s->npending++] = (struct index_pending){t->tid, name, s->nheld, len};
	s->nheld += len;
	return 0;
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static int on_drop(void *ctx, ct_u64 run, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct index_run r;

	return ct_keyed_take(&s->sleeping, run, &r) && ct_stepdb_drop(s->w, r.call) ? ct_stepdb_failed(s->w, err) : 0;
}

static int on_call(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, ct_u64 run, enum ct_enter how,
		   struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct index_thread *t = get_thread(s, tid);
	struct index_run r = {.run = run};

	(void)line;
	if (!t)
		return 0;
	if (flush_values(s, t, err))
		return -1;
	if (t->depth == t->room) {
		struct index_run *more = realloc(t->stack, (t->room ? t->room * 2 : 64) * sizeof(*more));

		if (!more)
			return ct_fail_memory(err);
		t->stack = more;
		t->room = t->room ? t->room * 2 : 64;
	}
	if (how == CT_ENTER_RESUMED && ct_keyed_take(&s->sleeping, run, &r)) {
		if (ct_stepdb_reenter(s->w, t->id, r.call))
			return ct_stepdb_failed(s->w, err);
	} else {
		r.call = ct_stepdb_call(s->w, t->id, s->function[function], how == CT_ENTER_ATTACHED);
		/* Without agents nobody tells of lines. */
		if (!r.call || (!s->agents && ct_stepdb_somewhere(s->w, t->id)))
			return ct_stepdb_failed(s->w, err);
	}
	t->stack[t->depth++] = r;
	t->raised = 0;
	return 0;
}

static int store_value(struct ct_index_store *s, ct_u32 tid, enum ct_value_kind kind, const char *name,
		       const struct ct_value *v, struct ct_error *err)
{
	struct index_thread *t = get_thread(s, tid);
	size_t len;
	ct_u32 id;

	if (!t || !t->depth)
		return 0;
	len = make_node(s, v);
	if (!v)
		ct_node_plain(&s->node, CT_NODE_UNSET, NULL), len = s->node.len;
	if (!len) /* too large for a node */
		return 0;
	id = name_id(s, name);
	if (s->known) {
		int same = ct_index_unchanged(s, t->stack[t->depth - 1].call, id, s->node.data, len, err);

		if (same)
			return same < 0 ? -1 : 0;
	}
	if (kind == CT_VALUE_LOCAL)
		return hold_value(s, t, id, len, err);
	return ct_stepdb_value(s->w, t->id, kind, id, s->node.data, len) ? ct_stepdb_failed(s->w, err) : 0;
}

static int on_argument(void *ctx, ct_u32 tid, const char *name, const struct ct_value *v, struct ct_error *err)
{
	return store_value(ctx, tid, CT_VALUE_ARGUMENT, name, v, err);
}
static int on_value(void *ctx, ct_u32 tid, const char *name, const struct ct_value *v, struct ct_error *err)
{
	return store_value(ctx, tid, CT_VALUE_LOCAL, name, v, err);
}

struct gone {
	struct ct_index_store *s;
	const struct index_thread *t;
	struct ct_error *err;
};
static int on_gone(void *ctx, ct_u32 name)
{
	struct gone *g = ctx;

	ct_node_reset(&g->s->node);
	ct_node_plain(&g->s->node, CT_NODE_UNSET, NULL);
	return hold_value(g->s, g->t, name, g->s->node.len, g->err);
}

static int on_step(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct index_thread *t = get_thread(s, tid);

	(void)function;
	if (!t)
		return 0;
	t->raised = 0;
	if (s->known && t->depth) {
		struct gone g = {s, t, err};

		if (ct_index_settle(s, t->stack[t->depth - 1].call, on_gone, &g, err))
			return -1;
	}
	return ct_stepdb_step(s->w, t->id, line) ? flush_values(s, t, err) : ct_stepdb_failed(s->w, err);
}

static ct_u32 exception_type(struct ct_index_store *s, const struct index_thread *t, const struct ct_value *v)
{
	if (!v) /* that it has left a function shows later than that it was in it */
		return t->type ? t->type : type_id(s, "BaseException");
	if (v->tag == CT_VALUE_TYPE) /* not made an instance yet */
		return ct_stepdb_type(s->w, v->text.data, v->text.len);
	return type_id(s, v->type);
}

static int on_raise(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, const struct ct_value *v, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct index_thread *t = get_thread(s, tid);
	ct_u64 address = v ? v->address : 1;
	size_t len;

	(void)function;
	(void)line;
	if (!t || !t->depth || t->raised == address) /* it comes from the frame that it has just left */
		return 0;
	if (flush_values(s, t, err))
		return -1;
	t->raised = address;
	len = make_node(s, v);
	t->type = exception_type(s, t, v);
	return ct_stepdb_raise(s->w, t->id, t->type, s->node.data, len) ? ct_stepdb_failed(s->w, err) : 0;
}

static int on_leave(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, enum ct_leave how, const struct ct_value *v,
		    struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct index_thread *t = get_thread(s, tid);
	size_t len;
	int ret = 0;

	(void)function;
	(void)line;
	if (!t || !t->depth)
		return 0;
	len = make_node(s, v);
	/* What the last line has changed comes behind what it gives back: that tells it from what the line found. */
	if (how != CT_LEAVE_EXCEPTION && len)
		ret = ct_stepdb_value(s->w, t->id, how == CT_LEAVE_YIELD ? CT_VALUE_YIELD : CT_VALUE_RETURN, 0,
				      s->node.data, len);
	if (ret || flush_values(s, t, err))
		return ret ? ct_stepdb_failed(s->w, err) : -1;
	t->depth--;
	switch (how) {
	case CT_LEAVE_RETURN: ret = ct_stepdb_return(s->w, t->id, NULL, 0); break;
	case CT_LEAVE_YIELD:
		if (!ct_keyed_put(&s->sleeping, &t->stack[t->depth]))
			return ct_fail_memory(err);
		ret = ct_stepdb_suspend(s->w, t->id, NULL, 0);
		break;
	case CT_LEAVE_EXCEPTION:
		return ct_stepdb_unwind(s->w, t->id, exception_type(s, t, v), s->node.data, len)
			       ? ct_stepdb_failed(s->w, err)
			       : 0;
	}
	t->raised = 0;
	return ret ? ct_stepdb_failed(s->w, err) : 0;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static struct ct_index_store *make(struct ct_recording *rec, struct ct_step_sink *sink, ct_u8 uuid[16],
				   struct ct_error *err)
{
	struct ct_index_store *s = calloc(1, sizeof(*s));

	if (!s) {
		ct_fail_memory(err);
		return NULL;
	}
	s->sleeping.size = sizeof(struct index_run);
	clock_gettime(CLOCK_MONOTONIC, &s->committed);
	if (ct_uuid_parse(json_string_value(json_object_get(ct_recording_manifest(rec), "uuid")), uuid)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: its manifest has no UUID", ct_recording_path(rec));
		free(s);
		return NULL;
	}
	*sink = (struct ct_step_sink){.ctx = s,
				      .thread = on_thread,
				      .language = on_language,
				      .file = on_file,
				      .function = on_function,
				      .event = on_event,
				      .call = on_call,
				      .argument = on_argument,
				      .step = on_step,
				      .value = on_value,
				      .raise = on_raise,
				      .leave = on_leave,
				      .drop = on_drop};
	return s;
}

struct ct_index_store *ct_index_store_create(struct ct_recording *rec, const char *part, struct ct_step_sink *sink,
					     struct ct_error *err)
{
	ct_u8 uuid[16];
	struct ct_index_store *s = make(rec, sink, uuid, err);

	if (!s)
		return NULL;
	s->w = ct_stepdb_create(ct_recording_dirfd(rec), ct_recording_path(rec), uuid, err);
	if (s->w)
		ct_stepdb_trust(s->w);
	if (s->w && !ct_stepdb_set_part(s->w, part, err) && !ct_stepdb_commit(s->w, NULL, 0, false, err))
		return s;
	ct_index_store_destroy(s);
	return NULL;
}

struct ct_index_store *ct_index_store_resume(struct ct_recording *rec, struct ct_step_sink *sink, ct_u64 *seq,
					     const ct_u64 **state, size_t *words, struct ct_error *err)
{
	const int dirfd = ct_recording_dirfd(rec);
	const char *path = ct_recording_path(rec);
	ct_u8 uuid[16];
	struct ct_index_store *s = make(rec, sink, uuid, err);
	const void *position;
	size_t len;

	if (!s)
		return NULL;
	s->w = ct_stepdb_resume(dirfd, path, uuid, err);
	if (s->w && (s->before = ct_stepdb_open(dirfd, path, err))) {
		position = ct_stepdb_position(s->w, &len);
		ct_stepdb_trust(s->w);
		if (!ct_index_load(s, position, len, seq, state, words, err))
			return s;
	}
	ct_index_store_destroy(s);
	return NULL;
}

void ct_index_store_agents(struct ct_index_store *s, const struct ct_agents *agents)
{
	s->agents = agents;
}

int ct_index_store_interrupt(struct ct_index_store *s, ct_u64 seq, struct ct_error *err)
{
	return commit(s, seq, err);
}

int ct_index_store_finish(struct ct_index_store *s, bool complete, struct ct_error *err)
{
	return ct_stepdb_commit(s->w, NULL, 0, complete, err);
}

void ct_index_store_counts(const struct ct_index_store *s, struct ct_stepdb_counts *counts)
{
	ct_stepdb_counts(s->w, counts);
}

void ct_index_store_destroy(struct ct_index_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nthreads; i++)
		free(s->thread[i].stack);
	ct_keyed_free(&s->sleeping);
	free(s->pending);
	free(s->held);
	ct_stepdb_writer_close(s->w);
	ct_index_forget(s);
	ct_node_free(&s->node);
	free(s->thread);
	free(s->file);
	free(s->function);
	free(s);
}
