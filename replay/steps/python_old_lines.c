// SPDX-License-Identifier: MIT
/* CPython's line tables before 3.11: pairs of bytes, of which the first is a distance in the code and the second one a
 * distance in lines, with a sign. Up to 3.9 (Objects/lnotab_notes.txt) the line changes behind that distance; in 3.10
 * the distance is that of the stretch on the line, and -128 means none. */
#include <string.h>

#include "replay/steps/steps.h"

void ct_python_old_lines(const unsigned char *table, size_t len, int first_line, ct_s32 *lines, size_t count,
			 unsigned char *starts)
{
	const bool stretches = !starts;
	ct_s32 line = first_line;
	size_t unit = 0, at = 0;

	if (starts)
		memset(starts, 0, count);
	if (starts && count)
		starts[0] = 1;

	for (size_t i = 0; i + 1 < len; i += 2) {
		const signed char delta = (signed char)table[i + 1];
		ct_s32 here = line;

		at += table[i];
		if (stretches) {
			here = delta == -128 ? -1 : line + delta;
			line += delta == -128 ? 0 : delta;
		}
		while (unit < count && unit < at / 2)
			lines[unit++] = here;
		if (!stretches)
			line += delta;
		if (!stretches && delta && at / 2 < count)
			starts[at / 2] = 1;
	}
	while (unit < count)
		lines[unit++] = stretches ? -1 : line;
}
