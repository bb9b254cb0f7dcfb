// SPDX-License-Identifier: MIT
/* Replaces itself three times, and fails to now and then. */
#include "behave.h"

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;
	char arg[20], *list[] = {argv[0], arg, NULL}, *env[] = {"A=1", "LONGER=variable", NULL};

	mix_number(n), mix_number(argc);
	mix_text(getenv("A") ? getenv("A") : "");
	snprintf(arg, sizeof(arg), "%d", n + 1);
	TRY(execv("/no/such/program", list));
	TRY(execv("/etc/passwd", list));
	if (n < 3) {
		end();
		execve("/proc/self/exe", list, env);
		return 1;
	}
	return end();
}
