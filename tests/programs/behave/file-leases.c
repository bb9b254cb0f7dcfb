// SPDX-License-Identifier: MIT
/* Leases and directory notifications: signals about files. */
#include "behave.h"
#include <signal.h>

static volatile int told;

static void on(int sig, siginfo_t *info, void *context)
{
	(void)context;
	told += sig + info->si_fd * 0;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
	int dir = OK(open(".", O_RDONLY)), fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(sigaction(SIGIO, &sa, NULL));
	TRY(fcntl(dir, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
	for (int i = 0; i < 5; i++) {
		char name[10];

		snprintf(name, sizeof(name), "n%d", i);
		close(OK(open(name, O_CREAT | O_RDWR, 0600)));
		mix_number(told);
	}
	TRY(fcntl(fd, F_SETLEASE, F_WRLCK));
	TRY(fcntl(fd, F_GETLEASE));
	TRY(fcntl(fd, F_SETLEASE, F_UNLCK));
	return end();
}
