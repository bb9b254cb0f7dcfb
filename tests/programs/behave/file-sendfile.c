// SPDX-License-Identifier: MIT
/* sendfile between files and into a pipe, with and without an offset of its own. */
#include "behave.h"
#include <sys/sendfile.h>

int main(void)
{
	static char buf[20000];
	off_t off = 10;
	int p[2], in = OK(open("/bin/sh", O_RDONLY)), out = OK(open("out", O_RDWR | O_CREAT, 0600));

	OK(pipe(p));
	for (int i = 0; i < 10; i++) {
		OK(sendfile(out, in, NULL, 1000));
		OK(sendfile(out, in, &off, 777));
		mix_number(off);
		OK(sendfile(p[1], in, &off, 5000));
		mix_number(off);
		FILL(buf);
		OK(read(p[0], buf, sizeof(buf)));
		GOT(buf);
	}
	OK(pread(out, buf, sizeof(buf), 0));
	GOT(buf);
	TRY(sendfile(-1, in, &off, 5));
	return end();
}
