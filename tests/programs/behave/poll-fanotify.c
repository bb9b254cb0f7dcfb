// SPDX-License-Identifier: MIT
/* fanotify, where it is allowed: opened files come as descriptors. */
#include "behave.h"
#include <sys/fanotify.h>

int main(void)
{
	char buf[4096];
	int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY);

	TRY(fd);
	close(OK(open("f", O_CREAT | O_RDWR, 0600)));
	TRY(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_CLOSE, AT_FDCWD, "f"));
	for (int i = 0; i < 5; i++) {
		close(OK(open("f", O_RDWR)));
		FILL(buf);
		TRY(read(fd, buf, sizeof(buf)));
		GOT(buf);
	}
	return end();
}
