// SPDX-License-Identifier: MIT
/* Becomes a daemon: sessions, descriptors; its parent waits for a word from it. */
#include "behave.h"
#include <sys/prctl.h>

int main(void)
{
	int p[2];
	char buf[10];

	OK(pipe(p));
	OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t pid = OK(fork());
	if (!pid) {
		OK(daemon(1, 1));
		OK(write(p[1], "up", 3));
		_exit(0);
	}
	OK(read(p[0], buf, 3));
	mix(buf, 3);
	OK(wait(NULL));
	OK(wait(NULL));
	return end();
}
