// SPDX-License-Identifier: MIT
/* not replayable: system call -1 */
#include "behave.h"
/* A number that is no call's is an error; -1, which is also what a call's registers hold after rt_sigreturn, is
 * refused. */

int main(void)
{
	MUST_BE(syscall(9999) == -1 && errno == ENOSYS);
	MUST_BE(syscall(-1L) == -1 && errno == ENOSYS);
	return end();
}
