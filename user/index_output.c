/* SPDX-License-Identifier: MIT
 * While `ctbpf index` replays: what the program writes to its standard output and error is kept in steps/output. */
#include "user/index_output.h"

#include <stdlib.h>

#include "formats/stepdb_output.h"
#include "user/output_read.h"

struct ct_index_output {
	struct ct_recording *rec;
	struct ct_output_track *track;
	struct ct_output_writer *w;
	unsigned stream; /* of the event at hand, 0: none */
	enum ct_output_form form;
	ct_u64 seq;
};

struct ct_index_output *ct_index_output_create(struct ct_recording *rec, struct ct_error *err)
{
	struct ct_index_output *o = calloc(1, sizeof(*o));
	ct_u8 uuid[16];

	if (o)
		o->track = ct_output_track_create();
	if (!o || !o->track) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	} else if (ct_uuid_parse(json_string_value(json_object_get(ct_recording_manifest(rec), "uuid")), uuid) == 0 &&
		   (o->w = ct_output_create(ct_recording_dirfd(rec), uuid, err))) {
		o->rec = rec;
		return o;
	}
	if (o)
		ct_output_track_destroy(o->track);
	free(o);
	return NULL;
}

int ct_index_output_begin(struct ct_index_output *o, ct_u32 snapshot, struct ct_error *err)
{
	struct ct_snapshot_reader *snap;
	int ret;

	if (!o)
		return 0;
	snap = ct_snapshot_open(ct_recording_dirfd(o->rec), snapshot, err);
	if (!snap)
		return -1;
	ret = ct_output_track_begin(o->track, ct_snapshot_get(snap));
	ct_snapshot_reader_close(snap);
	return ret ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : 0;
}

bool ct_index_output_wants(struct ct_index_output *o, const struct ct_event *ev)
{
	if (!o)
		return false;
	o->stream = (unsigned)ct_output_of(o->track, ev, &o->form);
	ct_output_track_event(o->track, ev);
	return o->stream;
}

static int keep(void *arg, const char *data, size_t len)
{
	struct ct_index_output *o = arg;

	ct_output_put(o->w, o->seq, o->stream, data, len);
	return 0;
}

void ct_index_output_take(struct ct_index_output *o, struct ct_session *s, const struct ct_event *ev)
{
	if (!o || !o->stream)
		return;
	o->seq = ev->seq;
	ct_output_read(s, ev, o->form, keep, o);
	o->stream = 0;
}

int ct_index_output_finish(struct ct_index_output *o, struct ct_error *err)
{
	int ret;

	if (!o)
		return 0;
	ret = ct_output_finish(o->w, err);
	ct_output_track_destroy(o->track);
	free(o);
	return ret;
}
