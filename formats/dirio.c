/* SPDX-License-Identifier: MIT
 * File access below a recording's directory.
 *
 * Nothing here follows a symbolic link or blocks on a FIFO: a recording may come from anybody. */
#include "dirio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ct_dir_openat(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int ct_regular_openat(int dirfd, const char *name, struct stat *st)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int saved;

	if (fd < 0)
		return -1;
	if (fstat(fd, st) == 0) {
		if (S_ISREG(st->st_mode))
			return fd;
		errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int ct_file_createat(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

ssize_t ct_pread_full(int fd, void *buf, size_t len, ct_u64 offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int ct_pwrite_full(int fd, const void *buf, size_t len, ct_u64 offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = EIO;
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

void *ct_pread_alloc(int fd, size_t len, ct_u64 offset, const char *what, struct ct_error *err)
{
	void *buf = malloc(len ? len : 1);
	ssize_t n;

	if (!buf) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory for %zu bytes", what, len);
		return NULL;
	}
	n = ct_pread_full(fd, buf, len, offset);
	if (n == (ssize_t)len)
		return buf;
	if (n < 0)
		ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot read at offset %llu", what, (unsigned long long)offset);
	else
		ct_fail(err, CT_EXIT_FAILED, "%s: truncated at offset %llu", what,
			(unsigned long long)offset + (unsigned long long)n);
	free(buf);
	return NULL;
}

int ct_fail_write(struct ct_error *err, const char *what)
{
	switch (errno) {
	case ENOSPC:
		return ct_fail(err, CT_EXIT_FAILED, "%s: the file system is full; free space or record elsewhere",
			       what);
	case EDQUOT:
		return ct_fail(err, CT_EXIT_FAILED, "%s: disk quota exceeded; free space or record elsewhere", what);
	case EFBIG:
		return ct_fail(err, CT_EXIT_FAILED, "%s: the file size limit is reached; raise it (ulimit -f)", what);
	default: return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot write", what);
	}
}

ct_u32 ct_numbered_name(const char *name, const char *suffix)
{
	ct_u64 n = 0;
	size_t digits = 0;
	char canonical[32];

	for (; name[digits] >= '0' && name[digits] <= '9' && digits < 10; digits++)
		n = n * 10 + (ct_u64)(name[digits] - '0');
	if (digits < 6 || n == 0 || n > UINT32_MAX || strcmp(name + digits, suffix) != 0)
		return 0;
	/* "0000001" would be a second name for 1. */
	snprintf(canonical, sizeof(canonical), "%06llu", (unsigned long long)n);
	return strlen(canonical) == digits ? (ct_u32)n : 0;
}
