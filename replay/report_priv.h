/* SPDX-License-Identifier: MIT
 * Parts of a report: report.c (events, registers, advice) and report_code.c (symbols, instructions).
 * Private to them. */
#ifndef CT_REPORT_PRIV_H
#define CT_REPORT_PRIV_H

#include "replay/report.h"
#include "replay/session_priv.h"

/* Fills place and insn. */
void ct_report_code(struct ct_session *s, struct ct_report *r, const struct ct_rthread *t, ct_u64 ip);
/* Path a kept file was mapped from; its hash if the log does not say. Static storage. */
const char *ct_report_file_name(struct ct_session *s, const char *hash);

#endif
