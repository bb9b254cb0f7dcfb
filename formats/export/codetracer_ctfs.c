/* SPDX-License-Identifier: MIT
 * CodeTracer's container: steps, values, calls and events as streams of trace.ct.
 *
 * Calls are stored in the order they are entered but with how they ended and whom they called: until the end of the
 * thread they wait in a file without a name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../dirio.h"
#include "codetracer.h"
#include "container.h"

#define LINES_A_FILE 100000 /* global line = this * path + line */
#define META_VERSION 3
#define META_FLAGS   0x1f00 /* calls, steps, values, events, names */
enum { STEP_ABSOLUTE, STEP_DELTA, STEP_THREAD_START = 5 };
#define NO_VALUE 0xff /* in place of a result */

/* A call, while it waits. */
struct waiting {
	ct_u64 parent; /* its number plus 1; 0: none */
	ct_u64 first_step, last_step;
	ct_u64 first_child, last_child, sibling; /* numbers; 0 is the outermost, nobody's child */
	ct_u64 children;
	ct_u64 text, text_len; /* where arguments, result and exception are, encoded */
	ct_u32 function, depth;
};
struct open_call {
	ct_u64 number;
	struct sd_buf arguments;
};
struct ctfs {
	struct container cn;
	int fd;
	struct cn_table steps, values, calls, events;
	struct cn_names paths, functions, types, variables;
	struct sd_buf path_list; /* again, for the meta data */
	ct_u64 npaths;
	ct_u64 at; /* the global line of the latest step */
	ct_u64 nsteps;
	bool valued; /* the latest step has its values */
	int waiting_fd, text_fd;
	struct waiting *waiting; /* mapped */
	ct_u64 ncalls, cap, text_size;
	struct open_call *open;
	size_t depth, open_cap;
	struct sd_buf record, part;
};

static bool check(struct cdt *c)
{
	struct ctfs *t = c->writer;

	if (t->cn.failed)
		c->err = t->cn.err;
	return !t->cn.failed;
}

/* ---- Definitions ---- */

static bool put_name(struct cdt *c, struct cn_names *names, const char *text, size_t len)
{
	struct ctfs *t = c->writer;

	t->part.len = 0;
	if (!cdt_check(c, ex_utf8(&t->part, text, len)))
		return false;
	cn_name(names, t->part.data, t->part.len);
	return check(c);
}

static bool define_path(struct cdt *c, const char *text, size_t len)
{
	struct ctfs *t = c->writer;

	t->npaths++;
	return put_name(c, &t->paths, text, len) &&
	       cdt_check(c,
			 sd_put_uint(&t->path_list, t->part.len) && sd_put(&t->path_list, t->part.data, t->part.len));
}

static bool define_function(struct cdt *c, ct_u32 path, ct_u64 line, const char *text, size_t len)
{
	(void)path, (void)line;
	return put_name(c, &((struct ctfs *)c->writer)->functions, text, len);
}

static bool define_variable(struct cdt *c, const char *text, size_t len)
{
	return put_name(c, &((struct ctfs *)c->writer)->variables, text, len);
}

static bool define_type(struct cdt *c, enum cdt_type_kind kind, const char *text, size_t len)
{
	(void)kind;
	return put_name(c, &((struct ctfs *)c->writer)->types, text, len);
}

/* ---- Steps and values ---- */

static bool put_step_record(struct cdt *c, unsigned tag, ct_u64 v)
{
	struct ctfs *t = c->writer;

	/* Each record of steps has one of values. */
	if (t->nsteps && !t->valued)
		cn_record(&t->values, "", 0);
	t->valued = false;
	t->nsteps++;
	t->record.len = 0;
	if (!cdt_check(c, sd_put(&t->record, &(ct_u8){(ct_u8)tag}, 1) && sd_put_uint(&t->record, v)))
		return false;
	cn_record(&t->steps, t->record.data, t->record.len);
	return check(c);
}

static bool put_step(struct cdt *c, ct_u32 path, ct_u64 line)
{
	struct ctfs *t = c->writer;
	ct_u64 at = (ct_u64)LINES_A_FILE * path + (line < LINES_A_FILE ? line : LINES_A_FILE - 1), was = t->at;

	/* The first place of a chunk cannot depend on what is before it; the very first record is no place. */
	t->at = at;
	if (cn_at_start(&t->steps) || t->nsteps == 1)
		return put_step_record(c, STEP_ABSOLUTE, at);
	return put_step_record(c, STEP_DELTA, sd_zigzag(at - was));
}

static bool put_vars(struct cdt *c, struct sd_buf *out, const struct cdt_var *vars, size_t n, bool arguments)
{
	ct_u64 count = 0;
	bool ok;
	ct_u32 id;

	for (size_t i = 0; i < n; i++)
		count += !arguments || vars[i].argument;
	ok = sd_put_uint(out, count);
	for (size_t i = 0; i < n && ok; i++) {
		if (arguments && !vars[i].argument)
			continue;
		if (!cdt_variable(c, vars[i].name, &id))
			return false;
		ok = sd_put_uint(out, id) && sd_put_uint(out, vars[i].value.len) &&
		     sd_put(out, vars[i].value.data, vars[i].value.len);
	}
	return cdt_check(c, ok);
}

static bool put_values(struct cdt *c, const struct cdt_var *vars, size_t n)
{
	struct ctfs *t = c->writer;

	t->record.len = 0;
	if (n && (!cdt_check(c, sd_put(&t->record, "", 1)) || !put_vars(c, &t->record, vars, n, false)))
		return false;
	cn_record(&t->values, t->record.data, t->record.len);
	t->valued = true;
	return check(c);
}

static bool put_event(struct cdt *c, const struct cdt_event *ev)
{
	/* This version tells standard output, standard error and anything else apart, no more. */
	ct_u8 kind = ev->kind != CDT_WRITE ? 4 : ev->fd == 2 ? 12 : 0;
	struct ctfs *t = c->writer;
	char text[96];
	int n = snprintf(text, sizeof(text), "%s fd %lld event %llu", ev->call, (long long)ev->fd,
			 (unsigned long long)ev->seq);

	if (ev->kind == CDT_WRITE)
		n = snprintf(text, sizeof(text), ev->fd == 2 ? "stderr" : "stdout");
	t->record.len = 0;
	if (!cdt_check(c, sd_put(&t->record, &kind, 1) && sd_put_uint(&t->record, t->nsteps - 1) &&
				  sd_put_uint(&t->record, (ct_u64)n) && sd_put(&t->record, text, (size_t)n) &&
				  sd_put_uint(&t->record, ev->len) && sd_put(&t->record, ev->data, ev->len)))
		return false;
	cn_record(&t->events, t->record.data, t->record.len);
	return check(c);
}

/* ---- Calls ---- */

static bool fail_write(struct cdt *c)
{
	ct_fail_write(&c->err, "trace.ct");
	return false;
}

/* A file that goes away by itself. */
static int nameless(struct cdt *c, const char *name)
{
	int fd = ct_file_createat(c->dirfd, name);

	if (fd >= 0)
		unlinkat(c->dirfd, name, 0);
	return fd;
}

/* Room for one more; blocks are taken for good, or a full disk would end the program where it stores into them. */
static bool grow_waiting(struct cdt *c)
{
	struct ctfs *t = c->writer;
	ct_u64 cap = t->cap ? 2 * t->cap : 4096;
	void *map = MAP_FAILED;
	int error = posix_fallocate(t->waiting_fd, 0, (off_t)(cap * sizeof(*t->waiting)));

	errno = error;
	if (!error)
		map = t->waiting ? mremap(t->waiting, t->cap * sizeof(*t->waiting), cap * sizeof(*t->waiting),
					  MREMAP_MAYMOVE)
				 : mmap(NULL, cap * sizeof(*t->waiting), PROT_READ | PROT_WRITE, MAP_SHARED,
					t->waiting_fd, 0);
	if (map == MAP_FAILED)
		return fail_write(c);
	t->waiting = map;
	t->cap = cap;
	return true;
}

static bool put_call(struct cdt *c, ct_u32 function, const struct cdt_var *vars, size_t n)
{
	struct ctfs *t = c->writer;
	struct waiting *w, *parent;
	struct open_call *call;

	if (t->ncalls == t->cap && !grow_waiting(c))
		return false;
	if (t->depth == t->open_cap) {
		size_t cap = t->open_cap ? 2 * t->open_cap : 64;
		struct open_call *open = realloc(t->open, cap * sizeof(*open));

		if (!cdt_check(c, open != NULL))
			return false;
		memset(open + t->open_cap, 0, (cap - t->open_cap) * sizeof(*open));
		t->open = open;
		t->open_cap = cap;
	}
	w = &t->waiting[t->ncalls];
	*w = (struct waiting){.function = function, .first_step = t->nsteps - 1, .depth = (ct_u32)t->depth};
	if (t->depth) {
		w->parent = t->open[t->depth - 1].number + 1;
		parent = &t->waiting[w->parent - 1];
		if (parent->children++)
			t->waiting[parent->last_child].sibling = t->ncalls;
		else
			parent->first_child = t->ncalls;
		parent->last_child = t->ncalls;
	}
	call = &t->open[t->depth++];
	call->number = t->ncalls++;
	call->arguments.len = 0;
	return put_vars(c, &call->arguments, vars, n, true);
}

static bool put_leave(struct cdt *c, enum ex_leave how, const struct sd_buf *value, const struct sd_buf *text)
{
	struct ctfs *t = c->writer;
	struct open_call *call = &t->open[--t->depth];
	struct waiting *w = &t->waiting[call->number];
	const ct_u8 none = NO_VALUE;
	bool has_value = value && value->len && how != EX_RAISED && how != EX_OPEN;

	w->last_step = t->nsteps - 1;
	t->part.len = 0;
	if (!cdt_check(c,
		       sd_put(&t->part, call->arguments.data, call->arguments.len) &&
			       sd_put_uint(&t->part, has_value ? value->len : 1) &&
			       (has_value ? sd_put(&t->part, value->data, value->len) : sd_put(&t->part, &none, 1)) &&
			       sd_put_uint(&t->part, text ? text->len : 0) &&
			       sd_put(&t->part, text ? text->data : NULL, text ? text->len : 0)))
		return false;
	w->text = t->text_size;
	w->text_len = t->part.len;
	if (ct_pwrite_full(t->text_fd, t->part.data, t->part.len, t->text_size) < 0)
		return fail_write(c);
	t->text_size += t->part.len;
	return true;
}

/* All calls have ended: now they can be told. */
static bool put_calls(struct cdt *c)
{
	struct ctfs *t = c->writer;

	for (ct_u64 i = 0; i < t->ncalls; i++) {
		const struct waiting *w = &t->waiting[i];
		ct_u64 child = w->first_child;
		bool ok;

		t->record.len = 0;
		ok = sd_put_uint(&t->record, w->function) && sd_put_uint(&t->record, sd_zigzag(w->parent - 1)) &&
		     sd_put_uint(&t->record, w->first_step) && sd_put_uint(&t->record, w->last_step) &&
		     sd_put_uint(&t->record, w->depth) && sd_reserve(&t->record, w->text_len);
		if (!cdt_check(c, ok))
			return false;
		if (ct_pread_full(t->text_fd, t->record.data + t->record.len, w->text_len, w->text) !=
		    (ssize_t)w->text_len)
			return fail_write(c);
		t->record.len += w->text_len;
		ok = sd_put_uint(&t->record, w->children);
		for (ct_u64 k = 0; k < w->children && ok; k++, child = t->waiting[child].sibling)
			ok = sd_put_uint(&t->record, child);
		if (!cdt_check(c, ok))
			return false;
		cn_record(&t->calls, t->record.data, t->record.len);
	}
	return check(c);
}

static const struct cdt_ops ops = {.cbor = true,
				   .path = define_path,
				   .function = define_function,
				   .variable = define_variable,
				   .type = define_type,
				   .step = put_step,
				   .call = put_call,
				   .values = put_values,
				   .leave = put_leave,
				   .event = put_event};

/* ---- Beginning and end ---- */

/* The first record is the thread's start, in a call of everything. */
static bool put_start(struct cdt *c)
{
	const struct ct_name *thread = ct_stepdb_name(c->src->db, CT_THREADS, c->thread);

	return cdt_toplevel(c) && put_step_record(c, STEP_THREAD_START, thread->v[CT_TH_TID]) &&
	       put_call(c, 0, NULL, 0);
}

int cdt_ctfs_begin(struct cdt *c, struct ct_error *err)
{
	struct ctfs *t = calloc(1, sizeof(*t));

	if (!t)
		return ct_fail_memory(err);
	c->writer = t;
	c->ops = &ops;
	t->fd = ct_file_createat(c->dirfd, "trace.ct");
	t->waiting_fd = nameless(c, "calls.tmp");
	t->text_fd = nameless(c, "text.tmp");
	if (!cn_open(&t->cn, t->fd))
		return ct_fail_memory(err);
	if (t->fd < 0 || t->waiting_fd < 0 || t->text_fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "trace.ct: cannot make it");
	cn_names_open(&t->paths, &t->cn, "paths");
	cn_names_open(&t->functions, &t->cn, "funcs");
	cn_names_open(&t->types, &t->cn, "types");
	cn_names_open(&t->variables, &t->cn, "varnames");
	if (!cn_table_open(&t->steps, &t->cn, "steps", 4096, false) ||
	    !cn_table_open(&t->values, &t->cn, "values", 256, true) ||
	    !cn_table_open(&t->calls, &t->cn, "calls", 256, true) ||
	    !cn_table_open(&t->events, &t->cn, "events", 64, true))
		return ct_fail_memory(err);
	if (put_start(c))
		return 0;
	*err = c->err;
	return -1;
}

static bool put_text(struct sd_buf *b, const char *text)
{
	struct sd_buf clean = {0};
	bool ok = ex_utf8(&clean, text, strlen(text)) && sd_put_uint(b, clean.len) && sd_put(b, clean.data, clean.len);

	free(clean.data);
	return ok;
}

static bool put_meta(struct cdt *c, const struct cdt_program *p)
{
	const ct_u16 head[] = {META_VERSION, META_FLAGS};
	size_t nargs = json_array_size(p->args);
	struct ctfs *t = c->writer;
	bool ok;

	t->record.len = 0;
	ok = sd_put(&t->record, "CTMD", 4) && sd_put(&t->record, head, sizeof(head)) && put_text(&t->record, p->id) &&
	     put_text(&t->record, p->program) && sd_put_uint(&t->record, nargs ? nargs - 1 : 0);
	for (size_t i = 1; i < nargs && ok; i++) {
		const char *text = json_string_value(json_array_get(p->args, i));

		ok = put_text(&t->record, text ? text : "");
	}
	ok = ok && put_text(&t->record, p->workdir) && put_text(&t->record, "ctbpf") &&
	     sd_put_uint(&t->record, t->npaths) && sd_put(&t->record, t->path_list.data, t->path_list.len);
	if (!cdt_check(c, ok))
		return false;
	cn_put(&t->cn, cn_stream(&t->cn, "meta.dat"), t->record.data, t->record.len);
	return check(c);
}

static bool finish(struct cdt *c, const struct cdt_program *p)
{
	struct ctfs *t = c->writer;

	while (t->depth)
		if (!put_leave(c, EX_OPEN, NULL, NULL))
			return false;
	if (!t->valued)
		cn_record(&t->values, "", 0);
	return put_calls(c) && put_meta(c, p);
}

int cdt_ctfs_end(struct cdt *c, const struct cdt_program *p, bool good, struct ct_error *err)
{
	struct ctfs *t = c->writer;
	const int fds[] = {t ? t->fd : -1, t ? t->waiting_fd : -1, t ? t->text_fd : -1};

	if (!t)
		return -1;
	if (good && !finish(c, p)) {
		*err = c->err;
		good = false;
	}
	cn_table_close(&t->steps);
	cn_table_close(&t->values);
	cn_table_close(&t->calls);
	cn_table_close(&t->events);
	if (cn_finish(&t->cn, c->opts->version, good, err) < 0)
		good = false;
	if (t->waiting)
		munmap(t->waiting, t->cap * sizeof(*t->waiting));
	for (unsigned i = 0; i < 3; i++)
		if (fds[i] >= 0 && close(fds[i]) < 0 && good) {
			ct_fail_write(err, "trace.ct");
			good = false;
		}
	for (size_t i = 0; i < t->open_cap; i++)
		free(t->open[i].arguments.data);
	free(t->open);
	free(t->path_list.data);
	free(t->record.data);
	free(t->part.data);
	free(t);
	c->writer = NULL;
	return good ? 0 : -1;
}
