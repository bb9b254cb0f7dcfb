// SPDX-License-Identifier: MIT
/* ioctls of files: flags, versions, extents, block sizes, bytes to be read. */
#include "behave.h"
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

int main(void)
{
	union {
		struct fiemap m;
		char room[sizeof(struct fiemap) + 4 * sizeof(struct fiemap_extent)];
	} map = {.m = {.fm_length = ~0ul, .fm_extent_count = 4, .fm_flags = FIEMAP_FLAG_SYNC}};
	static char data[50000];
	struct fsxattr fx;
	long flags = 0x5a5a5a5a5a5a;
	int n, fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(write(fd, data, sizeof(data)));
	TRY(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	GOT(flags);
	TRY(ioctl(fd, FS_IOC_GETVERSION, &flags));
	GOT(flags);
	TRY(ioctl(fd, FS_IOC_FIEMAP, &map));
	GOT(map);
	FILL(fx);
	TRY(ioctl(fd, FS_IOC_FSGETXATTR, &fx));
	GOT(fx);
	TRY(ioctl(fd, FIGETBSZ, &n));
	GOT(n);
	OK(lseek(fd, 100, SEEK_SET));
	TRY(ioctl(fd, FIONREAD, &n));
	GOT(n);
	TRY(ioctl(fd, FIOCLEX));
	TRY(ioctl(fd, FIOQSIZE, &flags));
	GOT(flags);
	TRY(ioctl(fd, 0x5401, data));
	return end();
}
