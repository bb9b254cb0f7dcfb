// SPDX-License-Identifier: MIT
/* vfork and exec, the way shells do it, with a pipe for the output. */
#include "behave.h"

int main(void)
{
	char buf[100];
	int p[2], status;

	for (volatile int i = 0; i < 4; i++) {
		OK(pipe(p));
		pid_t pid = vfork();

		if (!pid) {
			dup2(p[1], 1);
			execl("/bin/echo", "echo", "hello", NULL);
			_exit(127);
		}
		close(p[1]);
		FILL(buf);
		OK(read(p[0], buf, sizeof(buf)));
		GOT(buf);
		OK(waitpid(pid, &status, 0));
		close(p[0]);
	}
	return end() | status;
}
