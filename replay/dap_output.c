/* SPDX-License-Identifier: MIT
 * What the recorded program wrote to its standard output and standard error, told up to a moment. */
#include "replay/dap_output.h"

void dap_output_to(struct dap_steps *d, const struct dap_pos *pos)
{
	(void)d;
	(void)pos;
}

void dap_output_close(struct dap_steps *d)
{
	(void)d;
}
