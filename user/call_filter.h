/* SPDX-License-Identifier: MIT
 * Rules that say which functions are recorded live, and which of their values, read from a trace-filter file: TOML, as
 * CodeTracer's recorders take it. What the kernel can decide goes there; for the rest call_screen.c. */
#ifndef CT_CALL_FILTER_H
#define CT_CALL_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/call_probe.h"
#include "formats/error.h"
#include "formats/event.h"

enum ct_value_action { CT_VALUE_UNSAID, CT_VALUE_ALLOW, CT_VALUE_REDACT, CT_VALUE_DROP };

struct ct_filter_rule;
struct ct_call_filter {
	/* The kernel's part. */
	struct ct_call_rule rule[CT_CALL_RULES];
	unsigned nrules;
	bool skip, silent; /* what no rule speaks of: not recorded; without values */
	/* All of it. */
	bool screened;       /* the kernel's part is not all: what it sends has to be looked at */
	bool calls_screened; /* ... calls, too: of these it sends all */
	bool skip_default;
	enum ct_value_action values_default;
	struct ct_filter_rule *all;
	size_t n;
};

/* NULL with *err. */
struct ct_call_filter *ct_call_filter_read(const char *path, struct ct_error *err);
struct ct_call_filter *ct_call_filter_parse(const char *text, size_t len, const char *name, struct ct_error *err);
void ct_call_filter_free(struct ct_call_filter *f);

/* Whether a native function is left out; *silent: recorded without values. `source` may be NULL. */
bool ct_call_filter_skips(const struct ct_call_filter *f, const char *name, const char *file, const char *source,
			  bool *silent);

/* Which rules fit a function: indices, at most `max` are stored. Whether it is left out: *skip. */
size_t ct_call_filter_fits(const struct ct_call_filter *f, const char *name, const char *file, const char *source,
			   unsigned short *fits, size_t max, bool *skip);
/* What these say of a value; its name may be empty. */
enum ct_value_action ct_call_filter_value(const struct ct_call_filter *f, const unsigned short *fits, size_t n,
					  enum ct_told_role role, const char *name);

/* call_screen.c: applies to records what the kernel could not decide. */
struct ct_screen;
struct ct_screen *ct_screen_create(const struct ct_call_filter *f);
void ct_screen_destroy(struct ct_screen *s);
/* CALL records that were not stored; s NULL: 0. */
ct_u64 ct_screen_dropped(const struct ct_screen *s);
/* The record to be stored, perhaps made anew in `buf`; NULL: none. */
#define CT_SCREEN_BUF 512
const struct ct_event *ct_screen_event(struct ct_screen *s, void *buf, const struct ct_event *ev);

#endif
