/* SPDX-License-Identifier: MIT
 * The paths that a client has, and those that were recorded. */
#include "replay/dap_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `path` with its beginning `from` replaced by `to`; NULL if it does not begin so. malloc'ed. */
static char *moved(const char *path, const char *from, const char *to)
{
	size_t n = strlen(from);
	char *out = NULL;

	while (n > 1 && from[n - 1] == '/')
		n--;
	if (!n || strncmp(path, from, n) != 0 || (path[n] && path[n] != '/' && from[n - 1] != '/'))
		return NULL;
	return asprintf(&out, "%.*s%s%s", (int)(strlen(to) - (strlen(to) > 1 && to[strlen(to) - 1] == '/')), to,
			path[n] && path[n] != '/' ? "/" : "", path + n) < 0
		       ? NULL
		       : out;
}

char *dap_local_path(const json_t *source_map, const char *recorded)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)source_map, key, value) {
		char *path = json_is_string(value) ? moved(recorded, key, json_string_value(value)) : NULL;

		if (path)
			return path;
	}
	return strdup(recorded);
}

/* How many components the ends of two paths have in common; *all: one of them has no more. */
static unsigned common_end(const char *a, const char *b, bool *all)
{
	const char *p = a + strlen(a), *q = b + strlen(b);
	unsigned n = 0;

	while (p > a && q > b && p[-1] == q[-1]) {
		p--;
		q--;
		n += *p == '/';
	}
	*all = (p == a && (q == b || q[-1] == '/')) || (q == b && p[-1] == '/');
	return n + (*all && *p != '/');
}

/* Files of exactly this path; else of which one path is the end of the other; else the only one with the longest end in
 * common, at least a directory and the name. */
int dap_match_files(const struct dap_files *files, const char *path, ct_u32 **ids, struct ct_error *err)
{
	ct_u32 *exact = malloc(((size_t)files->n + 1) * sizeof(*exact)),
	       *partial = malloc(((size_t)files->n + 1) * sizeof(*partial));
	unsigned longest = 2, n_exact = 0, n_partial = 0;
	bool whole = false;

	for (ct_u32 i = 0; exact && partial && i < files->n; i++) {
		const char *recorded = files->path(files->ctx, i);
		char *here = dap_local_path(files->source_map, recorded);
		bool is_whole;
		unsigned n;

		if (here && strcmp(here, path) == 0)
			exact[n_exact++] = i;
		n = common_end(recorded, path, &is_whole);
		if (is_whole && n && !whole) {
			whole = true;
			n_partial = 0;
		}
		if (whole ? is_whole && n : n >= longest) {
			n_partial = !whole && n > longest ? 0 : n_partial;
			longest = n > longest ? n : longest;
			partial[n_partial++] = i;
		}
		free(here);
	}
	if (!exact || !partial) {
		free(exact);
		free(partial);
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	if (!n_exact && !whole && n_partial > 1)
		n_partial = 0;
	*ids = n_exact ? exact : partial;
	free(n_exact ? partial : exact);
	return (int)(n_exact ? n_exact : n_partial);
}
