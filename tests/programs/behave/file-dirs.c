// SPDX-License-Identifier: MIT
/* Directories: made, read, left, removed. */
#include "behave.h"
#include <dirent.h>

int main(void)
{
	char name[20], cwd[4096];
	struct dirent *e;
	DIR *d;

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		OK(mkdir(name, 0700));
	}
	d = opendir(".");
	MUST_BE(d);
	while ((e = readdir(d))) {
		mix_text(e->d_name);
		mix_number(e->d_ino);
		mix_number(telldir(d));
	}
	rewinddir(d);
	MUST_BE(readdir(d));
	closedir(d);
	OK(chdir("d7"));
	MUST_BE(getcwd(cwd, sizeof(cwd)));
	mix_text(cwd);
	OK(chdir(".."));
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		OK(unlinkat(AT_FDCWD, name, AT_REMOVEDIR));
	}
	TRY(rmdir("d7"));
	return end();
}
