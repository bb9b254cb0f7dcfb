// SPDX-License-Identifier: MIT
/* A pipeline of three programs, made by hand. */
#include "behave.h"

int main(void)
{
	char *const cmd[3][4] = {{"seq", "1", "300"}, {"tac"}, {"cksum"}};
	int in = -1, p[2], status;
	char buf[100];

	for (int i = 0; i < 3; i++) {
		OK(pipe(p));
		pid_t pid = OK(fork());
		if (!pid) {
			if (in >= 0)
				dup2(in, 0);
			dup2(p[1], 1);
			close(p[0]), close(p[1]);
			execvp(cmd[i][0], cmd[i]);
			_exit(127);
		}
		close(p[1]);
		if (in >= 0)
			close(in);
		in = p[0];
	}
	FILL(buf);
	OK(read(in, buf, sizeof(buf)));
	GOT(buf);
	for (int i = 0; i < 3; i++)
		OK(wait(&status));
	return end();
}
