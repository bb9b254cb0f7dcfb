// SPDX-License-Identifier: MIT
/* Times of files, set in all the ways there are. */
#include "behave.h"
#include <sys/time.h>
#include <utime.h>

int main(void)
{
	struct timespec ts[2] = {{1000, 5}, {0, UTIME_OMIT}};
	struct timeval tv[2] = {{77, 8}, {99, 7}};
	struct utimbuf ut = {12345, 67890};
	struct stat st;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(futimens(fd, ts));
	OK(fstat(fd, &st));
	GOT(st);
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	OK(fstat(fd, &st));
	GOT(st);
	OK(syscall(SYS_utimes, "f", tv));
	OK(syscall(SYS_futimesat, AT_FDCWD, "f", tv));
	OK(fstat(fd, &st));
	GOT(st);
	OK(syscall(SYS_utime, "f", &ut));
	OK(fstat(fd, &st));
	GOT(st);
	TRY(utime("none", &ut));
	return end();
}
