/* SPDX-License-Identifier: MIT
 * Which files a recording keeps, by the paths they had while it was recorded. */
#ifndef CT_KEPT_H
#define CT_KEPT_H

#include <stdbool.h>

#include "formats/recording.h"
#include "formats/snapshot.h"

struct ct_kept {
	char *path;
	ct_u8 hash[16];
	struct ct_file_ref ref; /* of those in the log */
};
struct ct_kept_files {
	struct ct_kept *list;
	size_t n;
};
/* Those that snapshot `id` has mapped. What cannot be read is not there. */
void ct_kept_in_snapshot(struct ct_kept_files *files, struct ct_recording *rec, ct_u32 id);
/* The one that the event tells of, if it does. */
void ct_kept_see(struct ct_kept_files *files, const struct ct_event *ev);
void ct_kept_append(struct ct_kept_files *files, const struct ct_kept_files *more);
/* Those that the log tells of. One pass over it; a timeline has made it (ct_timeline_kept). */
void ct_kept_in_log(struct ct_kept_files *files, struct ct_recording *rec);
void ct_kept_free(struct ct_kept_files *files);
/* The hash, CT_KEPT_DIGITS long, in the name of a replica's mapping if that is a kept file, else NULL. */
#define CT_KEPT_DIGITS 32
const char *ct_kept_hash(const char *mapping);

#endif
