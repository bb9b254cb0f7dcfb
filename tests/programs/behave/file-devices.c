// SPDX-License-Identifier: MIT
/* Devices: random numbers, zeros, nothing, full. */
#include "behave.h"
#include <sys/random.h>

int main(void)
{
	static char buf[4000];
	int zero = OK(open("/dev/zero", O_RDWR)), null = OK(open("/dev/null", O_RDWR)),
	    full = OK(open("/dev/full", O_RDWR)), rnd = OK(open("/dev/urandom", O_RDONLY));

	for (int i = 0; i < 20; i++) {
		FILL(buf);
		OK(read(rnd, buf, i * 100));
		GOT(buf);
		OK(read(zero, buf, i * 100));
		OK(read(full, buf + 100, i * 10));
		OK(read(null, buf, i * 100));
		GOT(buf);
		OK(getrandom(buf, 200 + i, i & 1 ? GRND_NONBLOCK : 0));
		GOT(buf);
		OK(write(null, buf, sizeof(buf)));
		TRY(write(full, buf, sizeof(buf)));
	}
	OK(getentropy(buf, 256));
	GOT(buf);
	return end();
}
