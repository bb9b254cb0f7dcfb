// SPDX-License-Identifier: MIT
/* inotify: watches of a directory and what happens in it. */
#include "behave.h"
#include <limits.h>
#include <sys/inotify.h>

int main(void)
{
	char buf[4096];
	int fd = OK(inotify_init1(IN_NONBLOCK)), w = OK(inotify_add_watch(fd, ".", IN_ALL_EVENTS));

	for (int i = 0; i < 10; i++) {
		char name[20];

		snprintf(name, sizeof(name), "file%d", i);
		int f = OK(open(name, O_CREAT | O_RDWR, 0600));
		OK(write(f, "x", 1));
		close(f);
		OK(rename(name, "moved"));
		OK(unlink("moved"));
		FILL(buf);
		OK(read(fd, buf, sizeof(buf)));
		GOT(buf);
		TRY(read(fd, buf, sizeof(buf)));
	}
	OK(inotify_rm_watch(fd, w));
	FILL(buf);
	OK(read(fd, buf, sizeof(buf)));
	GOT(buf);
	TRY(inotify_add_watch(fd, "none", IN_OPEN));
	TRY(inotify_init());
	return end();
}
