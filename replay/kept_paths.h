/* SPDX-License-Identifier: MIT
 * Which content in files/ had which path, as far as the recording tells. */
#ifndef CT_KEPT_PATHS_H
#define CT_KEPT_PATHS_H

#include "formats/recording.h"

struct ct_kept_path {
	char *path;
	ct_u8 hash[16];
};
struct ct_kept_paths {
	struct ct_kept_path *list; /* owned; a path may be there several times */
	size_t count;
};
/* What snapshot `id` has mapped comes first, then what the log names. */
void ct_kept_paths_find(struct ct_recording *rec, ct_u32 id, struct ct_kept_paths *out);
void ct_kept_paths_deinit(struct ct_kept_paths *paths);

#endif
