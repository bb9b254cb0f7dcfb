/* SPDX-License-Identifier: MIT
 * The life of a step database's writer: creating, going on after an interruption, committing.
 *
 * A commit writes the files first, then one SQLite transaction: whatever dies in between has not happened. */
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "dirio.h"
#include "stepdb_writer.h"

int sd_fail(struct ct_stepdb_writer *w, const struct ct_error *err)
{
	if (!w->failed)
		w->err = *err;
	w->failed = true;
	return -1;
}

int sd_no_memory(struct ct_stepdb_writer *w)
{
	struct ct_error err;

	ct_fail(&err, CT_EXIT_FAILED, "steps: out of memory");
	return sd_fail(w, &err);
}

int ct_stepdb_failed(const struct ct_stepdb_writer *w, struct ct_error *err)
{
	if (w->failed && err)
		*err = w->err;
	return w->failed ? -1 : 0;
}

void ct_stepdb_trust(struct ct_stepdb_writer *w)
{
	w->trusts = true;
}

/* ---- Tables ---- */

int sd_close_group(struct ct_stepdb_writer *w, enum ct_rows table)
{
	struct ct_error err = {0};
	struct sd_group g;
	int n = sd_group_flush(&w->t[table], &w->enc, &g, &err);

	if (n < 0)
		return sd_fail(w, &err);
	if (n > 0) {
		ct_u64 v[CT_NAME_INTS] = {[SD_GRP_TABLE] = table,           [SD_GRP_FIRST_CHUNK] = g.first_chunk,
					  [SD_GRP_CHUNKS] = g.chunks,       [SD_GRP_FIRST_ROW] = g.first_row,
					  [SD_GRP_ROWS] = g.rows,           [SD_GRP_OFFSET] = g.offset,
					  [SD_GRP_DIRECTORY] = g.directory, [SD_GRP_END] = g.end};

		if (!sd_names_add(&w->cat, SD_CAT_GROUPS, NULL, 0, v))
			return sd_no_memory(w);
	}
	return 0;
}

int sd_flush_table(struct ct_stepdb_writer *w, enum ct_rows table)
{
	struct sd_wtable *t = &w->t[table];
	struct ct_error err = {0};
	bool full;

	if (sd_chunk_flush(t, &w->enc, sd_total(w, CT_CALLS), &err) < 0)
		return sd_fail(w, &err);
	full = t->group.chunks >= SD_GROUP_CHUNKS;
	for (unsigned k = 0; k < t->t->nposts; k++)
		full = full || t->group.post[k].n >= SD_GROUP_ENTRIES;
	return full ? sd_close_group(w, table) : 0;
}

static int compare_exits(const void *a, const void *b)
{
	const ct_u64 *x = a, *y = b;

	return (x[SD_EXIT_CALL] > y[SD_EXIT_CALL]) - (x[SD_EXIT_CALL] < y[SD_EXIT_CALL]);
}

/* Within a chunk they are in the order of calls, so that one can be found quickly. */
int sd_flush_exits(struct ct_stepdb_writer *w)
{
	struct sd_wtable *t = &w->t[CT_EXITS];

	qsort(w->exits, t->rows, sizeof(w->exits[0]), compare_exits);
	for (unsigned i = 0; i < t->rows; i++)
		for (unsigned c = 0; c < SD_EXIT_NCOLS; c++)
			t->col[c][i] = w->exits[i][c];
	return sd_flush_table(w, CT_EXITS);
}

/* ---- State of the writer, for going on ---- */

static bool put_frame(struct sd_buf *b, const struct sd_frame *f)
{
	const ct_u64 v[] = {f->id,       f->parent,   f->from_step, f->first_step, f->enter_event,
			    f->enter_ns, f->since_ns, f->active_ns, f->child_ns,   f->last_step,
			    f->function, f->thread,   f->depth,     f->site,       f->location};
	bool good = true;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]) && good; i++)
		good = sd_put_uint(b, v[i]);
	return good;
}

static bool get_frame(struct ct_stepdb_writer *w, const ct_u8 **p, const ct_u8 *end, struct sd_frame *f)
{
	ct_u64 v[15];

	for (size_t i = 0; i < 15; i++)
		if (!sd_get(p, end, &v[i]))
			return false;
	*f = (struct sd_frame){v[0],          v[1],          v[2],          v[3], v[4],          v[5],
			       v[6],          v[7],          v[8],          v[9], (ct_u32)v[10], (ct_u32)v[11],
			       (ct_u32)v[12], (ct_u32)v[13], (ct_u32)v[14], NULL};
	return f->function && f->function <= w->cat.t[CT_FUNCTIONS].n && f->thread && f->thread <= w->nthreads &&
	       f->site <= w->cat.t[CT_SITES].n;
}

static bool put_state(struct ct_stepdb_writer *w, struct sd_buf *b)
{
	bool good = sd_put_uint(b, w->raises) && sd_put_uint(b, w->nthreads);

	for (size_t i = 0; i < w->nthreads && good; i++) {
		const struct sd_thread *th = &w->thread[i];

		good = sd_put_uint(b, th->last_step) && sd_put_uint(b, th->seq) && sd_put_uint(b, th->ns) &&
		       sd_put_uint(b, th->raising) && sd_put_uint(b, th->depth);
		for (size_t k = 0; k < th->depth && good; k++)
			good = put_frame(b, th->stack[k]);
	}
	good = good && sd_put_uint(b, w->nsuspended);
	for (size_t i = 0; i < SD_SUSPENDED && good; i++)
		for (const struct sd_frame *f = w->suspended[i]; f && good; f = f->next)
			good = put_frame(b, f);
	return good;
}

static bool get_thread(struct ct_stepdb_writer *w, const ct_u8 **p, const ct_u8 *end)
{
	struct sd_thread *th = sd_new_thread(w);
	ct_u64 raising, depth;

	if (!th || !sd_get(p, end, &th->last_step) || !sd_get(p, end, &th->seq) || !sd_get(p, end, &th->ns) ||
	    !sd_get(p, end, &raising) || !sd_get(p, end, &depth))
		return false;
	th->raising = raising;
	for (; depth; depth--) {
		struct sd_frame *f = sd_new_frame(w), copy;

		if (!f)
			return false;
		if (!get_frame(w, p, end, &copy)) {
			free(f);
			return false;
		}
		*f = copy;
		if (!sd_push(w, th, f)) {
			free(f);
			return false;
		}
	}
	return true;
}

static bool get_state(struct ct_stepdb_writer *w, const ct_u8 *p, const ct_u8 *end)
{
	ct_u64 n;

	if (!sd_get(&p, end, &n))
		return false;
	w->raises = n;
	if (!sd_get(&p, end, &n) || n != w->cat.t[CT_THREADS].n)
		return false;
	for (; n; n--)
		if (!get_thread(w, &p, end))
			return false;
	if (!sd_get(&p, end, &n))
		return false;
	for (; n; n--) {
		struct sd_frame *f = sd_new_frame(w), copy;

		if (!f)
			return false;
		if (!get_frame(w, &p, end, &copy)) {
			free(f);
			return false;
		}
		*f = copy;
		sd_park(w, f);
	}
	return p == end;
}

/* ---- Commits ---- */

static bool set_row(struct sd_names *t, ct_u32 id, const void *text, size_t len, const ct_u64 *v, unsigned nints)
{
	struct ct_name *row = &t->row[id - 1];
	char *copy = malloc(len + 1);

	if (!copy)
		return false;
	if (len)
		memcpy(copy, text, len);
	copy[len] = 0;
	if (row->len)
		free((char *)row->text);
	row->text = len ? copy : (free(copy), "");
	row->len = len;
	memcpy(row->v, v, nints * sizeof(*v));
	return true;
}

static bool put_rows(struct ct_stepdb_writer *w, const void *position, size_t len, bool complete)
{
	struct sd_names *state = &w->cat.t[SD_CAT_COMMIT], *counts = &w->cat.t[SD_CAT_COUNTS];
	ct_u64 v[CT_NAME_INTS] = {0};
	struct sd_buf blob = {0};
	bool good = true;

	while (good && state->n < SD_COMMIT_PART)
		good = sd_names_add(&w->cat, SD_CAT_COMMIT, NULL, 0, v) != 0;
	while (good && counts->n < SD_CAT_COMMIT)
		good = sd_names_add(&w->cat, SD_CAT_COUNTS, NULL, 0, v) != 0;
	if (!good)
		return false;
	for (unsigned k = 0; k < SD_CAT_COMMIT; k++)
		counts->row[k].v[0] = w->cat.t[k].n;
	good = put_state(w, &blob) && set_row(state, SD_COMMIT_WRITER, blob.data, blob.len, v, 6);
	free(blob.data);
	for (unsigned k = 0; k < CT_NROWS && good; k++) {
		const ct_u64 table[6] = {[SD_TABLE_ROWS] = w->t[k].done,
					 [SD_TABLE_CHUNKS] = w->t[k].chunks,
					 [SD_TABLE_SIZE] = w->t[k].file.size};

		good = set_row(state, SD_COMMIT_TABLE + k, NULL, 0, table, 6);
	}
	good = good && (!w->part || set_row(state, SD_COMMIT_PART, w->part, strlen(w->part), v, 6));
	v[SD_STATE_COMMITS] = state->row[0].v[SD_STATE_COMMITS] + 1;
	v[SD_STATE_COMPLETE] = complete;
	v[SD_STATE_BUILD] = w->build;
	v[SD_STATE_VERSION] = CT_STEPDB_VERSION;
	memcpy(&v[SD_STATE_UUID0], w->uuid, 16);
	return good && set_row(state, SD_COMMIT_STATE, position, len, v, 6);
}

static int commit(struct ct_stepdb_writer *w, const void *position, size_t len, bool complete)
{
	struct ct_error err = {0};

	for (unsigned k = 0; k < CT_NROWS; k++) {
		if ((k == CT_EXITS ? sd_flush_exits(w) : sd_flush_table(w, k)) < 0 || sd_close_group(w, k) < 0)
			return -1;
		if (sd_file_flush(&w->t[k].file, &err) < 0)
			return sd_fail(w, &err);
	}
	for (unsigned k = 0; k < CT_NROWS; k++)
		if (fdatasync(w->t[k].file.fd) < 0) {
			ct_fail_write(&err, "the step database");
			return sd_fail(w, &err);
		}
	if (!put_rows(w, position, len, complete))
		return sd_no_memory(w);
	if (sd_catalogue_save(&w->cat, &err) < 0)
		return sd_fail(w, &err);
	return 0;
}

int ct_stepdb_commit(struct ct_stepdb_writer *w, const void *position, size_t len, bool complete, struct ct_error *err)
{
	if (len > CT_STEPDB_POSITION)
		return ct_fail(err, CT_EXIT_FAILED, "steps: a position of %zu bytes; at most %u fit", len,
			       CT_STEPDB_POSITION);
	if (w->failed || commit(w, position, len, complete) < 0)
		return ct_stepdb_failed(w, err);
	return 0;
}

const void *ct_stepdb_position(const struct ct_stepdb_writer *w, size_t *len)
{
	*len = w->cat.t[SD_CAT_COMMIT].row[0].len;
	return w->cat.t[SD_CAT_COMMIT].row[0].text;
}

int ct_stepdb_set_part(struct ct_stepdb_writer *w, const char *part, struct ct_error *err)
{
	free(w->part);
	w->part = strdup(part);
	return w->part ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

/* ---- Beginning and end ---- */

static struct ct_stepdb_writer *begin(int recording_dirfd, const ct_u8 uuid[16], bool create, struct ct_error *err)
{
	struct ct_stepdb_writer *w = calloc(1, sizeof(*w));
	bool good = w != NULL;

	if (w) {
		w->dirfd = -1;
		memcpy(w->uuid, uuid, 16);
		w->suspended = calloc(SD_SUSPENDED, sizeof(*w->suspended));
		w->exits = calloc(SD_CHUNK_ROWS, sizeof(*w->exits));
		good = w->suspended && w->exits && sd_encoder_init(&w->enc);
		for (unsigned k = 0; k < CT_NROWS; k++) {
			w->t[k].file.fd = -1;
			good = sd_wtable_init(&w->t[k], k) && good;
		}
	}
	if (!good) {
		ct_fail(err, CT_EXIT_FAILED, "steps: out of memory");
	} else if ((w->dirfd = sd_opendir(recording_dirfd, create, err)) >= 0) {
		if (flock(w->dirfd, LOCK_EX | LOCK_NB) == 0)
			return w;
		if (errno == EWOULDBLOCK)
			ct_fail(err, CT_EXIT_FAILED,
				"steps: another program is building this step database; wait for it");
		else
			ct_fail_errno(err, CT_EXIT_FAILED, "steps: cannot lock the directory");
	}
	ct_stepdb_writer_close(w);
	return NULL;
}

static int create_files(struct ct_stepdb_writer *w, struct ct_error *err)
{
	static const char *const old[] = {"catalogue.db", "catalogue.db-journal"};

	for (unsigned i = 0; i < 2 + CT_NROWS; i++)
		if (unlinkat(w->dirfd, i < 2 ? old[i] : sd_file_names[i - 2], 0) < 0 && errno != ENOENT)
			return ct_fail_errno(err, CT_EXIT_FAILED, "steps: cannot remove the old step database");
	if (getrandom(&w->build, sizeof(w->build), 0) != (ssize_t)sizeof(w->build))
		return ct_fail_errno(err, CT_EXIT_FAILED, "steps: no random number");
	for (unsigned k = 0; k < CT_NROWS; k++)
		if (sd_file_create(&w->t[k].file, w->dirfd, k, w->uuid, w->build, err) < 0)
			return -1;
	return sd_catalogue_open(&w->cat, w->dirfd, true, true, err);
}

struct ct_stepdb_writer *ct_stepdb_create(int recording_dirfd, const char *name, const ct_u8 uuid[16],
					  struct ct_error *err)
{
	struct ct_stepdb_writer *w = begin(recording_dirfd, uuid, true, err);

	if (w && create_files(w, err) == 0 && ct_stepdb_commit(w, NULL, 0, false, err) == 0)
		return w;
	ct_fail_prefix(err, "%s", name);
	ct_stepdb_writer_close(w);
	return NULL;
}

static int reopen_files(struct ct_stepdb_writer *w, struct ct_error *err)
{
	const struct sd_names *state = &w->cat.t[SD_CAT_COMMIT];
	const ct_u64 *v;

	if (sd_catalogue_open(&w->cat, w->dirfd, false, true, err) < 0 || sd_catalogue_load(&w->cat, err) < 0)
		return -1;
	v = state->row[0].v;
	if (v[SD_STATE_VERSION] != CT_STEPDB_VERSION)
		return ct_fail(err, CT_EXIT_FAILED, "steps: version %llu; this ctbpf goes on with version %u only",
			       (unsigned long long)v[SD_STATE_VERSION], CT_STEPDB_VERSION);
	if (memcmp(&v[SD_STATE_UUID0], w->uuid, 16) != 0)
		return ct_fail(err, CT_EXIT_FAILED, "steps: belongs to another recording; build it anew");
	if (v[SD_STATE_COMPLETE])
		return ct_fail(err, CT_EXIT_FAILED, "steps: is complete");
	w->build = v[SD_STATE_BUILD];
	for (unsigned k = 0; k < CT_NROWS; k++) {
		const ct_u64 *t = state->row[SD_COMMIT_TABLE + k - 1].v;

		if (sd_file_reopen(&w->t[k].file, w->dirfd, k, w->uuid, w->build, t[SD_TABLE_SIZE], err) < 0)
			return -1;
		w->t[k].done = t[SD_TABLE_ROWS];
		w->t[k].chunks = t[SD_TABLE_CHUNKS];
		w->t[k].mark = state->row[SD_COMMIT_TABLE + CT_CALLS - 1].v[SD_TABLE_ROWS];
	}
	if (!get_state(w, (const ct_u8 *)state->row[SD_COMMIT_WRITER - 1].text,
		       (const ct_u8 *)state->row[SD_COMMIT_WRITER - 1].text + state->row[SD_COMMIT_WRITER - 1].len))
		return ct_fail(err, CT_EXIT_FAILED, "steps: its open calls make no sense; build it anew");
	return 0;
}

struct ct_stepdb_writer *ct_stepdb_resume(int recording_dirfd, const char *name, const ct_u8 uuid[16],
					  struct ct_error *err)
{
	struct ct_stepdb_writer *w = begin(recording_dirfd, uuid, false, err);

	if (w && reopen_files(w, err) == 0)
		return w;
	ct_fail_prefix(err, "%s", name);
	ct_stepdb_writer_close(w);
	return NULL;
}

static void free_frames(struct sd_frame *f)
{
	while (f) {
		struct sd_frame *next = f->next;

		free(f);
		f = next;
	}
}

void ct_stepdb_writer_close(struct ct_stepdb_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->nthreads; i++) {
		for (size_t k = 0; k < w->thread[i].depth; k++)
			free(w->thread[i].stack[k]);
		free(w->thread[i].stack);
		free(w->thread[i].active);
	}
	for (size_t i = 0; w->suspended && i < SD_SUSPENDED; i++)
		free_frames(w->suspended[i]);
	free_frames(w->spare);
	for (size_t i = 0; i < w->nlines; i++)
		free(w->lines[i].location);
	for (unsigned k = 0; k < CT_NROWS; k++) {
		sd_file_close(&w->t[k].file);
		sd_wtable_deinit(&w->t[k]);
	}
	sd_encoder_deinit(&w->enc);
	sd_catalogue_close(&w->cat);
	free(w->part);
	free(w->thread);
	free(w->lines);
	free(w->suspended);
	free(w->exits);
	if (w->dirfd >= 0)
		close(w->dirfd); /* and the lock with it */
	free(w);
}
