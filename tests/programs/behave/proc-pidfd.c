// SPDX-License-Identifier: MIT
/* pidfds: opened, waited for, signalled through, used to fetch a descriptor. */
#include "behave.h"
#include <poll.h>
#include <signal.h>

int main(void)
{
	siginfo_t info;
	char c = 'x';
	int p[2];

	OK(pipe(p));
	pid_t pid = OK(fork());
	if (!pid) {
		pause();
		_exit(0);
	}
	int fd = OK(syscall(SYS_pidfd_open, pid, 0));
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int got = OK(syscall(438, fd, p[1], 0));

	OK(write(got, &c, 1));
	OK(read(p[0], &c, 1));
	OK(poll(&pfd, 1, 0));
	OK(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	OK(poll(&pfd, 1, -1));
	GOT(pfd);
	FILL(info);
	OK(waitid(P_PIDFD, fd, &info, WEXITED));
	GOT(info);
	TRY(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	TRY(syscall(SYS_pidfd_open, 99999999, 0));
	return end();
}
