// SPDX-License-Identifier: MIT
/* statfs and fstatfs, statvfs, sync. */
#include "behave.h"
#include <sys/statvfs.h>
#include <sys/vfs.h>

int main(void)
{
	const char *const name[] = {"/", "/proc", "/dev/shm", "/sys", "none"};
	struct statvfs sv;
	struct statfs s;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	for (int i = 0; i < 5; i++) {
		FILL(s);
		TRY(statfs(name[i], &s));
		GOT(s);
	}
	OK(fstatfs(fd, &s));
	GOT(s);
	OK(statvfs(".", &sv));
	GOT(sv);
	OK(fsync(fd));
	OK(fdatasync(fd));
	TRY(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	TRY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	TRY(readahead(fd, 0, 4096));
	return end();
}
