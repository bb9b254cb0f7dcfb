// SPDX-License-Identifier: MIT
/* A compiler, its assembler and linker, and what they have made. */
#include "behave.h"

int main(void)
{
	execl("/bin/sh", "sh", "-c",
	      "printf 'int main(void) { return 5; }\\n' >a.c; gcc -O0 -o a a.c 2>/dev/null || exit 0; ./a; echo $?",
	      NULL);
	return 1;
}
