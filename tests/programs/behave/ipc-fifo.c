// SPDX-License-Identifier: MIT
/* A named pipe between parent and child. */
#include "behave.h"

int main(void)
{
	char buf[100];
	int status;

	OK(mkfifo("fifo", 0600));
	pid_t pid = OK(fork());
	if (!pid) {
		int fd = open("fifo", O_WRONLY);

		for (int i = 0; i < 20; i++)
			dprintf(fd, "message %d\n", i);
		_exit(0);
	}
	FILE *f = fopen("fifo", "r");

	MUST_BE(f);
	while (fgets(buf, sizeof(buf), f))
		mix_text(buf);
	OK(waitpid(pid, &status, 0));
	OK(mknod("node", S_IFIFO | 0600, 0));
	TRY(open("node", O_WRONLY | O_NONBLOCK));
	return end() | status;
}
