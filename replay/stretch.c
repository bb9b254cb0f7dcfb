// SPDX-License-Identifier: MIT
/* Finding the stretches of a recording, and which of them are spoiled.
 * Every block is decoded on the way, so damage anywhere in the log shows. */
#include "replay/stretch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"

static struct ct_stretch *add(struct ct_stretches *st)
{
	struct ct_stretch *more = realloc(st->list, (st->count + 1) * sizeof(*more));

	if (!more)
		return NULL;
	st->list = more;
	memset(&more[st->count], 0, sizeof(*more));
	return &more[st->count++];
}

/* Notes the first thing that spoils a stretch; NULL: nothing is open, so it is nobody's. */
static void spoil(struct ct_stretches *st, struct ct_stretch *open, ct_u64 at, const char *why)
{
	if (!open) {
		if (!st->damage[0])
			snprintf(st->damage, sizeof(st->damage), "%.255s", why);
	} else if (!open->broken_at) {
		open->broken_at = at ? at : 1;
		snprintf(open->broken, sizeof(open->broken), "%.255s", why);
	}
}

static void check_event(struct ct_stretches *st, struct ct_stretch *open, const struct ct_event *ev, ct_u64 last)
{
	char why[200], text[CT_UNSOUND_TEXT];

	if (ev->type == CT_EV_LOST) {
		snprintf(why, sizeof(why), "%llu events are lost before event %llu",
			 (unsigned long long)((const struct ct_ev_lost *)ct_event_payload(ev))->count,
			 (unsigned long long)ev->seq);
		spoil(st, open, last + 1, why);
	} else if (last && ev->seq != last + 1) {
		snprintf(why, sizeof(why), "events %llu to %llu are missing", (unsigned long long)last + 1,
			 (unsigned long long)ev->seq - 1);
		spoil(st, open, last + 1, why);
	}
	if (ev->type == CT_EV_UNSOUND && open) {
		snprintf(why, sizeof(why), "event %llu: %.150s", (unsigned long long)ev->seq,
			 ct_unsound_text(ev, text, sizeof(text)));
		spoil(st, open, ev->seq, why);
	}
}

int ct_stretches_find(struct ct_recording *rec, struct ct_stretches *st, struct ct_error *err)
{
	return ct_stretches_find_and_see(rec, st, NULL, NULL, err);
}

int ct_stretches_find_and_see(struct ct_recording *rec, struct ct_stretches *st,
			      void (*see)(void *ctx, const struct ct_event *ev), void *ctx, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(rec, err);
	struct ct_stretch *open = NULL;
	const struct ct_event *ev;
	struct ct_error bad;
	ct_u64 last = 0;
	int got;

	memset(st, 0, sizeof(*st));
	if (!cur)
		return -1;
	while ((got = ct_cursor_next(cur, &ev, &bad))) {
		const struct ct_ev_snapshot *s;

		if (got < 0) {
			spoil(st, open, last + 1, bad.msg);
			continue; /* the gap in the numbers that follows is this block */
		}
		check_event(st, open, ev, last);
		last = ev->seq;
		if (see)
			see(ctx, ev);
		s = ct_event_payload(ev);
		if (open)
			open->last_ns = ev->time_ns;
		if (ev->type != CT_EV_SNAPSHOT || s->kind == CT_SNAP_EXEC) {
			if (open) {
				open->events++;
				open->events_only += (ev->flags & CT_EVF_EVENTS_ONLY) != 0;
			}
			continue;
		}
		if (open) {
			open->to = s->id;
			open->end = ev->seq;
			open = NULL;
		}
		if (s->kind == CT_SNAP_FINAL)
			continue;
		open = add(st);
		if (!open) {
			ct_cursor_destroy(cur);
			ct_stretches_deinit(st);
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
		*open = (struct ct_stretch){.from = s->id,
					    .begin = ev->seq + 1,
					    .end = UINT64_MAX,
					    .first_ns = ev->time_ns,
					    .last_ns = ev->time_ns};
	}
	ct_cursor_destroy(cur);
	return 0;
}

ct_u32 ct_stretch_before(const struct ct_stretches *st, ct_u64 seq)
{
	ct_u32 from = 0;

	for (size_t i = 0; i < st->count; i++)
		if (st->list[i].begin - 1 <= seq && st->list[i].broken_at != st->list[i].begin)
			from = st->list[i].from;
	return from;
}

void ct_stretches_deinit(struct ct_stretches *st)
{
	free(st->list);
	memset(st, 0, sizeof(*st));
}
