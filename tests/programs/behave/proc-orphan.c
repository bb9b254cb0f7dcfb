// SPDX-License-Identifier: MIT
/* Children whose parents end before them; their parent waits for a descriptor to be closed. */
#include "behave.h"

int main(void)
{
	char buf[100];
	int p[2], status;
	long n;

	for (int i = 0; i < 4; i++) {
		OK(pipe(p));
		pid_t pid = OK(fork());
		if (!pid) {
			if (!fork()) {
				close(p[0]);
				dprintf(p[1], "grandchild %d", i);
				_exit(0);
			}
			_exit(0);
		}
		close(p[1]);
		do {
			FILL(buf);
			n = OK(read(p[0], buf, sizeof(buf)));
			GOT(buf);
		} while (n);
		OK(waitpid(pid, &status, 0));
		close(p[0]);
	}
	return end();
}
