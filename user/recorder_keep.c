// SPDX-License-Identifier: MIT
/* Recordings without an end: periodic snapshots, and taking away what is too old.
 *
 * Each stretch begins with a snapshot, a segment, and FILE records of all that is still in use; so whatever is before
 * can go as soon as the snapshot is on disk. The manifest says first what is kept. docs/format.md, "kept". */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "formats/retention.h"
#include "formats/sysrule.h"
#include "user/recorder_priv.h"
#include "record.skel.h" /* after the headers with its types */

#define SECOND    1000000000ull
#define IDLE_MAX  3  /* so many snapshots without any use, and a file is not known any more */
#define PAUSE_PER 50 /* one part in so many of the time goes by with pauses for snapshots */
#define SHORTEST  SECOND
#define LONGEST   (60 * SECOND)
#define LOG_CHUNK (256ull << 20) /* of log between two snapshots */

bool ct_keep_on(const struct ct_recorder *r)
{
	return r->opts->keep_ns || r->opts->keep_bytes;
}

/* ---- when ---------------------------------------------------------------------------------------------------- */

static ct_u64 within(ct_u64 value, ct_u64 least, ct_u64 most)
{
	return value < least ? least : value > most ? most : value;
}

/* Log written between two snapshots: what is kept shrinks by whole stretches. */
static ct_u64 chunk(const struct ct_recorder *r)
{
	return r->opts->keep_bytes ? within(r->opts->keep_bytes / 16, 1 << 20, LOG_CHUNK) : LOG_CHUNK;
}

bool ct_keep_due(struct ct_recorder *r, const struct ct_pipeline_stats *stats)
{
	const struct ct_record_opts *o = r->opts;
	ct_u64 every = o->snapshot_ns, since = ct_now_ns() - r->snapshot_ns;
	bool much = stats->stored_bytes - r->snapshot_log >= chunk(r), due;

	if ((!every && !ct_keep_on(r)) || atomic_load(&r->snapshots_waiting))
		return false;
	if (!every) {
		every = within(o->keep_ns ? o->keep_ns / 8 : LONGEST, SHORTEST, LONGEST);
		due = (since >= every || much) &&
		      (since >= r->snapshot_pause * PAUSE_PER || (o->keep_ns && since >= o->keep_ns / 2));
	} else {
		due = since >= every;
	}
	due |= o->keep_bytes && much; /* the budget of disk comes before that of pauses */
	if (due)
		r->snapshot_log = stats->stored_bytes;
	return due;
}

/* ---- what each stretch begins with ----------------------------------------------------------------------------- */

/* Whether a record has named it since this was last asked. */
static bool was_named(struct ct_recorder *r, const struct ct_file_ref *ref)
{
	int map = bpf_map__fd(r->probes.skel->maps.kept);
	struct ct_kept_key key = {ref->dev, ref->ino};
	struct ct_kept value;

	if (bpf_map_lookup_elem(map, &key, &value) || value.ctime_s != ref->ctime_s ||
	    value.ctime_ns != ref->ctime_ns || value.size != ref->size || !value.used)
		return false;
	value.used = 0;
	bpf_map_update_elem(map, &key, &value, BPF_EXIST);
	return true;
}

/* From here on it is a file like any other that nobody has kept. */
static void forget_file(struct ct_recorder *r, size_t i)
{
	struct ct_known_file *f = &r->files[i];
	struct ct_kept_key key = {f->ref.dev, f->ref.ino};
	struct ct_kept_name *more = realloc(r->gone, (r->ngone + 1) * sizeof(*more));

	if (!more)
		return;
	r->gone = more;
	memcpy(more[r->ngone].hash, f->hash, 16);
	more[r->ngone++].last = f->last;
	bpf_map_delete_elem(bpf_map__fd(r->probes.skel->maps.kept), &key);
	free(f->name);
	*f = r->files[--r->nfiles];
}

void ct_keep_carry(struct ct_recorder *r, ct_u32 id)
{
	r->snapshot_ns = ct_now_ns();
	pthread_mutex_lock(&r->lock);
	r->stretch = id;
	for (size_t i = r->nfiles; ct_keep_on(r) && i-- > 0;) {
		struct ct_known_file *f = &r->files[i];

		if (was_named(r, &f->ref))
			f->idle = 0;
		if (f->idle++ < IDLE_MAX)
			f->last = id;
		else
			forget_file(r, i);
	}
	for (size_t i = r->nwritten; ct_keep_on(r) && i-- > 0;)
		if (r->written[i].idle++ >= IDLE_MAX)
			r->written[i] = r->written[--r->nwritten];
	pthread_mutex_unlock(&r->lock);
	if (!ct_keep_on(r))
		return;
	/* `carry` is held: nobody changes the list. */
	for (size_t i = 0; i < r->nfiles; i++)
		ct_recorder_append_file(r, &r->files[i].ref, r->files[i].hash, r->files[i].name);
	if (r->dedup)
		ct_dedup_forget(r->dedup);
}

void ct_keep_begin(struct ct_recorder *r)
{
	pthread_mutex_lock(&r->lock);
	r->keeping++;
	r->keeps++;
	pthread_mutex_unlock(&r->lock);
}

void ct_keep_end(struct ct_recorder *r)
{
	pthread_mutex_lock(&r->lock);
	r->keeping--;
	pthread_mutex_unlock(&r->lock);
}

void ct_keep_bytes_named(struct ct_recorder *r, const ct_u8 hash[16])
{
	struct ct_kept_name *more;

	if (!ct_keep_on(r))
		return;
	pthread_mutex_lock(&r->lock);
	more = realloc(r->gone, (r->ngone + 1) * sizeof(*more));
	if (more) {
		r->gone = more;
		memcpy(more[r->ngone].hash, hash, 16);
		more[r->ngone++].last = r->stretch;
	}
	pthread_mutex_unlock(&r->lock);
}

/* ---- what goes ----------------------------------------------------------------------------------------------- */

struct needed {
	struct ct_recorder *r;
	ct_u64 keeps; /* when the list was made */
	ct_u8 (*hash)[16];
	size_t count;
};

static int by_hash(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Contents that records from snapshot `first` on name, or snapshots have mapped. Forgets the others' names. */
static bool find_needed(struct needed *n, ct_u32 first)
{
	struct ct_recorder *r = n->r;
	size_t left = 0;

	pthread_mutex_lock(&r->lock);
	n->keeps = r->keeps;
	n->hash = malloc((r->nfiles + r->ngone + 1) * sizeof(*n->hash));
	for (size_t i = 0; n->hash && i < r->nfiles; i++)
		memcpy(n->hash[n->count++], r->files[i].hash, 16);
	for (size_t i = 0; n->hash && i < r->ngone; i++) {
		if (r->gone[i].last < first)
			continue;
		memcpy(n->hash[n->count++], r->gone[i].hash, 16);
		r->gone[left++] = r->gone[i];
	}
	if (n->hash)
		r->ngone = left;
	pthread_mutex_unlock(&r->lock);
	if (n->hash)
		qsort(n->hash, n->count, 16, by_hash);
	return n->hash;
}

static void drop_file(void *ctx, int files_fd, const ct_u8 hash[16])
{
	struct needed *n = ctx;

	if (bsearch(hash, n->hash, n->count, 16, by_hash))
		return;
	pthread_mutex_lock(&n->r->lock);
	/* Who keeps a content at this moment may have found it to be this very file: it is left for the next time. */
	if (!n->r->keeping && n->r->keeps == n->keeps)
		ct_stored_drop_file(files_fd, hash);
	pthread_mutex_unlock(&n->r->lock);
}

static bool begins_stretch(const struct ct_kept_snapshot *s)
{
	return s->kind != CT_SNAP_EXEC && s->kind != CT_SNAP_FINAL;
}

/* The first snapshot whose pages are needed if the stretches from list[first] on stay. */
static ct_u32 oldest_needed(const struct ct_recorder *r, size_t first)
{
	ct_u32 oldest = r->kept[first].id;

	for (size_t i = first; i < r->nkept; i++)
		if (r->kept[i].oldest < oldest)
			oldest = r->kept[i].oldest;
	return oldest;
}

/* Bytes of segments and snapshots that go if the stretches from list[first] on stay. */
static ct_u64 freed(const struct ct_recorder *r, const struct ct_stored_segment *segs, size_t nsegs, size_t first)
{
	ct_u32 oldest = oldest_needed(r, first);
	ct_u64 sum = 0;

	for (size_t i = 0; i < nsegs; i++)
		if (segs[i].first_seq < r->kept[first].seq)
			sum += segs[i].bytes;
	for (size_t i = 0; i < r->nkept; i++)
		if (r->kept[i].id < oldest)
			sum += r->kept[i].bytes;
	return sum;
}

static void say_over_budget(struct ct_recorder *r, ct_u64 bytes)
{
	if (r->over_budget)
		return;
	r->over_budget = true;
	ct_recorder_note(
		r, CT_EV_NOTE, 0, 0, bytes,
		"what is kept takes %llu MB and cannot be less: --keep %llu MB is not enough for one stretch, its "
		"snapshot and the files it needs",
		(unsigned long long)bytes >> 20, (unsigned long long)r->opts->keep_bytes >> 20);
	if (r->opts->verbose >= 0)
		fprintf(stderr, "--keep %llu MB is not enough: one stretch takes %llu MB\n",
			(unsigned long long)r->opts->keep_bytes >> 20, (unsigned long long)bytes >> 20);
}

/* Where what is to be kept begins. */
static size_t choose_first(struct ct_recorder *r, size_t now)
{
	const struct ct_record_opts *o = r->opts;
	struct ct_stored_segment *segs = NULL;
	size_t nsegs = 0, first = 0;
	ct_u64 bytes = 0, most = 0;

	while (first < now && r->kept[first].id < r->first_kept)
		first++;
	if (o->keep_bytes && !ct_stored_segments(r->dirfd, &segs, &nsegs, NULL)) {
		/* The log goes on while the next snapshot is made and written, which is then there with this one. */
		ct_u64 room = 2 * chunk(r) + r->kept[now].bytes;

		bytes = ct_stored_bytes(r->dirfd);
		most = o->keep_bytes > room ? o->keep_bytes - room : 0;
	}
	for (size_t next = first + 1; next <= now; next++) {
		ct_u64 age = r->kept[now].mono_ns - r->kept[next].mono_ns;

		if (!begins_stretch(&r->kept[next]))
			continue;
		if (!(o->keep_ns && age >= o->keep_ns) &&
		    !(o->keep_bytes && bytes - freed(r, segs, nsegs, first) > most))
			break;
		first = next;
	}
	if (o->keep_bytes && bytes - freed(r, segs, nsegs, first) > o->keep_bytes)
		say_over_budget(r, bytes - freed(r, segs, nsegs, first));
	free(segs);
	return first;
}

/* Contents that nothing from snapshot `first` on names. */
static int drop_files(struct ct_recorder *r, ct_u32 first, struct ct_error *err)
{
	struct needed needed = {.r = r};
	int ret = find_needed(&needed, first) ? ct_stored_files(r->dirfd, drop_file, &needed, err) : 0;

	free(needed.hash);
	return ret ? -1 : 0;
}

void ct_keep_finish(struct ct_recorder *r)
{
	struct ct_error err;

	if (ct_keep_on(r) && r->first_kept > 1 && drop_files(r, r->first_kept, &err))
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "kept files stay: %s", err.msg);
}

static int drop_before(struct ct_recorder *r, size_t first, struct ct_error *err)
{
	ct_u32 id = r->kept[first].id, oldest = oldest_needed(r, first);
	size_t left = 0;

	ct_prover_dropping(r, id);
	/* All before the first segment to stay is closed then, so the reader may leave it out by its number. */
	if (ct_pipeline_settle(r->pipeline, err) || ct_stored_sync(r->dirfd, err))
		return -1;
	json_object_set_new(r->manifest, "kept",
			    json_pack("{s:I, s:I}", "snapshot", (json_int_t)id, "seq", (json_int_t)r->kept[first].seq));
	if (ct_recorder_manifest(r, "recording", NULL, err))
		return -1;
	r->first_kept = id;
	if (ct_stored_drop(r->dirfd, r->kept[first].seq, oldest, err))
		return -1;
	if (drop_files(r, id, err))
		return -1;
	for (size_t i = 0; i < r->nkept; i++)
		if (r->kept[i].id >= oldest)
			r->kept[left++] = r->kept[i];
	r->nkept = left;
	/* Pages that only removed stretches' snapshots have are stored again once, so that those can go, too. */
	ct_page_index_forget(r->index, id);
	return 0;
}

void ct_keep_written(struct ct_recorder *r, const struct ct_snapshot *snap, ct_u64 at_ns)
{
	struct ct_snapshot_reader *reader;
	struct ct_kept_snapshot *more;
	struct ct_snapshot_stats stats;
	struct ct_error err;
	size_t first;

	if (!ct_keep_on(r))
		return;
	reader = ct_snapshot_open(r->dirfd, snap->id, &err);
	more = reader ? realloc(r->kept, (r->nkept + 1) * sizeof(*more)) : NULL;
	if (!more) { /* nothing goes that this one does not replace */
		ct_snapshot_reader_close(reader);
		return;
	}
	ct_snapshot_stats(reader, &stats);
	r->kept = more;
	r->kept[r->nkept++] = (struct ct_kept_snapshot){.id = snap->id,
							.kind = snap->kind,
							.oldest = ct_snapshot_oldest_needed(reader),
							.seq = snap->seq,
							.mono_ns = snap->mono_ns,
							.bytes = stats.bytes};
	ct_snapshot_reader_close(reader);
	ct_prover_written(r, snap, r->kept[r->nkept - 1].oldest, at_ns);
	if (snap->kind == CT_SNAP_EXEC)
		return;
	first = choose_first(r, r->nkept - 1);
	if (r->kept[first].id > r->first_kept && r->kept[first].id > 1 && drop_before(r, first, &err))
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "old segments stay: %s", err.msg);
}

void ct_keep_free(struct ct_recorder *r)
{
	for (size_t i = 0; i < r->nfiles; i++)
		free(r->files[i].name);
	free(r->files);
	free(r->written);
	free(r->gone);
	free(r->kept);
}
