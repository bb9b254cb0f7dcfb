/* SPDX-License-Identifier: MIT
 * Perfetto's protobuf trace: packets of track events, with names interned in each sequence.
 *
 * Numbers of fields are those of perfetto.protos.TracePacket and what it holds. Times are CLOCK_MONOTONIC; a clock
 * snapshot ties them to the trace's own clock and to the time of day. */
#include <string.h>

#include "../recording.h"
#include "tracks.h"

enum { TRACE_PACKET = 1 };
enum {
	PACKET_CLOCK_SNAPSHOT = 6,
	PACKET_TIMESTAMP = 8,
	PACKET_SEQUENCE_ID = 10,
	PACKET_TRACK_EVENT = 11,
	PACKET_INTERNED = 12,
	PACKET_FLAGS = 13,
	PACKET_CLOCK_ID = 58,
	PACKET_DEFAULTS = 59,
	PACKET_DESCRIPTOR = 60
};
enum { FLAG_CLEARED = 1, FLAG_NEEDS_STATE = 2 };
enum { DEFAULTS_CLOCK_ID = 58 };
enum { SNAPSHOT_CLOCKS = 1, CLOCK_ID = 1, CLOCK_TIMESTAMP = 2 };
enum { CLOCK_REALTIME_ID = 1, CLOCK_MONOTONIC_ID = 3, CLOCK_BOOTTIME_ID = 6 };
enum { DESCRIPTOR_UUID = 1, DESCRIPTOR_NAME, DESCRIPTOR_PROCESS, DESCRIPTOR_THREAD, DESCRIPTOR_PARENT };
enum { DESCRIPTOR_COUNTER = 8 };
enum { PROCESS_PID = 1, PROCESS_NAME = 6 };
enum { THREAD_PID = 1, THREAD_TID = 2, THREAD_NAME = 5 };
enum { EVENT_CATEGORY_IIDS = 3, EVENT_ANNOTATIONS, EVENT_TYPE = 9, EVENT_NAME_IID, EVENT_TRACK };
enum { EVENT_NAME = 23, EVENT_COUNTER = 30, EVENT_SOURCE_IID = 34 };
enum { TYPE_BEGIN = 1, TYPE_END, TYPE_INSTANT, TYPE_COUNTER };
enum { INTERNED_CATEGORIES = 1, INTERNED_NAMES, INTERNED_ANNOTATIONS, INTERNED_SOURCES };
enum { INTERNED_IID = 1, INTERNED_TEXT = 2, SOURCE_FUNCTION = 3, SOURCE_LINE = 4 };
enum { ANNOTATION_NAME_IID = 1, ANNOTATION_INT = 4, ANNOTATION_TEXT = 6 };

/* Tracks have ids of their own; threads and processes are told apart from them, and from each other. */
#define UUID_PROCESS (1ull << 32)
#define UUID_THREAD  (2ull << 32)
#define INTERNED_MAX 64

struct perfetto {
	const struct ct_export_source *src;
	struct ex_out *o;
	struct sd_buf packet, message, part, interned;
	ct_u32 sequence;
	bool fresh;       /* nothing of the sequence is written */
	ct_u8 *functions; /* bit: its name is known in this sequence */
	struct {
		unsigned field;
		const char *text;
	} text[INTERNED_MAX]; /* keys and categories that are */
	unsigned ntexts;
	bool failed;
};

static void ok(struct perfetto *p, bool good)
{
	p->failed = p->failed || !good;
}

/* Writes p->packet. */
static void put_packet(struct perfetto *p)
{
	struct sd_buf head = {0};

	ok(p, sd_put_uint(&head, TRACE_PACKET << 3 | EX_PB_BYTES) && sd_put_uint(&head, p->packet.len));
	if (!p->failed) {
		ex_put(p->o, head.data, head.len);
		ex_put(p->o, p->packet.data, p->packet.len);
	}
	free(head.data);
	p->packet.len = 0;
}

static void put_descriptor(struct perfetto *p)
{
	ok(p, ex_pb_uint(&p->packet, PACKET_SEQUENCE_ID, 1) &&
		      ex_pb_bytes(&p->packet, PACKET_DESCRIPTOR, p->message.data, p->message.len));
	p->message.len = 0;
	put_packet(p);
}

static void put_process(void *arg, ct_u32 pid, const char *name, size_t len)
{
	struct perfetto *p = arg;

	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, PROCESS_PID, pid) && ex_pb_text(&p->part, PROCESS_NAME, name, len) &&
		      ex_pb_uint(&p->message, DESCRIPTOR_UUID, UUID_PROCESS | pid) &&
		      ex_pb_bytes(&p->message, DESCRIPTOR_PROCESS, p->part.data, p->part.len));
	put_descriptor(p);
}

static void put_thread(void *arg, ct_u32 tid, ct_u32 pid, const char *name, size_t len)
{
	struct perfetto *p = arg;

	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, THREAD_PID, pid) && ex_pb_uint(&p->part, THREAD_TID, tid) &&
		      ex_pb_text(&p->part, THREAD_NAME, name, len) &&
		      ex_pb_uint(&p->message, DESCRIPTOR_UUID, UUID_THREAD | tid) &&
		      ex_pb_bytes(&p->message, DESCRIPTOR_THREAD, p->part.data, p->part.len) &&
		      ex_pb_uint(&p->message, DESCRIPTOR_PARENT, UUID_PROCESS | pid));
	put_descriptor(p);
}

static void put_track(struct perfetto *p, enum tk_track track)
{
	ok(p, ex_pb_uint(&p->message, DESCRIPTOR_UUID, track) &&
		      ex_pb_text(&p->message, DESCRIPTOR_NAME, tk_track_names[track], strlen(tk_track_names[track])));
	if (track == TK_EVENTS || track == TK_LINES)
		ok(p, ex_pb_bytes(&p->message, DESCRIPTOR_COUNTER, "", 0));
	put_descriptor(p);
}

static void sequence(void *arg, ct_u32 number)
{
	struct perfetto *p = arg;

	/* Sequence 1 has the log and what is said about tracks; it has been begun. */
	if (number == 0)
		return;
	p->sequence = number + 1;
	p->fresh = true;
	p->ntexts = 0;
	memset(p->functions, 0, (p->src->db ? ct_stepdb_names(p->src->db, CT_FUNCTIONS) : 0) / 8 + 1);
}

/* The number of a key or category in this sequence, told when it is new. They are few, and constants. */
static unsigned intern(struct perfetto *p, unsigned field, const char *text)
{
	unsigned i = 0;

	while (i < p->ntexts && (p->text[i].text != text || p->text[i].field != field))
		i++;
	if (i < p->ntexts || i == INTERNED_MAX)
		return i + 1;
	p->text[i].field = field;
	p->text[i].text = text;
	p->ntexts++;
	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, INTERNED_IID, i + 1) && ex_pb_text(&p->part, INTERNED_TEXT, text, strlen(text)) &&
		      ex_pb_bytes(&p->interned, field, p->part.data, p->part.len));
	return i + 1;
}

static void intern_function(struct perfetto *p, ct_u32 id)
{
	const struct ct_name *fn = ex_name(p->src, CT_FUNCTIONS, id),
			     *file = ex_name(p->src, CT_FILES, fn->v[CT_FN_FILE]);

	if (p->functions[id / 8] >> id % 8 & 1)
		return;
	p->functions[id / 8] |= (ct_u8)(1u << id % 8);
	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, INTERNED_IID, id) && ex_pb_text(&p->part, INTERNED_TEXT, fn->text, fn->len) &&
		      ex_pb_bytes(&p->interned, INTERNED_NAMES, p->part.data, p->part.len));
	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, INTERNED_IID, id) && ex_pb_text(&p->part, INTERNED_TEXT, file->text, file->len) &&
		      ex_pb_text(&p->part, SOURCE_FUNCTION, fn->text, fn->len) &&
		      ex_pb_uint(&p->part, SOURCE_LINE, fn->v[CT_FN_LINE]) &&
		      ex_pb_bytes(&p->interned, INTERNED_SOURCES, p->part.data, p->part.len));
}

static void put_annotation(struct perfetto *p, const struct tk_arg *a)
{
	unsigned key = intern(p, INTERNED_ANNOTATIONS, a->key);

	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, ANNOTATION_NAME_IID, key) &&
		      (a->text ? ex_pb_text(&p->part, ANNOTATION_TEXT, a->text, a->len)
			       : ex_pb_uint(&p->part, ANNOTATION_INT, (ct_u64)a->number)) &&
		      ex_pb_bytes(&p->message, EVENT_ANNOTATIONS, p->part.data, p->part.len));
}

static void put(void *arg, const struct tk_event *ev)
{
	static const unsigned types[] = {
		[TK_BEGIN] = TYPE_BEGIN, [TK_END] = TYPE_END, [TK_INSTANT] = TYPE_INSTANT, [TK_COUNTER] = TYPE_COUNTER};
	struct perfetto *p = arg;
	struct sd_buf *m = &p->message;

	ok(p, ex_pb_uint(m, EVENT_TYPE, types[ev->phase]) &&
		      ex_pb_uint(m, EVENT_TRACK, ev->track == TK_THREAD ? UUID_THREAD | ev->tid : (ct_u64)ev->track));
	if (ev->phase == TK_COUNTER)
		ok(p, ex_pb_uint(m, EVENT_COUNTER, (ct_u64)ev->value));
	else if (ev->phase != TK_END)
		ok(p, ex_pb_uint(m, EVENT_CATEGORY_IIDS, intern(p, INTERNED_CATEGORIES, ev->category)));
	if (ev->function) {
		intern_function(p, ev->function);
		ok(p, ex_pb_uint(m, EVENT_NAME_IID, ev->function) && ex_pb_uint(m, EVENT_SOURCE_IID, ev->function));
	} else if (ev->name) {
		ok(p, ex_pb_text(m, EVENT_NAME, ev->name, strlen(ev->name)));
	}
	for (unsigned i = 0; i < ev->nargs; i++)
		put_annotation(p, &ev->arg[i]);

	ok(p, ex_pb_uint(&p->packet, PACKET_TIMESTAMP, ev->ns) &&
		      ex_pb_uint(&p->packet, PACKET_SEQUENCE_ID, p->sequence) &&
		      ex_pb_bytes(&p->packet, PACKET_TRACK_EVENT, m->data, m->len) &&
		      ex_pb_uint(&p->packet, PACKET_FLAGS, FLAG_NEEDS_STATE | (p->fresh ? FLAG_CLEARED : 0)));
	if (p->interned.len)
		ok(p, ex_pb_bytes(&p->packet, PACKET_INTERNED, p->interned.data, p->interned.len));
	if (p->fresh) {
		p->part.len = 0;
		ok(p, ex_pb_uint(&p->part, DEFAULTS_CLOCK_ID, CLOCK_MONOTONIC_ID) &&
			      ex_pb_bytes(&p->packet, PACKET_DEFAULTS, p->part.data, p->part.len));
	}
	p->fresh = false;
	p->interned.len = m->len = 0;
	put_packet(p);
}

/* The same moment on three clocks. Without it times would be taken for another clock's. */
static void put_clocks(struct perfetto *p)
{
	static const struct {
		const char *key;
		unsigned id;
	} clocks[] = {{"realtime_ns", CLOCK_REALTIME_ID},
		      {"monotonic_ns", CLOCK_MONOTONIC_ID},
		      {"boottime_ns", CLOCK_BOOTTIME_ID}};
	const json_t *manifest = json_object_get(ct_recording_manifest(p->src->rec), "clocks");
	ct_u64 monotonic = (ct_u64)json_integer_value(json_object_get(manifest, "monotonic_ns"));

	for (unsigned i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		const json_t *v = json_object_get(manifest, clocks[i].key);

		if (!v && clocks[i].id == CLOCK_REALTIME_ID)
			continue;
		p->part.len = 0;
		ok(p, ex_pb_uint(&p->part, CLOCK_ID, clocks[i].id) &&
			      ex_pb_uint(&p->part, CLOCK_TIMESTAMP, v ? (ct_u64)json_integer_value(v) : monotonic) &&
			      ex_pb_bytes(&p->message, SNAPSHOT_CLOCKS, p->part.data, p->part.len));
	}
	ok(p, ex_pb_uint(&p->packet, PACKET_SEQUENCE_ID, 1) &&
		      ex_pb_bytes(&p->packet, PACKET_CLOCK_SNAPSHOT, p->message.data, p->message.len));
	p->message.len = 0;
	put_packet(p);
}

int ex_perfetto(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
		struct ct_error *err)
{
	struct perfetto p = {.src = src, .o = o, .sequence = 1, .fresh = true};
	const struct tk_writer w = {&p, put_process, put_thread, sequence, put};
	int ret = 0;

	p.functions = calloc((src->db ? ct_stepdb_names(src->db, CT_FUNCTIONS) : 0) / 8 + 1, 1);
	if (!p.functions)
		return ct_fail_memory(err);
	put_clocks(&p);
	for (unsigned i = TK_RUNNING; i < TK_NTRACKS; i++)
		if (src->db || i != TK_LINES)
			put_track(&p, i);
	ret = ex_tracks(src, opts, &w, err);
	if (ret == 0 && p.failed)
		ret = ct_fail_memory(err);
	free(p.packet.data);
	free(p.message.data);
	free(p.part.data);
	free(p.interned.data);
	free(p.functions);
	return ret;
}
