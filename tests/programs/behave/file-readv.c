// SPDX-License-Identifier: MIT
/* readv, preadv, preadv2 and their writing sisters, with empty and odd pieces. */
#include "behave.h"
#include <sys/uio.h>

int main(void)
{
	char a[10], b[1], c[4000];
	struct iovec iov[] = {{a, sizeof(a)}, {NULL, 0}, {b, sizeof(b)}, {c, sizeof(c)}};
	int fd = OK(open("/bin/sh", O_RDONLY)), out = OK(open("out", O_RDWR | O_CREAT, 0600));

	for (int i = 0; i < 10; i++) {
		FILL(a), FILL(b), FILL(c);
		OK(readv(fd, iov, 4));
		OK(writev(out, iov, 4));
		OK(preadv(fd, iov, 4, 100 * i));
		OK(pwritev(out, iov, 2, 50000));
		GOT(a), GOT(b), GOT(c);
		OK(preadv2(fd, iov, 3, -1, 0));
		OK(preadv2(out, iov, 4, 10, RWF_HIPRI));
		GOT(a), GOT(b), GOT(c);
	}
	FILL(c);
	OK(pread(out, c, sizeof(c), 48000));
	GOT(c);
	return end();
}
