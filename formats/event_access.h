/* SPDX-License-Identifier: MIT
 * Safe access to event records: validation, names, walking the buffers of a record.
 *
 * Everything else may assume that a record passed ct_event_check. */
#ifndef CT_EVENT_ACCESS_H
#define CT_EVENT_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "event.h"

/* Checks one record at `data` of which `avail` bytes exist: sizes, type, nested buffer lengths, all of it.
 * Returns 0, or -1 with *err. Never reads beyond avail. */
int ct_event_check(const void *data, size_t avail, struct ct_error *err);

/* "syscall" for CT_EV_SYSCALL ...; NULL for an unknown type. */
const char *ct_event_type_name(unsigned type);
/* The type with this name, 0 if none. */
unsigned ct_event_type_by_name(const char *name);

static inline size_t ct_event_stride(const struct ct_event *ev)
{
	return ((size_t)ev->size + CT_EVENT_ALIGN - 1) & ~(size_t)(CT_EVENT_ALIGN - 1);
}
static inline const void *ct_event_payload(const struct ct_event *ev)
{
	return ev + 1;
}

/* Walks the struct ct_buf list of a SYSCALL, ENTER or FRAME record:
 *	struct ct_buf_iter it = ct_buf_iter(ev);
 *	while (ct_buf_next(&it)) use(it.buf, it.data);
 * Other types give an empty walk. */
struct ct_buf_iter {
	const struct ct_buf *buf; /* current, after a next() that returned true */
	const unsigned char *data;
	const unsigned char *pos;
	unsigned left;
};
struct ct_buf_iter ct_buf_iter(const struct ct_event *ev);
bool ct_buf_next(struct ct_buf_iter *it);

/* The fingerprint of a SIGNAL or SWITCH record, or NULL; the FPU image of a SWITCH, or NULL. */
const struct ct_fingerprint *ct_event_fingerprint(const struct ct_event *ev);
const struct ct_fpu *ct_event_fpu(const struct ct_event *ev);
/* Text of an UNSOUND or NOTE record, path of a FILE record; not terminated. NULL for other types. */
const char *ct_event_text(const struct ct_event *ev, size_t *len);
/* Name of a FUNCTION record, and its path: name_len and file_len bytes, not terminated. */
const char *ct_event_function(const struct ct_event *ev, const char **file);
/* The language its source is written in: *len bytes, not terminated. */
const char *ct_event_language(const struct ct_event *ev, size_t *len);
/* Why an UNSOUND record was written, as a sentence without an end: its own text, or words for its reason and value if
 * it has none. Writes at most `len` bytes to out, terminated, and returns it. */
#define CT_UNSOUND_TEXT 1024 /* bytes that no text of the recorder's is longer than */
const char *ct_unsound_text(const struct ct_event *ev, char *out, size_t len);

#endif
