// SPDX-License-Identifier: MIT
/* One stack of two: in the place of each call of an interpreter's evaluation loop come the frames that it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live_priv.h"

static void take(struct live_thread *out, struct live_copy *c, size_t i)
{
	out->frame[out->n++] = c->inner[i];
	memset(&c->inner[i], 0, sizeof(c->inner[i]));
}

void live_merge(struct live *l, struct live_copy *c, const struct live_native *native, size_t n,
		struct live_thread *out)
{
	size_t next = 0, loops = 0, calls = 0;

	for (size_t i = 0; i < n; i++)
		loops += native[i].loop;
	for (size_t i = 0; i < c->ninner; i++)
		calls += c->entry[i];
	out->frame = calloc(n + c->ninner + 1, sizeof(*out->frame));
	if (!out->frame)
		return;
	for (size_t i = 0; i < n; i++) {
		/* A loop that has just been called, or is about to return, has no frame. */
		if (native[i].loop && next < c->ninner && (loops <= calls || i)) {
			do
				take(out, c, next);
			while (!c->entry[next++] && next < c->ninner);
			continue;
		}
		live_native_describe(l, &native[i], &out->frame[out->n++]);
	}
	if (next < c->ninner && !*out->note)
		snprintf(out->note, sizeof(out->note), "the interpreter's outer frames have no native ones");
	while (next < c->ninner)
		take(out, c, next++);
}
