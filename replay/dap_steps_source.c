/* SPDX-License-Identifier: MIT
 * Files of a step database: the client's paths and the recorded ones, lines that were run, content.
 *
 * Content comes from disk, where the client looks by itself, or as the program itself read it while it was recorded. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "formats/event_access.h"
#include "replay/dap_path.h"
#include "replay/dap_steps.h"

#define SOURCE_MAX (16u << 20)

/* ---- Paths ---- */

static const char *nth_path(void *ctx, ct_u32 i)
{
	return ct_stepdb_name(((struct dap_steps *)ctx)->db, CT_FILES, i + 1)->text;
}

int dap_find_files(struct dap_steps *d, const char *path, ct_u32 **ids, struct ct_error *err)
{
	const struct dap_files files = {ct_stepdb_names(d->db, CT_FILES), nth_path, d, d->host->source_map};
	int n = dap_match_files(&files, path, ids, err);

	for (int i = 0; i < n; i++)
		(*ids)[i]++; /* ids begin with 1 */
	return n;
}

/* ---- Sources ---- */

static void warn(struct dap_steps *d, ct_u64 file, const char *path, const char *what)
{
	char *text = NULL;

	if (d->warned[file]++ || asprintf(&text, "ctbpf: %s %s\n", path, what) < 0)
		return;
	d->host->output(d->host->ctx, "console", text, strlen(text), NULL);
	free(text);
}

json_t *dap_file_json(struct dap_steps *d, ct_u64 file)
{
	const struct ct_name *recorded = ct_stepdb_name(d->db, CT_FILES, file);
	char *path = recorded ? dap_local_path(d->host->source_map, recorded->text) : NULL;
	const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;
	struct stat st;
	json_t *o;

	if (!path)
		return NULL;
	o = json_pack("{s:o, s:o}", "name", dap_text(name, strlen(name)), "path", dap_text(path, strlen(path)));
	/* <string>, <frozen importlib._bootstrap>: no file at all. */
	if (o && path[0] == '<') {
		json_object_set_new(o, "presentationHint", json_string("deemphasize"));
	} else if (o && stat(path, &st) < 0) {
		json_object_set_new(o, "sourceReference", json_integer((json_int_t)file));
		json_object_set_new(o, "origin", json_string("as it was read when it was recorded"));
	} else if (o && d->begun && (ct_u64)st.st_mtim.tv_sec > d->begun) {
		warn(d, file, path,
		     "was changed after the recording began: what is shown is the content as the program read it then, "
		     "if it did");
		json_object_set_new(o, "sourceReference", json_integer((json_int_t)file));
		json_object_set_new(o, "origin", json_string("changed since it was recorded"));
	}
	free(path);
	return o;
}

json_t *dap_steps_sources(struct dap_debuggee *base, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	json_t *list = json_array();

	(void)err;
	for (ct_u32 id = 1; id <= ct_stepdb_names(d->db, CT_FILES); id++)
		json_array_append_new(list, dap_file_json(d, id));
	return list;
}

/* The path that a call opens; cut off in the log, its beginning has to do. */
static bool opens(const struct ct_event *ev, const char *path, ct_s32 *fd)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	struct ct_buf_iter it = ct_buf_iter(ev);
	size_t n = strlen(path);

	if (ev->type != CT_EV_SYSCALL || (sc->nr != SYS_openat && sc->nr != SYS_open) || sc->ret < 0)
		return false;
	while (ct_buf_next(&it)) {
		size_t len = it.buf->len;

		if (it.buf->kind != CT_BUF_IN)
			continue;
		len = strnlen((const char *)it.data, len);
		*fd = (ct_s32)sc->ret;
		return (len == n || (len < n && len == it.buf->len && len > 32)) && memcmp(it.data, path, len) == 0;
	}
	return false;
}

/* What the program read of the file at one go, from its beginning to its end. */
static char *read_by_program(struct dap_steps *d, const char *path, size_t *len, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(d->rec, err);
	const struct ct_event *ev;
	bool open = false, good = false;
	char *text = NULL;
	ct_u32 pid = 0;
	ct_s32 fd = -1;
	int got = cur ? 1 : -1;

	while (got > 0 && !good && (got = ct_cursor_next(cur, &ev, err)) > 0) {
		const struct ct_ev_syscall *sc = ct_event_payload(ev);
		struct ct_buf_iter it = ct_buf_iter(ev);

		if (opens(ev, path, &fd)) {
			open = true;
			pid = ev->pid;
			*len = 0;
		} else if (open && ev->type == CT_EV_SYSCALL && ev->pid == pid && (ct_s32)sc->args[0] == fd) {
			if (sc->nr == SYS_lseek && sc->ret >= 0 && (size_t)sc->ret < *len)
				*len = (size_t)sc->ret;
			if (sc->nr == SYS_close)
				open = false;
			if (sc->nr != SYS_read)
				continue;
			good = sc->ret == 0 && *len;
			while (sc->ret > 0 && open && ct_buf_next(&it)) {
				char *more = it.buf->kind == CT_BUF_OUT && it.buf->len == (ct_u64)sc->ret &&
							     *len + it.buf->len <= SOURCE_MAX
						     ? realloc(text, *len + it.buf->len)
						     : NULL;

				open = more != NULL;
				text = more ? more : text;
				if (more)
					memcpy(text + *len, it.data, it.buf->len);
				*len += open ? it.buf->len : 0;
			}
		}
	}
	ct_cursor_destroy(cur);
	if (good)
		return text;
	free(text);
	if (got >= 0)
		ct_fail(err, CT_EXIT_FAILED, "%s: the recorded program did not read this file while it was recorded",
			path);
	return NULL;
}

static char *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(SOURCE_MAX) : NULL;

	*len = text ? fread(text, 1, SOURCE_MAX, f) : 0;
	if (f)
		fclose(f);
	return text;
}

json_t *dap_steps_source(struct dap_debuggee *base, ct_u64 reference, const char *path, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	const struct ct_name *recorded = ct_stepdb_name(d->db, CT_FILES, reference);
	ct_u32 *ids = NULL;
	char *text, *here;
	json_t *o = NULL;
	size_t len = 0;

	if (!recorded && path && dap_find_files(d, path, &ids, err) > 0)
		recorded = ct_stepdb_name(d->db, CT_FILES, reference = ids[0]);
	free(ids);
	if (!recorded) {
		ct_fail(err, CT_EXIT_USAGE, "no file of this recording is meant");
		return NULL;
	}
	text = read_by_program(d, recorded->text, &len, err);
	/* Better another version than nothing, if it is said. */
	if (!text && (here = dap_local_path(d->host->source_map, recorded->text))) {
		text = read_file(here, &len);
		if (text)
			warn(d, reference, here, "is shown as it is on disk now, which may not be what was recorded");
		free(here);
	}
	if (text)
		o = json_pack("{s:o}", "content", dap_text(text, len));
	free(text);
	return o;
}

/* ---- Lines ---- */

static int compare_lines(const void *a, const void *b)
{
	const ct_u32 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

json_t *dap_steps_lines(struct dap_debuggee *base, const char *path, ct_u32 from, ct_u32 to, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	ct_u32 all = ct_stepdb_names(d->db, CT_LOCATIONS), *ids = NULL,
	       *lines = malloc(((size_t)all + 1) * sizeof(*lines));
	int n = lines ? dap_find_files(d, path, &ids, err) : dap_no_memory(err);
	json_t *list = n < 0 ? NULL : json_array();
	size_t count = 0;

	for (ct_u32 id = 1; n > 0 && id <= all; id++) {
		const ct_u64 *v = ct_stepdb_name(d->db, CT_LOCATIONS, id)->v;

		for (int i = 0; i < n; i++)
			if (v[CT_LOC_FILE] == ids[i] && v[CT_LOC_LINE] >= from && v[CT_LOC_LINE] <= to)
				lines[count++] = (ct_u32)v[CT_LOC_LINE];
	}
	if (count)
		qsort(lines, count, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < count; i++)
		if (!i || lines[i] != lines[i - 1])
			json_array_append_new(list, json_pack("{s:I}", "line", (json_int_t)lines[i]));
	free(lines);
	free(ids);
	return list;
}

/* The line's runs next to where it stands, and its first and last one. */
json_t *dap_steps_targets(struct dap_debuggee *base, const char *path, ct_u32 line, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	const struct {
		const char *label;
		ct_u64 from;
		bool backwards;
	} kinds[] = {{"next run", d->at.step, false},
		     {"run before", d->at.step, true},
		     {"first run", 0, false},
		     {"last run", d->steps + 1, true}};
	struct dap_break b = {.kind = DAP_LINE, .line = line, .path = (char *)path};
	json_t *list = json_array();
	int got = dap_steps_resolve(base, &b, err);

	for (size_t i = 0; got >= 0 && b.verified && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct dap_pos from = {.step = kinds[i].from}, hit;
		char label[80];

		got = dap_next_hit(d, &b, &from, NULL, kinds[i].backwards, &hit, err);
		if (got != 1)
			continue;
		snprintf(label, sizeof(label), "%s, at s:%llu", kinds[i].label, (unsigned long long)hit.step);
		json_array_append_new(list, json_pack("{s:I, s:s, s:I}", "id", (json_int_t)hit.step, "label", label,
						      "line", (json_int_t)line));
	}
	if (b.free_data)
		b.free_data(b.data);
	if (got >= 0)
		return list;
	json_decref(list);
	return NULL;
}
