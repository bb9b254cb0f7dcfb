// SPDX-License-Identifier: MIT
/* Children that die of signals, of their own and of faults. */
#include "behave.h"
#include <signal.h>

int main(void)
{
	int status;

	for (int i = 0; i < 7; i++) {
		pid_t pid = OK(fork());

		if (!pid) {
			switch (i) {
			case 0: abort();
			case 1: *(volatile int *)nowhere() = 1; break;
			case 2: __builtin_trap();
			case 3: raise(SIGKILL); break;
			case 4: alarm(1), raise(SIGALRM); break;
			case 5: exit(300);
			default: syscall(SYS_exit, 12);
			}
			_exit(99);
		}
		OK(waitpid(pid, &status, 0));
		mix_number(status);
	}
	return end();
}
