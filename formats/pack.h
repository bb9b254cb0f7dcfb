/* SPDX-License-Identifier: MIT
 * A recording as one file: a POSIX tar archive, whole or compressed with zstd. */
#ifndef CT_PACK_H
#define CT_PACK_H

#include "recording.h"

/* Writes what belongs to the recording, and no step database, to fd, which need not be seekable. zstd: level, 0: none.
 */
int ct_pack(struct ct_recording *rec, int fd, int zstd, struct ct_error *err);

#endif
