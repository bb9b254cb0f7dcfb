// SPDX-License-Identifier: MIT
/* not replayable: ptrace */
#include "behave.h"
/* Traces a child: refused. */
#include <sys/ptrace.h>

int main(void)
{
	int status;
	pid_t pid = OK(fork());

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(19);
		_exit(0);
	}
	OK(waitpid(pid, &status, 0));
	TRY(ptrace(PTRACE_CONT, pid, 0, 0));
	OK(waitpid(pid, &status, 0));
	return end();
}
