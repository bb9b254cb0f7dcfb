/* SPDX-License-Identifier: MIT
 * Bytes that calls return again and again (a file that is read anew while somebody writes to it, a status page) are
 * stored once: the second time they are kept in files/, from then on records name them. */
#ifndef CT_DEDUP_H
#define CT_DEDUP_H

#include <stddef.h>

#include "formats/event.h"

#define CT_DEDUP_MIN 8192u /* bytes of a buffer: what is shorter, zstd finds in the same block, or costs little */

/* Asked to keep `len` bytes, which are valid during the call only; answers by ct_dedup_kept from any thread, or never.
 * Called on the thread that rewrites. */
typedef void ct_dedup_keep(void *ctx, const void *data, size_t len);

struct ct_dedup *ct_dedup_create(ct_dedup_keep *keep, void *ctx); /* NULL: no memory */
void ct_dedup_destroy(struct ct_dedup *d);
/* Content named by `hash` (as in files/) is kept, and its FILE record is in the log. Thread-safe. */
void ct_dedup_kept(struct ct_dedup *d, const void *data, size_t len, const ct_u8 hash[16]);
/* Forgets all that is kept: from here on records must not rely on FILE records that are in the log by now. Thread-safe.
 */
void ct_dedup_forget(struct ct_dedup *d);
/* The record itself, or one that says the same in fewer bytes, valid until the next call. One thread only. */
const struct ct_event *ct_dedup_rewrite(struct ct_dedup *d, const struct ct_event *ev);
/* How references name content: the file's identity is its hash. */
void ct_dedup_ref(struct ct_file_ref *ref, const ct_u8 hash[16], size_t len);

#endif
