/* SPDX-License-Identifier: MIT
 * Survey of a target: its mappings and descriptors - memory that something else than its own code may change.
 *
 * Replay rebuilds memory from the process's own instructions and logged system calls. Whatever the kernel, a device or
 * another process writes behind its back cannot be rebuilt, so each such thing is found here and named. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../out.h"
#include "../../replay/tracee.h"
#include "survey_priv.h"
#include "target.h"

struct map {
	unsigned long long start, end, inode;
	unsigned major, minor;
	char perms[5];
	const char *name; /* into the line */
};

/* Parses one line of /proc/PID/maps, which it cuts off at its newline. NULL at the end, else the next line. */
static char *next_map(char *line, struct map *map)
{
	char *end = strchr(line, '\n');
	int name = 0;
	if (!end)
		return NULL;
	*end = '\0';
	if (sscanf(line, "%llx-%llx %4s %*x %x:%x %llu %n", &map->start, &map->end, map->perms, &map->major,
		   &map->minor, &map->inode, &name) != 6)
		return NULL;
	map->name = line + name;
	return end + 1;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* ---- Shared mappings, and who else writes to them ---- */

#define MAX_SHARED 256

struct shared {
	unsigned long long inode;
	unsigned major, minor;
	bool writable; /* by the target */
	char name[160];
	pid_t writer; /* another process that maps it shared and writable, 0: none seen */
};
struct scan {
	struct shared shared[MAX_SHARED];
	unsigned count;
	bool overflow;
	bool (*inside)(void *ctx, pid_t pid); /* whether it is recorded, too */
	void (*each)(void *ctx);
	void *ctx;
	unsigned unreadable;
};

static void add_shared(struct scan *scan, const struct map *map)
{
	bool writable = map->perms[1] == 'w';
	for (unsigned i = 0; i < scan->count; i++) {
		struct shared *old = &scan->shared[i];
		if (old->inode == map->inode && old->major == map->major && old->minor == map->minor) {
			old->writable |= writable;
			return;
		}
	}
	if (scan->count == MAX_SHARED) {
		scan->overflow = true;
		return;
	}
	struct shared *shared = &scan->shared[scan->count++];
	*shared = (struct shared){.inode = map->inode, .major = map->major, .minor = map->minor, .writable = writable};
	snprintf(shared->name, sizeof(shared->name), "%s", map->name);
}

/* Itself; and who is recorded with it runs on the same CPU: what they write to the memory they share has an order. */
static bool in_group(void *ctx, pid_t pid)
{
	const struct ct_survey *s = ctx;
	pid_t up = (pid_t)ct_proc_stat(pid, pid, 4);
	for (size_t i = 0; i < s->ngroup; i++) {
		if (s->group[i] == pid)
			return true;
		/* A child made since this program began is attached to with its parent. */
		if (s->group[i] == up && ct_proc_stat(pid, pid, 22) >= ct_proc_stat(getpid(), getpid(), 22))
			return true;
	}
	return false;
}

static bool scan_process(void *ctx, pid_t pid)
{
	struct scan *scan = ctx;
	struct map map;
	int inside = -1; /* not known yet */
	if (scan->each)
		scan->each(scan->ctx);
	char *text = ct_proc_read(pid, "maps", NULL);
	if (!text) {
		scan->unreadable += errno == EACCES || errno == EPERM;
		return true;
	}
	for (char *line = text; (line = next_map(line, &map));) {
		if (map.perms[1] != 'w' || map.perms[3] != 's' || !map.inode)
			continue;
		for (unsigned i = 0; i < scan->count; i++) {
			struct shared *s = &scan->shared[i];
			if (s->inode != map.inode || s->major != map.major || s->minor != map.minor || s->writer)
				continue;
			if (inside < 0)
				inside = scan->inside(scan->ctx, pid);
			if (!inside)
				s->writer = pid;
		}
	}
	free(text);
	return true;
}

/* "/dev/zero (deleted)" is how the kernel names anonymous shared memory. */
static const char *shared_label(const char *name)
{
	if (starts(name, "/dev/zero"))
		return "anonymous shared memory";
	if (starts(name, "/SYSV"))
		return "System V shared memory";
	return name;
}

static void survey_shared(struct ct_survey *s, struct scan *scan)
{
	unsigned alone = 0, writable = 0;
	char label[48], fix[192];
	if (!scan->count)
		return;
	ct_each_process(scan_process, scan);
	for (unsigned i = 0; i < scan->count; i++) {
		const struct shared *shared = &scan->shared[i];
		writable += shared->writable;
		if (!shared->writer) {
			alone += shared->writable;
			continue;
		}
		snprintf(fix, sizeof(fix),
			 "end process %d, record both from their start (`ctbpf record -- COMMAND`), or record events "
			 "only with --no-replay",
			 shared->writer);
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "shared_memory", fix,
			       "it shares memory (%s) with %s, which can write to it", shared_label(shared->name),
			       ct_target_label(label, sizeof(label), shared->writer));
	}
	if (alone)
		ct_finding_add(s->f, CT_FIND_OK, "shared_alone", NULL, "shared writable mappings: %u, all its own",
			       alone);
	if (scan->overflow)
		ct_finding_add(s->f, CT_FIND_NOTE, "shared_many", NULL,
			       "it has more than %d shared mappings; the others were not looked into", MAX_SHARED);
	/* Read-only ones are locale caches and the like: not worth a warning. */
	if (scan->unreadable && writable)
		ct_finding_add(s->f, CT_FIND_NOTE, "shared_unknown", geteuid() ? "run as root to see all" : NULL,
			       "processes that may not be looked into, and might write to its shared memory: %u",
			       scan->unreadable);
}

pid_t ct_survey_outsider(const pid_t *group, size_t count, bool (*inside)(void *ctx, pid_t pid),
			 void (*each)(void *ctx), void *ctx, char *what, size_t len)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	struct map map;
	pid_t found = 0;
	if (!scan)
		return 0;
	scan->inside = inside;
	scan->each = each;
	scan->ctx = ctx;
	for (size_t i = 0; i < count; i++) {
		char *text = ct_proc_read(group[i], "maps", NULL);
		for (char *line = text; line && (line = next_map(line, &map));)
			if (map.perms[3] == 's' && map.inode && !starts(map.name, "anon_inode:"))
				add_shared(scan, &map);
		free(text);
	}
	if (scan->count)
		ct_each_process(scan_process, scan);
	for (unsigned i = 0; i < scan->count && !found; i++) {
		found = scan->shared[i].writer;
		if (found)
			snprintf(what, len, "%s", shared_label(scan->shared[i].name));
	}
	free(scan);
	return found;
}

/* ---- Mappings ---- */

struct maps_seen {
	bool aio, vdso, probed, interpreter;
	unsigned long long jit_bytes;
	unsigned devices, low;
};

static bool is_device(pid_t pid, const struct map *map, char type[8])
{
	char path[96];
	struct stat st;
	/* The link leads to the mapped file itself, whatever happened to its name; it wants privileges. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, map->start, map->end);
	if (stat(path, &st)) {
		snprintf(type, 8, "device");
		return starts(map->name, "/dev/") && !starts(map->name, "/dev/shm/") &&
		       !starts(map->name, "/dev/zero") && !starts(map->name, "/dev/hugepages") &&
		       !starts(map->name, "/dev/mqueue");
	}
	bool zero = S_ISCHR(st.st_mode) && major(st.st_rdev) == 1 && minor(st.st_rdev) == 5;
	snprintf(type, 8, "%s", S_ISCHR(st.st_mode) ? "device" : "disk");
	return (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && !zero;
}

/* Language runtimes, by the file names they are mapped from: start of the last path component, and what to call it. */
static const char *interpreter_of(const char *path)
{
	static const struct {
		const char *file, *name;
	} known[] = {{"python", "Python"},    {"libpython", "Python"}, {"ruby", "Ruby"},
		     {"libruby", "Ruby"},     {"node", "Node.js"},     {"libnode", "Node.js"},
		     {"php", "PHP"},          {"libphp", "PHP"},       {"perl", "Perl"},
		     {"libperl", "Perl"},     {"libjvm", "Java"},      {"libcoreclr", ".NET"},
		     {"libmonosgen", "Mono"}, {"beam.smp", "Erlang"},  {"lua", "Lua"},
		     {"liblua", "Lua"},       {"libluajit", "LuaJIT"}, {"deno", "Deno"},
		     {"bun", "Bun"},          {"libguile", "Guile"},   {"R", "R"}};
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	const char *found = NULL;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && !found; i++) {
		size_t len = strlen(known[i].file);
		/* "python3.11", "libpython3.11.so", "node": digits, dots, a version may follow, but no other word */
		if (!strncmp(file, known[i].file, len) && !strchr("abcdefghijklmnopqrstuvwxyz", file[len] | 0x20))
			found = known[i].name;
	}
	return found;
}

static void survey_one_map(struct ct_survey *s, const struct map *map, struct maps_seen *seen, struct scan *scan)
{
	char type[8];
	bool exec = map->perms[2] == 'x', shared = map->perms[3] == 's';
	if (!strcmp(map->name, "[vdso]"))
		seen->vdso = true;
	if (starts(map->name, "[uprobes"))
		seen->probed = true;
	if (exec && !map->inode && map->name[0] != '[')
		seen->jit_bytes += map->end - map->start;
	else if (exec && (starts(map->name, "[anon:") || starts(map->name, "/memfd:")))
		seen->jit_bytes += map->end - map->start;
	if (exec && map->inode && !seen->interpreter) {
		const char *language = interpreter_of(map->name);
		if (language)
			ct_finding_add(s->f, CT_FIND_NOTE, "runtime", NULL, "it runs %s (%s)", language, map->name);
		seen->interpreter = language != NULL;
	}
	if (map->start < CT_PLACES_BEGIN && map->start != CT_OWN_PAGE_LOW && !seen->low++)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "low_memory", "record events only with --no-replay",
			       "it has memory at %#llx, where a replay keeps its own", (unsigned long long)map->start);
	if (starts(map->name, "/[aio]")) {
		seen->aio = true;
	} else if (starts(map->name, "anon_inode:[io_uring]")) {
		return; /* the descriptor says it; one that has been closed is rare, and found below */
	} else if (starts(map->name, "anon_inode:") || starts(map->name, "socket:")) {
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "kernel_memory", "record events only with --no-replay",
			       "the kernel writes to memory it maps (%s)", map->name);
	} else if (map->inode && is_device(s->pid, map, type)) {
		if (!seen->devices++) /* drivers map dozens of windows: one line will do */
			ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "device_memory",
				       "record events only with --no-replay", "it maps the memory of a %s (%s)", type,
				       map->name);
	} else if (shared && map->inode) {
		add_shared(scan, map);
	}
}

void ct_survey_maps(struct ct_survey *s)
{
	struct maps_seen seen = {0};
	struct map map;
	char size[CT_HUMAN];
	bool ring_map = false;
	char *text = ct_proc_read(s->pid, "maps", NULL);
	struct scan *scan = calloc(1, sizeof(*scan));
	if (!scan)
		s->f->out_of_memory = true;
	if (!text || !*text || !scan) {
		free(text);
		free(scan);
		return; /* not permitted, which survey_access has said, or gone */
	}
	scan->inside = in_group;
	scan->ctx = s;
	for (char *line = text; (line = next_map(line, &map));) {
		survey_one_map(s, &map, &seen, scan);
		ring_map |= starts(map.name, "anon_inode:[io_uring]");
	}
	if (ring_map && !ct_findings_by_id(s->f, "io_uring"))
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "io_uring", "record events only with --no-replay",
			       "it maps an io_uring");
	if (seen.aio)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "aio",
			       "turn off native AIO in its configuration, or record events only with --no-replay",
			       "it uses Linux AIO (io_setup), whose completions the kernel writes to its memory");
	if (seen.probed)
		ct_finding_add(s->f, CT_FIND_NOTE, "uprobes", NULL, "some tool has uprobes in it, or had");
	if (!seen.vdso)
		ct_finding_add(s->f, CT_FIND_NOTE, "no_vdso", NULL,
			       "it has no vDSO; time calls through the old vsyscall page are not seen");
	if (seen.jit_bytes)
		ct_finding_add(s->f, CT_FIND_NOTE, "jit", NULL,
			       "%s of executable memory without a file (a JIT?): rdtsc and rdrand in there are not "
			       "recorded",
			       ct_human_bytes(size, seen.jit_bytes));
	survey_shared(s, scan);
	free(scan);
	free(text);
}

/* ---- Descriptors ---- */

struct fds_seen {
	int io_uring, userfaultfd, kvm, device;
	unsigned total;
	char device_name[256];
};

static void look_at_fd(struct fds_seen *seen, int fd, const char *target)
{
	static const char *const harmless[] = {
		"/dev/null", "/dev/zero", "/dev/full",    "/dev/random", "/dev/urandom", "/dev/tty",       "/dev/pts/",
		"/dev/ptmx", "/dev/shm/", "/dev/console", "/dev/log",    "/dev/mqueue",  "/dev/hugepages", "/dev/kmsg"};
	seen->total++;
	if (!strcmp(target, "anon_inode:[io_uring]"))
		seen->io_uring = fd;
	else if (!strcmp(target, "anon_inode:[userfaultfd]"))
		seen->userfaultfd = fd;
	else if (starts(target, "anon_inode:kvm-vcpu") || !strcmp(target, "/dev/kvm"))
		seen->kvm = fd;
	else if (starts(target, "/dev/")) {
		bool known = false;
		for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]) && !known; i++)
			known = starts(target, harmless[i]);
		if (!known) {
			seen->device = fd;
			snprintf(seen->device_name, sizeof(seen->device_name), "%s", target);
		}
	}
}

void ct_survey_fds(struct ct_survey *s)
{
	static const char events_only[] = "record events only with --no-replay";
	struct fds_seen seen = {.io_uring = -1, .userfaultfd = -1, .kvm = -1, .device = -1};
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", s->pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char target[256];
		if (entry->d_name[0] == '.')
			continue;
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		look_at_fd(&seen, atoi(entry->d_name), target);
	}
	if (dir)
		closedir(dir);
	if (seen.io_uring >= 0)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "io_uring", events_only, "it uses io_uring (descriptor %d)",
			       seen.io_uring);
	if (seen.userfaultfd >= 0)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "userfaultfd", events_only,
			       "it uses userfaultfd (descriptor %d)", seen.userfaultfd);
	if (seen.kvm >= 0)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "kvm", events_only,
			       "it runs a virtual machine (descriptor %d), whose memory changes without it", seen.kvm);
	if (seen.device >= 0)
		ct_finding_add(s->f, CT_FIND_NOTE, "device_fd", NULL,
			       "it has %s open (descriptor %d); ioctls that ctbpf does not know end the replayable "
			       "stretch",
			       seen.device_name, seen.device);
}
