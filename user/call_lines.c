/* SPDX-License-Identifier: MIT
 * Lines by libdw: that of a function's first instruction is where its definition begins. */
#include "user/call_lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdio.h>
#include <stdlib.h>

struct ct_lines {
	Dwarf *dw;
	char path[4096];
};

struct ct_lines *ct_lines_open(int fd)
{
	struct ct_lines *l = calloc(1, sizeof(*l));

	if (l)
		l->dw = dwarf_begin(fd, DWARF_C_READ);
	if (l && l->dw)
		return l;
	free(l);
	return NULL;
}

const char *ct_lines_find(struct ct_lines *l, ct_u64 addr, ct_u32 *line)
{
	const char *file, *dir;
	Dwarf_Attribute attr;
	Dwarf_Line *at;
	Dwarf_Die cu;
	int number;

	if (!l || !dwarf_addrdie(l->dw, addr, &cu))
		return NULL;
	at = dwarf_getsrc_die(&cu, addr);
	if (!at || dwarf_lineno(at, &number) || number < 0 || !(file = dwarf_linesrc(at, NULL, NULL)))
		return NULL;
	*line = (ct_u32)number;
	dir = *file == '/' ? NULL : dwarf_formstring(dwarf_attr(&cu, DW_AT_comp_dir, &attr));
	if (!dir)
		return file;
	snprintf(l->path, sizeof(l->path), "%s/%s", dir, file);
	return l->path;
}

void ct_lines_close(struct ct_lines *l)
{
	if (!l)
		return;
	dwarf_end(l->dw);
	free(l);
}
