// SPDX-License-Identifier: MIT
/* O_DIRECT where the file system has it: the kernel's hardware writes the buffer. */
#include "behave.h"

int main(void)
{
	char *buf = aligned_alloc(4096, 65536);
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0600);

	MUST_BE(buf);
	for (int i = 0; i < 65536; i++)
		buf[i] = i * 31 >> 3;
	TRY(fd);
	TRY(write(fd, buf, 65536));
	memset(buf, 0x5a, 65536);
	TRY(pread(fd, buf, 32768, 4096));
	TRY(pread(fd, buf + 32768, 4096, 8192));
	TRY(pread(fd, buf + 1, 100, 0));
	mix(buf, 65536);
	return end();
}
