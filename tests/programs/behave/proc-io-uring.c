// SPDX-License-Identifier: MIT
/* not replayable: io_uring */
#include "behave.h"
/* Rings that the kernel writes: refused. */

int main(void)
{
	char params[120] = {0};

	TRY(syscall(SYS_io_uring_setup, 8, params));
	return end();
}
