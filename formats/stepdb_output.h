/* SPDX-License-Identifier: MIT
 * What the recorded program wrote to its standard output and standard error, kept beside the step database.
 *
 * The log has only the beginning of each write; the replay that `ctbpf index` makes has all of it. */
#ifndef CT_STEPDB_OUTPUT_H
#define CT_STEPDB_OUTPUT_H

#include <stddef.h>

#include "error.h"
#include "event.h"

#define CT_OUTPUT_MAX (1u << 20) /* most bytes of one record */

/* In place of one that may be there; steps/ must exist. */
struct ct_output_writer;
struct ct_output_writer *ct_output_create(int recording_dirfd, const ct_u8 uuid[16], struct ct_error *err);
/* Bytes written by event `seq` to stream 1 or 2; events rise. Failures are kept for the end. */
void ct_output_put(struct ct_output_writer *w, ct_u64 seq, unsigned stream, const void *data, size_t len);
/* Closes it; -1: not all of it could be written. */
int ct_output_finish(struct ct_output_writer *w, struct ct_error *err);

struct ct_output_record {
	ct_u64 seq;
	unsigned stream;
	const char *data; /* until the next one is read */
	size_t len;
};
/* NULL: there is none, or *err says what is wrong with it. */
struct ct_output_reader *ct_output_open(int recording_dirfd, const ct_u8 uuid[16], struct ct_error *err);
void ct_output_reader_close(struct ct_output_reader *r);
/* 1; 0: the end; -1: damaged, nothing follows. */
int ct_output_next(struct ct_output_reader *r, struct ct_output_record *record, struct ct_error *err);

#endif
