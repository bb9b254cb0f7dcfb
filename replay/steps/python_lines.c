// SPDX-License-Identifier: MIT
/* CPython's location tables. An entry: a byte 1cccclll (code, length in units - 1), then what the code says.
 * Objects/locations.md of CPython describes the format. */
#include "replay/steps/steps.h"

struct reader {
	const unsigned char *at, *end;
};

static unsigned byte(struct reader *r)
{
	return r->at < r->end ? *r->at++ : 0;
}

/* Six bits a byte, the seventh says that more follow. */
static unsigned long varint(struct reader *r)
{
	unsigned long v = 0;
	unsigned b, shift = 0;

	do {
		b = byte(r);
		v |= (unsigned long)(b & 63) << (shift < 60 ? shift : 60);
		shift += 6;
	} while ((b & 64) && r->at < r->end);
	return v;
}

static long svarint(struct reader *r)
{
	unsigned long v = varint(r);

	return v & 1 ? -(long)(v >> 1) : (long)(v >> 1);
}

void ct_python_lines(const unsigned char *table, size_t len, int first_line, ct_s32 *lines, size_t count)
{
	struct reader r = {table, table + len};
	long line = first_line;
	size_t unit = 0;

	while (r.at < r.end && unit < count) {
		unsigned head = byte(&r), code = head >> 3 & 15, units = (head & 7) + 1;
		bool none = false;

		switch (code) {
		case 15: none = true; break;
		case 14: /* line, end line, column, end column */
			line += svarint(&r);
			varint(&r), varint(&r), varint(&r);
			break;
		case 13: line += svarint(&r); break;
		case 10:
		case 11:
		case 12: /* two columns */
			line += code - 10;
			byte(&r), byte(&r);
			break;
		default: byte(&r); /* same line, columns in one byte */
		}
		while (units-- && unit < count)
			lines[unit++] = none ? -1 : (ct_s32)line;
	}
	while (unit < count)
		lines[unit++] = -1;
}
