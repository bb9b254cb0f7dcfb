// SPDX-License-Identifier: MIT
/* A file on tmpfs is read, changed through a shared mapping, and read again. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char name[40], buf[8192];

	snprintf(name, sizeof(name), "/dev/shm/behave-%d", getpid());
	int fd = OK(open(name, O_RDWR | O_CREAT, 0600));
	OK(ftruncate(fd, sizeof(buf)));
	close(fd);
	usleep(120000); /* it comes to rest, and is worth referring to */
	for (int i = 0; i < 6; i++) {
		fd = OK(open(name, O_RDONLY));
		for (int k = 0; k < 3; k++) {
			OK(pread(fd, buf, sizeof(buf), 0));
			GOT(buf);
			usleep(3000);
		}
		close(fd);
		fd = OK(open(name, O_RDWR));
		char *p = mmap(NULL, sizeof(buf), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		MUST_BE(p != MAP_FAILED);
		p[i * 100] = i + 1;
		OK(munmap(p, sizeof(buf)));
		close(fd);
	}
	OK(unlink(name));
	return end();
}
