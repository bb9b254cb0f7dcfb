// SPDX-License-Identifier: MIT
/* Streams: buffers of all kinds, seeks, scans, in memory and with functions of one's own. */
#include "behave.h"
static ssize_t cookie_read(void *c, char *buf, size_t n)
{
	memset(buf, (*(int *)c)++ & 127, n);
	return n > 100 ? 100 : n;
}

int main(void)
{
	char buf[1000], *mem = NULL;
	size_t size;
	int a, b, n = 65;
	FILE *f = fopen("file", "w+");

	MUST_BE(f);
	for (int mode = 0; mode < 3; mode++) {
		setvbuf(f, NULL, mode == 0 ? _IOFBF : mode == 1 ? _IOLBF : _IONBF, 512);
		for (int i = 0; i < 100; i++)
			fprintf(f, "%d %x %s\n", i, i * i, i & 1 ? "odd" : "even");
		rewind(f);
		while (fscanf(f, "%d %x %*s", &a, &b) == 2)
			mix_number(a ^ b);
		OK(fseek(f, 100 * mode, SEEK_SET));
		mix(buf, fread(buf, 1, 500, f));
		mix_number(ungetc('u', f));
		mix_number(getc(f));
		OK(fseek(f, 0, SEEK_END));
		mix_number(ftell(f));
	}
	fclose(f);
	f = open_memstream(&mem, &size);
	fprintf(f, "in memory: %s", "text");
	fclose(f);
	mix(mem, size);
	f = fmemopen(mem, size, "r");
	MUST_BE(fgets(buf, 10, f));
	mix_text(buf);
	fclose(f);
	f = fopencookie(&n, "r", (cookie_io_functions_t){.read = cookie_read});
	mix(buf, fread(buf, 1, 700, f));
	fclose(f);
	free(mem);
	return end();
}
