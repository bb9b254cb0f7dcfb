/* SPDX-License-Identifier: MIT
 * What a recording holds, and whether it can be replayed: one pass over its events in constant memory.
 *
 * The reason given is the first cause in an order of weight, not of appearance. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "event_access.h"
#include "recording_private.h"
#include "snapshot.h"

#define TIDS (1u << 22) /* the kernel's PID_MAX_LIMIT */

struct pass {
	struct ct_recording *rec;
	struct ct_summary *sum;
	ct_u8 *threads, *processes, *events_only; /* a bit for each id seen */
	ct_u64 last_seq;                          /* 0: unknown, a block between was not readable */
	bool started;                             /* a snapshot or an event that needs one was seen */
	bool start_snapshot, final_snapshot;
	bool in_stretch, spoiled; /* a stretch has begun; something in it prevents its replay */
	ct_u64 gap_at;            /* the first missing number, 0 none */
	char unsound[160], bad_snapshot[160], bad_file[80];
};

static void note_id(ct_u8 *seen, ct_u32 id, ct_u32 *count)
{
	if (id == 0 || id >= TIDS || (seen[id / 8] & (1u << id % 8)))
		return;
	seen[id / 8] |= (ct_u8)(1u << id % 8);
	(*count)++;
}

static void note_lost(struct pass *p, ct_u64 at, ct_u64 count)
{
	if (!p->gap_at)
		p->gap_at = at ? at : 1;
	p->sum->lost += count;
	p->spoiled = true;
}

static void end_stretch(struct pass *p)
{
	if (p->in_stretch && !p->spoiled)
		p->sum->sound_stretches++;
	p->in_stretch = false;
}

static bool has_snapshot(const struct ct_recording *rec, ct_u32 id)
{
	for (size_t i = 0; i < rec->nsnapshots; i++)
		if (rec->snapshots[i] == id)
			return true;
	return false;
}

/* False if it cannot be restored; the first one that cannot is described in `bad_snapshot`. */
static bool check_snapshot(struct pass *p, ct_u32 id)
{
	struct ct_error err;
	struct ct_snapshot_reader *r = ct_snapshot_open(p->rec->dirfd, id, &err);
	ct_u32 oldest = r ? ct_snapshot_oldest_needed(r) : 0;
	bool good = r && has_snapshot(p->rec, oldest);

	ct_snapshot_reader_close(r);
	if (good || p->bad_snapshot[0])
		return good;
	if (!r)
		snprintf(p->bad_snapshot, sizeof(p->bad_snapshot), "%.*s", (int)sizeof(p->bad_snapshot) - 1, err.msg);
	else
		snprintf(p->bad_snapshot, sizeof(p->bad_snapshot),
			 "snapshot %u needs pages of snapshot %u, which is gone", id, oldest);
	return good;
}

/* The snapshot of one process after its execve is part of a stretch, all others end it, and the final one begins none.
 */
static void note_snapshot(struct pass *p, const struct ct_ev_snapshot *s)
{
	bool good = check_snapshot(p, s->id);

	if (s->kind == CT_SNAP_EXEC && p->in_stretch) {
		p->spoiled |= !good;
	} else {
		end_stretch(p);
		p->in_stretch = s->kind != CT_SNAP_FINAL;
		p->sum->stretches += p->in_stretch;
		p->spoiled = !good;
	}
	if (s->kind == CT_SNAP_FINAL)
		p->final_snapshot = true;
	else if (!p->started)
		p->start_snapshot = true;
	p->started = true;
}

static void note_unsound(struct pass *p, const struct ct_event *ev)
{
	char text[CT_UNSOUND_TEXT];

	p->spoiled = true;
	if (p->sum->unsound++ == 0)
		snprintf(p->unsound, sizeof(p->unsound), "event %llu: %.120s", (unsigned long long)ev->seq,
			 ct_unsound_text(ev, text, sizeof(text)));
}

static void note_file(struct pass *p, const struct ct_ev_file *file)
{
	char name[6 + 33] = "files/";
	struct stat st;

	ct_hash_format(file->hash, name + 6);
	if (p->bad_file[0] || (!fstatat(p->rec->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
			       (ct_u64)st.st_size == file->ref.size))
		return;
	snprintf(p->bad_file, sizeof(p->bad_file), "%s is missing or has another size", name);
}

static void note_event(struct pass *p, const struct ct_event *ev)
{
	struct ct_summary *sum = p->sum;
	ct_u64 gap = p->last_seq ? ev->seq - p->last_seq - 1 : 0;
	const void *payload = ct_event_payload(ev);

	/* A LOST record counts the very jump that it follows: do not count both. */
	if (ev->type == CT_EV_LOST) {
		ct_u64 count = ((const struct ct_ev_lost *)payload)->count;
		note_lost(p, p->last_seq + 1, count > gap ? count : gap);
	} else if (gap) {
		note_lost(p, p->last_seq + 1, gap);
	}
	p->last_seq = ev->seq;
	sum->events++;
	if (ev->type < sizeof(sum->per_type) / sizeof(sum->per_type[0]))
		sum->per_type[ev->type]++;
	note_id(p->threads, ev->tid, &sum->threads);
	note_id(p->processes, ev->pid, &sum->processes);
	if (ev->flags & CT_EVF_EVENTS_ONLY)
		note_id(p->events_only, ev->pid, &sum->events_only);
	switch (ev->type) {
	case CT_EV_SNAPSHOT: note_snapshot(p, payload); break;
	case CT_EV_FILE: note_file(p, payload); break;
	case CT_EV_FUNCTION:
	case CT_EV_NOTE: break; /* may come before the first snapshot, as may files */
	case CT_EV_SWITCH:
		if (((const struct ct_ev_switch *)payload)->flags & CT_SWF_REPAIRED)
			sum->repaired_switches++;
		p->started = true;
		break;
	case CT_EV_UNSOUND:
		note_unsound(p, ev);
		p->started = true;
		break;
	default: p->started = true;
	}
}

static void judge(struct pass *p)
{
	struct ct_summary *sum = p->sum;
	const json_t *flag = json_object_get(p->rec->manifest, "replayable");
	const char *said = json_string_value(json_object_get(p->rec->manifest, "replayable_reason"));
	char *reason = sum->reason;
	size_t room = sizeof(sum->reason);

	if (json_is_false(flag))
		snprintf(reason, room, "%.200s", said ? said : "it was recorded as not replayable");
	else if (sum->events == 0)
		snprintf(reason, room, "it holds no events");
	else if (!p->start_snapshot)
		snprintf(reason, room, "it does not start with a snapshot");
	else if (p->bad_snapshot[0] && ct_recording_error(p->rec)) /* that says why */
		snprintf(reason, room, "it ended by an error: %.170s", ct_recording_error(p->rec));
	else if (p->bad_snapshot[0])
		snprintf(reason, room, "%.200s", p->bad_snapshot);
	else if (sum->damaged_blocks)
		snprintf(reason, room, "%u damaged blocks", sum->damaged_blocks);
	else if (p->gap_at && !sum->lost)
		snprintf(reason, room, "a segment is broken from event %llu on", (unsigned long long)p->gap_at);
	else if (p->gap_at)
		snprintf(reason, room, "%llu events are lost, the first is %llu", (unsigned long long)sum->lost,
			 (unsigned long long)p->gap_at);
	else if (sum->unsound)
		snprintf(reason, room, "%s", p->unsound);
	else if (p->bad_file[0])
		snprintf(reason, room, "%s", p->bad_file);
	else if (p->rec->state == CT_REC_RECORDING)
		snprintf(reason, room, "it is still being recorded");
	else if (p->rec->state == CT_REC_RECOVERED)
		snprintf(reason, room, "the recorder died before its end was written");
	else if (p->rec->nproblems)
		snprintf(reason, room, "%.200s", p->rec->problems[0]);
	else if (!p->final_snapshot)
		snprintf(reason, room, "it has no final snapshot to compare with");
	else
		sum->replayable = true;
}

int ct_recording_summary(struct ct_recording *rec, struct ct_summary *sum, struct ct_error *err)
{
	struct pass p = {.rec = rec, .sum = sum};
	struct ct_index_entry range;
	struct ct_cursor *cur;
	const struct ct_event *ev;
	int got;

	memset(sum, 0, sizeof(*sum));
	p.threads = calloc(1, TIDS / 8);
	p.processes = calloc(1, TIDS / 8);
	p.events_only = calloc(1, TIDS / 8);
	cur = ct_cursor_create(rec, err);
	if (!cur || !p.threads || !p.processes || !p.events_only) {
		if (cur)
			ct_fail(err, CT_EXIT_FAILED, "%s: no memory for the summary", rec->path);
		ct_cursor_destroy(cur);
		free(p.threads);
		free(p.processes);
		free(p.events_only);
		return -1;
	}
	ct_recording_range(rec, &range);
	sum->first_seq = range.first_seq;
	sum->last_seq = range.last_seq;
	sum->first_ns = range.first_ns;
	sum->last_ns = range.last_ns;
	sum->segments = (ct_u32)rec->nsegments;
	sum->snapshots = (ct_u32)rec->nsnapshots;
	for (size_t s = 0; s < rec->nsegments; s++) {
		ct_u32 blocks;
		const struct ct_index_entry *e = ct_segment_index(rec->segments[s], &blocks);

		sum->bytes += ct_segment_bytes(rec->segments[s]);
		for (ct_u32 i = 0; i < blocks; i++)
			sum->raw_bytes += e[i].raw;
		if (ct_segment_broken_from(rec->segments[s]) && !p.gap_at)
			p.gap_at = ct_segment_broken_from(rec->segments[s]);
	}
	while ((got = ct_cursor_next(cur, &ev, NULL)) != 0) {
		if (got < 0) {
			sum->damaged_blocks++;
			p.last_seq = 0;
			p.spoiled = true;
		} else {
			note_event(&p, ev);
		}
	}
	ct_cursor_destroy(cur);
	free(p.threads);
	free(p.processes);
	free(p.events_only);
	/* What is lost behind the last record shows only in the segment's footer. */
	if (p.gap_at && !sum->lost) {
		p.spoiled = true;
		sum->lost =
			(ct_u64)json_integer_value(json_object_get(json_object_get(rec->manifest, "counters"), "lost"));
	}
	end_stretch(&p);
	judge(&p);
	return 0;
}
