// SPDX-License-Identifier: MIT
/* A shell script with functions, traps, loops, substitutions and a here document. */
#include "behave.h"

int main(void)
{
	execl("/bin/sh", "sh", "-c",
	      "f() { echo \"$1-$2\"; }; trap 'echo bye' EXIT; for i in 1 2 3; do x=$(f $i $((i * i))); echo $x; done; "
	      "cat <<E\n$x $$ $(pwd)\nE\n"
	      "echo a b c | while read p q; do echo \"$q $p\"; done; (exit 3) || echo failed; sleep 0.01 & wait; kill "
	      "-0 $$",
	      NULL);
	return 1;
}
