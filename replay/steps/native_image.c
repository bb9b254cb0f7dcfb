// SPDX-License-Identifier: MIT
/* Which program each process has, for native steps. Forks share their parent's until one of them maps other code or
 * executes another program: debug information is read once for all of them. */
#include <stdlib.h>

#include "replay/steps/native_priv.h"

struct native_image *ct_native_image(const struct ct_native *n, ct_u32 pid)
{
	for (size_t i = 0; i < n->nimages; i++)
		for (size_t k = 0; k < n->image[i]->npids; k++)
			if (n->image[i]->pid[k] == pid)
				return n->image[i];
	return NULL;
}

static int join(struct native_image *im, ct_u32 pid, struct ct_error *err)
{
	ct_u32 *more = realloc(im->pid, (im->npids + 1) * sizeof(*more));

	if (!more)
		return ct_fail_memory(err);
	im->pid = more;
	more[im->npids++] = pid;
	return 0;
}

static void free_image(struct native_image *im)
{
	ct_native_free_points(im);
	ct_symbols_destroy(im->symbols);
	free(im->pid);
	free(im);
}

void ct_native_free_images(struct ct_native *n)
{
	for (size_t i = 0; i < n->nimages; i++)
		free_image(n->image[i]);
	free(n->image);
	n->image = NULL;
	n->nimages = 0;
}

/* One that has the same mapped at the same place. */
static struct native_image *same_as(const struct ct_native *n, ct_u32 pid)
{
	for (size_t i = 0; i < n->nimages; i++)
		if (ct_symbols_fit(n->image[i]->symbols, pid))
			return n->image[i];
	return NULL;
}

int ct_native_new_process(struct ct_native *n, ct_u32 pid, ct_u32 snapshot, struct ct_error *err)
{
	struct native_image *im = same_as(n, pid), **more;

	if (im)
		return join(im, pid, err) || ct_session_stop_too(n->s, im->pid[0], pid, err) ? -1 : 0;
	im = calloc(1, sizeof(*im));
	more = im && !join(im, pid, err) ? realloc(n->image, (n->nimages + 1) * sizeof(*more)) : NULL;
	if (!more) {
		if (im)
			free_image(im);
		return ct_fail_memory(err);
	}
	n->image = more;
	im->symbols = ct_symbols_create_for(n->s, n->rec, pid, snapshot, err);
	if (!im->symbols) {
		free_image(im);
		return -1;
	}
	more[n->nimages++] = im;
	return ct_native_look(n, im, err);
}

int ct_native_forked(struct ct_native *n, ct_u32 parent, ct_u32 child, struct ct_error *err)
{
	struct native_image *im = ct_native_image(n, parent);

	if (!im || ct_native_image(n, child))
		return 0;
	return join(im, child, err) || ct_session_stop_too(n->s, parent, child, err) ? -1 : 0;
}

void ct_native_forget(struct ct_native *n, ct_u32 pid)
{
	struct native_image *im = ct_native_image(n, pid);

	ct_session_stop_no_more(n->s, pid);
	for (size_t i = 0; im && i < im->npids; i++)
		if (im->pid[i] == pid)
			im->pid[i] = im->pid[--im->npids];
	for (size_t i = 0; im && !im->npids && i < n->nimages; i++)
		if (n->image[i] == im) {
			n->image[i] = n->image[--n->nimages];
			free_image(im);
			return;
		}
}

int ct_native_remapped(struct ct_native *n, ct_u32 pid, struct ct_error *err)
{
	struct native_image *im = ct_native_image(n, pid);
	int changed;

	if (!im || ct_symbols_fit(im->symbols, pid))
		return 0;
	if (im->npids > 1) {
		const ct_u32 snapshot = ct_symbols_snapshot(im->symbols);

		ct_native_forget(n, pid);
		return ct_native_new_process(n, pid, snapshot, err);
	}
	ct_symbols_read_from(im->symbols, pid);
	changed = ct_symbols_update(im->symbols, err);
	return changed < 0 ? -1 : changed ? ct_native_look(n, im, err) : 0;
}
