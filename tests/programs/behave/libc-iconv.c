// SPDX-License-Identifier: MIT
/* Character sets converted, with modules loaded for it. */
#include "behave.h"
#include <iconv.h>

int main(void)
{
	const char *const to[] = {"UTF-16", "ISO-8859-15", "EBCDIC-US", "UTF-7", "none"};
	char out[300];

	for (int i = 0; i < 5; i++) {
		char in[] = "text with an umlaut: \xc3\xa4 and more", *a = in, *b = out;
		size_t left = strlen(in), room = sizeof(out);
		iconv_t c = iconv_open(to[i], "UTF-8");

		FILL(out);
		if (c == (iconv_t)-1) {
			mix_number(errno);
			continue;
		}
		TRY(iconv(c, &a, &left, &b, &room));
		GOT(out);
		iconv_close(c);
	}
	return end();
}
