// SPDX-License-Identifier: MIT
/* fcntl: flags, copies of descriptors, owners, signals, sizes of pipes. */
#include "behave.h"

int main(void)
{
	struct f_owner_ex owner = {F_OWNER_PID, getpid()};
	uint64_t hint = 2;
	int p[2], fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(pipe(p));
	OK(fcntl(fd, F_GETFD));
	OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	OK(fcntl(fd, F_GETFD));
	OK(fcntl(fd, F_GETFL));
	OK(fcntl(fd, F_SETFL, O_APPEND));
	OK(fcntl(fd, F_GETFL));
	OK(fcntl(fd, F_DUPFD, 50));
	OK(fcntl(fd, F_DUPFD_CLOEXEC, 60));
	OK(fcntl(p[0], F_SETOWN, getpid()));
	OK(fcntl(p[0], F_GETOWN));
	OK(fcntl(p[0], F_SETOWN_EX, &owner));
	FILL(owner);
	OK(fcntl(p[0], F_GETOWN_EX, &owner));
	GOT(owner);
	OK(fcntl(p[0], F_SETSIG, 34));
	OK(fcntl(p[0], F_GETSIG));
	OK(fcntl(p[0], F_GETPIPE_SZ));
	OK(fcntl(p[0], F_SETPIPE_SZ, 5000));
	TRY(fcntl(fd, F_SET_RW_HINT, &hint));
	FILL(hint);
	TRY(fcntl(fd, F_GET_RW_HINT, &hint));
	GOT(hint);
	TRY(fcntl(99, F_GETFD));
	return end();
}
