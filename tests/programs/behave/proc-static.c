// SPDX-License-Identifier: MIT
/* Runs a program that is linked statically. */
#include "behave.h"

int main(void)
{
	int status;
	pid_t pid = OK(fork());

	if (!pid) {
		execl("/sbin/ldconfig", "ldconfig", "-V", NULL);
		_exit(0);
	}
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	return end();
}
