// SPDX-License-Identifier: MIT
/* A tree of processes: each has two children, three levels deep. */
#include "behave.h"

int main(void)
{
	int status, level = 0;

	for (int i = 0; i < 2 && level < 3; i++) {
		pid_t pid = OK(fork());

		if (!pid) {
			level++;
			i = -1;
			continue;
		}
		OK(waitpid(pid, &status, 0));
		mix_number(status);
	}
	if (level) {
		end();
		_exit(level);
	}
	return end();
}
