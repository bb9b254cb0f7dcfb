// SPDX-License-Identifier: MIT
/* Users, groups, sessions: asked for and changed. */
#include "behave.h"
#include <grp.h>
#include <sys/fsuid.h>

int main(void)
{
	gid_t list[20] = {1, 2, 3};
	uid_t r, e, s;

	mix_number(getuid() + geteuid() + getgid() + getegid() + getppid() + getpgrp() + gettid());
	OK(getpgid(0));
	OK(getsid(0));
	OK(setgroups(3, list));
	FILL(list);
	OK(getgroups(20, list));
	GOT(list);
	TRY(getgroups(1, list));
	OK(getgroups(0, NULL));
	pid_t pid = OK(fork());
	if (!pid) {
		OK(setsid());
		OK(setregid(5, 6));
		OK(setresgid(-1, 7, -1));
		OK(setfsuid(9));
		OK(setreuid(0, 1000));
		FILL(r), FILL(e), FILL(s);
		OK(getresuid(&r, &e, &s));
		GOT(r), GOT(e), GOT(s);
		OK(getresgid(&r, &e, &s));
		GOT(r), GOT(e), GOT(s);
		TRY(setuid(77));
		TRY(setpgid(0, 0));
		_exit(end());
	}
	int status;

	OK(waitpid(pid, &status, 0));
	return end() | status;
}
