/* SPDX-License-Identifier: MIT
 * CodeTracer's replay worker: its GUI asks one process for each recording of native code, a line of JSON at a time.
 *
 * worker.c: queries; worker_look.c: those that only look; worker_call.c: calls of functions; worker_value.c: locations
 * and values as CodeTracer has them.
 * docs/dap.md says what is answered. */
#ifndef CT_WORKER_H
#define CT_WORKER_H

#include "replay/dap_native.h"

struct worker;
struct worker *ct_worker_open(const char *recording, struct ct_error *err);
/* Answers the queries that come from the connected socket until it is closed. -1: it cannot be read from, or written
 * to.
 */
int ct_worker_serve(struct worker *w, int fd, struct ct_error *err);
void ct_worker_close(struct worker *w);

/* ---- private to worker*.c ---- */

#define WITHIN 20 /* bits of a time that tell moments before one event apart */

struct worker {
	struct dap_native *d;
	struct dap_host host;
	struct dap_break *breaks;
	int next_break;
	/* Moments that were told of, by their rrTicks. */
	struct worker_moment {
		ct_s64 ticks;
		struct ct_moment m;
	} * moments;
	size_t nmoments;
};
struct worker_query {
	const char *kind;
	json_t *(*answer)(struct worker *w, const json_t *q, struct ct_error *err);
};
extern const struct worker_query worker_look[];
json_t *worker_location(struct worker *w, size_t frame, struct ct_error *err);
/* What the call NAME(ARGUMENT, ...) returns here; nothing of it stays. *invocation: which function it was. */
json_t *worker_call(struct worker *w, const char *text, unsigned depth, json_t **invocation, struct ct_error *err);
json_t *worker_value(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, unsigned depth);

#endif
