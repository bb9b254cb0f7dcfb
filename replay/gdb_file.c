// SPDX-License-Identifier: MIT
/* The files of the recording, served by vFile: programs and libraries as they were, from files/, by the paths they had.
 * Nothing else of this machine can be read, and nothing written. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/gdb_priv.h"

#define MOST_ARGUMENTS (1 << 17) /* bytes */

/* errno, as the protocol numbers it. */
enum { NO_ENTRY = 2, BAD_FD = 9, NO_ACCESS = 13, INVALID = 22, TOO_MANY = 24, READ_ONLY = 30 };

static void look_for_kept(struct ct_gdb *g)
{
	g->looked_for_kept = true;
	ct_kept_in_snapshot(&g->kept, ct_timeline_recording(g->tl), ct_timeline_snapshot(g->tl));
	ct_kept_append(&g->kept, ct_timeline_kept(g->tl));
}

const ct_u8 *ct_gdb_kept(struct ct_gdb *g, const char *path)
{
	if (!g->looked_for_kept)
		look_for_kept(g);
	for (size_t i = 0; i < g->kept.n; i++)
		if (!strcmp(g->kept.list[i].path, path))
			return g->kept.list[i].hash;
	return NULL;
}

void ct_gdb_close_files(struct ct_gdb *g)
{
	for (int i = 0; i < CT_GDB_FILES; i++)
		if (g->files[i])
			close(g->files[i] - 1);
	ct_kept_free(&g->kept);
}

static void refuse(struct ct_gdb *g, int code)
{
	ct_gdb_putf(&g->out, "F-1,%x", code);
}

/* Whether `path` may have been a link to the file `kept`: by usr-merge, or by its soname. */
static bool may_link(const char *path, const char *kept)
{
	const char *name = strrchr(path, '/'), *file = strrchr(kept, '/');
	const size_t len = name ? strlen(name) : 0;

	if (!name || !file || strncmp(name, file, len) != 0 ||
	    (file[len] && (file[len] != '.' || !strstr(name, ".so"))))
		return false;
	if (!strcmp(name, "/ld-linux-x86-64.so.2"))
		return true;
	if (!strncmp(kept, "/usr/", 5) && strncmp(path, "/usr/", 5) != 0)
		kept += 4;
	return file - kept == name - path && !strncmp(path, kept, (size_t)(name - path));
}

static const ct_u8 *resolve(struct ct_gdb *g, const char *path)
{
	const ct_u8 *hash = ct_gdb_kept(g, path);

	for (size_t i = 0; i < g->kept.n && !hash; i++)
		if (may_link(path, g->kept.list[i].path))
			hash = g->kept.list[i].hash;
	return hash;
}

/* ---- for a gdb on this machine ---------------------------------------------------------------------------------- */

static void link_as(const char *dir, const char *path, size_t len, const char *target)
{
	char full[PATH_MAX];
	const int n = snprintf(full, sizeof(full), "%s%.*s", dir, (int)len, path);

	if (n < 0 || (size_t)n >= sizeof(full) || strstr(full, "/../"))
		return;
	for (char *p = full + strlen(dir) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(full, 0700);
		*p = '/';
	}
	if (symlink(target, full))
		return; /* there is one of that name already */
}

/* The path itself, and its sonames: libz.so.1.2 was found as libz.so.1, too. */
static void link_names(const char *dir, const char *path, const char *target)
{
	const char *so = strstr(path, ".so.");

	link_as(dir, path, strlen(path), target);
	if (!so || strchr(so, '/'))
		return;
	for (so += 3; so; so = strchr(so + 1, '.'))
		link_as(dir, path, (size_t)(so - path), target);
}

int ct_gdb_sysroot(struct ct_timeline *tl, const char *dir, struct ct_error *err)
{
	struct ct_gdb *g = calloc(1, sizeof(*g));
	char base[PATH_MAX], target[PATH_MAX + 64], hex[33];

	if (!g)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	g->tl = tl;
	if (!realpath(ct_recording_path(ct_timeline_recording(tl)), base)) {
		free(g);
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot find the recording");
	}
	look_for_kept(g);
	for (size_t i = 0; i < g->kept.n; i++) {
		const char *path = g->kept.list[i].path, *name = strrchr(path, '/');

		if (path[0] != '/')
			continue;
		ct_hash_format(g->kept.list[i].hash, hex);
		snprintf(target, sizeof(target), "%s/files/%s", base, hex);
		link_names(dir, path, target);
		if (!strncmp(path, "/usr/lib", 8)) /* /lib is a link to it, mostly */
			link_names(dir, path + 4, target);
		if (!strcmp(name, "/ld-linux-x86-64.so.2"))
			link_as(dir, "/lib64/ld-linux-x86-64.so.2", 27, target);
	}
	ct_gdb_close_files(g);
	free(g);
	return 0;
}

/* ---- vFile ------------------------------------------------------------------------------------------------------ */

/* "/proc/PID/maps", "/proc/PID/task/TID/maps": what is behind the last slash; NULL: nothing of the process. */
static const char *of_process(struct ct_gdb *g, const char *path)
{
	unsigned pid, tid;
	int end = 0;

	if ((sscanf(path, "/proc/%u/task/%u/%n", &pid, &tid, &end) != 2 || !end) &&
	    (sscanf(path, "/proc/%u/%n", &pid, &end) != 1 || !end))
		return NULL;
	return pid == ct_timeline_pid(g->tl) ? path + end : NULL;
}

/* What a replica has mapped are files of the recording: the path that such a one had. */
static const char *recorded_name(struct ct_gdb *g, const char *name)
{
	const char *hash = strrchr(name, '/');
	char hex[33];

	if (!g->looked_for_kept)
		look_for_kept(g);
	for (size_t i = 0; hash && i < g->kept.n; i++) {
		ct_hash_format(g->kept.list[i].hash, hex);
		if (!strcmp(hex, hash + 1))
			return g->kept.list[i].path;
	}
	return name;
}

static int put_maps(struct ct_gdb *g, int fd)
{
	struct ct_maps maps;

	if (ct_session_maps(ct_timeline_session(g->tl), ct_timeline_pid(g->tl), &maps, NULL))
		return -1;
	for (size_t i = 0; i < maps.count; i++) {
		const struct ct_map *m = &maps.map[i];

		dprintf(fd, "%llx-%llx %c%c%c%c %08llx %02x:%02x %llu %s\n", (unsigned long long)m->start,
			(unsigned long long)m->end, m->prot & 1 ? 'r' : '-', m->prot & 2 ? 'w' : '-',
			m->prot & 4 ? 'x' : '-', m->shared ? 's' : 'p', (unsigned long long)m->offset, m->dev_major,
			m->dev_minor, (unsigned long long)m->ino, recorded_name(g, m->name));
	}
	ct_maps_deinit(&maps);
	return 0;
}

static int put_arguments(struct ct_gdb *g, int fd)
{
	struct ct_snapshot_reader *snap;
	const struct ct_snap_proc *p = ct_gdb_process(g, &snap);
	ct_u64 at = p ? p->arg_start : 0;
	const ct_u64 end = p && p->arg_end - at < MOST_ARGUMENTS ? p->arg_end : at;

	ct_snapshot_reader_close(snap);
	for (; at < end; at++) {
		char c;

		if (ct_session_read(ct_timeline_session(g->tl), ct_timeline_pid(g->tl), at, &c, 1, NULL) ||
		    write(fd, &c, 1) != 1)
			return -1;
	}
	return 0;
}

/* What gdb looks for there: the vDSO; `info proc`. -1: it is none of these. */
static int open_of_process(struct ct_gdb *g, const char *name)
{
	static const struct {
		const char *name;
		int (*put)(struct ct_gdb *g, int fd);
	} files[] = {{"maps", put_maps}, {"cmdline", put_arguments}};

	for (size_t i = 0; name && i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(files[i].name, name)) {
			const int fd = memfd_create("ctbpf-proc", MFD_CLOEXEC);

			if (fd < 0 || !files[i].put(g, fd))
				return fd;
			close(fd);
		}
	return -1;
}

static bool get_path(struct ct_gdb_text *t, char *path, size_t room)
{
	size_t len;

	if (!ct_gdb_bytes(t, path, room - 1, &len))
		return false;
	path[len] = 0;
	return true;
}

static void open_file(struct ct_gdb *g, struct ct_gdb_text t)
{
	const ct_u8 *hash;
	char path[4096];
	int slot = 0;

	if (!get_path(&t, path, sizeof(path))) {
		refuse(g, INVALID);
		return;
	}
	while (slot < CT_GDB_FILES && g->files[slot])
		slot++;
	if (slot < CT_GDB_FILES && (g->files[slot] = open_of_process(g, of_process(g, path)) + 1)) {
		ct_gdb_putf(&g->out, "F%x", slot);
		return;
	}
	hash = resolve(g, path);
	if (slot == CT_GDB_FILES || !hash) {
		refuse(g, hash ? TOO_MANY : NO_ENTRY);
		return;
	}
	g->files[slot] = ct_file_open(ct_recording_dirfd(ct_timeline_recording(g->tl)), hash, false, NULL) + 1;
	if (g->files[slot] <= 0) {
		g->files[slot] = 0;
		refuse(g, NO_ENTRY);
		return;
	}
	ct_gdb_putf(&g->out, "F%x", slot);
}

static int descriptor(struct ct_gdb *g, struct ct_gdb_text *t, ct_u64 *slot)
{
	return ct_gdb_hex(t, slot) && *slot < CT_GDB_FILES && g->files[*slot] ? g->files[*slot] - 1 : -1;
}

static void close_file(struct ct_gdb *g, struct ct_gdb_text t)
{
	ct_u64 slot;
	const int fd = descriptor(g, &t, &slot);

	if (fd < 0) {
		refuse(g, BAD_FD);
		return;
	}
	close(fd);
	g->files[slot] = 0;
	ct_gdb_putf(&g->out, "F0");
}

static void read_file(struct ct_gdb *g, struct ct_gdb_text t)
{
	static const size_t most = CT_GDB_PACKET_MAX / 2 - 32;
	ct_u64 slot, count, offset;
	const int fd = descriptor(g, &t, &slot);
	char *buf;
	ssize_t n;

	if (fd < 0) {
		refuse(g, BAD_FD);
		return;
	}
	if (!ct_gdb_word(&t, ",") || !ct_gdb_hex(&t, &count) || !ct_gdb_word(&t, ",") || !ct_gdb_hex(&t, &offset) ||
	    offset > INT64_MAX) {
		refuse(g, INVALID);
		return;
	}
	if (count > most)
		count = most;
	buf = malloc(count ? count : 1);
	n = buf ? pread(fd, buf, count, (off_t)offset) : -1;
	if (n < 0) {
		refuse(g, INVALID);
	} else {
		ct_gdb_putf(&g->out, "F%zx;", (size_t)n);
		ct_gdb_put_binary(&g->out, buf, (size_t)n);
	}
	free(buf);
}

static void put_be(unsigned char **p, ct_u64 value, int bytes)
{
	while (bytes--)
		*(*p)++ = (unsigned char)(value >> (8 * bytes));
}

static void stat_file(struct ct_gdb *g, struct ct_gdb_text t)
{
	ct_u64 slot;
	const int fd = descriptor(g, &t, &slot);
	unsigned char packed[64], *p = packed;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		refuse(g, BAD_FD);
		return;
	}
	put_be(&p, 0, 4); /* dev: not the one it was on */
	put_be(&p, st.st_ino & 0xffffffff, 4);
	put_be(&p, st.st_mode, 4);
	put_be(&p, 1, 4);
	put_be(&p, 0, 4);
	put_be(&p, 0, 4);
	put_be(&p, 0, 4);
	put_be(&p, (ct_u64)st.st_size, 8);
	put_be(&p, 4096, 8);
	put_be(&p, (ct_u64)st.st_blocks, 8);
	put_be(&p, 0, 4); /* times: gdb would compare them with its own files' */
	put_be(&p, (ct_u64)st.st_mtime & 0xffffffff, 4);
	put_be(&p, 0, 4);
	ct_gdb_putf(&g->out, "F%zx;", sizeof(packed));
	ct_gdb_put_binary(&g->out, packed, sizeof(packed));
}

static void read_link(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_snapshot_reader *snap = NULL;
	const struct ct_snap_proc *p = NULL;
	const char *name, *target = NULL;
	char path[4096];

	if (get_path(&t, path, sizeof(path)) && (name = of_process(g, path)) && (p = ct_gdb_process(g, &snap)))
		target = !strcmp(name, "exe") ? p->exe : !strcmp(name, "cwd") ? p->cwd : NULL;
	if (target) {
		ct_gdb_putf(&g->out, "F%zx;", strlen(target));
		ct_gdb_put_binary(&g->out, target, strlen(target));
	} else {
		refuse(g, INVALID);
	}
	ct_snapshot_reader_close(snap);
}

void ct_gdb_file(struct ct_gdb *g, struct ct_gdb_text t)
{
	if (ct_gdb_word(&t, "setfs:"))
		ct_gdb_putf(&g->out, "F0");
	else if (ct_gdb_word(&t, "open:"))
		open_file(g, t);
	else if (ct_gdb_word(&t, "close:"))
		close_file(g, t);
	else if (ct_gdb_word(&t, "pread:"))
		read_file(g, t);
	else if (ct_gdb_word(&t, "fstat:"))
		stat_file(g, t);
	else if (ct_gdb_word(&t, "readlink:"))
		read_link(g, t);
	else if (ct_gdb_word(&t, "pwrite:") || ct_gdb_word(&t, "unlink:"))
		refuse(g, READ_ONLY);
}
