// SPDX-License-Identifier: MIT
/* not replayable: it resized a file that is mapped */
/* A mapped file is truncated by its name: the rest of the page that was its last is zero then. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	FILE *f = fopen("f", "w+");
	char *p;

	MUST_BE(f && fputs("some text that is cut short", f) >= 0 && !fflush(f));
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
	MUST_BE(p != MAP_FAILED);
	mix_text(p);
	OK(truncate("f", 9));
	mix_text(p);
	OK(usleep(100000)); /* which file that was is found out by its name */
	return end();
}
