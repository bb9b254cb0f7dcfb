// SPDX-License-Identifier: MIT
/* fallocate: room, holes, zeros, collapsed and inserted ranges. */
#include "behave.h"

int main(void)
{
	static char buf[40000];
	struct stat st;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	memset(buf, 'x', sizeof(buf));
	OK(write(fd, buf, sizeof(buf)));
	TRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
	TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 9000));
	TRY(fallocate(fd, FALLOC_FL_ZERO_RANGE, 20000, 1000));
	TRY(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	TRY(fallocate(fd, FALLOC_FL_INSERT_RANGE, 8192, 4096));
	TRY(posix_fallocate(fd, 0, 60000));
	FILL(buf);
	OK(pread(fd, buf, sizeof(buf), 0));
	GOT(buf);
	OK(fstat(fd, &st));
	GOT(st);
	return end();
}
