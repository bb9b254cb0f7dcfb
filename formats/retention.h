/* SPDX-License-Identifier: MIT
 * Recordings that keep only their newest part: what is stored, taking the oldest away, keeping a part for good by hard
 * links.
 *
 * What is still needed is the caller's business; docs/format.md says what depends on what. */
#ifndef CT_RETENTION_H
#define CT_RETENTION_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "event.h"

struct ct_stored_segment {
	ct_u32 number;
	ct_u64 first_seq, bytes;
};
/* By rising number; *list is malloc'ed. One without a whole header, just being made, is left out. */
int ct_stored_segments(int dirfd, struct ct_stored_segment **list, size_t *count, struct ct_error *err);
/* Bytes of disk that the whole recording takes. */
ct_u64 ct_stored_bytes(int dirfd);
/* Makes the names of what is stored durable; contents are so when their writers are done. */
int ct_stored_sync(int dirfd, struct ct_error *err);
/* Removes the segments that begin before record `seq`, oldest first, and then the snapshots before `snapshot`. */
int ct_stored_drop(int dirfd, ct_u64 seq, ct_u32 snapshot, struct ct_error *err);
/* Calls `each` for each kept file, which it may remove by ct_stored_drop_file. -1: they cannot be listed. */
int ct_stored_files(int dirfd, void (*each)(void *ctx, int files_fd, const ct_u8 hash[16]), void *ctx,
		    struct ct_error *err);
void ct_stored_drop_file(int files_fd, const ct_u8 hash[16]);
/* Segments that begin with record first_seq or later and before end_seq; snapshots from first to last. */
struct ct_stored_part {
	ct_u64 first_seq, end_seq;
	ct_u32 first_snapshot, last_snapshot;
};
/* Links them into the empty recording `to`, and all kept files. *next: the number of the segment that would follow. */
int ct_stored_link(int from, int to, const struct ct_stored_part *part, ct_u32 *next, struct ct_error *err);
/* Writes segment `number`, closed and synced, with these records, each padded to 8: one block of them. */
int ct_stored_append(int dirfd, const ct_u8 uuid[16], ct_u32 number, const void *records, size_t len,
		     struct ct_error *err);

#endif
