// SPDX-License-Identifier: MIT
/* uname, sysinfo, host names, domain names, getcpu, sysconf. */
#include "behave.h"
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

int main(void)
{
	struct utsname u;
	struct sysinfo si;
	char name[100];
	unsigned cpu, node;

	FILL(u);
	OK(uname(&u));
	GOT(u);
	FILL(si);
	OK(sysinfo(&si));
	GOT(si);
	FILL(name);
	OK(gethostname(name, sizeof(name)));
	GOT(name);
	OK(getdomainname(name, sizeof(name)));
	GOT(name);
	OK(getcpu(&cpu, &node));
	mix_number(cpu), mix_number(node);
	OK(sched_getcpu());
	for (int i = 0; i < 200; i++)
		TRY(sysconf(i));
	mix_number(get_nprocs()), mix_number(get_nprocs_conf());
	return end();
}
