/* SPDX-License-Identifier: MIT
 * Walking the events of a recording, one decoded block at a time, with seeking by the block indexes.
 *
 * A damaged block is reported once, by a failing next, and then passed over. */
#include <stdlib.h>
#include <string.h>

#include "event_access.h"
#include "recording_private.h"

struct place {
	/* Highest sequence number and time up to and including this block. Times may step back a little from one
	 * record to the next, so a block's own last one would not do for a binary search. */
	ct_u64 max_seq, max_ns;
	ct_u32 segment, block;
};

struct ct_cursor {
	struct ct_recording *rec;
	struct place *places;
	size_t nplaces;
	size_t next; /* place to decode when the current block is used up */
	ct_u8 *data; /* the current block */
	size_t raw, pos;
	bool at_seq, at_time; /* a seek is pending: records below `from` are passed over */
	ct_u64 from;
};

struct ct_cursor *ct_cursor_create(struct ct_recording *rec, struct ct_error *err)
{
	struct ct_cursor *cur = calloc(1, sizeof(*cur));
	size_t total = 0, n = 0;
	ct_u32 blocks;
	ct_u64 max_seq = 0, max_ns = 0;

	for (size_t s = 0; s < rec->nsegments; s++) {
		ct_segment_index(rec->segments[s], &blocks);
		total += blocks;
	}
	if (cur)
		cur->places = calloc(total ? total : 1, sizeof(*cur->places));
	if (!cur || !cur->places) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory for an index of %zu blocks", rec->path, total);
		free(cur);
		return NULL;
	}
	for (size_t s = 0; s < rec->nsegments; s++) {
		const struct ct_index_entry *e = ct_segment_index(rec->segments[s], &blocks);

		for (ct_u32 i = 0; i < blocks; i++, e++) {
			max_seq = e->last_seq > max_seq ? e->last_seq : max_seq;
			max_ns = e->last_ns > max_ns ? e->last_ns : max_ns;
			cur->places[n++] = (struct place){max_seq, max_ns, (ct_u32)s, i};
		}
	}
	cur->rec = rec;
	cur->nplaces = total;
	return cur;
}

void ct_cursor_destroy(struct ct_cursor *cur)
{
	if (!cur)
		return;
	free(cur->data);
	free(cur->places);
	free(cur);
}

static void leave_block(struct ct_cursor *cur)
{
	free(cur->data);
	cur->data = NULL;
	cur->raw = cur->pos = 0;
}

static int seek(struct ct_cursor *cur, bool by_time, ct_u64 from)
{
	size_t low = 0, high = cur->nplaces;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if ((by_time ? cur->places[mid].max_ns : cur->places[mid].max_seq) < from)
			low = mid + 1;
		else
			high = mid;
	}
	leave_block(cur);
	cur->next = low;
	cur->at_time = by_time;
	cur->at_seq = !by_time;
	cur->from = from;
	return 0;
}

int ct_cursor_seek_seq(struct ct_cursor *cur, ct_u64 seq, struct ct_error *err)
{
	(void)err;
	return seek(cur, false, seq);
}

int ct_cursor_seek_time(struct ct_cursor *cur, ct_u64 time_ns, struct ct_error *err)
{
	(void)err;
	return seek(cur, true, time_ns);
}

int ct_cursor_next(struct ct_cursor *cur, const struct ct_event **ev, struct ct_error *err)
{
	*ev = NULL;
	for (;;) {
		const struct place *p;
		void *data;

		while (cur->pos < cur->raw) {
			const struct ct_event *e = (const void *)(cur->data + cur->pos);

			cur->pos += ct_event_stride(e);
			if ((cur->at_seq && e->seq < cur->from) || (cur->at_time && e->time_ns < cur->from))
				continue;
			cur->at_seq = cur->at_time = false;
			*ev = e;
			return 1;
		}
		leave_block(cur);
		if (cur->next >= cur->nplaces)
			return 0;
		p = &cur->places[cur->next++];
		if (ct_segment_block(cur->rec->segments[p->segment], p->block, &data, &cur->raw, err) < 0)
			return -1;
		cur->data = data;
	}
}

const struct ct_event *ct_cursor_peek(const struct ct_cursor *cur, const struct ct_event *ev)
{
	size_t at = (size_t)((const ct_u8 *)ev - cur->data) + ct_event_stride(ev);

	return at < cur->raw ? (const void *)(cur->data + at) : NULL;
}

void ct_cursor_skip(struct ct_cursor *cur, const struct ct_event *ev)
{
	cur->pos = (size_t)((const ct_u8 *)ev - cur->data) + ct_event_stride(ev);
}
