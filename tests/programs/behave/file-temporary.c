// SPDX-License-Identifier: MIT
/* Files with names made up: mkstemp, mkdtemp, O_TMPFILE, tmpfile. */
#include "behave.h"

int main(void)
{
	char line[100], link[100];

	for (int i = 0; i < 20; i++) {
		char a[] = "aXXXXXX", b[] = "bXXXXXX.end";
		int fd = OK(mkstemp(a));

		mix_text(a);
		close(fd);
		fd = OK(mkostemps(b, 4, O_CLOEXEC));
		mix_text(b);
		close(fd);
		strcpy(a, "dXXXXXX");
		MUST_BE(mkdtemp(a));
		mix_text(a);
	}
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	TRY(write(fd, "text", 4));
	FILE *f = tmpfile();

	MUST_BE(f);
	fprintf(f, "a line of %d\n", 42);
	rewind(f);
	MUST_BE(fgets(line, sizeof(line), f));
	mix_text(line);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fileno(f));
	memset(line, 0, sizeof(line));
	OK(readlink(link, line, sizeof(line) - 1));
	mix_text(line);
	return end();
}
