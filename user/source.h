/* SPDX-License-Identifier: MIT
 * Lines of source files that a step database names.
 *
 * From the file at that path, if this is the machine it was recorded on and it has not changed since; else from the
 * copy that the recording keeps of it, if it keeps one. */
#ifndef CT_SOURCE_H
#define CT_SOURCE_H

#include "../formats/recording.h"
#include "../formats/stepdb_read.h"

struct ct_sources;
/* NULL without memory. Both must outlive it. */
struct ct_sources *ct_sources_create(struct ct_recording *rec, struct ct_stepdb *db);
void ct_sources_destroy(struct ct_sources *s);
/* Line `line` of a file (an id of CT_FILES) without blanks around it and its newline; NULL if it is not known. */
const char *ct_source_line(struct ct_sources *s, ct_u64 file, ct_u64 line, size_t *len);

#endif
