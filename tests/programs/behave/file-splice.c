// SPDX-License-Identifier: MIT
/* splice, tee and vmsplice between files, pipes and memory. */
#include "behave.h"
#include <sys/uio.h>

int main(void)
{
	static char buf[9000];
	loff_t off = 100;
	struct iovec iov[2] = {{buf, 3000}, {buf + 5000, 2000}};
	int p[2], q[2], in = OK(open("/bin/sh", O_RDONLY)), out = OK(open("out", O_RDWR | O_CREAT, 0600));

	OK(pipe(p));
	OK(pipe2(q, O_NONBLOCK));
	for (int i = 0; i < 10; i++) {
		OK(splice(in, &off, p[1], NULL, 4000, 0));
		mix_number(off);
		OK(tee(p[0], q[1], 3500, 0));
		FILL(buf);
		OK(vmsplice(q[0], iov, 2, 0));
		GOT(buf);
		OK(splice(p[0], NULL, out, NULL, 4000, SPLICE_F_MOVE));
		OK(vmsplice(q[1], iov, 2, 0));
		FILL(buf);
		OK(read(q[0], buf, sizeof(buf)));
		GOT(buf);
	}
	TRY(splice(q[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK));
	TRY(tee(q[0], p[1], 10, SPLICE_F_NONBLOCK));
	OK(pread(out, buf, sizeof(buf), 0));
	GOT(buf);
	return end();
}
