// SPDX-License-Identifier: MIT
/* lseek with all its origins, holes too. */
#include "behave.h"

int main(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	for (int i = 0; i < 5; i++)
		OK(pwrite(fd, "data", 4, i * 100000));
	for (off_t off = 0; off < 500000; off += 30011) {
		OK(lseek(fd, off, SEEK_SET));
		OK(lseek(fd, 10, SEEK_CUR));
		TRY(lseek(fd, off, SEEK_DATA));
		TRY(lseek(fd, off, SEEK_HOLE));
		OK(lseek(fd, 0, SEEK_END));
	}
	TRY(lseek(fd, -1, SEEK_SET));
	TRY(lseek(0, 0, 77));
	return end();
}
