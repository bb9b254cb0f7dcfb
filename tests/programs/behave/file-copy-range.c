// SPDX-License-Identifier: MIT
/* copy_file_range with offsets and file positions. */
#include "behave.h"

int main(void)
{
	static char buf[9000];
	off64_t a = 5, b = 3;
	int in = OK(open("in", O_RDWR | O_CREAT, 0600)), out = OK(open("out", O_RDWR | O_CREAT, 0600));

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = i * i;
	OK(write(in, buf, sizeof(buf)));
	for (int i = 0; i < 10; i++) {
		OK(copy_file_range(in, &a, out, &b, 700 + i, 0));
		mix_number(a), mix_number(b);
		OK(copy_file_range(in, &a, out, NULL, 30, 0));
	}
	OK(lseek(in, 0, SEEK_SET));
	OK(copy_file_range(in, NULL, out, NULL, 100, 0));
	FILL(buf);
	OK(pread(out, buf, sizeof(buf), 0));
	GOT(buf);
	TRY(copy_file_range(in, NULL, in, NULL, 10, 0));
	return end();
}
