/* SPDX-License-Identifier: MIT
 * Native code: source files, lines that have code, what the program has written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "formats/event_access.h"
#include "replay/dap_native.h"
#include "replay/dap_path.h"

#define MOST_LINES 100000

json_t *native_source(struct dap_native *d, const char *file)
{
	char *path = dap_local_path(d->host->source_map, file);
	const char *name = path ? strrchr(path, '/') : NULL;
	struct stat st;
	json_t *o;

	if (!path)
		return NULL;
	name = name ? name + 1 : path;
	o = json_pack("{s:o, s:o}", "name", dap_text(name, strlen(name)), "path", dap_text(path, strlen(path)));
	if (o && stat(path, &st) < 0) {
		/* The editor would look for it in vain. */
		json_object_set_new(o, "presentationHint", json_string("deemphasize"));
		json_object_set_new(o, "origin", json_string("not on this machine; sourceMap says where sources are"));
	}
	free(path);
	return o;
}

static const char *nth(void *ctx, ct_u32 i)
{
	return ((struct dap_native *)ctx)->files[i];
}

int native_find_files(struct dap_native *d, const char *path, const char ***files, size_t *n, struct ct_error *err)
{
	const struct dap_files all = {(ct_u32)d->nfiles, nth, d, d->host->source_map};
	ct_u32 *ids;
	const int found = dap_match_files(&all, path, &ids, err);

	*n = 0;
	*files = NULL;
	if (found < 0)
		return -1;
	*files = calloc((size_t)found + 1, sizeof(**files));
	for (int i = 0; *files && i < found; i++)
		(*files)[(*n)++] = d->files[ids[i]];
	free(ids);
	return *files ? 0 : native_no_memory(err);
}

json_t *dap_native_sources(struct dap_debuggee *base, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	json_t *list = json_array();

	(void)err;
	for (size_t i = 0; i < d->nfiles; i++)
		json_array_append_new(list, native_source(d, d->files[i]));
	return list;
}

json_t *dap_native_content(struct dap_debuggee *base, ct_u64 reference, const char *path, struct ct_error *err)
{
	(void)base, (void)reference;
	ct_fail(err, CT_EXIT_FAILED,
		"%s is not on this machine, and sources of compiled programs are not recorded: \"sourceMap\" in the "
		"launch "
		"configuration says where they are",
		path ? path : "the file");
	return NULL;
}

/* ---- lines ---- */

bool native_is_one_of(void *ctx, const char *file)
{
	for (const char **f = ctx; *f; f++)
		if (*f == file)
			return true;
	return false;
}

struct lines {
	ct_u32 *line;
	size_t n;
};

static void add_line(void *ctx, ct_u32 line)
{
	struct lines *l = ctx;

	if (l->n < MOST_LINES)
		l->line[l->n++] = line;
}

static int compare_lines(const void *a, const void *b)
{
	const ct_u32 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

json_t *dap_native_lines(struct dap_debuggee *base, const char *path, ct_u32 from, ct_u32 to, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	struct lines l = {.line = malloc(MOST_LINES * sizeof(*l.line))};
	const char **files = NULL;
	json_t *list = NULL;
	size_t n;

	if (!l.line) {
		native_no_memory(err);
	} else if (!native_find_files(d, path, &files, &n, err)) {
		list = json_array();
		ct_dwarf_lines_with_code(d->dw, native_is_one_of, files, from, to, add_line, &l);
		if (l.n)
			qsort(l.line, l.n, sizeof(*l.line), compare_lines);
		for (size_t i = 0; i < l.n; i++)
			if (!i || l.line[i] != l.line[i - 1])
				json_array_append_new(list, json_pack("{s:I}", "line", (json_int_t)l.line[i]));
	}
	free(files);
	free(l.line);
	return list;
}

/* ---- what the program has written ---- */

void native_tell_output(struct dap_native *d)
{
	struct ct_cursor *cur;
	const struct ct_event *ev;
	struct ct_error ignored;
	struct ct_moment now;

	if (ct_timeline_now(d->tl, &now, &ignored) || now.next <= d->told)
		return;
	cur = ct_cursor_create(d->rec, NULL);
	if (cur && !ct_cursor_seek_seq(cur, d->told, NULL))
		while (ct_cursor_next(cur, &ev, NULL) > 0 && ev->seq < now.next) {
			const struct ct_ev_syscall *sc = ct_event_payload(ev);
			struct ct_buf_iter it = ct_buf_iter(ev);
			ct_s64 left = ev->type == CT_EV_SYSCALL ? sc->ret : 0;

			if (ev->type != CT_EV_SYSCALL || ev->pid != d->pid || left <= 0 || sc->args[0] < 1 ||
			    sc->args[0] > 2 || (sc->nr != SYS_write && sc->nr != SYS_writev))
				continue;
			while (ct_buf_next(&it) && left > 0) {
				const char *stream = sc->args[0] == 1 ? "stdout" : "stderr";

				if (it.buf->kind != CT_BUF_IN || (sc->nr == SYS_writev && it.buf->addr == sc->args[1]))
					continue;
				d->host->output(d->host->ctx, stream, (const char *)it.data,
						it.buf->len < left ? it.buf->len : (size_t)left, NULL);
				if (it.buf->len < it.buf->want)
					d->host->output(d->host->ctx, stream, "[...]", 5, NULL);
				left -= it.buf->want;
			}
		}
	ct_cursor_destroy(cur);
	d->told = now.next;
}
