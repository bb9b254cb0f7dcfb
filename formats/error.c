/* SPDX-License-Identifier: MIT
 * Errors as values: formatting the message of a failure.
 *
 * The helpers return -1, so that a failing function can `return ct_fail(...)`. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* "<message>" or "<message>: <tail>". What does not fit is cut off the end: the beginning names the object. */
__attribute__((format(printf, 2, 0))) static void set_message(struct ct_error *err, const char *fmt, va_list ap,
							      const char *tail)
{
	char msg[sizeof(err->msg)]; /* a copy: an argument, or the tail, may point into err->msg itself */
	size_t len;

	vsnprintf(msg, sizeof(msg), fmt, ap);
	len = strlen(msg);
	if (tail)
		snprintf(msg + len, sizeof(msg) - len, ": %s", tail);
	memcpy(err->msg, msg, sizeof(msg));
}

int ct_fail(struct ct_error *err, enum ct_exit status, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	set_message(err, fmt, ap, NULL);
	va_end(ap);
	err->status = status;
	return -1;
}

int ct_fail_errno(struct ct_error *err, enum ct_exit status, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	set_message(err, fmt, ap, strerror(saved));
	va_end(ap);
	err->status = status;
	errno = saved;
	return -1;
}

int ct_fail_memory(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

int ct_fail_prefix(struct ct_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	set_message(err, fmt, ap, err->msg);
	va_end(ap);
	return -1;
}
