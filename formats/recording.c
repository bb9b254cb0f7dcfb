/* SPDX-License-Identifier: MIT
 * The recording directory: making one, and opening one whatever state it is in.
 *
 * Opening changes nothing on disk. What is wrong is listed as text and the rest stays usable. */
#include "recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirio.h"
#include "recording_private.h"

#define MANIFEST_MAX       (64u << 20)
#define SEGMENTS_HELD_OPEN 256 /* descriptors; further segments are opened for each read */
#define PROBLEMS_MAX       1000

/* ---- Creation ---- */

int ct_recording_create(const char *path, struct ct_error *err)
{
	static const char sub[][16] = {"segments", "snapshots", "files"};
	size_t made = 0;
	struct stat st;
	int fd;

	if (mkdir(path, 0700) < 0) {
		if (errno == EEXIST)
			return ct_fail(err, CT_EXIT_FAILED,
				       "%s: exists already; remove it or choose another name with -o", path);
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot create the recording's directory", path);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Who may write the directory above could have put one of his own in this one's place. */
	if (fd >= 0 && (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)))) {
		close(fd);
		return ct_fail(err, CT_EXIT_FAILED, "%s: somebody has put another directory in its place", path);
	}
	if (fd < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open the recording's directory", path);
		rmdir(path);
		return -1;
	}
	for (; made < 3; made++) {
		if (mkdirat(fd, sub[made], 0700) == 0)
			continue;
		ct_fail_errno(err, CT_EXIT_FAILED, "%s/%s: cannot create", path, sub[made]);
		while (made-- > 0)
			unlinkat(fd, sub[made], AT_REMOVEDIR);
		close(fd);
		rmdir(path);
		return -1;
	}
	return fd;
}

const char *ct_recording_state_name(enum ct_recording_state state)
{
	switch (state) {
	case CT_REC_RECORDING: return "recording";
	case CT_REC_COMPLETE: return "complete";
	case CT_REC_RECOVERED: return "recovered";
	}
	return "unknown";
}

/* ---- Opening ---- */

__attribute__((format(printf, 2, 3))) static void add_problem(struct ct_recording *rec, const char *fmt, ...)
{
	char **grown, *text;
	va_list ap;
	int n;

	/* A directory full of rubbish must not fill the memory with complaints. */
	if (rec->nproblems > PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	n = rec->nproblems == PROBLEMS_MAX ? asprintf(&text, "and more problems, not listed")
					   : vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	grown = realloc(rec->problems, (rec->nproblems + 1) * sizeof(*grown));
	if (!grown) {
		free(text);
		return;
	}
	rec->problems = grown;
	rec->problems[rec->nproblems++] = text;
}

static int load_manifest(struct ct_recording *rec, struct ct_error *err)
{
	json_error_t why;
	struct stat st;
	int fd = ct_regular_openat(rec->dirfd, "manifest.json", &st);
	char what[4200], *text;
	json_int_t format;

	if (fd < 0 && errno == ENOENT)
		return ct_fail(err, CT_EXIT_FAILED, "%s: not a recording: it has no manifest.json", rec->path);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s/manifest.json: cannot open", rec->path);
	if (st.st_size > MANIFEST_MAX) {
		close(fd);
		return ct_fail(err, CT_EXIT_FAILED, "%s/manifest.json: %lld bytes is too long for a manifest",
			       rec->path, (long long)st.st_size);
	}
	snprintf(what, sizeof(what), "%s/manifest.json", rec->path);
	text = ct_pread_alloc(fd, (size_t)st.st_size, 0, what, err);
	close(fd);
	if (!text)
		return -1;
	rec->manifest = json_loadb(text, (size_t)st.st_size, JSON_REJECT_DUPLICATES, &why);
	if (rec->manifest && !ct_manifest_sealed(text, (size_t)st.st_size))
		add_problem(rec, "manifest.json: damaged or edited (its checksum is not that of its text)");
	free(text);
	if (!rec->manifest)
		return ct_fail(err, CT_EXIT_FAILED, "%s/manifest.json: line %d: %s", rec->path, why.line, why.text);
	if (!json_is_integer(json_object_get(rec->manifest, "format")))
		return ct_fail(err, CT_EXIT_FAILED, "%s/manifest.json: no format number: not a recording", rec->path);
	format = json_integer_value(json_object_get(rec->manifest, "format"));
	if (format != CT_RECORDING_VERSION)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s/manifest.json: recording format %lld; this ctbpf reads format %d: use the one that "
			       "recorded it",
			       rec->path, (long long)format, CT_RECORDING_VERSION);
	return 0;
}

static bool recorder_alive(const json_t *manifest)
{
	const json_t *recorder = json_object_get(manifest, "recorder");
	json_int_t pid = json_integer_value(json_object_get(recorder, "pid"));
	json_int_t start = json_integer_value(json_object_get(recorder, "start_time"));
	const char *boot = json_string_value(json_object_get(manifest, "boot_id"));
	char now[64] = "";
	int fd;

	if (pid <= 0 || pid > INT32_MAX || start <= 0)
		return false;
	/* Start times count from boot: after a reboot they mean nothing. */
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, now, sizeof(now) - 1);
		now[n > 0 ? n : 0] = 0;
		now[strcspn(now, "\n")] = 0;
		close(fd);
		if (boot && strcmp(boot, now) != 0)
			return false;
	}
	return ct_process_start_time(pid) == (ct_u64)start;
}

static void read_manifest_fields(struct ct_recording *rec)
{
	const json_t *clocks = json_object_get(rec->manifest, "clocks");
	const char *uuid = json_string_value(json_object_get(rec->manifest, "uuid"));
	const char *state = json_string_value(json_object_get(rec->manifest, "state"));
	json_int_t real = json_integer_value(json_object_get(clocks, "realtime_ns"));
	json_int_t mono = json_integer_value(json_object_get(clocks, "monotonic_ns"));
	json_int_t kept = json_integer_value(json_object_get(json_object_get(rec->manifest, "kept"), "seq"));

	rec->kept_seq = kept > 0 ? (ct_u64)kept : 0;
	if (!uuid || ct_uuid_parse(uuid, rec->uuid) < 0) {
		memset(rec->uuid, 0, sizeof(rec->uuid));
		add_problem(rec, "manifest.json: no valid uuid");
	}
	if (real > 0 && mono >= 0) {
		rec->realtime_ns = (ct_u64)real;
		rec->monotonic_ns = (ct_u64)mono;
	}
	rec->state = CT_REC_RECOVERED;
	if (state && strcmp(state, "complete") == 0)
		rec->state = CT_REC_COMPLETE;
	else if (state && strcmp(state, "recording") == 0)
		rec->state = recorder_alive(rec->manifest) ? CT_REC_RECORDING : CT_REC_RECOVERED;
	else if (!state || strcmp(state, "recovered") != 0)
		add_problem(rec, "manifest.json: unknown state \"%s\"", state ? state : "");
}

static int by_number(const void *a, const void *b)
{
	ct_u32 x = *(const ct_u32 *)a, y = *(const ct_u32 *)b;

	return x < y ? -1 : x > y;
}

/* Numbers of the entries named NNNNNN<suffix>, rising. Entries of other names go to `other`, if any. */
static int list_numbered(struct ct_recording *rec, int dirfd, const char *dir, const char *suffix, ct_u32 **numbers,
			 size_t *count)
{
	size_t room = 0;
	struct dirent *de;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir closes it */
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	*numbers = NULL;
	*count = 0;
	if (!d) {
		add_problem(rec, "%s/: cannot list: %s", dir, strerror(errno));
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((de = readdir(d))) {
		ct_u32 n = ct_numbered_name(de->d_name, suffix);

		if (!n) {
			if (rec->state != CT_REC_RECORDING && ct_numbered_name(de->d_name, ".tmp"))
				add_problem(rec, "%s/%s: unfinished; the recorder died while writing it", dir,
					    de->d_name);
			continue;
		}
		if (*count == room) {
			ct_u32 *grown = realloc(*numbers, (room ? room * 2 : 64) * sizeof(**numbers));

			if (!grown) {
				closedir(d);
				return -1;
			}
			room = room ? room * 2 : 64;
			*numbers = grown;
		}
		(*numbers)[(*count)++] = n;
	}
	closedir(d);
	if (*count)
		qsort(*numbers, *count, sizeof(**numbers), by_number);
	return 0;
}

/* Takes the segment in, or says why not. */
static void add_segment(struct ct_recording *rec, ct_u32 number, bool newest)
{
	char name[64], *base = name + strlen("segments/");
	const struct ct_segment_header *h;
	struct ct_segment *seg;
	struct ct_error err;
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "segments/%06u.ctseg", number);
	fd = ct_regular_openat(rec->segments_dirfd, base, &st);
	if (fd < 0) {
		/* The oldest one of a live recording may have been dropped since it was listed. */
		if (errno != ENOENT || rec->state != CT_REC_RECORDING)
			add_problem(rec, "%s: cannot open: %s", name, strerror(errno));
		return;
	}
	/* The recorder makes the file before it fills it: not a fault while it lives, nothing lost if it died there. */
	if (st.st_size < (off_t)sizeof(*h) &&
	    (rec->state == CT_REC_RECORDING || (newest && rec->state == CT_REC_RECOVERED))) {
		if (rec->state != CT_REC_RECORDING)
			add_problem(rec, "%s: unfinished; the recorder died before it wrote to it", name);
		close(fd);
		return;
	}
	seg = ct_segment_open(fd, name, &err);
	if (!seg) {
		add_problem(rec, "%s", err.msg);
		return;
	}
	h = ct_segment_header(seg);
	if (h->index != number || memcmp(h->uuid, rec->uuid, sizeof(rec->uuid)) != 0) {
		add_problem(rec, "%s: belongs to another recording or another place (it says it is segment %u)", name,
			    h->index);
		ct_segment_close(seg);
		return;
	}
	if (h->first_seq < rec->kept_seq) { /* its recorder died between writing the manifest and removing it */
		ct_segment_close(seg);
		return;
	}
	if (rec->nsegments >= SEGMENTS_HELD_OPEN)
		ct_segment_park(seg, rec->segments_dirfd);
	rec->segments[rec->nsegments++] = seg;
}

static void check_segment(struct ct_recording *rec, size_t i, ct_u64 *last_seq)
{
	const struct ct_segment *seg = rec->segments[i];
	const struct ct_index_entry *index;
	ct_u32 blocks;

	index = ct_segment_index(seg, &blocks);
	/* The newest one of a live recording has no footer yet. */
	if (ct_segment_recovered(seg) && (rec->state != CT_REC_RECORDING || i + 1 < rec->nsegments))
		add_problem(rec, "%s: was not closed (or its end is damaged); %u complete blocks recovered",
			    ct_segment_name(seg), blocks);
	if (ct_segment_broken_from(seg))
		add_problem(rec, "%s: broken: records are lost from number %llu", ct_segment_name(seg),
			    (unsigned long long)ct_segment_broken_from(seg));
	if (!blocks)
		return;
	if (index[0].first_seq <= *last_seq)
		add_problem(rec, "%s: starts at record %llu, but the segment before ends at %llu", ct_segment_name(seg),
			    (unsigned long long)index[0].first_seq, (unsigned long long)*last_seq);
	*last_seq = index[blocks - 1].last_seq;
}

static int load_segments(struct ct_recording *rec)
{
	ct_u32 *numbers;
	size_t count;
	ct_u64 last_seq = 0;

	rec->segments_dirfd = ct_dir_openat(rec->dirfd, "segments");
	if (rec->segments_dirfd < 0) {
		add_problem(rec, "segments/: cannot open: %s", strerror(errno));
		return 0;
	}
	if (list_numbered(rec, rec->segments_dirfd, "segments", ".ctseg", &numbers, &count) < 0) {
		free(numbers);
		return -1;
	}
	rec->segments = calloc(count ? count : 1, sizeof(struct ct_segment *));
	if (!rec->segments) {
		free(numbers);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		/* Retention removes the oldest ones; a hole is something else. */
		if (i > 0 && numbers[i] != numbers[i - 1] + 1)
			add_problem(rec, "segments/: %u to %u missing", numbers[i - 1] + 1, numbers[i] - 1);
		add_segment(rec, numbers[i], i + 1 == count);
	}
	free(numbers);
	if (!count && rec->state == CT_REC_COMPLETE && !ct_recording_error(rec))
		add_problem(rec, "segments/: empty, though the recording was complete");
	for (size_t i = 0; i < rec->nsegments; i++)
		check_segment(rec, i, &last_seq);
	return 0;
}

static int load_snapshots(struct ct_recording *rec)
{
	int dirfd = ct_dir_openat(rec->dirfd, "snapshots"), ret;
	size_t kept = 0;

	if (dirfd < 0) {
		add_problem(rec, "snapshots/: cannot open: %s", strerror(errno));
		return 0;
	}
	ret = list_numbered(rec, dirfd, "snapshots", "", &rec->snapshots, &rec->nsnapshots);
	for (size_t i = 0; ret == 0 && i < rec->nsnapshots; i++) {
		char name[16];
		struct stat st;

		snprintf(name, sizeof(name), "%06u", rec->snapshots[i]);
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			rec->snapshots[kept++] = rec->snapshots[i];
		else
			add_problem(rec, "snapshots/%s: not a directory", name);
	}
	rec->nsnapshots = kept;
	close(dirfd);
	return ret;
}

struct ct_recording *ct_recording_open(const char *path, struct ct_error *err)
{
	struct ct_recording *rec = calloc(1, sizeof(*rec));

	if (!rec || !(rec->path = strdup(path))) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory", path);
		free(rec);
		return NULL;
	}
	rec->segments_dirfd = -1;
	rec->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rec->dirfd < 0) {
		if (errno == ENOTDIR)
			ct_fail(err, CT_EXIT_FAILED,
				"%s: not a recording: it is not a directory (`tar xf` unpacks what `ctbpf pack` made)",
				path);
		else
			ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open", path);
		goto fail;
	}
	if (load_manifest(rec, err) < 0)
		goto fail;
	read_manifest_fields(rec);
	if (load_segments(rec) < 0 || load_snapshots(rec) < 0) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory", path);
		goto fail;
	}
	return rec;
fail:
	ct_recording_close(rec);
	return NULL;
}

void ct_recording_close(struct ct_recording *rec)
{
	if (!rec)
		return;
	for (size_t i = 0; i < rec->nsegments; i++)
		ct_segment_close(rec->segments[i]);
	for (size_t i = 0; i < rec->nproblems; i++)
		free(rec->problems[i]);
	free(rec->segments);
	free(rec->problems);
	free(rec->snapshots);
	free(rec->path);
	json_decref(rec->manifest);
	if (rec->segments_dirfd >= 0)
		close(rec->segments_dirfd);
	if (rec->dirfd >= 0)
		close(rec->dirfd);
	free(rec);
}

int ct_recording_dirfd(const struct ct_recording *rec)
{
	return rec->dirfd;
}

const char *ct_recording_path(const struct ct_recording *rec)
{
	return rec->path;
}

ct_u64 ct_recording_first_ns(const struct ct_recording *rec)
{
	struct ct_index_entry range;

	return ct_recording_range(rec, &range) ? range.first_ns : 0;
}

ct_u64 ct_recording_begun_ns(const struct ct_recording *rec)
{
	return rec->realtime_ns;
}

enum ct_recording_state ct_recording_state(const struct ct_recording *rec)
{
	return rec->state;
}

const json_t *ct_recording_manifest(const struct ct_recording *rec)
{
	return rec->manifest;
}

const char *ct_recording_error(const struct ct_recording *rec)
{
	return json_string_value(json_object_get(rec->manifest, "error"));
}

size_t ct_recording_segments(const struct ct_recording *rec)
{
	return rec->nsegments;
}

struct ct_segment *ct_recording_segment(const struct ct_recording *rec, size_t i)
{
	return i < rec->nsegments ? rec->segments[i] : NULL;
}

const ct_u32 *ct_recording_snapshots(const struct ct_recording *rec, size_t *count)
{
	*count = rec->nsnapshots;
	return rec->snapshots;
}

const char *ct_recording_problem(const struct ct_recording *rec, size_t i)
{
	return i < rec->nproblems ? rec->problems[i] : NULL;
}

bool ct_recording_range(const struct ct_recording *rec, struct ct_index_entry *range)
{
	bool any = false;

	memset(range, 0, sizeof(*range));
	for (size_t s = 0; s < rec->nsegments; s++) {
		ct_u32 blocks;
		const struct ct_index_entry *e = ct_segment_index(rec->segments[s], &blocks);

		for (ct_u32 i = 0; i < blocks; i++, e++) {
			if (!any || e->first_seq < range->first_seq)
				range->first_seq = e->first_seq;
			if (!any || e->last_seq > range->last_seq)
				range->last_seq = e->last_seq;
			if (!any || e->first_ns < range->first_ns)
				range->first_ns = e->first_ns;
			if (!any || e->last_ns > range->last_ns)
				range->last_ns = e->last_ns;
			any = true;
		}
	}
	return any;
}

static int discard_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)at;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void ct_recording_discard(const char *path)
{
	nftw(path, discard_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
