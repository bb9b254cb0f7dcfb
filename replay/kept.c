// SPDX-License-Identifier: MIT
/* Paths and contents of kept files, from mappings of snapshots and from the log. */
#include "replay/kept.h"

#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"

static void add(struct ct_kept_files *files, const char *path, size_t len, const ct_u8 hash[16],
		const struct ct_file_ref *ref)
{
	struct ct_kept *more = realloc(files->list, (files->n + 1) * sizeof(*more));

	if (!more)
		return;
	files->list = more;
	more[files->n].path = strndup(path, len);
	more[files->n].ref = ref ? *ref : (struct ct_file_ref){0};
	memcpy(more[files->n].hash, hash, 16);
	files->n += more[files->n].path != NULL;
}

void ct_kept_in_snapshot(struct ct_kept_files *files, struct ct_recording *rec, ct_u32 id)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(ct_recording_dirfd(rec), id, NULL);

	for (ct_u32 p = 0; snap && p < ct_snapshot_get(snap)->nprocs; p++) {
		const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[p];

		for (ct_u32 i = 0; i < proc->nmaps; i++)
			if ((proc->maps[i].flags & CT_MAPF_FILE) && proc->maps[i].name[0] == '/')
				add(files, proc->maps[i].name, strlen(proc->maps[i].name), proc->maps[i].hash, NULL);
	}
	ct_snapshot_reader_close(snap);
}

void ct_kept_see(struct ct_kept_files *files, const struct ct_event *ev)
{
	const struct ct_ev_file *f = ct_event_payload(ev);
	const char *path;
	size_t len;

	if (ev->type == CT_EV_FILE && (path = ct_event_text(ev, &len)))
		add(files, path, len, f->hash, &f->ref);
}

void ct_kept_append(struct ct_kept_files *files, const struct ct_kept_files *more)
{
	for (size_t i = 0; i < more->n; i++)
		if (more->list[i].path)
			add(files, more->list[i].path, strlen(more->list[i].path), more->list[i].hash,
			    &more->list[i].ref);
}

void ct_kept_in_log(struct ct_kept_files *files, struct ct_recording *rec)
{
	struct ct_cursor *cur = ct_cursor_create(rec, NULL);
	const struct ct_event *ev;

	while (cur && ct_cursor_next(cur, &ev, NULL) > 0)
		ct_kept_see(files, ev);
	ct_cursor_destroy(cur);
}

void ct_kept_free(struct ct_kept_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		free(files->list[i].path);
	free(files->list);
	*files = (struct ct_kept_files){0};
}

const char *ct_kept_hash(const char *mapping)
{
	const size_t len = strlen(mapping);
	const char *hash = len > CT_KEPT_DIGITS + 7 ? mapping + len - CT_KEPT_DIGITS : NULL;

	return hash && !strncmp(hash - 7, "/files/", 7) && strspn(hash, "0123456789abcdef") == CT_KEPT_DIGITS ? hash
													      : NULL;
}
