// SPDX-License-Identifier: MIT
/* Hard and symbolic links. */
#include "behave.h"

int main(void)
{
	char buf[64];

	close(OK(open("a", O_CREAT | O_WRONLY, 0600)));
	OK(link("a", "b"));
	OK(linkat(AT_FDCWD, "a", AT_FDCWD, "c", 0));
	OK(symlink("a name that is not so very short", "s"));
	OK(symlinkat("/", AT_FDCWD, "root"));
	for (int i = 0; i < 64; i += 9) {
		FILL(buf);
		TRY(readlink("s", buf, i));
		GOT(buf);
		TRY(readlinkat(AT_FDCWD, "root", buf, i));
		GOT(buf);
	}
	FILL(buf);
	OK(readlink("/proc/self/exe", buf, sizeof(buf)));
	GOT(buf);
	TRY(readlink("a", buf, sizeof(buf)));
	OK(unlink("a") + unlink("b") + unlink("c") + unlink("s") + unlink("root"));
	return end();
}
