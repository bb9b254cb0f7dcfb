// SPDX-License-Identifier: MIT
/* SIGPIPE caught, and writes that fail without it. */
#include "behave.h"
#include <signal.h>
#include <sys/socket.h>

static void on(int sig)
{
	mix_number(sig);
}

int main(void)
{
	int p[2], s[2];

	signal(SIGPIPE, on);
	for (int i = 0; i < 10; i++) {
		OK(pipe(p));
		OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
		close(p[0]);
		close(s[0]);
		TRY(write(p[1], "x", 1));
		TRY(send(s[1], "x", 1, 0));
		TRY(send(s[1], "x", 1, MSG_NOSIGNAL));
		close(p[1]);
		close(s[1]);
	}
	return end();
}
