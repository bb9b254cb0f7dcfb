// SPDX-License-Identifier: MIT
/* Walks a tree with nftw, glob and scandir. */
#include "behave.h"
#include <dirent.h>
#include <ftw.h>
#include <glob.h>

static int seen(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	mix_text(path);
	mix_number(st->st_ino + type + ftw->level);
	return 0;
}

int main(void)
{
	struct dirent **list;
	glob_t g = {0};
	int n;

	OK(nftw("/etc", seen, 10, FTW_PHYS));
	TRY(glob("/usr/bin/*sh*", 0, NULL, &g));
	for (size_t i = 0; i < g.gl_pathc; i++)
		mix_text(g.gl_pathv[i]);
	globfree(&g);
	n = OK(scandir("/usr/share", &list, NULL, alphasort));
	while (n--) {
		mix_text(list[n]->d_name);
		free(list[n]);
	}
	free(list);
	return end();
}
