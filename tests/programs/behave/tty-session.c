// SPDX-License-Identifier: MIT
/* A terminal becomes the controlling one of a session; job control calls on it. */
#include "behave.h"
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
	char buf[200];
	int m, status, n;
	pid_t pid = OK(forkpty(&m, NULL, NULL, NULL));

	if (!pid) {
		signal(SIGHUP, SIG_IGN);
		FILL(n);
		OK(ioctl(0, TIOCGPGRP, &n));
		GOT(n);
		OK(ioctl(0, TIOCGSID, &n));
		GOT(n);
		OK(tcgetpgrp(0));
		OK(tcsetpgrp(0, getpgrp()));
		OK(tcgetsid(0));
		OK(open("/dev/tty", O_RDWR));
		OK(read(0, buf, sizeof(buf)));
		_exit(end());
	}
	OK(write(m, "go\n", 3));
	while (read(m, buf, sizeof(buf)) > 0)
		;
	OK(waitpid(pid, &status, 0));
	return end() | status;
}
