// SPDX-License-Identifier: MIT
/* Which files are mapped where, for the reader of debug information; places by address and by name. */
#include "replay/symbols.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "replay/kept.h"
#include "replay/tracee.h"

struct ct_symbols {
	struct ct_timeline *tl; /* NULL: of one session, which is not a timeline's */
	struct ct_session *s;
	struct ct_recording *rec;
	ct_u32 pid, image; /* a snapshot of it */
	struct ct_dwarf *dwarf;
	struct ct_dwarf_memory memory;
	ct_u64 digest;   /* of what is mapped, 0: not looked at yet */
	ct_u32 snapshot; /* that `kept` is from */
	bool has_log;    /* ... and the log, too */
	struct ct_kept_files kept;
};

/* A timeline goes to and fro between sessions. */
static struct ct_session *session_of(const struct ct_symbols *sy)
{
	return sy->tl ? ct_timeline_session(sy->tl) : sy->s;
}

static bool read_memory(void *ctx, ct_u64 addr, void *buf, size_t len)
{
	struct ct_symbols *sy = ctx;

	return !ct_session_read(session_of(sy), sy->pid, addr, buf, len, NULL);
}

static struct ct_symbols *create(const struct ct_symbols *of, struct ct_error *err)
{
	struct ct_symbols *sy = malloc(sizeof(*sy));

	if (!sy) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	*sy = *of;
	sy->memory = (struct ct_dwarf_memory){read_memory, sy};
	if (ct_symbols_update(sy, err) < 0) {
		ct_symbols_destroy(sy);
		return NULL;
	}
	return sy;
}

struct ct_symbols *ct_symbols_create(struct ct_timeline *tl, struct ct_error *err)
{
	return create(&(struct ct_symbols){.tl = tl, .rec = ct_timeline_recording(tl), .pid = ct_timeline_pid(tl)},
		      err);
}

struct ct_symbols *ct_symbols_create_for(struct ct_session *s, struct ct_recording *rec, ct_u32 pid, ct_u32 image,
					 struct ct_error *err)
{
	return create(&(struct ct_symbols){.s = s, .rec = rec, .pid = pid, .image = image}, err);
}

void ct_symbols_read_from(struct ct_symbols *sy, ct_u32 pid)
{
	sy->pid = pid;
}

void ct_symbols_destroy(struct ct_symbols *sy)
{
	if (!sy)
		return;
	if (sy->dwarf)
		ct_dwarf_destroy(sy->dwarf);
	ct_kept_free(&sy->kept);
	free(sy);
}

struct ct_dwarf *ct_symbols_dwarf(struct ct_symbols *sy)
{
	return sy->dwarf;
}

const struct ct_dwarf_memory *ct_symbols_memory(struct ct_symbols *sy)
{
	return &sy->memory;
}

/* ---- what is mapped --------------------------------------------------------------------------------------------- */

static const char *look_up(const struct ct_symbols *sy, const ct_u8 hash[16])
{
	for (size_t i = 0; i < sy->kept.n; i++)
		if (!memcmp(sy->kept.list[i].hash, hash, 16))
			return sy->kept.list[i].path;
	return NULL;
}

/* Path that the file with this hash had. The log is only read if the snapshot does not say. */
static const char *path_of(struct ct_symbols *sy, const ct_u8 hash[16])
{
	const ct_u32 snapshot = sy->tl ? ct_timeline_snapshot(sy->tl) : sy->image;
	const char *path;

	if (snapshot != sy->snapshot) {
		ct_kept_in_snapshot(&sy->kept, sy->rec, snapshot);
		sy->snapshot = snapshot;
	}
	path = look_up(sy, hash);
	if (path || sy->has_log)
		return path;
	if (sy->tl)
		ct_kept_append(&sy->kept, ct_timeline_kept(sy->tl));
	else
		ct_kept_in_log(&sy->kept, sy->rec);
	sy->has_log = true;
	return look_up(sy, hash);
}

/* A file's code is in its first mapping or in one that follows. */
static bool has_code(const struct ct_maps *maps, size_t i)
{
	for (size_t k = i; k < maps->count && !strcmp(maps->map[k].name, maps->map[i].name); k++)
		if (maps->map[k].prot & PROT_EXEC)
			return true;
	return false;
}

static void add_module(struct ct_symbols *sy, const struct ct_map *m, const char *hex)
{
	const char *path;
	ct_u8 hash[16];
	int fd;

	for (int i = 0; i < 16; i++) {
		const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

		hash[i] = (ct_u8)strtoul(digits, NULL, 16);
	}
	fd = ct_file_open(ct_recording_dirfd(sy->rec), hash, false, NULL);
	if (fd < 0)
		return;
	path = path_of(sy, hash);
	ct_dwarf_add(sy->dwarf, path ? path : hex, fd, m->start);
}

/* 0: out of memory. */
static ct_u64 digest_of(const struct ct_maps *maps)
{
	XXH3_state_t *h = XXH3_createState();
	ct_u64 digest;

	if (!h)
		return 0;
	XXH3_64bits_reset(h);
	for (size_t i = 0; i < maps->count; i++)
		if ((maps->map[i].prot & PROT_EXEC) && ct_kept_hash(maps->map[i].name)) {
			XXH3_64bits_update(h, &maps->map[i].start, sizeof(maps->map[i].start));
			XXH3_64bits_update(h, maps->map[i].name, strlen(maps->map[i].name));
		}
	digest = XXH3_64bits_digest(h) | 1;
	XXH3_freeState(h);
	return digest;
}

bool ct_symbols_fit(const struct ct_symbols *sy, ct_u32 pid)
{
	struct ct_maps maps;
	bool fit;

	if (ct_session_maps(session_of(sy), pid, &maps, NULL))
		return false;
	fit = digest_of(&maps) == sy->digest;
	ct_maps_deinit(&maps);
	return fit;
}

ct_u32 ct_symbols_snapshot(const struct ct_symbols *sy)
{
	return sy->image;
}

int ct_symbols_update(struct ct_symbols *sy, struct ct_error *err)
{
	struct ct_dwarf *fresh;
	struct ct_maps maps;
	const char *hex;
	ct_u64 digest;

	if (ct_session_maps(session_of(sy), sy->pid, &maps, NULL))
		memset(&maps, 0, sizeof(maps)); /* the process has ended */
	digest = digest_of(&maps);
	if (!digest || digest == sy->digest) {
		ct_maps_deinit(&maps);
		return digest ? 0 : ct_fail_memory(err);
	}
	fresh = ct_dwarf_create(err);
	if (!fresh) {
		ct_maps_deinit(&maps);
		return -1;
	}
	if (sy->dwarf)
		ct_dwarf_destroy(sy->dwarf);
	sy->dwarf = fresh;
	sy->digest = digest;
	ct_dwarf_begin(sy->dwarf);
	for (size_t i = 0; i < maps.count; i++)
		if ((hex = ct_kept_hash(maps.map[i].name)) && !maps.map[i].offset && has_code(&maps, i))
			add_module(sy, &maps.map[i], hex);
	ct_dwarf_end(sy->dwarf);
	ct_maps_deinit(&maps);
	return 1;
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

void ct_symbols_place(struct ct_symbols *sy, ct_u64 addr, struct ct_place *place)
{
	struct ct_dwarf_function f;
	struct ct_dwarf_line line;

	*place = (struct ct_place){.module = ct_dwarf_module_at(sy->dwarf, addr)};
	if (ct_dwarf_function_at(sy->dwarf, addr, &f)) {
		place->function = f.name;
		place->begin = f.entry;
	}
	if (ct_dwarf_line_at(sy->dwarf, addr, &line)) {
		place->file = line.file;
		place->line = (int)line.line;
		place->line_begin = line.from;
		place->line_end = line.to;
	}
}

/* Whether the path ends as a person has written it. */
static bool is_file(void *ctx, const char *path)
{
	const char *wanted = ctx;
	const size_t len = strlen(path), want = strlen(wanted);

	return len >= want && !strcmp(path + len - want, wanted) && (len == want || path[len - want - 1] == '/');
}

size_t ct_symbols_find(struct ct_symbols *sy, const char *text, const char *file, ct_u64 *addr, size_t most)
{
	const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : text;
	const bool is_line = *digits && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) < 9;
	char *name = is_line && colon ? strndup(text, (size_t)(colon - text)) : NULL;
	struct ct_dwarf_list found = {0};
	struct ct_error err;
	ct_u32 actual;
	size_t n;

	if (!is_line)
		ct_dwarf_find_functions(sy->dwarf, text, &found, &err);
	else if (name || file)
		ct_dwarf_find_line(sy->dwarf, is_file, name ? name : (void *)(uintptr_t)file, (ct_u32)atoi(digits),
				   &actual, &found, &err);
	n = found.n < most ? found.n : most;
	if (n)
		memcpy(addr, found.addr, n * sizeof(*addr));
	ct_dwarf_list_free(&found);
	free(name);
	return n;
}

int ct_symbols_unwind(struct ct_symbols *sy, ct_u32 tid, size_t most, struct ct_dwarf_stack *stack,
		      struct ct_error *err)
{
	struct ct_session *s = session_of(sy);
	unsigned char xsave[CT_XSAVE_MAX];
	struct ct_dwarf_regs regs;
	struct ct_regs raw;
	ssize_t len;

	if (ct_session_regs(s, tid, &raw, err))
		return -1;
	len = ct_session_xsave(s, tid, xsave, NULL);
	ct_dwarf_regs_from(&regs, &raw, xsave, len > 0 ? (size_t)len : 0);
	return ct_dwarf_unwind(sy->dwarf, &regs, &sy->memory, most, stack, err);
}
