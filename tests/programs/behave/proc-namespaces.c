// SPDX-License-Identifier: MIT
/* unshare, setns, chroot, mounts of its own. */
#include "behave.h"
#include <sched.h>
#include <sys/mount.h>

int main(void)
{
	char name[64];
	int ns = OK(open("/proc/self/ns/uts", O_RDONLY));

	TRY(unshare(CLONE_NEWUTS | CLONE_NEWNS));
	TRY(sethostname("another", 7));
	FILL(name);
	OK(gethostname(name, sizeof(name)));
	GOT(name);
	TRY(setns(ns, CLONE_NEWUTS));
	OK(gethostname(name, sizeof(name)));
	GOT(name);
	OK(mkdir("m", 0700));
	TRY(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	TRY(mount("none", "m", "tmpfs", 0, "size=1m"));
	TRY(umount2("m", MNT_DETACH));
	OK(chroot("."));
	TRY(open("/bin/sh", O_RDONLY));
	return end();
}
