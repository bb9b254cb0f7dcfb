// SPDX-License-Identifier: MIT
/* Signals read from a descriptor. */
#include "behave.h"
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

int main(void)
{
	struct signalfd_siginfo info[3];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	int fd = OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	for (int i = 0; i < 20; i++) {
		OK(raise(SIGUSR1));
		OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
		OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i * 2}));
		OK(poll(&pfd, 1, 0));
		GOT(pfd);
		FILL(info);
		OK(read(fd, info, sizeof(info)));
		GOT(info);
		TRY(read(fd, info, sizeof(info)));
	}
	sigdelset(&set, SIGUSR1);
	OK(signalfd(fd, &set, 0));
	return end();
}
