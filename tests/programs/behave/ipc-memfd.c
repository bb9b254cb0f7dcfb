// SPDX-License-Identifier: MIT
/* memfds: sealed, mapped privately, handed to a child. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char buf[100];
	int status, fd = OK(memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC));

	OK(ftruncate(fd, 8192));
	for (int i = 0; i < 10; i++) {
		OK(pwrite(fd, "written before it is sealed", 27, i * 500));
		FILL(buf);
		OK(pread(fd, buf, sizeof(buf), i * 490));
		GOT(buf);
	}
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
	OK(fcntl(fd, F_GET_SEALS));
	TRY(pwrite(fd, "x", 1, 0));
	TRY(ftruncate(fd, 1));
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	MUST_BE(p != MAP_FAILED);
	p[0] = 'X';
	mix(p, 8192);
	pid_t pid = OK(fork());
	if (!pid) {
		OK(pread(fd, buf, sizeof(buf), 0));
		GOT(buf);
		mix(p, 100);
		_exit(end());
	}
	OK(waitpid(pid, &status, 0));
	return end() | status;
}
