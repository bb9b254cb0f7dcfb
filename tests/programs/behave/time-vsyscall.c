// SPDX-License-Identifier: MIT
/* not replayable: it uses the vsyscall page */
#include "behave.h"
/* The time as old static programs ask for it: at a fixed address, which the kernel emulates. */
#include <time.h>

int main(void)
{
	time_t (*const then)(time_t *) = (time_t(*)(time_t *))0xffffffffff600400;
	const time_t before = time(NULL);

	MUST_BE(then(NULL) - before <= 60);
	return end();
}
