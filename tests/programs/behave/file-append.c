// SPDX-License-Identifier: MIT
/* Appends to a file with two descriptors and reads it back line by line. */
#include "behave.h"

int main(void)
{
	int a = OK(open("log", O_WRONLY | O_CREAT | O_APPEND, 0600)), b = OK(open("log", O_WRONLY | O_APPEND));
	char *line = NULL;
	size_t size = 0;
	FILE *f;

	for (int i = 0; i < 100; i++)
		OK(dprintf(i & 1 ? a : b, "line %d of %d\n", i, getpid()));
	f = fopen("log", "re");
	MUST_BE(f);
	while (getline(&line, &size, f) > 0)
		mix_text(line);
	mix_number(ftell(f));
	free(line);
	return end();
}
