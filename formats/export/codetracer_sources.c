/* SPDX-License-Identifier: MIT
 * The sources beside a CodeTracer trace: files/ and the path of each, as the viewer looks for them.
 *
 * Paths come from the recorded program and are not trusted: they stay below files/. Nothing outside of the recording is
 * read unless that was asked for. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../dirio.h"
#include "../event_access.h"
#include "../recording_private.h"
#include "codetracer.h"

#define SOURCE_MAX (16u << 20) /* bytes; nobody reads more */

/* The path from the root on, without what leads out of it; false if it is no path of a file. */
static bool absolute(const struct cdt_sources *s, const struct ct_name *file, char out[PATH_MAX])
{
	const char *dir = file->len && file->text[0] == '/' ? "" : s->workdir;
	int n = snprintf(out, PATH_MAX, "%s%s%s", dir, *dir ? "/" : "", file->text);

	/* "<string>" and the like are no files. */
	if (n <= 1 || n >= PATH_MAX || out[0] != '/' || file->text[0] == '<' || strlen(file->text) != file->len)
		return false;
	for (const char *p = out; *p;) {
		size_t len = strcspn(p, "/");

		if (len > NAME_MAX || (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len + (p[len] == '/');
	}
	return out[n - 1] != '/';
}

/* Which source a kept file is, by its path. */
static void take_file(struct cdt_sources *s, const struct ct_event *ev)
{
	const struct ct_ev_file *kept = ct_event_payload(ev);
	char path[PATH_MAX];
	size_t len;
	const char *text = ct_event_text(ev, &len);

	for (ct_u32 id = 1; text && id <= ct_stepdb_names(s->src->db, CT_FILES); id++) {
		if (!absolute(s, ct_stepdb_name(s->src->db, CT_FILES, id), path) || strlen(path) != len ||
		    memcmp(path, text, len) != 0)
			continue;
		s->file[id - 1].kept = true;
		memcpy(s->file[id - 1].hash, kept->hash, sizeof(kept->hash));
	}
}

int cdt_sources_open(struct cdt_sources *s, const struct ct_export_source *src, const struct ct_export_options *opts,
		     const char *workdir, struct ct_error *err)
{
	struct ct_cursor *cursor;
	const struct ct_event *ev;
	ct_u64 first_ns, last_ns;
	int got = 1;

	*s = (struct cdt_sources){.src = src, .opts = opts, .workdir = workdir};
	ex_times(src, &first_ns, &last_ns);
	s->start_ns = first_ns - src->rec->monotonic_ns + src->rec->realtime_ns;
	s->file = calloc((size_t)ct_stepdb_names(src->db, CT_FILES) + 1, sizeof(*s->file));
	if (!s->file)
		return ct_fail_memory(err);
	cursor = ct_cursor_create(src->rec, err);
	if (!cursor)
		return -1;
	while ((got = ct_cursor_next(cursor, &ev, err)) > 0)
		if (ev->type == CT_EV_FILE)
			take_file(s, ev);
	ct_cursor_destroy(cursor);
	return got;
}

void cdt_sources_close(struct cdt_sources *s, struct ct_export_result *result)
{
	for (ct_u32 i = 0; s->file && i < ct_stepdb_names(s->src->db, CT_FILES); i++) {
		result->sources += s->file[i].copied;
		result->no_source += s->file[i].used && !s->file[i].copied;
		result->newer += s->file[i].newer;
	}
	free(s->file);
	s->file = NULL;
}

/* An open descriptor of the text, or -1: there is none. */
static int open_source(struct cdt_sources *s, struct cdt_source *f, const char *path)
{
	struct ct_error ignored;
	struct stat st;
	int fd = f->kept ? ct_file_open(ct_recording_dirfd(s->src->rec), f->hash, true, &ignored) : -1;

	if (fd >= 0 || !s->opts->sources)
		return fd;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > SOURCE_MAX)) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		f->newer = (ct_u64)st.st_mtim.tv_sec * 1000000000 + (ct_u64)st.st_mtim.tv_nsec > s->start_ns;
	return fd;
}

/* Makes what is missing of "files" and the directories of `path` (from the root on); the last one's descriptor. */
static int make_directories(int dirfd, const char *path, char name[NAME_MAX + 1])
{
	int dir = dup(dirfd);

	strcpy(name, "files");
	for (const char *p = path + 1; dir >= 0;) {
		size_t len = strcspn(p, "/");
		int next = -1;

		if (len && (mkdirat(dir, name, 0700) == 0 || errno == EEXIST))
			next = ct_dir_openat(dir, name);
		if (len) {
			close(dir);
			dir = next;
			memcpy(name, p, len);
			name[len] = 0;
		}
		if (!p[len])
			return dir;
		p += len + 1;
	}
	return dir;
}

static int copy(int from, int to)
{
	char data[65536];
	ct_u64 at = 0;
	ssize_t n;

	while ((n = ct_pread_full(from, data, sizeof(data), at)) > 0 && at < SOURCE_MAX) {
		if (ct_pwrite_full(to, data, (size_t)n, at) < 0)
			return -1;
		at += (ct_u64)n;
	}
	return n < 0 ? -1 : 0;
}

int cdt_sources_copy(struct cdt_sources *s, const struct cdt *c, struct ct_error *err)
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	int ret = 0;

	for (ct_u32 id = 1; id <= ct_stepdb_names(s->src->db, CT_FILES) && ret == 0; id++) {
		struct cdt_source *f = &s->file[id - 1];
		int from, dir, to = -1;

		if (!c->ids[CT_FILES].id[id])
			continue;
		f->used = true;
		from = absolute(s, ct_stepdb_name(s->src->db, CT_FILES, id), path) ? open_source(s, f, path) : -1;
		if (from < 0)
			continue;
		dir = make_directories(c->dirfd, path, name);
		if (dir >= 0)
			to = ct_file_createat(dir, name);
		/* "/a/b" and "/a//b" are one file: it is there. */
		if (to < 0 ? errno != EEXIST : copy(from, to) < 0)
			ret = ct_fail_write(err, path);
		f->copied = ret == 0;
		if (to >= 0)
			close(to);
		if (dir >= 0)
			close(dir);
		close(from);
	}
	return ret;
}
