// SPDX-License-Identifier: MIT
/* sysconf, pathconf, confstr, the auxiliary vector, the environment. */
#include "behave.h"
#include <sys/auxv.h>

extern char **environ;

int main(void)
{
	char buf[300];

	for (int i = 0; i < 250; i++)
		TRY(sysconf(i));
	for (int i = 0; i < 25; i++)
		TRY(pathconf("/", i));
	for (int i = 0; i < 10; i++)
		mix_number(confstr(i, buf, sizeof(buf)));
	for (unsigned long i = 1; i < 52; i++)
		mix_number(getauxval(i));
	mix((void *)getauxval(AT_RANDOM), 16);
	mix_text((char *)getauxval(AT_EXECFN));
	for (char **e = environ; *e; e++)
		mix_text(*e);
	setenv("NEW", "value", 1);
	unsetenv("PATH");
	mix_text(getenv("NEW"));
	mix_number(getpagesize()), mix_number(getdtablesize());
	return end();
}
