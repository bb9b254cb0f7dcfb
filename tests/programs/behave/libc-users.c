// SPDX-License-Identifier: MIT
/* Users and groups from the databases. */
#include "behave.h"
#include <grp.h>
#include <pwd.h>
#include <shadow.h>

int main(void)
{
	struct passwd *p;
	struct group *g;
	gid_t list[50];
	int n = 50;

	while ((p = getpwent())) {
		mix_text(p->pw_name);
		mix_number(p->pw_uid);
	}
	endpwent();
	while ((g = getgrent()))
		mix_text(g->gr_name);
	endgrent();
	p = getpwnam("nobody");
	TRY(p ? p->pw_uid : 0);
	TRY(getpwuid(54321) != NULL);
	TRY(getgrouplist("root", 0, list, &n));
	mix_number(n);
	struct spwd *s = getspnam("root");
	TRY(s != NULL);
	return end();
}
