// SPDX-License-Identifier: MIT
/* statx with all it can tell. */
#include "behave.h"

int main(void)
{
	const char *const name[] = {"/", "/bin/sh", "/dev/null", "/proc/self", "no such"};
	struct statx st;

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++)
		for (unsigned mask = 1; mask < 0x10000; mask = mask * 2 + 1) {
			FILL(st);
			TRY(statx(AT_FDCWD, name[i], AT_SYMLINK_NOFOLLOW, mask, &st));
			GOT(st);
		}
	return end();
}
