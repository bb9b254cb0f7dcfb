// SPDX-License-Identifier: MIT
/* The paths of kept files, from the mappings of a snapshot and the FILE records of the log. What cannot be read is left
 * out: nobody depends on all of it. */
#include "replay/kept_paths.h"

#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "formats/snapshot.h"

static void add_kept(struct ct_kept_paths *out, const char *path, size_t len, const ct_u8 hash[16])
{
	struct ct_kept_path *more = realloc(out->list, (out->count + 1) * sizeof(*more));

	if (!more)
		return;
	out->list = more;
	more[out->count].path = strndup(path, len);
	memcpy(more[out->count].hash, hash, 16);
	out->count += more[out->count].path != NULL;
}

static void add_snapshot(struct ct_kept_paths *out, struct ct_recording *rec, ct_u32 id)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(ct_recording_dirfd(rec), id, NULL);

	for (ct_u32 p = 0; snap && p < ct_snapshot_get(snap)->nprocs; p++) {
		const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[p];

		for (ct_u32 i = 0; i < proc->nmaps; i++)
			if ((proc->maps[i].flags & CT_MAPF_FILE) && proc->maps[i].name[0] == '/')
				add_kept(out, proc->maps[i].name, strlen(proc->maps[i].name), proc->maps[i].hash);
	}
	ct_snapshot_reader_close(snap);
}

void ct_kept_paths_find(struct ct_recording *rec, ct_u32 id, struct ct_kept_paths *out)
{
	struct ct_cursor *cur = ct_cursor_create(rec, NULL);
	const struct ct_event *ev;
	const char *path;
	size_t len;

	memset(out, 0, sizeof(*out));
	add_snapshot(out, rec, id);
	while (cur && ct_cursor_next(cur, &ev, NULL) > 0)
		if (ev->type == CT_EV_FILE && (path = ct_event_text(ev, &len)))
			add_kept(out, path, len, ((const struct ct_ev_file *)ct_event_payload(ev))->hash);
	ct_cursor_destroy(cur);
}

void ct_kept_paths_deinit(struct ct_kept_paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->list[i].path);
	free(paths->list);
	memset(paths, 0, sizeof(*paths));
}
