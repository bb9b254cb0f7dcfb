// SPDX-License-Identifier: MIT
/* Steps into the step database: numbers of the builder's to the database's, values to nodes. */
#include "user/index_store.h"

#include <stdlib.h>
#include <string.h>

#include "formats/stepdb_node.h"

#define COMMIT_ROWS (1u << 22) /* between commits: seconds of work */

struct run { /* of a function, that may be resumed: its call */
	ct_u64 run, call;
};

struct thread {
	ct_u32 tid, id;
	ct_u64 raised;  /* address of the exception told of last, on its way through frames */
	ct_u64 seq, ns; /* told of last */
	struct run *stack;
	size_t depth, room;
};

struct ct_index_store {
	struct ct_stepdb_writer *w;
	struct ct_node_builder node;
	/* Values at the beginning of a line, told before it: they belong to its step. */
	struct pending {
		ct_u32 tid, name;
		size_t at, len; /* in `held` */
	} * pending;
	size_t npending, pending_room;
	ct_u8 *held;
	size_t nheld, held_room;
	ct_u32 *file, *function;
	size_t nfile, nfunction;
	struct thread *thread;
	size_t nthreads;
	struct run *sleeping; /* hashed by run */
	size_t nsleeping, room;
	ct_u64 seq, ns, rows;
	const char *language;
};

static int no_memory(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

static int set_id(ct_u32 **list, size_t *count, ct_u32 at, ct_u32 id, struct ct_error *err)
{
	ct_u32 *more = realloc(*list, (at + 1) * sizeof(*more));

	if (!more)
		return no_memory(err);
	*list = more;
	more[at] = id;
	*count = at + 1;
	return 0;
}

static int on_file(void *ctx, ct_u32 id, const char *path, struct ct_error *err)
{
	struct ct_index_store *s = ctx;

	return set_id(&s->file, &s->nfile, id, ct_stepdb_file(s->w, path, strlen(path)), err);
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
	ct_u32 f = ct_stepdb_function(s->w, name, strlen(name), s->file[file], line, s->language);

	return set_id(&s->function, &s->nfunction, id, f, err);
}

static int on_thread(void *ctx, ct_u32 tid, ct_u32 pid, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct thread *more = realloc(s->thread, (s->nthreads + 1) * sizeof(*more));
	ct_u32 id = ct_stepdb_thread_by_tid(s->w, tid);

	if (!more)
		return no_memory(err);
	s->thread = more;
	if (!id)
		id = ct_stepdb_thread(s->w, tid, pid, "", s->seq);
	more[s->nthreads++] = (struct thread){.tid = tid, .id = id};
	return 0;
}

static struct thread *get_thread(struct ct_index_store *s, ct_u32 tid)
{
	struct thread *t = NULL;

	for (size_t i = 0; i < s->nthreads && !t; i++)
		if (s->thread[i].tid == tid)
			t = &s->thread[i];
	if (t && t->seq != s->seq) {
		t->seq = s->seq;
		ct_stepdb_event(s->w, t->id, s->seq, s->ns);
	}
	s->rows++;
	return t;
}

static int on_event(void *ctx, ct_u64 seq, ct_u64 time_ns, struct ct_error *err)
{
	struct ct_index_store *s = ctx;

	s->seq = seq ? seq - 1 : 0; /* what follows runs before it: the last one that was */
	s->ns = time_ns;
	if (s->rows < COMMIT_ROWS)
		return 0;
	s->rows = 0;
	return ct_stepdb_commit(s->w, "", 0, false, err);
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
			ct_node_field(&s->node, c->tag == CT_VALUE_STRING
							? ct_stepdb_string(s->w, c->text.data, c->text.len)
							: ct_stepdb_string(s->w, "?", 1));
		else
			put_value(s, c);
	}
	ct_node_close(&s->node);
}

static void put_value(struct ct_index_store *s, const struct ct_value *v)
{
	struct ct_node_info info = {.type = ct_stepdb_type(s->w, v->type, strlen(v->type)),
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

static int flush_values(struct ct_index_store *s, const struct thread *t, struct ct_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < s->npending && !ret; i++)
		if (s->pending[i].tid == t->tid)
			ret = ct_stepdb_value(s->w, t->id, CT_VALUE_LOCAL, s->pending[i].name,
					      s->held + s->pending[i].at, s->pending[i].len);
	s->npending = s->nheld = 0;
	return ret ? ct_stepdb_failed(s->w, err) : 0;
}

static int hold_value(struct ct_index_store *s, const struct thread *t, ct_u32 name, size_t len, struct ct_error *err)
{
	if (s->npending == s->pending_room) {
		size_t room = s->pending_room ? s->pending_room * 2 : 64;
		void *more = realloc(s->pending, room * sizeof(*s->pending));

		if (!more)
			return no_memory(err);
		s->pending = more;
		s->pending_room = room;
	}
	if (s->nheld + len > s->held_room) {
		size_t room = (s->nheld + len) * 2;
		void *more = realloc(s->held, room);

		if (!more)
			return no_memory(err);
		s->held = more;
		s->held_room = room;
	}
	memcpy(s->held + s->nheld, s->node.data, len);
	s->pending[s->npending++] = (struct pending){t->tid, name, s->nheld, len};
	s->nheld += len;
	return 0;
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static struct run *sleeper(struct ct_index_store *s, ct_u64 run)
{
	size_t i = run * 0x9e3779b97f4a7c15ull >> 32 & (s->room - 1);

	while (s->sleeping[i].run && s->sleeping[i].run != run)
		i = (i + 1) & (s->room - 1);
	return &s->sleeping[i];
}

static int put_to_sleep(struct ct_index_store *s, const struct run *r, struct ct_error *err)
{
	struct run *to;

	if (s->nsleeping * 2 >= s->room) {
		struct run *old = s->sleeping;
		size_t room = s->room;

		s->sleeping = calloc(room ? room * 2 : 1024, sizeof(*s->sleeping));
		if (!s->sleeping) {
			s->sleeping = old;
			return no_memory(err);
		}
		s->room = room ? room * 2 : 1024;
		for (size_t i = 0; i < room; i++)
			if (old[i].run)
				*sleeper(s, old[i].run) = old[i];
		free(old);
	}
	to = sleeper(s, r->run);
	s->nsleeping += !to->run;
	*to = *r;
	return 0;
}

static int on_call(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, ct_u64 run, enum ct_enter how,
		   struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct thread *t = get_thread(s, tid);
	struct run r = {.run = run};

	(void)line;
	if (!t)
		return 0;
	if (flush_values(s, t, err))
		return -1;
	if (t->depth == t->room) {
		struct run *more = realloc(t->stack, (t->room ? t->room * 2 : 64) * sizeof(*more));

		if (!more)
			return no_memory(err);
		t->stack = more;
		t->room = t->room ? t->room * 2 : 64;
	}
	if (how == CT_ENTER_RESUMED && s->room && sleeper(s, run)->run) {
		r = *sleeper(s, run);
		if (ct_stepdb_reenter(s->w, t->id, r.call))
			return ct_stepdb_failed(s->w, err);
	} else {
		r.call = ct_stepdb_call(s->w, t->id, s->function[function], how == CT_ENTER_ATTACHED);
		if (!r.call)
			return ct_stepdb_failed(s->w, err);
	}
	t->stack[t->depth++] = r;
	t->raised = 0;
	return 0;
}

static int store_value(struct ct_index_store *s, ct_u32 tid, enum ct_value_kind kind, const char *name,
		       const struct ct_value *v, struct ct_error *err)
{
	struct thread *t = get_thread(s, tid);
	size_t len;
	ct_u32 id;

	if (!t || !t->depth)
		return 0;
	len = make_node(s, v);
	if (!v)
		ct_node_plain(&s->node, CT_NODE_UNSET, NULL), len = s->node.len;
	if (!len) /* too large for a node */
		return 0;
	id = ct_stepdb_string(s->w, name, strlen(name));
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

static int on_step(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct thread *t = get_thread(s, tid);

	(void)function;
	if (!t)
		return 0;
	t->raised = 0;
	return ct_stepdb_step(s->w, t->id, line) ? flush_values(s, t, err) : ct_stepdb_failed(s->w, err);
}

static ct_u32 exception_type(struct ct_index_store *s, const struct ct_value *v)
{
	if (!v)
		return ct_stepdb_type(s->w, "BaseException", 13);
	if (v->tag == CT_VALUE_TYPE) /* not made an instance yet */
		return ct_stepdb_type(s->w, v->text.data, v->text.len);
	return ct_stepdb_type(s->w, v->type, strlen(v->type));
}

static int on_raise(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, const struct ct_value *v, struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct thread *t = get_thread(s, tid);
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
	return ct_stepdb_raise(s->w, t->id, exception_type(s, v), s->node.data, len) ? ct_stepdb_failed(s->w, err) : 0;
}

static int on_leave(void *ctx, ct_u32 tid, ct_u32 function, ct_u32 line, enum ct_leave how, const struct ct_value *v,
		    struct ct_error *err)
{
	struct ct_index_store *s = ctx;
	struct thread *t = get_thread(s, tid);
	size_t len;
	int ret = 0;

	(void)function;
	(void)line;
	if (!t || !t->depth)
		return 0;
	if (flush_values(s, t, err)) /* changed by the last line: they are its, for want of a next one */
		return -1;
	t->depth--;
	len = make_node(s, v);
	switch (how) {
	case CT_LEAVE_RETURN: ret = ct_stepdb_return(s->w, t->id, s->node.data, len); break;
	case CT_LEAVE_YIELD:
		if (put_to_sleep(s, &t->stack[t->depth], err))
			return -1;
		ret = ct_stepdb_suspend(s->w, t->id, s->node.data, len);
		break;
	case CT_LEAVE_EXCEPTION:
		return ct_stepdb_unwind(s->w, t->id, exception_type(s, v), s->node.data, len)
			       ? ct_stepdb_failed(s->w, err)
			       : 0;
	}
	t->raised = 0;
	return ret ? ct_stepdb_failed(s->w, err) : 0;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

struct ct_index_store *ct_index_store_create(struct ct_recording *rec, struct ct_step_sink *sink, struct ct_error *err)
{
	struct ct_index_store *s = calloc(1, sizeof(*s));
	ct_u8 uuid[16];

	if (!s) {
		no_memory(err);
		return NULL;
	}
	if (ct_uuid_parse(json_string_value(json_object_get(ct_recording_manifest(rec), "uuid")), uuid)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: its manifest has no UUID", ct_recording_path(rec));
		free(s);
		return NULL;
	}
	s->w = ct_stepdb_create(ct_recording_dirfd(rec), ct_recording_path(rec), uuid, err);
	if (!s->w) {
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
				      .leave = on_leave};
	return s;
}

int ct_index_store_finish(struct ct_index_store *s, bool complete, struct ct_error *err)
{
	return ct_stepdb_commit(s->w, "", 0, complete, err);
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
	free(s->sleeping);
	free(s->pending);
	free(s->held);
	ct_stepdb_writer_close(s->w);
	ct_node_free(&s->node);
	free(s->thread);
	free(s->file);
	free(s->function);
	free(s);
}
