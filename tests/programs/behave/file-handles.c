// SPDX-License-Identifier: MIT
/* File handles, which are given out and opened again. */
#include "behave.h"

int main(void)
{
	struct {
		struct file_handle h;
		unsigned char more[128];
	} x;
	int mount, fd;
	char c;

	FILL(x);
	x.h.handle_bytes = 0;
	TRY(name_to_handle_at(AT_FDCWD, "/etc/passwd", &x.h, &mount, 0));
	GOT(x), GOT(mount);
	x.h.handle_bytes = 128;
	TRY(name_to_handle_at(AT_FDCWD, "/etc/passwd", &x.h, &mount, AT_SYMLINK_FOLLOW));
	GOT(x), GOT(mount);
	fd = open_by_handle_at(AT_FDCWD, &x.h, O_RDONLY);
	TRY(fd);
	TRY(read(fd, &c, 1));
	GOT(c);
	TRY(name_to_handle_at(AT_FDCWD, "none", &x.h, &mount, 0));
	return end();
}
