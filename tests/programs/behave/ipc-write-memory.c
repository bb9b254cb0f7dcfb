// SPDX-License-Identifier: MIT
/* not replayable: process_vm_writev|call 311 */
#include "behave.h"
/* Writes into another process: refused. */
#include <sys/uio.h>

int main(void)
{
	char a[5] = "abcd", b[5];
	struct iovec from = {a, 5}, to = {b, 5};

	OK(process_vm_writev(getpid(), &from, 1, &to, 1, 0));
	GOT(b);
	return end();
}
