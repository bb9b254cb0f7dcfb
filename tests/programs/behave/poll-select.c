// SPDX-License-Identifier: MIT
/* select and pselect: sets of many sizes, all of which the kernel writes. */
#include "behave.h"
#include <sys/select.h>

int main(void)
{
	struct timespec ts;
	struct timeval tv;
	fd_set in, out, ex;
	int p[2];

	OK(pipe(p));
	OK(dup2(p[1], 700));
	for (int i = 0; i < 30; i++) {
		FD_ZERO(&in);
		FD_ZERO(&out);
		FD_ZERO(&ex);
		FD_SET(p[0], &in);
		FD_SET(p[1], &out);
		FD_SET(700, &out);
		FD_SET(p[0], &ex);
		tv = (struct timeval){0, i * 50};
		if (i == 10)
			OK(write(p[1], "x", 1));
		OK(select(i & 1 ? p[1] + 1 : 701, &in, i % 3 ? &out : NULL, &ex, &tv));
		GOT(in), GOT(out), GOT(ex), GOT(tv);
		ts = (struct timespec){0, i * 1000};
		OK(pselect(p[0] + 1, &in, NULL, NULL, &ts, NULL));
		GOT(in);
		OK(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, NULL));
		GOT(ts);
	}
	FD_SET(500, &in);
	TRY(select(501, &in, NULL, NULL, &tv));
	GOT(in);
	return end();
}
