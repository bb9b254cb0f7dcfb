// SPDX-License-Identifier: MIT
/* The newer calls for mounts, which may be refused. */
#include "behave.h"

int main(void)
{
	unsigned long req[4] = {32, 0, 0, 0}, ids[50];
	int fs = syscall(430, "tmpfs", 0), m;

	TRY(fs);
	TRY(syscall(431, fs, 1, "size", "1m", 0));
	TRY(syscall(431, fs, 6, NULL, NULL, 0));
	m = syscall(432, fs, 0, 0);
	TRY(m);
	TRY(syscall(428, m, "", 0x1000));
	TRY(syscall(433, AT_FDCWD, "/", 0));
	req[1] = ~0ul;
	FILL(ids);
	TRY(syscall(458, req, ids, 50, 0));
	GOT(ids);
	return end();
}
