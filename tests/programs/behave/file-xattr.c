// SPDX-License-Identifier: MIT
/* Extended attributes: set, listed, read, removed; sizes asked for, buffers too small. */
#include "behave.h"
#include <sys/xattr.h>

int main(void)
{
	char buf[200];
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(symlink("f", "s"));
	OK(setxattr("f", "user.one", "1234567890", 10, 0));
	OK(fsetxattr(fd, "user.two", buf, 0, XATTR_CREATE));
	TRY(fsetxattr(fd, "user.two", "x", 1, XATTR_CREATE));
	OK(lsetxattr("s", "trusted.three", "3", 1, 0));
	for (size_t size = 0; size < sizeof(buf); size += 11) {
		FILL(buf);
		TRY(getxattr("f", "user.one", buf, size));
		TRY(fgetxattr(fd, "user.two", buf, size));
		TRY(lgetxattr("s", "trusted.three", buf + 20, size));
		GOT(buf);
		TRY(listxattr("f", buf, size));
		TRY(flistxattr(fd, buf + 100, size / 2));
		TRY(llistxattr("s", buf + 20, size / 2));
		GOT(buf);
	}
	OK(removexattr("f", "user.one"));
	TRY(fremovexattr(fd, "user.none"));
	OK(lremovexattr("s", "trusted.three"));
	return end();
}
