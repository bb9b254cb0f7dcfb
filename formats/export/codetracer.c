/* SPDX-License-Identifier: MIT
 * Exports for CodeTracer: a folder for each thread, as its viewer shows one thread at a time.
 *
 * thread-N/ (N as in the step database) has trace.ct, or trace.json and two more, and files/ with sources. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../dirio.h"
#include "../recording_private.h"
#include "../snapshot.h"
#include "codetracer.h"

/* ---- Definitions ---- */

static const enum ct_names tables[] = {CT_FILES, CT_FUNCTIONS, CT_TYPES, CT_STRINGS};

static int cdt_init(struct cdt *c, const struct ct_export_source *src, const struct ct_export_options *opts,
		    ct_u32 thread, int dirfd, struct ct_error *err)
{
	*c = (struct cdt){.src = src, .opts = opts, .thread = thread, .dirfd = dirfd};
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct cdt_ids *ids = &c->ids[tables[i]];

		ids->id = calloc((size_t)ct_stepdb_names(src->db, tables[i]) + 1, sizeof(*ids->id));
		if (!ids->id)
			return ct_fail_memory(err);
	}
	return 0;
}

static void cdt_deinit(struct cdt *c)
{
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		free(c->ids[tables[i]].id);
}

bool cdt_check(struct cdt *c, bool good)
{
	if (!good)
		ct_fail_memory(&c->err);
	return good;
}

/* What is named 0 is not in the database. */
static ct_u32 *slot(struct cdt *c, enum ct_names table, ct_u64 id)
{
	return &c->ids[table].id[id <= ct_stepdb_names(c->src->db, table) ? id : 0];
}

bool cdt_path(struct cdt *c, ct_u64 file, ct_u32 *id)
{
	const struct ct_name *name = ex_name(c->src, CT_FILES, file);
	ct_u32 *at = slot(c, CT_FILES, file);

	if (!*at) {
		*at = ++c->ids[CT_FILES].n;
		if (!c->ops->path(c, name->text, name->len))
			return false;
	}
	*id = *at - 1;
	return true;
}

bool cdt_function(struct cdt *c, ct_u64 function, ct_u32 *id)
{
	const struct ct_name *name = ex_name(c->src, CT_FUNCTIONS, function);
	ct_u32 *at = slot(c, CT_FUNCTIONS, function), path;

	if (!*at) {
		if (!cdt_path(c, name->v[CT_FN_FILE], &path))
			return false;
		*at = ++c->ids[CT_FUNCTIONS].n;
		if (!c->ops->function(c, path, name->v[CT_FN_LINE], name->text, name->len))
			return false;
	}
	*id = *at - 1;
	return true;
}

bool cdt_variable(struct cdt *c, ct_u32 name, ct_u32 *id)
{
	const struct ct_name *text = ct_stepdb_name(c->src->db, CT_STRINGS, name);
	ct_u32 *at = slot(c, CT_STRINGS, name);

	if (!*at) {
		*at = ++c->ids[CT_STRINGS].n;
		if (!c->ops->variable(c, text ? text->text : "<exception>", text ? text->len : 11))
			return false;
	}
	*id = *at - 1;
	return true;
}

bool cdt_toplevel(struct cdt *c)
{
	struct sd_buf none = {0};
	const bool ok = cdt_encode_none(c, &none);
	ct_u32 path;

	free(none.data);
	if (!ok || !cdt_path(c, 1, &path))
		return false;
	c->ids[CT_FUNCTIONS].n++;
	return c->ops->function(c, path, 1, "<toplevel>", 10);
}

/* ---- The program ---- */

/* The process's working directory as its first snapshot has it; malloc'ed. */
static char *find_workdir(const struct ct_export_source *src, ct_u32 pid)
{
	size_t count;
	const ct_u32 *ids = ct_recording_snapshots(src->rec, &count);
	char *workdir = NULL;

	for (size_t i = 0; i < count && !workdir; i++) {
		struct ct_error ignored;
		struct ct_snapshot_reader *r = ct_snapshot_open(ct_recording_dirfd(src->rec), ids[i], &ignored);
		const struct ct_snapshot *snap = r ? ct_snapshot_get(r) : NULL;

		for (ct_u32 p = 0; snap && p < snap->nprocs && !workdir; p++)
			if (snap->procs[p].pid == pid && snap->procs[p].cwd)
				workdir = strdup(snap->procs[p].cwd);
		ct_snapshot_reader_close(r);
	}
	return workdir ? workdir : strdup("/");
}

/* Every trace has an id of its own, made of the recording's: a version 7 UUID. */
static void make_id(const struct ct_export_source *src, ct_u32 thread, char out[37])
{
	ct_u8 uuid[16];

	memcpy(uuid, src->rec->uuid, sizeof(uuid));
	for (unsigned i = 0; i < 4; i++)
		uuid[12 + i] ^= (ct_u8)(thread >> (24 - 8 * i));
	uuid[6] = 0x70 | (uuid[6] & 0x0f);
	uuid[8] = 0x80 | (uuid[8] & 0x3f);
	ct_uuid_format(uuid, out);
}

/* ---- Threads ---- */

static int has_calls(const struct ct_export_source *src, ct_u32 thread, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_CALLS, .nranges = 1, .range = {{CT_CALL_THREAD, thread, thread}}};
	struct ct_scan *scan = ct_scan_open(src->db, &spec, err);
	ct_u64 id;
	int got = scan ? ct_scan_next(scan, &id, err) : -1;

	ct_scan_close(scan);
	return got;
}

static int export_thread(const struct ct_export_source *src, const struct ct_export_options *opts, ct_u32 thread,
			 int dirfd, struct cdt_sources *sources, struct ct_error *err)
{
	const json_t *target = json_object_get(ct_recording_manifest(src->rec), "target");
	const char *exe = json_string_value(json_object_get(target, "exe"));
	struct cdt_program program = {.workdir = sources->workdir, .args = json_object_get(target, "argv")};
	bool legacy = opts->version == CT_EXPORT_LEGACY;
	struct cdt c;
	ct_u64 end_ns;
	int ret = cdt_init(&c, src, opts, thread, dirfd, err);

	program.program = json_string_value(json_array_get(program.args, 0));
	if (!program.program)
		program.program = exe ? exe : "?";
	make_id(src, thread, program.id);
	if (ret == 0)
		ret = ex_end_time(src, &end_ns, err);
	if (ret == 0) {
		ret = legacy ? cdt_legacy_begin(&c, err) : cdt_ctfs_begin(&c, err);
		if (ret == 0)
			ret = cdt_thread(&c, end_ns, err);
		ret = legacy ? cdt_legacy_end(&c, &program, ret == 0, err) : cdt_ctfs_end(&c, &program, ret == 0, err);
	}
	if (ret == 0)
		ret = cdt_sources_copy(sources, &c, err);
	cdt_deinit(&c);
	return ret;
}

int ct_export_codetracer(const struct ct_export_source *src, const struct ct_export_options *opts, int dirfd,
			 struct ct_export_result *result, struct ct_error *err)
{
	const struct ct_name *first = ct_stepdb_name(src->db, CT_THREADS, 1);
	char *workdir = find_workdir(src, first ? (ct_u32)first->v[CT_TH_PID] : 0), name[32];
	struct cdt_sources sources = {0};
	int ret = workdir ? cdt_sources_open(&sources, src, opts, workdir, err) : ct_fail_memory(err);

	*result = (struct ct_export_result){0};
	for (ct_u32 id = 1; id <= ct_stepdb_names(src->db, CT_THREADS) && ret == 0; id++) {
		int fd = -1, got = has_calls(src, id, err);

		if (got <= 0) {
			ret = got;
			continue;
		}
		snprintf(name, sizeof(name), "thread-%u", id);
		if (mkdirat(dirfd, name, 0700) == 0)
			fd = ct_dir_openat(dirfd, name);
		if (fd < 0) {
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot make it", name);
			continue;
		}
		ret = export_thread(src, opts, id, fd, &sources, err);
		close(fd);
		result->threads++;
	}
	if (sources.src)
		cdt_sources_close(&sources, result);
	free(workdir);
	return ret;
}
