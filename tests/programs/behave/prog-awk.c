// SPDX-License-Identifier: MIT
/* awk with arrays, functions, pipes and random numbers. */
#include "behave.h"

int main(void)
{
	execlp("awk", "awk",
	       "BEGIN { srand(); for (i = 0; i < 2000; i++) a[i % 37] += rand() * i; for (k in a) s = s \" \" "
	       "int(a[k]); "
	       "print s; while ((\"ls /\" | getline l) > 0) n++; print n, sin(n); print toupper(\"done\") | \"cat\" }",
	       NULL);
	return 1;
}
