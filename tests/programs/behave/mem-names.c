// SPDX-License-Identifier: MIT
/* Names of mappings, NUMA policies, pages asked for and moved. */
#include "behave.h"
#include <sys/mman.h>
#include <sys/prctl.h>

int main(void)
{
	int status[4], mode;
	unsigned long mask[16];
	char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *pages[4] = {p, p + 4096, p + 8192, p + 3 * 4096};

	MUST_BE(p != MAP_FAILED);
	p[0] = p[8192] = 1;
	TRY(prctl(0x53564d41, 0, p, 4 * 4096, "a name"));
	FILL(status);
	TRY(syscall(SYS_move_pages, 0, 4, pages, NULL, status, 0));
	GOT(status);
	FILL(mask), FILL(mode);
	TRY(syscall(SYS_get_mempolicy, &mode, mask, 1024, NULL, 0));
	GOT(mask), GOT(mode);
	TRY(syscall(SYS_get_mempolicy, &mode, NULL, 0, p, 3));
	GOT(mode);
	mask[0] = 1;
	TRY(syscall(SYS_mbind, p, 4096, 2, mask, 1024, 0));
	TRY(syscall(SYS_set_mempolicy, 0, NULL, 0));
	return end();
}
