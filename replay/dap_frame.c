/* SPDX-License-Identifier: MIT
 * Messages of the Debug Adapter Protocol: a header with Content-Length, then JSON.
 *
 * Nothing is believed: headers and bodies have a limit, and what is no message ends the conversation. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "replay/dap.h"

/* Length of the header with its empty line, 0 if it is not complete; *body is what it announces. */
static int parse_header(const struct dap_reader *r, size_t *header, size_t *body, struct ct_error *err)
{
	size_t look = r->len < DAP_HEADER_MAX ? r->len : DAP_HEADER_MAX, at = 0;
	const char *end = look ? memmem(r->data, look, "\r\n\r\n", 4) : NULL;
	bool found = false;

	*header = 0;
	if (!end)
		return look < DAP_HEADER_MAX ? 0 : ct_fail(err, CT_EXIT_FAILED, "a message's header has no end");
	while (at < (size_t)(end - r->data)) {
		static const char name[] = "Content-Length:";
		const char *line = r->data + at, *stop = memmem(line, r->len - at, "\r\n", 2);

		if ((size_t)(stop - line) >= sizeof(name) && strncasecmp(line, name, sizeof(name) - 1) == 0) {
			const char *p = line + sizeof(name) - 1;

			for (*body = 0; p < stop && (*p == ' ' || (*p >= '0' && *p <= '9')); p++)
				if (*p != ' ' && (*body = *body * 10 + (size_t)(*p - '0')) > DAP_MESSAGE_MAX)
					return ct_fail(err, CT_EXIT_FAILED, "a message has more than %u bytes",
						       DAP_MESSAGE_MAX);
			if (p != stop || found)
				return ct_fail(err, CT_EXIT_FAILED, "a message's Content-Length is no number");
			found = true;
		}
		at = (size_t)(stop - r->data) + 2;
	}
	if (!found)
		return ct_fail(err, CT_EXIT_FAILED, "a message without Content-Length");
	*header = (size_t)(end - r->data) + 4;
	return 0;
}

time_t dap_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* 1: more bytes; 0: the end; 2: none now. */
static int more(struct dap_reader *r, bool wait, struct ct_error *err)
{
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	ssize_t n;

	if (r->cap - r->len < 4096) {
		size_t cap = r->cap ? 2 * r->cap : 16384;
		char *data = realloc(r->data, cap);

		if (!data)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		r->data = data;
		r->cap = cap;
	}
	do {
		time_t left = r->deadline ? r->deadline - dap_now() : 0;

		if (!wait && poll(&p, 1, 0) <= 0)
			return 2;
		if (wait && r->deadline && (left <= 0 || poll(&p, 1, (int)left * 1000) == 0))
			return ct_fail(err, CT_EXIT_FAILED, "the client has not launched in time");
		n = read(r->fd, r->data + r->len, r->cap - r->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "the client cannot be read from");
	r->len += (size_t)n;
	return n > 0;
}

int dap_read(struct dap_reader *r, bool wait, json_t **message, struct ct_error *err)
{
	size_t header, body = 0;
	int got;

	for (;;) {
		if (parse_header(r, &header, &body, err) < 0)
			return -1;
		if (header && r->len - header >= body)
			break;
		got = more(r, wait, err);
		if (got == 0 && r->len)
			return ct_fail(err, CT_EXIT_FAILED, "the client has gone in the middle of a message");
		if (got != 1)
			return got;
	}
	*message = json_loadb(r->data + header, body, 0, NULL);
	r->len -= header + body;
	memmove(r->data, r->data + header + body, r->len);
	return 1;
}

void dap_reader_deinit(struct dap_reader *r)
{
	free(r->data);
	*r = (struct dap_reader){.fd = -1};
}

int dap_write(int fd, const json_t *message, struct ct_error *err)
{
	char *text = json_dumps(message, JSON_COMPACT), header[64];
	size_t len = text ? strlen(text) : 0,
	       n = (size_t)snprintf(header, sizeof(header), "Content-Length: %zu\r\n\r\n", len);
	char *all = text ? malloc(n + len) : NULL;
	size_t at = 0;
	int ret = 0;

	if (!all)
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else
		memcpy(mempcpy(all, header, n), text, len);
	while (ret == 0 && at < n + len) {
		ssize_t done = write(fd, all + at, n + len - at);

		if (done > 0)
			at += (size_t)done;
		else if (errno != EINTR)
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "the client cannot be written to");
	}
	free(text);
	free(all);
	return ret;
}

/* Length of the well-formed UTF-8 character at s, or 0; jansson says what it takes. */
static size_t character(const char *s, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++) {
		json_t *one = *s ? json_stringn(s, n) : NULL;

		json_decref(one);
		if (one)
			return n;
	}
	return 0;
}

json_t *dap_text(const char *text, size_t len)
{
	json_t *whole = memchr(text, 0, len) ? NULL : json_stringn(text, len);
	char *out;
	size_t n = 0;

	if (whole || !(out = malloc(3 * len + 1)))
		return whole;
	for (size_t i = 0; i < len;) {
		size_t c = character(text + i, len - i);

		memcpy(out + n, c ? text + i : "\xef\xbf\xbd", c ? c : 3);
		n += c ? c : 3;
		i += c ? c : 1;
	}
	whole = json_stringn(out, n);
	free(out);
	return whole;
}
