/* SPDX-License-Identifier: MIT
 * The paths that a client has, and those that were recorded. */
#ifndef CT_DAP_PATH_H
#define CT_DAP_PATH_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/error.h"
#include "formats/event.h"

/* Where a recorded file is here, by {"recorded prefix": "prefix here"}. malloc'ed. */
char *dap_local_path(const json_t *source_map, const char *recorded);

struct dap_files {
	ct_u32 n;
	const char *(*path)(void *ctx, ct_u32 i); /* recorded, of the i-th */
	void *ctx;
	const json_t *source_map;
};
/* Numbers of those that the client means by this path; how many, or -1: no memory. */
int dap_match_files(const struct dap_files *files, const char *path, ct_u32 **ids, struct ct_error *err);

#endif
