// SPDX-License-Identifier: MIT
/* posix_spawn with file actions and attributes. */
#include "behave.h"
#include <signal.h>
#include <spawn.h>

int main(void)
{
	char buf[100], *args[] = {"sh", "-c", "read x; echo got $x; exit 3", NULL},
		       *env[] = {"PATH=/bin:/usr/bin", NULL};
	int in[2], out[2], status;

	for (int i = 0; i < 3; i++) {
		posix_spawn_file_actions_t fa;
		posix_spawnattr_t attr;
		sigset_t set;
		pid_t pid;

		OK(pipe2(in, O_CLOEXEC));
		OK(pipe2(out, O_CLOEXEC));
		posix_spawn_file_actions_init(&fa);
		posix_spawn_file_actions_adddup2(&fa, in[0], 0);
		posix_spawn_file_actions_adddup2(&fa, out[1], 1);
		posix_spawnattr_init(&attr);
		sigfillset(&set);
		posix_spawnattr_setsigdefault(&attr, &set);
		posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
		OK(posix_spawn(&pid, "/bin/sh", &fa, &attr, args, env));
		OK(dprintf(in[1], "line %d\n", i));
		close(out[1]);
		FILL(buf);
		OK(read(out[0], buf, sizeof(buf)));
		GOT(buf);
		OK(waitpid(pid, &status, 0));
		mix_number(status);
		TRY(posix_spawn(&pid, "/no/such", &fa, NULL, args, env));
	}
	return end();
}
