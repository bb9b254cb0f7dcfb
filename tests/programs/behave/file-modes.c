// SPDX-License-Identifier: MIT
/* chmod, chown, umask, access and their relatives. */
#include "behave.h"

int main(void)
{
	struct stat st;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(chmod("f", 0751));
	OK(fchmod(fd, 0640));
	OK(fchmodat(AT_FDCWD, "f", 0444, 0));
	OK(chown("f", 1000, 1000));
	OK(lchown("f", 1001, -1));
	OK(fchown(fd, 1002, 3));
	OK(fchownat(fd, "", 4, 5, AT_EMPTY_PATH));
	OK(fstat(fd, &st));
	GOT(st);
	OK(umask(077));
	OK(umask(022));
	OK(access("f", R_OK | W_OK));
	TRY(access("f", X_OK));
	TRY(faccessat(AT_FDCWD, "none", F_OK, AT_EACCESS));
	TRY(euidaccess("f", W_OK));
	return end();
}
