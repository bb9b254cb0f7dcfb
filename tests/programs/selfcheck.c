// SPDX-License-Identifier: MIT
/* A target that checks its own code and that of its libraries, as programs do that fear to be changed. It writes what
 * it found: a replay has other bytes there, and must say so. */
#include <link.h>

#include "behave/behave.h"

static int check(struct dl_phdr_info *info, size_t size, void *none)
{
	(void)size, (void)none;
	if (strstr(info->dlpi_name, "vdso"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X))
			mix((const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), info->dlpi_phdr[i].p_memsz);
	return 0;
}

int main(void)
{
	char name[40];

	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 50; k++) { /* call sites that are used often */
			mix_number(getppid());
			mix_number(readlink("nothing", name, sizeof(name)));
		}
		dl_iterate_phdr(check, NULL);
	}
	return end();
}
