// SPDX-License-Identifier: MIT
/* Regular expressions, patterns, words, numbers in text. */
#include "behave.h"
#include <fnmatch.h>
#include <regex.h>
#include <wordexp.h>

int main(void)
{
	regmatch_t m[5];
	wordexp_t w;
	regex_t re;

	OK(regcomp(&re, "([a-z]+)([0-9]*)-?(x|y)*", REG_EXTENDED | REG_ICASE));
	for (const char *s = "abc12-xyxy Def 77 gh-x"; *s; s++)
		if (!TRY(regexec(&re, s, 5, m, 0)))
			GOT(m);
	regfree(&re);
	mix_number(fnmatch("*.[ch]", "file.c", 0));
	mix_number(fnmatch("a?b*", "axyz", FNM_PATHNAME));
	setenv("VALUE", "of it", 1);
	OK(wordexp("~root $VALUE /e*c/host*", &w, 0));
	for (size_t i = 0; i < w.we_wordc; i++)
		mix_text(w.we_wordv[i]);
	wordfree(&w);
	double x = strtod("0x1.8p3", NULL) + strtold("1e-5", NULL) + strtol("-077", NULL, 0);
	GOT(x);
	return end();
}
