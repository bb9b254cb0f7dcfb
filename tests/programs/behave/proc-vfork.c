// SPDX-License-Identifier: MIT
/* vfork: the child writes into its parent's memory. */
#include "behave.h"

int main(void)
{
	volatile int value = 1;
	int status;

	for (volatile int i = 0; i < 10; i++) {
		pid_t pid = vfork();

		if (!pid) {
			value += i * 7;
			_exit(i);
		}
		mix_number(pid), mix_number(value);
		OK(waitpid(pid, &status, 0));
		mix_number(status);
	}
	return end();
}
