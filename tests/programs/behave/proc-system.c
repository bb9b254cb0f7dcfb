// SPDX-License-Identifier: MIT
/* system and popen. */
#include "behave.h"

int main(void)
{
	char line[100];
	FILE *f;

	OK(system("exit 5"));
	OK(system("true && echo from the shell"));
	f = popen("echo one; echo two", "r");
	MUST_BE(f);
	while (fgets(line, sizeof(line), f))
		mix_text(line);
	OK(pclose(f));
	f = popen("cat >/dev/null; exit 2", "w");
	MUST_BE(f);
	fprintf(f, "text\n");
	OK(pclose(f));
	return end();
}
