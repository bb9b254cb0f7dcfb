/* SPDX-License-Identifier: MIT
 * Fuzzing event records: the input is a row of records, as in a block.
 *
 * Whatever ct_event_check lets pass must be safe to take apart. */
#include "tests/unit/recording_helpers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte, so that the sanitizer sees one that is not ours. */
static unsigned touch(const void *data, size_t len)
{
	const ct_u8 *p = data;
	unsigned sum = 0;

	while (len--)
		sum += *p++;
	return sum;
}

static unsigned take_apart(const struct ct_event *ev)
{
	struct ct_buf_iter it = ct_buf_iter(ev);
	const struct ct_fingerprint *fp = ct_event_fingerprint(ev);
	const struct ct_fpu *fpu = ct_event_fpu(ev);
	size_t len = 0;
	const char *text = ct_event_text(ev, &len);
	unsigned sum = touch(ev, ev->size);

	while (ct_buf_next(&it))
		sum += touch(it.buf, sizeof(*it.buf)) + touch(it.data, it.buf->len);
	if (fp)
		sum += touch(fp, sizeof(*fp));
	if (fpu)
		sum += touch(fpu, sizeof(*fpu));
	if (text)
		sum += touch(text, len);
	if (ev->type == CT_EV_UNSOUND) {
		char why[100];
		sum += touch(why, strlen(ct_unsound_text(ev, why, sizeof(why))));
	}
	return sum + (ct_event_type_name(ev->type) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ct_u8 *copy = malloc(size + 1);
	struct ct_error err;

	memcpy(copy, data, size);
	for (size_t pos = 0; pos < size;) {
		const struct ct_event *ev = (const void *)(copy + pos);
		unsigned sum;

		if (ct_event_check(ev, size - pos, &err) < 0)
			break;
		sum = take_apart(ev);
		__asm__ volatile("" : : "r"(sum)); /* the reads above are wanted */
		pos += ct_event_stride(ev);
	}
	free(copy);
	return 0;
}
