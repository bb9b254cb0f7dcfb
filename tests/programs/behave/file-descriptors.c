// SPDX-License-Identifier: MIT
/* dup, dup2, dup3, close_range, and the numbers they give. */
#include "behave.h"

int main(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	for (int i = 0; i < 20; i++)
		OK(dup(fd));
	OK(dup2(fd, 100));
	OK(dup2(fd, fd));
	OK(dup3(fd, 101, O_CLOEXEC));
	TRY(dup3(fd, fd, 0));
	OK(syscall(SYS_close_range, 10, 15, 0));
	OK(syscall(SYS_close_range, 16, 200, 4));
	OK(dup(fd));
	for (int i = 0; i < 30; i++)
		TRY(close(i < 3 ? 77 : i));
	return end();
}
