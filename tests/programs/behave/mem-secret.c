// SPDX-License-Identifier: MIT
/* not replayable: memfd_secret|secret */
#include "behave.h"
/* memfd_secret's pages cannot be read by anybody. Without it in the kernel all is well. */
#include <sys/mman.h>

int main(void)
{
	int fd = syscall(447, 0);

	TRY(fd);
	return end();
}
