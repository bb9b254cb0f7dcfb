// SPDX-License-Identifier: MIT
/* Reads memory of another process and of itself. */
#include "behave.h"
#include <sys/uio.h>

int main(void)
{
	static char text[300] = "text in both";
	char a[50], b[100];
	struct iovec local[2] = {{a, sizeof(a)}, {b, sizeof(b)}}, remote = {text, 120};
	int p[2], status;

	OK(pipe(p));
	pid_t pid = OK(fork());
	if (!pid) {
		strcpy(text, "the child's own");
		OK(write(p[1], "x", 1));
		pause();
	}
	OK(read(p[0], a, 1));
	for (int i = 0; i < 5; i++) {
		FILL(a), FILL(b);
		OK(process_vm_readv(i & 1 ? pid : getpid(), local, 2, &remote, 1, 0));
		GOT(a), GOT(b);
	}
	TRY(process_vm_readv(pid, local, 2, &(struct iovec){nowhere(), 5}, 1, 0));
	OK(kill(pid, 9));
	OK(waitpid(pid, &status, 0));
	return end();
}
