/* SPDX-License-Identifier: MIT
 * Reports of a divergence as text and as JSON, for `verify` and `replay`.
 *
 * What they say is gathered by replay/report. */
#ifndef CT_REPORT_TEXT_H
#define CT_REPORT_TEXT_H

#include "../replay/report.h"
#include "out.h"

/* Many lines, each with its newline. */
void ct_report_print(struct ct_out *out, const struct ct_report *r, const struct ct_recording *rec);
/* The same as an object; NULL: no memory. */
json_t *ct_report_json(const struct ct_report *r, const struct ct_recording *rec);

#endif
