// SPDX-License-Identifier: MIT
/* not replayable: userfaultfd */
#include "behave.h"
/* Pages filled by another thread: refused. */

int main(void)
{
	TRY(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	return end();
}
