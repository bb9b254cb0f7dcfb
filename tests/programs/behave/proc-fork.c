// SPDX-License-Identifier: MIT
/* fork: children that compute, write and end with a status of their own. */
#include "behave.h"

int main(void)
{
	int value = 1, status;

	for (int i = 0; i < 8; i++) {
		pid_t pid = OK(fork());

		if (!pid) {
			value *= 1000 + i;
			mix_number(value);
			mix_number(getpid()), mix_number(getppid());
			end();
			_exit(i);
		}
		value += i;
		OK(waitpid(pid, &status, 0));
		mix_number(status);
	}
	return end();
}
