// SPDX-License-Identifier: MIT
/* What /proc tells of a process: mappings and stat fields. Declared in tracee.h.
 * Reads a whole file first: the kernel gives a consistent picture per read, not across them. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay/tracee.h"

char *ct_read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 1 << 16, n = 0;
	char *text;

	if (fd < 0)
		return NULL;
	text = malloc(room + 1);
	while (text) {
		ssize_t got = read(fd, text + n, room - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got < 0) {
				free(text);
				text = NULL;
			}
			break;
		}
		n += got;
		if (n == room) {
			char *more = realloc(text, (room *= 2) + 1);

			if (!more)
				free(text);
			text = more;
		}
	}
	close(fd);
	if (!text)
		return NULL;
	text[n] = 0;
	if (len)
		*len = n;
	return text;
}

void ct_maps_deinit(struct ct_maps *maps)
{
	free(maps->map);
	free(maps->text);
	memset(maps, 0, sizeof(*maps));
}

static bool parse_line(char *line, struct ct_map *map)
{
	unsigned long long start, end, offset, ino;
	unsigned major, minor;
	char perms[8];
	int at = 0;

	if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu%n", &start, &end, perms, &offset, &major, &minor, &ino, &at) !=
	    7)
		return false;
	map->start = start;
	map->end = end;
	map->offset = offset;
	map->ino = ino;
	map->dev_major = major;
	map->dev_minor = minor;
	map->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		    (perms[2] == 'x' ? PROT_EXEC : 0);
	map->shared = perms[3] == 's';
	while (line[at] == ' ')
		at++;
	map->name = line + at;
	return true;
}

int ct_maps_read(pid_t pid, struct ct_maps *maps, struct ct_error *err)
{
	size_t lines = 0;
	char path[64], *p, *next;

	memset(maps, 0, sizeof(*maps));
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps->text = ct_read_file(path, NULL);
	if (!maps->text)
		return ct_fail_errno(err, CT_EXIT_NOT_ATTACHED, "cannot read %s", path);
	for (p = maps->text; (p = strchr(p, '\n')); p++)
		lines++;
	maps->map = calloc(lines + 1, sizeof(*maps->map));
	if (!maps->map) {
		ct_maps_deinit(maps);
		return ct_fail(err, CT_EXIT_FAILED, "out of memory reading %s", path);
	}
	for (p = maps->text; *p; p = next) {
		next = strchr(p, '\n');
		if (!next)
			break;
		*next++ = 0;
		if (parse_line(p, &maps->map[maps->count]))
			maps->count++;
	}
	return 0;
}

const struct ct_map *ct_maps_find(const struct ct_maps *maps, ct_u64 addr)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (addr >= maps->map[mid].end)
			low = mid + 1;
		else
			high = mid;
	}
	return low < maps->count && addr >= maps->map[low].start ? &maps->map[low] : NULL;
}

ct_u64 ct_proc_stat(pid_t pid, pid_t tid, int field)
{
	char path[64], *text, *p;
	ct_u64 value = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	text = ct_read_file(path, NULL);
	if (!text)
		return 0;
	p = strrchr(text, ')'); /* the name may hold anything, parentheses and spaces too */
	for (int i = 2; p && i < field; i++)
		p = strchr(p + 1, ' ');
	if (p && *p == ' ')
		value = isalpha((unsigned char)p[1]) ? (ct_u64)p[1] : strtoull(p + 1, NULL, 10);
	free(text);
	return value;
}

ct_u64 ct_proc_status(pid_t pid, const char *key, int base)
{
	char path[64], *text, *line;
	const size_t len = strlen(key);
	ct_u64 value = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	text = ct_read_file(path, NULL);
	/* The name, in the first line, has its newlines escaped (proc_task_name()). */
	for (line = text; line && strncmp(line, key, len); line = line ? line + 1 : NULL)
		line = strchr(line, '\n');
	if (line)
		value = strtoull(line + len, NULL, base);
	free(text);
	return value;
}
