// SPDX-License-Identifier: MIT
/* Single buffers of more than a megabyte, which the log holds in pieces: read, pread, readv, recv. */
#include "behave.h"

#include <sys/socket.h>
#include <sys/uio.h>

#define BIG (3u << 20)

int main(void)
{
	unsigned char *a = malloc(BIG), *b = malloc(BIG);
	struct iovec iov[2] = {{a, BIG - 5}, {b, 7}};
	int random = OK(open("/dev/urandom", O_RDONLY)), file, pair[2], limit = 4 << 20;

	OK(read(random, a, 1200000));
	mix(a, 1200000);
	file = OK(open("big", O_RDWR | O_CREAT | O_TRUNC, 0600));
	OK(write(file, a, 1200000));
	OK(pread(file, b, BIG, 11));
	mix(b, 1200000 - 11);
	OK(readv(random, iov, 2));
	mix(a, BIG - 5);
	mix(b, 7);
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	TRY(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &limit, sizeof(limit)));
	OK(send(pair[0], a, 100000, 0));
	OK(recv(pair[1], b, BIG, 0));
	mix(b, 100000);
	return end();
}
