// SPDX-License-Identifier: MIT
/* Which functions are told of: those whose file and name match what was asked for. */
#include <fnmatch.h>
#include <string.h>

#include "replay/steps/steps.h"

/* The whole text, or what is behind any of its separators. */
static bool matches(const struct ct_globs *globs, const char *text, const char *separators)
{
	for (size_t i = 0; i < globs->count; i++)
		for (const char *at = text; at; at = strpbrk(at, separators), at = at ? at + 1 : NULL)
			if (!fnmatch(globs->list[i], at, 0))
				return true;
	return !globs->count;
}

bool ct_step_wanted(const struct ct_step_filter *f, const char *file, const char *function)
{
	return !f || (matches(&f->files, file, "/") && matches(&f->functions, function, ".:"));
}
