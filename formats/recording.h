/* SPDX-License-Identifier: MIT
 * The recording directory NAME.ctr: manifest, segments, snapshots, kept files.
 *
 * Creation and the manifest, opening (complete, still growing or crashed ones), iteration over events. */
#ifndef CT_RECORDING_H
#define CT_RECORDING_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"
#include "event.h"
#include "segment.h"

#define CT_RECORDING_VERSION 1

/* ---- Writing (the recorder) ---- */

/* Makes the directory (0700) with segments/, snapshots/, files/ and an open O_DIRECTORY descriptor.
 * Refuses an existing path. Returns the descriptor or -1. */
int ct_recording_create(const char *path, struct ct_error *err);
/* Removes a recording that has not begun: manifest, empty segments/, what there is of snapshots/ and files/. */
void ct_recording_discard(const char *path);
/* New random (version 7) UUID. */
void ct_uuid7(ct_u8 uuid[16]);
void ct_uuid_format(const ct_u8 uuid[16], char out[37]);
int ct_uuid_parse(const char *text, ct_u8 uuid[16]);
/* Host part of a manifest: version, uuid, host name, kernel, CPU model, cpuid leaves (0..max of the basic and
 * extended ranges with sub-leaves), xcr0, boot id, clocks (realtime, monotonic, boottime, read together). */
json_t *ct_manifest_new(const ct_u8 uuid[16]);
/* Replaces manifest.json atomically (write, fsync, rename, fsync of the directory). */
int ct_manifest_write(int dirfd, const json_t *manifest, struct ct_error *err);

/* Keeps a copy of the regular file open as `fd` in files/<hash>; reflink where the file system can, else a sparse-
 * aware copy; a file already kept costs one hash. Checks that size and ctime did not change meanwhile (-1 if they
 * did). `ref` is filled from fstat. */
int ct_file_keep(int dirfd, int fd, const char *name, struct ct_file_ref *ref, ct_u8 hash[16], struct ct_error *err);
/* Opens files/<hash>; -1 if it is not there. `verify` reads it all and checks the hash. */
int ct_file_open(int dirfd, const ct_u8 hash[16], bool verify, struct ct_error *err);
void ct_hash_format(const ct_u8 hash[16], char out[33]);
/* -1: not the name of a kept file. */
int ct_hash_parse(const char *name, ct_u8 hash[16]);

/* ---- Reading ---- */

enum ct_recording_state { CT_REC_RECORDING = 1, CT_REC_COMPLETE, CT_REC_RECOVERED };
const char *ct_recording_state_name(enum ct_recording_state state);

struct ct_recording;
/* Opens a recording. State is what is true now: a manifest that says "recording" whose recorder (pid and start time
 * in manifest.recorder) is gone is RECOVERED; nothing is changed on disk. */
struct ct_recording *ct_recording_open(const char *path, struct ct_error *err);
void ct_recording_close(struct ct_recording *rec);
int ct_recording_dirfd(const struct ct_recording *rec);
const char *ct_recording_path(const struct ct_recording *rec);
enum ct_recording_state ct_recording_state(const struct ct_recording *rec);
/* CLOCK_MONOTONIC of its first event, and CLOCK_REALTIME of when it began (0: its manifest has no clocks). */
ct_u64 ct_recording_first_ns(const struct ct_recording *rec);
/* First and last sequence number and time over all block indexes; false: no events. */
bool ct_recording_range(const struct ct_recording *rec, struct ct_index_entry *range);
ct_u64 ct_recording_begun_ns(const struct ct_recording *rec);
const json_t *ct_recording_manifest(const struct ct_recording *rec);
/* The error that ended it early (a full disk, ...), as the recorder said; NULL: none. */
const char *ct_recording_error(const struct ct_recording *rec);
/* Segments that open, in order; ones that do not are listed by ct_recording_problem. */
struct ct_segment *ct_recording_segment(const struct ct_recording *rec, size_t i);
size_t ct_recording_segments(const struct ct_recording *rec);
/* Ids of the snapshots that are in place, rising. */
const ct_u32 *ct_recording_snapshots(const struct ct_recording *rec, size_t *count);
/* i-th thing found wrong on opening (damaged segment, missing snapshot, ...), or NULL. */
const char *ct_recording_problem(const struct ct_recording *rec, size_t i);

/* Walks the events. A damaged block is skipped and counted; ev stays valid until the next call. */
struct ct_cursor;
struct ct_cursor *ct_cursor_create(struct ct_recording *rec, struct ct_error *err);
void ct_cursor_destroy(struct ct_cursor *cur);
/* Goes to the first event with seq >= `seq` / time_ns >= `time_ns`, by the block index. */
int ct_cursor_seek_seq(struct ct_cursor *cur, ct_u64 seq, struct ct_error *err);
int ct_cursor_seek_time(struct ct_cursor *cur, ct_u64 time_ns, struct ct_error *err);
/* 1: *ev is the next event. 0: end. -1: a block could not be read (*err says which); calling again goes on after it. */
int ct_cursor_next(struct ct_cursor *cur, const struct ct_event **ev, struct ct_error *err);
/* The event behind `ev`, which is of the present block, if that is of this block, too; else NULL. Goes nowhere. */
const struct ct_event *ct_cursor_peek(const struct ct_cursor *cur, const struct ct_event *ev);
/* Goes on behind `ev`, which has been peeked at. */
void ct_cursor_skip(struct ct_cursor *cur, const struct ct_event *ev);

/* Positions as a person writes them: "e:SEQ" (or a bare number), "t:+1.25s" (from the start; also ms, m),
 * "t:12:30:05.5" or "t:2026-11-22T12:30:05" (wall clock, UTC), "start", "end". "s:" and "m:" give an error that says
 * what they need. */
enum ct_pos_kind { CT_POS_SEQ = 1, CT_POS_TIME };
struct ct_pos {
	enum ct_pos_kind kind;
	ct_u64 value; /* seq, or CLOCK_MONOTONIC ns */
};
int ct_pos_parse(struct ct_recording *rec, const char *text, struct ct_pos *pos, struct ct_error *err);

/* Summary for `info`, `ls` and tests. One pass over the block indexes and the non-syscall records of interest. */
struct ct_summary {
	ct_u64 events, bytes, raw_bytes, lost, first_seq, last_seq, first_ns, last_ns;
	ct_u64 per_type[32];
	ct_u32 segments, snapshots, threads, processes, unsound, repaired_switches, damaged_blocks;
	ct_u32 events_only; /* of the processes: those that are not replayed, or only at their beginning */
	/* From an attach, loss or periodic snapshot to the next one or the final one, or where there is none to the end
	 * of the log. Sound: its snapshot can be read, and nothing in it is lost, damaged or unsound. */
	ct_u32 stretches, sound_stretches;
	bool replayable;  /* a start snapshot, a final snapshot, every stretch sound */
	char reason[256]; /* why not */
};
int ct_recording_summary(struct ct_recording *rec, struct ct_summary *sum, struct ct_error *err);

#endif
