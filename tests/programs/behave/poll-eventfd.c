// SPDX-License-Identifier: MIT
/* eventfds, counting and as semaphores, shared with a child. */
#include "behave.h"
#include <sys/eventfd.h>

int main(void)
{
	int status, a = OK(eventfd(3, EFD_NONBLOCK)), b = OK(eventfd(0, EFD_SEMAPHORE));
	uint64_t v;

	for (int i = 0; i < 10; i++) {
		v = i * 1000 + 1;
		OK(write(a, &v, 8));
		v = 2;
		OK(write(b, &v, 8));
		FILL(v);
		OK(read(a, &v, 8));
		GOT(v);
		OK(read(b, &v, 8));
		GOT(v);
		TRY(read(a, &v, 8));
	}
	pid_t pid = OK(fork());
	if (!pid) {
		v = 12345;
		_exit(write(a, &v, 8) != 8);
	}
	OK(waitpid(pid, &status, 0));
	OK(eventfd_read(a, &v));
	GOT(v);
	v = ~0ul;
	TRY(write(a, &v, 8));
	TRY(read(a, &v, 7));
	return end() | status;
}
