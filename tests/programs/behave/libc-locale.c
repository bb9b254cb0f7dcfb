// SPDX-License-Identifier: MIT
/* Locales: names, formats, collation, wide and multibyte characters. */
#include "behave.h"
#include <langinfo.h>
#include <locale.h>
#include <wchar.h>
#include <wctype.h>

int main(void)
{
	const char *const name[] = {"C", "C.UTF-8", "", "de_DE.UTF-8", "none"};
	char text[200];
	wchar_t wide[100];

	for (int i = 0; i < 5; i++) {
		const char *set = setlocale(LC_ALL, name[i]);

		mix_text(set ? set : "(no)");
		mix_text(nl_langinfo(CODESET));
		mix_text(nl_langinfo(DAY_3));
		snprintf(text, sizeof(text), "%'d %.3f", 1234567, 3.14159);
		mix_text(text);
		mix_number(strcoll("apple", "Banana") > 0);
		TRY(mbstowcs(wide, "gr\xc3\xbc\xc3\x9f", 100));
		mix_number(towupper(0xfc));
		mix_number(wcswidth(L"wide", 4));
	}
	return end();
}
