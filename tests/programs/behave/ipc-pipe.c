// SPDX-License-Identifier: MIT
/* Pipes: filled, emptied, blocking both ways between two processes. */
#include "behave.h"

int main(void)
{
	static char buf[70000];
	int p[2], q[2], status;
	char c = 0;
	long n;

	OK(pipe2(q, O_NONBLOCK | O_CLOEXEC));
	do
		n = TRY(write(q[1], buf, 5000));
	while (!errno);
	mix_number(n);
	TRY(read(q[0], buf, sizeof(buf)));
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (!pid) {
		close(p[0]);
		for (int i = 0; i < 40; i++) {
			memset(buf, i, sizeof(buf));
			if (write(p[1], buf, 10000) != 10000)
				_exit(1);
		}
		_exit(0);
	}
	close(p[1]);
	while ((n = OK(read(p[0], buf, sizeof(buf)))) > 0)
		mix(buf, n);
	OK(waitpid(pid, &status, 0));
	mix_number(c);
	return end() | status;
}
