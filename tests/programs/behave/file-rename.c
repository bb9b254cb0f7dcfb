// SPDX-License-Identifier: MIT
/* rename, renameat and renameat2, which also exchange. */
#include "behave.h"

int main(void)
{
	struct stat st;

	close(OK(open("a", O_CREAT | O_WRONLY, 0600)));
	close(OK(open("b", O_CREAT | O_WRONLY, 0640)));
	OK(rename("a", "c"));
	OK(renameat(AT_FDCWD, "c", AT_FDCWD, "a"));
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	OK(stat("a", &st));
	GOT(st);
	TRY(rename("none", "x"));
	return end();
}
