// SPDX-License-Identifier: MIT
/* The family of stat, on several kinds of files. */
#include "behave.h"

int main(void)
{
	const char *const name[] = {"/", "/bin/sh", "/dev/null", "/proc/self", "/etc/hostname", "no such"};
	struct stat st;

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		FILL(st);
		TRY(stat(name[i], &st));
		GOT(st);
		TRY(lstat(name[i], &st));
		GOT(st);
		TRY(fstatat(AT_FDCWD, name[i], &st, AT_SYMLINK_NOFOLLOW));
		GOT(st);
		TRY(syscall(SYS_stat, name[i], &st));
		TRY(syscall(SYS_lstat, name[i], &st));
		GOT(st);
	}
	OK(syscall(SYS_fstat, 1, &st));
	GOT(st);
	return end();
}
