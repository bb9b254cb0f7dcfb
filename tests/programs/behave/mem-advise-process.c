// SPDX-License-Identifier: MIT
/* process_madvise on itself. */
#include "behave.h"
#include <sys/mman.h>
#include <sys/uio.h>

int main(void)
{
	char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[2] = {{p, 4096}, {p + 8192, 8192}};
	int fd = OK(syscall(SYS_pidfd_open, getpid(), 0));

	MUST_BE(p != MAP_FAILED);
	memset(p, 7, 8 * 4096);
	TRY(syscall(SYS_process_madvise, fd, iov, 2, MADV_COLD, 0));
	TRY(syscall(SYS_process_madvise, fd, iov, 2, MADV_DONTNEED, 0));
	mix(p, 8 * 4096);
	return end();
}
