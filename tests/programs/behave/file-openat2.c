// SPDX-License-Identifier: MIT
/* open with many flags, openat2, creat, paths that lead nowhere. */
#include "behave.h"
#include <linux/openat2.h>

int main(void)
{
	struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600, .resolve = RESOLVE_BENEATH};
	int dir = OK(open(".", O_PATH | O_DIRECTORY));

	OK(syscall(SYS_openat2, dir, "f", &how, sizeof(how)));
	TRY(syscall(SYS_openat2, dir, "/etc/passwd", &how, sizeof(how)));
	TRY(syscall(SYS_openat2, dir, "f", &how, 3));
	OK(creat("c", 0600));
	TRY(open("f", O_CREAT | O_EXCL, 0600));
	TRY(open("f/x", O_RDONLY));
	TRY(open("", O_RDONLY));
	TRY(open("/proc/self/fd/77", O_RDONLY));
	OK(open("f", O_RDWR | O_SYNC | O_NOATIME));
	TRY(open("f", O_RDWR | O_DIRECT));
	OK(symlink("loop", "loop"));
	TRY(open("loop", O_RDONLY));
	TRY(open("loop", O_RDONLY | O_NOFOLLOW));
	return end();
}
