/* SPDX-License-Identifier: MIT
 * What the recorded program wrote to its standard output and standard error, told up to a moment. */
#ifndef CT_DAP_OUTPUT_H
#define CT_DAP_OUTPUT_H

#include "replay/dap_steps.h"

/* What was written before this moment and was not told before. */
void dap_output_to(struct dap_steps *d, const struct dap_pos *pos);
void dap_output_close(struct dap_steps *d);

#endif
