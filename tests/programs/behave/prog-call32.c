// SPDX-License-Identifier: MIT
/* not replayable: 32-bit system call 20 */
#include "behave.h"
/* 64-bit code that uses the gate of 32-bit programs: call 20 is getpid there, writev here. */

int main(void)
{
	long pid = 20;

	__asm__ volatile("int $0x80" : "+a"(pid) : : "r8", "r9", "r10", "r11", "memory");
	MUST_BE(pid == getpid());
	return end();
}
