/* SPDX-License-Identifier: MIT
 * Lines of source files: read once, when the first of them is asked for.
 *
 * A text that may be another than the one that ran is not shown. */
#include "source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../formats/event_access.h"

#define LARGEST (16u << 20)

struct source {
	bool tried, kept; /* kept: files/<hash> has its content */
	ct_u8 hash[16];
	char *text;
	size_t len;
	size_t *line; /* where each begins; line[nlines]: the end */
	size_t nlines;
};
struct ct_sources {
	struct ct_recording *rec;
	struct ct_stepdb *db;
	struct source *file; /* by id */
	ct_u32 n;
	bool looked; /* for kept copies */
};

struct ct_sources *ct_sources_create(struct ct_recording *rec, struct ct_stepdb *db)
{
	struct ct_sources *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct ct_sources){.rec = rec, .db = db, .n = ct_stepdb_names(db, CT_FILES)};
	s->file = calloc((size_t)s->n + 1, sizeof(*s->file));
	if (s->file)
		return s;
	free(s);
	return NULL;
}

void ct_sources_destroy(struct ct_sources *s)
{
	for (ct_u32 id = 0; s && id <= s->n; id++) {
		free(s->file[id].text);
		free(s->file[id].line);
	}
	if (s)
		free(s->file);
	free(s);
}

/* Is this the machine it was recorded on? */
static bool is_here(const struct ct_recording *rec)
{
	const char *host = json_string_value(json_object_get(ct_recording_manifest(rec), "host"));
	char name[256] = "";

	return host && gethostname(name, sizeof(name) - 1) == 0 && strcmp(name, host) == 0;
}

/* The file as it is now, unless it has been written to since the recording began. */
static int open_here(const struct ct_sources *s, const char *path)
{
	const json_t *clocks = json_object_get(ct_recording_manifest(s->rec), "clocks");
	json_int_t began = json_integer_value(json_object_get(clocks, "realtime_ns"));
	struct stat st;
	int fd;

	if (path[0] != '/' || !is_here(s->rec))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
			st.st_ctim.tv_sec * 1000000000ll + st.st_ctim.tv_nsec > began)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* FILE records say which content a path had. The last one counts: modules are read before they run. */
static void look_for_copies(struct ct_sources *s)
{
	struct ct_cursor *cur = ct_cursor_create(s->rec, NULL);
	const struct ct_event *ev;
	int got;

	s->looked = true;
	while (cur && (got = ct_cursor_next(cur, &ev, NULL)) != 0) {
		const struct ct_ev_file *file;
		const char *path;
		size_t len;

		if (got < 0 || ev->type != CT_EV_FILE)
			continue;
		file = ct_event_payload(ev);
		path = ct_event_text(ev, &len);
		for (ct_u32 id = 1; path && id <= s->n; id++) {
			const struct ct_name *name = ct_stepdb_name(s->db, CT_FILES, id);

			if (name->len != len || memcmp(name->text, path, len) != 0)
				continue;
			s->file[id].kept = true;
			memcpy(s->file[id].hash, file->hash, sizeof(file->hash));
		}
	}
	ct_cursor_destroy(cur);
}

/* Takes the whole file into memory; closes it. */
static void read_text(struct source *f, int fd)
{
	struct stat st;
	ssize_t n = 0;

	if (fstat(fd, &st) == 0 && st.st_size <= LARGEST && (f->text = malloc((size_t)st.st_size + 1)))
		while (f->len < (size_t)st.st_size && (n = read(fd, f->text + f->len, (size_t)st.st_size - f->len)) > 0)
			f->len += (size_t)n;
	close(fd);
}

static void find_lines(struct source *f)
{
	size_t n = 1;

	for (size_t i = 0; i < f->len; i++)
		n += f->text[i] == '\n';
	f->line = malloc((n + 1) * sizeof(*f->line));
	if (!f->line)
		return;
	f->line[0] = 0;
	for (size_t i = 0; i < f->len; i++)
		if (f->text[i] == '\n')
			f->line[++f->nlines] = i + 1;
	f->line[++f->nlines] = f->len + 1;
}

static void load(struct ct_sources *s, ct_u64 id)
{
	struct source *f = &s->file[id];
	int fd = open_here(s, ct_stepdb_name(s->db, CT_FILES, id)->text);

	f->tried = true;
	if (fd < 0 && !s->looked)
		look_for_copies(s);
	if (fd < 0 && f->kept)
		fd = ct_file_open(ct_recording_dirfd(s->rec), f->hash, true, NULL);
	if (fd < 0)
		return;
	read_text(f, fd);
	find_lines(f);
}

const char *ct_source_line(struct ct_sources *s, ct_u64 file, ct_u64 line, size_t *len)
{
	struct source *f = file && file <= s->n ? &s->file[file] : NULL;
	const char *text, *end;

	if (!f)
		return NULL;
	if (!f->tried)
		load(s, file);
	if (!line || line > f->nlines)
		return NULL;
	text = f->text + f->line[line - 1];
	end = f->text + f->line[line] - 1;
	while (text < end && (*text == ' ' || *text == '\t'))
		text++;
	while (end > text && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	*len = (size_t)(end - text);
	return text;
}
