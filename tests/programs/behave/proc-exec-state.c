// SPDX-License-Identifier: MIT
/* What stays over an execve: ignored signals, masks, alarms, descriptors, directories. */
#include "behave.h"
#include <signal.h>

int main(int argc, char **argv)
{
	char *list[] = {argv[0], "again", NULL}, cwd[1000];
	sigset_t set;

	if (argc == 1) {
		signal(SIGUSR1, SIG_IGN);
		sigemptyset(&set);
		sigaddset(&set, SIGUSR2);
		OK(sigprocmask(SIG_BLOCK, &set, NULL));
		raise(SIGUSR2);
		OK(mkdir("d", 0700));
		OK(chdir("d"));
		OK(dup2(1, 77));
		OK(dup3(1, 78, O_CLOEXEC));
		alarm(50);
		execv("/proc/self/exe", list);
		return 1;
	}
	OK(sigprocmask(SIG_BLOCK, NULL, &set));
	GOT(set);
	OK(sigpending(&set));
	GOT(set);
	raise(SIGUSR1);
	MUST_BE(getcwd(cwd, sizeof(cwd)));
	mix_text(cwd);
	TRY(fcntl(77, F_GETFD));
	TRY(fcntl(78, F_GETFD));
	OK(alarm(0));
	return end();
}
