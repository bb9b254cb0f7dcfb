// SPDX-License-Identifier: MIT
/* not replayable: io_setup|asynchronous */
#include "behave.h"
/* The kernel's asynchronous input and output: refused. */

int main(void)
{
	unsigned long ctx = 0;

	TRY(syscall(SYS_io_setup, 8, &ctx));
	return end();
}
