/* SPDX-License-Identifier: MIT
 * A sorted list of functions. Numbers are given out rising, so a new one nearly always goes to the end. */
#include "functions.h"

#include <stdlib.h>
#include <string.h>

/* Where id is, or would be. */
static size_t place(const struct ct_functions *fs, ct_u32 id)
{
	size_t lo = 0, hi = fs->n;

	if (fs->n && fs->v[fs->n - 1].f.id < id)
		return fs->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (fs->v[mid].f.id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct ct_function *ct_functions_find(const struct ct_functions *fs, ct_u32 id)
{
	size_t at = place(fs, id);

	return at < fs->n && fs->v[at].f.id == id ? &fs->v[at] : NULL;
}

struct ct_function *ct_functions_add(struct ct_functions *fs, const struct ct_event *ev)
{
	const struct ct_ev_function *f = ct_event_payload(ev);
	const char *path, *name = ct_event_function(ev, &path);
	size_t language_len;
	const char *language = ct_event_language(ev, &language_len);
	char *text = malloc((size_t)f->name_len + f->file_len + language_len + 3);
	size_t at = place(fs, f->id);

	if (!text)
		return NULL;
	if (at < fs->n && fs->v[at].f.id == f->id) {
		free(fs->v[at].name);
	} else {
		if (fs->n == fs->cap) {
			size_t cap = fs->cap ? 2 * fs->cap : 64;
			void *more = reallocarray(fs->v, cap, sizeof(*fs->v));

			if (!more) {
				free(text);
				return NULL;
			}
			fs->v = more;
			fs->cap = cap;
		}
		memmove(&fs->v[at + 1], &fs->v[at], (fs->n - at) * sizeof(*fs->v));
		fs->n++;
	}
	memcpy(text, name, f->name_len);
	text[f->name_len] = 0;
	memcpy(text + f->name_len + 1, path, f->file_len);
	text[f->name_len + 1 + f->file_len] = 0;
	fs->v[at] = (struct ct_function){.f = *f,
					 .name = text,
					 .file = text + f->name_len + 1,
					 .language = text + f->name_len + f->file_len + 2};
	memcpy(fs->v[at].language, language, language_len);
	fs->v[at].language[language_len] = 0;
	return &fs->v[at];
}

void ct_functions_free(struct ct_functions *fs)
{
	for (size_t i = 0; i < fs->n; i++)
		free(fs->v[i].name);
	free(fs->v);
	*fs = (struct ct_functions){0};
}
