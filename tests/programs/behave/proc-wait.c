// SPDX-License-Identifier: MIT
/* wait, waitpid, wait4 and waitid in their variants. */
#include "behave.h"
#include <signal.h>
#include <sys/resource.h>

int main(void)
{
	struct rusage ru;
	siginfo_t info;
	int status;
	pid_t pid;

	for (int i = 0; i < 6; i++) {
		pid = OK(fork());
		if (!pid) {
			if (i == 3)
				kill(getpid(), SIGTERM);
			if (i == 4)
				raise(SIGSTOP);
			_exit(i);
		}
		FILL(info), FILL(ru), FILL(status);
		switch (i) {
		case 0: OK(wait(&status)); break;
		case 1: OK(wait4(pid, &status, 0, &ru)); break;
		case 2:
			OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
			TRY(waitid(P_ALL, 0, &info, WEXITED | WNOHANG));
			break;
		case 3: OK(syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &ru)); break;
		case 4:
			OK(waitpid(pid, &status, WUNTRACED));
			mix_number(status);
			OK(kill(pid, SIGCONT));
			OK(waitpid(pid, &status, WCONTINUED));
			mix_number(status);
			OK(waitpid(pid, &status, 0));
			break;
		default: OK(waitpid(0, &status, 0));
		}
		GOT(info), GOT(ru), GOT(status);
	}
	TRY(wait(&status));
	TRY(waitpid(-1, &status, WNOHANG));
	return end();
}
