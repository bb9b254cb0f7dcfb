// SPDX-License-Identifier: MIT
/* prctl: names, flags, death signals, capabilities. */
#include "behave.h"
#include <sys/prctl.h>

int main(void)
{
	char name[16];
	int n;

	OK(prctl(PR_SET_NAME, "another name, too long"));
	FILL(name);
	OK(prctl(PR_GET_NAME, name));
	GOT(name);
	OK(prctl(PR_SET_PDEATHSIG, 9));
	FILL(n);
	OK(prctl(PR_GET_PDEATHSIG, &n));
	GOT(n);
	OK(prctl(PR_GET_DUMPABLE));
	OK(prctl(PR_SET_DUMPABLE, 0));
	OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	OK(prctl(PR_GET_CHILD_SUBREAPER, &n));
	GOT(n);
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	OK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	OK(prctl(PR_GET_TIMERSLACK));
	OK(prctl(PR_SET_TIMERSLACK, 70000));
	TRY(prctl(PR_CAPBSET_READ, 5));
	TRY(prctl(PR_GET_SECCOMP));
	OK(prctl(PR_GET_TSC, &n));
	GOT(n);
	OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	OK(prctl(PR_SET_DUMPABLE, 1));
	return end();
}
