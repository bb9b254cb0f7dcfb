/* SPDX-License-Identifier: MIT
 * What the recorded program wrote to its standard output and standard error, told up to a moment.
 *
 * It is told once, when the moment first comes after it: what a client shows cannot be taken back. */
#include "replay/dap_output.h"

#include <stdlib.h>
#include <string.h>

#include "formats/stepdb_output.h"

#define TOGETHER 16384

struct dap_output {
	struct ct_output_reader *reader;
	struct ct_output_record next;
	bool waiting; /* `next` was read and is not told */
	unsigned stream;
	size_t held; /* many small writes are told at once */
	char text[TOGETHER];
};

static void flush(struct dap_steps *d, struct dap_output *o)
{
	if (o->held)
		d->host->output(d->host->ctx, o->stream == 2 ? "stderr" : "stdout", o->text, o->held, NULL);
	o->held = 0;
}

static void tell(struct dap_steps *d, struct dap_output *o, unsigned stream, const char *data, size_t len)
{
	while (len) {
		size_t n = len < TOGETHER ? len : TOGETHER;

		if (o->held && (stream != o->stream || o->held + n > TOGETHER))
			flush(d, o);
		o->stream = stream;
		memcpy(o->text + o->held, data, n);
		o->held += n;
		data += n;
		len -= n;
	}
}

static void complain(struct dap_steps *d, const struct ct_error *err)
{
	if (!err->msg[0])
		return;
	d->host->output(d->host->ctx, "console", "ctbpf: ", 7, NULL);
	d->host->output(d->host->ctx, "console", err->msg, strlen(err->msg), NULL);
	d->host->output(d->host->ctx, "console", "\n", 1, NULL);
}

static struct dap_output *open_output(struct dap_steps *d)
{
	struct dap_output *o = calloc(1, sizeof(*o));
	struct ct_stepdb_info info;
	struct ct_error err = {0};

	if (!o)
		return NULL;
	ct_stepdb_info(d->db, &info);
	o->reader = ct_output_open(ct_recording_dirfd(d->rec), info.uuid, &err);
	complain(d, &err);
	return o;
}

void dap_output_to(struct dap_steps *d, const struct dap_pos *pos)
{
	bool end = pos->row == DAP_END;
	ct_u64 at[CT_STEP_NCOLS] = {0};
	struct ct_error err = {0};

	if (!d->output)
		d->output = open_output(d);
	if (!d->output || !d->output->reader || !ct_stepdb_step_row(d->db, pos->step, at, NULL))
		return;
	for (struct dap_output *o = d->output;; o->waiting = false) {
		if (!o->waiting && ct_output_next(o->reader, &o->next, &err) <= 0)
			break;
		o->waiting = true;
		/* A step carries the last event before it. */
		if (!end && o->next.seq > at[CT_STEP_EVENT])
			break;
		tell(d, o, o->next.stream, o->next.data, o->next.len);
	}
	flush(d, d->output);
	complain(d, &err);
}

void dap_output_close(struct dap_steps *d)
{
	if (d->output)
		ct_output_reader_close(d->output->reader);
	free(d->output);
}
