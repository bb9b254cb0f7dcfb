/* SPDX-License-Identifier: MIT
 * Where in the source an address of a program is, by its debug information if it has any. */
#ifndef CT_CALL_LINES_H
#define CT_CALL_LINES_H

#include "formats/event.h"

struct ct_lines;
/* NULL: there is none. Borrows fd. */
struct ct_lines *ct_lines_open(int fd);
/* The source file, or NULL; it lives until the next one is asked for. */
const char *ct_lines_find(struct ct_lines *l, ct_u64 addr, ct_u32 *line);
void ct_lines_close(struct ct_lines *l);

#endif
