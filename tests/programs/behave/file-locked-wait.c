// SPDX-License-Identifier: MIT
/* A lock waited for: F_SETLKW and flock that block until a child lets go. */
#include "behave.h"
#include <sys/file.h>

int main(void)
{
	struct flock l = {.l_type = F_WRLCK};
	int p[2], status, fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	char c = 0;

	for (int i = 0; i < 4; i++) {
		OK(pipe(p));
		pid_t pid = OK(fork());
		if (!pid) {
			int own = open("f", O_RDWR);

			if (i & 1 ? flock(own, LOCK_EX) : fcntl(own, F_SETLK, &l))
				_exit(1);
			OK(write(p[1], &c, 1));
			usleep(2000);
			_exit(0);
		}
		OK(read(p[0], &c, 1));
		if (i & 1)
			OK(flock(fd, LOCK_EX));
		else
			OK(fcntl(fd, F_SETLKW, &l));
		OK(waitpid(pid, &status, 0));
		mix_number(status);
		OK(flock(fd, LOCK_UN));
		l.l_type = F_UNLCK;
		OK(fcntl(fd, F_SETLK, &l));
		l.l_type = F_WRLCK;
		close(p[0]), close(p[1]);
	}
	return end();
}
