// SPDX-License-Identifier: MIT
/* Locks of files: POSIX, of open files, flock; a child holds some. */
#include "behave.h"
#include <sys/file.h>

int main(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_start = 10, .l_len = 20};
	int p[2], status, fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	char c = 0;
	pid_t pid;

	OK(fcntl(fd, F_SETLK, &l));
	OK(pipe(p));
	pid = OK(fork());
	if (!pid) {
		int own = OK(open("f", O_RDWR));

		FILL(l);
		l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
		OK(fcntl(own, F_GETLK, &l));
		GOT(l);
		TRY(flock(own, LOCK_EX | LOCK_NB));
		l = (struct flock){.l_type = F_RDLCK, .l_start = 100, .l_len = 1};
		OK(fcntl(own, F_OFD_SETLK, &l));
		OK(write(p[1], &c, 1));
		_exit(end());
	}
	OK(flock(fd, LOCK_SH));
	OK(read(p[0], &c, 1));
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	l = (struct flock){.l_type = F_WRLCK};
	OK(fcntl(fd, F_OFD_GETLK, &l));
	GOT(l);
	OK(lockf(fd, F_TEST, 5));
	OK(flock(fd, LOCK_UN));
	return end() | status;
}
