/* SPDX-License-Identifier: MIT
 * Inside of `ctbpf report`: what is asked for, and the sections.
 *
 * cmd_report.c: options; report_calls.c: functions and exceptions, from the step database; report_log.c: system calls
 * and off-CPU time, from the events. */
#ifndef CT_REPORT_H
#define CT_REPORT_H

#include "query.h"

enum report_by { BY_DEFAULT, BY_STEPS, BY_TOTAL, BY_TIME, BY_CALLS, BY_BYTES };
struct report {
	struct query q;
	struct query_span span;
	ct_u32 tid;     /* 0: all threads */
	ct_u8 *threads; /* by id, see query_find_threads; NULL: all */
	ct_u64 top;     /* rows of a section, 0: all */
	enum report_by by;
};
/* How many of n rows are shown. */
static inline size_t report_shown(const struct report *r, size_t n)
{
	return r->top && r->top < n ? (size_t)r->top : n;
}
/* Title of a section in tables. */
void report_title(struct report *r, const char *title);
/* Begins the rows of a section; its name is in every row of JSON. */
void report_begin(struct report *r, struct query_rows *rows, const char *section, const char *const *names,
		  unsigned ncols, uint32_t right);
/* Ends them; under a table, what is not shown and what its numbers mean. */
void report_end(struct report *r, struct query_rows *rows, size_t n, const char *meaning);

int report_functions(struct report *r, struct ct_error *err);
int report_exceptions(struct report *r, struct ct_error *err);
/* One pass over the log for both; false: not that section. */
int report_log(struct report *r, bool syscalls, bool offcpu, struct ct_error *err);

#endif
