// SPDX-License-Identifier: MIT
/* Which part of a recording a timeline is: the stretch, and the process with its beginning, its end, images and files.
 * One pass over the log, which is what the first prompt of a long recording waits for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "replay/timeline_priv.h"

#define MOST_NAMED 12 /* processes that a message lists */

struct life {
	ct_u32 pid;
	ct_u64 first, end; /* events of it; the end is 0 if it is not in the log */
};
struct image_of {
	ct_u32 pid;
	struct ct_image image;
};
struct survey {
	struct life *lives;
	size_t nlives, at;
	struct image_of *images;
	size_t nimages;
	struct ct_kept_files *kept;
	ct_u64 last;
	bool no_memory;
};

static void *one_more(struct survey *s, void *list, size_t n, size_t size)
{
	void *more = n & (n - 1) ? list : realloc(list, (n ? 2 * n : 1) * size);

	s->no_memory |= !more;
	return more;
}

static struct life *life_of(struct survey *s, ct_u32 pid, ct_u64 seq)
{
	struct life *more;

	if (s->at < s->nlives && s->lives[s->at].pid == pid)
		return &s->lives[s->at];
	for (s->at = s->nlives; s->at-- > 0;)
		if (s->lives[s->at].pid == pid)
			return &s->lives[s->at];
	more = one_more(s, s->lives, s->nlives, sizeof(*more));
	if (!more)
		return NULL;
	s->lives = more;
	s->at = s->nlives++;
	more[s->at] = (struct life){pid, seq, 0};
	return &more[s->at];
}

static void see(void *ctx, const struct ct_event *ev)
{
	const void *payload = ct_event_payload(ev);
	const struct ct_ev_snapshot *snap = payload;
	struct survey *s = ctx;
	struct image_of *more;
	struct life *life;

	s->last = ev->seq;
	ct_kept_see(s->kept, ev);
	if (ev->flags & CT_EVF_EVENTS_ONLY)
		return;
	life = ev->pid ? life_of(s, ev->pid, ev->seq) : NULL;
	if (!life)
		return;
	if (ev->type == CT_EV_EXIT && !life->end && (((const struct ct_ev_exit *)payload)->flags & CT_EXITF_GROUP))
		life->end = ev->seq;
	if (ev->type == CT_EV_EXEC && (((const struct ct_ev_exec *)payload)->flags & CT_EXECF_EVENTS))
		life->end = ev->seq;
	if (ev->type != CT_EV_SNAPSHOT || snap->kind != CT_SNAP_EXEC)
		return;
	more = one_more(s, s->images, s->nimages, sizeof(*more));
	if (!more)
		return;
	s->images = more;
	more[s->nimages++] = (struct image_of){ev->pid, {ev->seq, snap->id}};
}

static int no_such_process(const struct ct_timeline *tl, const struct survey *s, struct ct_error *err)
{
	char list[MOST_NAMED * 12 + 8] = "";
	unsigned n = 0;
	int len = 0;

	for (size_t i = 0; i < s->nlives && n < MOST_NAMED; i++)
		if (s->lives[i].first < tl->end && (!s->lives[i].end || s->lives[i].end >= tl->begin))
			len += snprintf(list + len, sizeof(list) - (size_t)len, "%s%u", n++ ? ", " : "",
					s->lives[i].pid);
	return ct_fail(err, CT_EXIT_USAGE, "%s: there is no process %u in what can be replayed; there are: %s%s",
		       ct_recording_path(tl->rec), tl->pid, list, n == MOST_NAMED ? ", ..." : "");
}

static int choose_stretch(struct ct_timeline *tl, const struct ct_timeline_opts *opts, const struct ct_stretches *st,
			  struct ct_error *err)
{
	const struct ct_stretch *first = NULL;

	for (size_t i = 0; i < st->count && !first; i++)
		if (opts->from ? st->list[i].from == opts->from : st->list[i].broken_at != st->list[i].begin)
			first = &st->list[i];
	if (!first)
		return ct_fail(
			err, CT_EXIT_FAILED,
			"%s: it has no snapshot of running processes to replay from%s; `ctbpf info` says what is "
			"in it",
			ct_recording_path(tl->rec), opts->from ? " of that number" : "");
	tl->from = first->from;
	tl->begin = first->begin;
	for (; first < st->list + st->count; first++) { /* those that follow soundly */
		tl->end = first->broken_at ? first->broken_at : first->end;
		if (first->broken_at)
			break;
	}
	return 0;
}

static int choose_process(struct ct_timeline *tl, const struct ct_timeline_opts *opts, const struct survey *s,
			  struct ct_error *err)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(ct_recording_dirfd(tl->rec), tl->from, err);

	if (!snap)
		return -1;
	tl->pid = opts->pid ? opts->pid : ct_snapshot_get(snap)->procs[0].pid;
	for (size_t i = 0; i < ct_snapshot_get(snap)->nprocs; i++)
		if (ct_snapshot_get(snap)->procs[i].pid == tl->pid)
			tl->born = tl->begin;
	ct_snapshot_reader_close(snap);
	if (tl->end == UINT64_MAX)
		tl->end = s->last + 1;
	for (size_t i = 0; i < s->nlives; i++) {
		const struct life *l = &s->lives[i];

		if (l->pid != tl->pid)
			continue;
		if (!tl->born && l->first > tl->begin && l->first < tl->end)
			tl->born = l->first; /* by a fork; what came before it is the parent's */
		if (l->end >= tl->begin && l->end < tl->end)
			tl->end = l->end;
	}
	if (!tl->born)
		return no_such_process(tl, s, err);
	tl->images = calloc(s->nimages ? s->nimages : 1, sizeof(*tl->images));
	if (!tl->images)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < s->nimages; i++)
		if (s->images[i].pid == tl->pid && s->images[i].image.seq >= tl->begin &&
		    s->images[i].image.seq < tl->end)
			tl->images[tl->nimages++] = s->images[i].image;
	return 0;
}

int ct_tl_choose(struct ct_timeline *tl, const struct ct_timeline_opts *opts, struct ct_error *err)
{
	struct survey s = {.kept = &tl->kept};
	struct ct_stretches st;
	int ret;

	if (ct_stretches_find_and_see(tl->rec, &st, see, &s, err))
		return -1;
	ret = s.no_memory ? ct_fail(err, CT_EXIT_FAILED, "out of memory")
			  : choose_stretch(tl, opts, &st, err) || choose_process(tl, opts, &s, err);
	ct_stretches_deinit(&st);
	free(s.lives);
	free(s.images);
	return ret ? -1 : 0;
}
