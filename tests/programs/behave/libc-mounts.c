// SPDX-License-Identifier: MIT
/* Lists of mounts, of file systems, and terminals' users. */
#include "behave.h"
#include <mntent.h>
#include <utmpx.h>

int main(void)
{
	struct mntent *m;
	struct utmpx *u;
	FILE *f = setmntent("/proc/mounts", "r");

	MUST_BE(f);
	while ((m = getmntent(f)))
		mix_text(m->mnt_dir);
	endmntent(f);
	setutxent();
	while ((u = getutxent()))
		mix(u, sizeof(*u));
	endutxent();
	return end();
}
