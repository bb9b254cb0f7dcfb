/* SPDX-License-Identifier: MIT
 * What agents write, on its way to the builders: a ring of parts in memory that replicas share. While one part is being
 * filled a thread of its own reads those before it, in order, so that a replay does not wait for what becomes of it. */
#ifndef CT_AGENT_FEED_H
#define CT_AGENT_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_feed;
/* Reads records, whole ones. From the feed's thread; may call ct_feed_pause in between. */
typedef int ct_feed_reader(void *ctx, const ct_u64 *words, size_t count, struct ct_error *err);

/* The thread may use the CPUs that the caller may now. */
struct ct_feed *ct_feed_create(ct_feed_reader *read, void *ctx, struct ct_error *err);
void ct_feed_destroy(struct ct_feed *f);
/* What to map of: struct ct_pya_buffer, CT_PYA_BUFFER_LEN bytes. */
int ct_feed_memfd(const struct ct_feed *f);
struct ct_pya_buffer *ct_feed_buffer(struct ct_feed *f);

/* What has been written is to be read; waits for a part that is free. -1: reading has failed. */
int ct_feed_flush(struct ct_feed *f);
/* The same, and waits until it has been read. What only the thread uses may be used then, up to the next flush. */
int ct_feed_settle(struct ct_feed *f);
/* The thread does not read between the two. */
void ct_feed_hold(struct ct_feed *f);
void ct_feed_release(struct ct_feed *f);
/* By the reader: now somebody may hold it. */
void ct_feed_pause(struct ct_feed *f);
/* The first failure, be it a reader's. NULL: none. */
const struct ct_error *ct_feed_error(struct ct_feed *f);
int ct_feed_fail(struct ct_feed *f, const struct ct_error *err);

#endif
