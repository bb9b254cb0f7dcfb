// SPDX-License-Identifier: MIT
/* Files whose content the kernel makes up while they are read. */
#include "behave.h"

int main(void)
{
	const char *const name[] = {"/proc/self/status",
				    "/proc/self/maps",
				    "/proc/self/stat",
				    "/proc/meminfo",
				    "/proc/stat",
				    "/proc/uptime",
				    "/proc/loadavg",
				    "/proc/self/smaps_rollup",
				    "/proc/sys/kernel/random/uuid",
				    "/sys/devices/system/cpu/online",
				    "/proc/self/cmdline",
				    "/proc/self/environ",
				    "/proc/self/auxv"};
	static char buf[3000];
	long n;

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		int fd = OK(open(name[i], O_RDONLY));

		do {
			FILL(buf);
			n = OK(read(fd, buf, sizeof(buf)));
			GOT(buf);
		} while (n);
		close(fd);
	}
	return end();
}
