/* SPDX-License-Identifier: MIT
 * Errors as values: formatting the message of a failure.
 *
 * The three helpers return -1, so that a failing function can `return ct_fail(...)`. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int ct_fail(struct ct_error *err, enum ct_exit status, const char *fmt, ...)
{
	char msg[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return -1;
	/* By way of a copy: an argument may point into err->msg itself. */
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	memcpy(err->msg, msg, sizeof(msg));
	err->status = status;
	return -1;
}

int ct_fail_errno(struct ct_error *err, enum ct_exit status, const char *fmt, ...)
{
	char msg[sizeof(err->msg)];
	int saved = errno;
	va_list ap;
	size_t len;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	len = strlen(msg);
	snprintf(msg + len, sizeof(msg) - len, ": %s", strerror(saved));
	memcpy(err->msg, msg, sizeof(msg));
	err->status = status;
	errno = saved;
	return -1;
}

int ct_fail_prefix(struct ct_error *err, const char *fmt, ...)
{
	char msg[sizeof(err->msg)];
	va_list ap;
	size_t len;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	len = strlen(msg);
	/* What does not fit is cut off the end: the prefix names the object. */
	if (len < sizeof(msg) - 2) {
		size_t room = sizeof(msg) - len - 3, tail = strnlen(err->msg, room);

		memcpy(msg + len, ": ", 2);
		memcpy(msg + len + 2, err->msg, tail);
		msg[len + 2 + tail] = 0;
	}
	memcpy(err->msg, msg, sizeof(msg));
	return -1;
}
