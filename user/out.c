/* SPDX-License-Identifier: MIT
 * Printing for the commands: a fast buffered writer, JSON, numbers for people, tables.
 *
 * `dump` prints millions of lines through this, so the common paths do without printf. */
#include "out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER ((size_t)256 << 10)

/* ---- Buffered text ---- */

void ct_out_open(struct ct_out *out, int fd)
{
	*out = (struct ct_out){.fd = fd, .cap = BUFFER};
	out->buf = malloc(BUFFER);
	if (!out->buf)
		out->error = ENOMEM;
}

void ct_out_memory(struct ct_out *out)
{
	ct_out_open(out, -1);
}

int ct_out_flush(struct ct_out *out)
{
	size_t done = 0;
	while (out->fd >= 0 && !out->error && done < out->len) {
		ssize_t n = write(out->fd, out->buf + done, out->len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			out->error = errno;
	}
	if (out->fd >= 0)
		out->len = 0;
	return out->error;
}

int ct_out_close(struct ct_out *out)
{
	int ret = ct_out_flush(out);
	free(out->buf);
	out->buf = NULL;
	out->len = out->cap = 0;
	return ret;
}

char *ct_out_reserve(struct ct_out *out, size_t need)
{
	if (out->cap - out->len < need && out->len)
		ct_out_flush(out);
	if (!out->error && out->cap - out->len < need) {
		size_t cap = out->cap * 2 > out->len + need ? out->cap * 2 : out->len + need;
		char *buf = realloc(out->buf, cap);
		if (buf) {
			out->buf = buf;
			out->cap = cap;
		} else {
			out->error = ENOMEM;
		}
	}
	return out->error ? NULL : out->buf + out->len;
}

void ct_out_mem(struct ct_out *out, const void *data, size_t len)
{
	char *at = ct_out_reserve(out, len);
	if (at && len) {
		memcpy(at, data, len);
		out->len += len;
	}
}

void ct_out_str(struct ct_out *out, const char *text)
{
	ct_out_mem(out, text, strlen(text));
}

void ct_out_char(struct ct_out *out, char c)
{
	ct_out_mem(out, &c, 1);
}

void ct_out_fmt(struct ct_out *out, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	size_t room = 512;
	char *at = ct_out_reserve(out, room);
	int n = at ? vsnprintf(at, room, fmt, ap) : -1;
	va_end(ap);
	if (n >= (int)room) {
		at = ct_out_reserve(out, (size_t)n + 1);
		va_start(ap, fmt);
		n = at ? vsnprintf(at, (size_t)n + 1, fmt, ap) : -1;
		va_end(ap);
	}
	if (n > 0)
		out->len += (size_t)n;
}

void ct_out_u64(struct ct_out *out, uint64_t value, unsigned width)
{
	char digits[20];
	unsigned n = 0;
	do {
		digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	unsigned pad = width > n ? width - n : 0;
	char *at = ct_out_reserve(out, pad + n);
	if (at) {
		memset(at, ' ', pad);
		memcpy(at + pad, digits + sizeof(digits) - n, n);
		out->len += pad + n;
	}
}

void ct_out_hex(struct ct_out *out, uint64_t value)
{
	char digits[18];
	unsigned n = 0;
	do {
		digits[sizeof(digits) - ++n] = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	digits[sizeof(digits) - ++n] = 'x';
	digits[sizeof(digits) - ++n] = '0';
	ct_out_mem(out, digits + sizeof(digits) - n, n);
}

void ct_out_seconds(struct ct_out *out, uint64_t ns)
{
	uint64_t us = ns / 1000 % 1000000;
	char frac[7];
	for (int i = 6; i > 0; i--, us /= 10)
		frac[i] = (char)('0' + us % 10);
	frac[0] = '.';
	ct_out_u64(out, ns / 1000000000, 0);
	ct_out_mem(out, frac, sizeof(frac));
}

void ct_out_name(struct ct_out *out, const char *name, size_t max)
{
	for (size_t i = 0; i < max && name[i]; i++)
		ct_out_char(out, (unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i]);
}

void ct_out_quoted(struct ct_out *out, const void *data, size_t len, size_t max)
{
	const unsigned char *p = data;
	size_t shown = len < max ? len : max;
	ct_out_char(out, '"');
	for (size_t i = 0; i < shown; i++) {
		static const char plain[] = "\a\b\t\n\v\f\r";
		unsigned char c = p[i];
		if (c == '"' || c == '\\')
			ct_out_fmt(out, "\\%c", c);
		else if (c >= '\a' && c <= '\r')
			ct_out_fmt(out, "\\%c", "abtnvfr"[c - plain[0]]);
		else if (c >= 0x20 && c < 0x7f)
			ct_out_char(out, (char)c);
		else /* three digits if a digit follows that would join in */
			ct_out_fmt(out, i + 1 < shown && p[i + 1] >= '0' && p[i + 1] <= '7' ? "\\%03o" : "\\%o", c);
	}
	ct_out_str(out, shown < len ? "\"..." : "\"");
}

void ct_out_hexdump(struct ct_out *out, const char *indent, uint64_t addr, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (size_t line = 0; line < len; line += 16) {
		size_t n = len - line < 16 ? len - line : 16;
		char text[3 * 16 + 2 + 16 + 1], *at = text;
		for (size_t i = 0; i < 16; i++) {
			if (i == 8)
				*at++ = ' ';
			*at++ = i < n ? "0123456789abcdef"[p[line + i] >> 4] : ' ';
			*at++ = i < n ? "0123456789abcdef"[p[line + i] & 15] : ' ';
			*at++ = ' ';
		}
		for (size_t i = 0; i < n; i++)
			*at++ = p[line + i] >= 0x20 && p[line + i] < 0x7f ? (char)p[line + i] : '.';
		ct_out_fmt(out, "%s%012llx  %.*s\n", indent, (unsigned long long)(addr + line), (int)(at - text), text);
	}
}

/* ---- JSON ---- */

/* Length of the UTF-8 sequence at p (at most `len` bytes), 0 if it is not a valid one. */
static size_t utf8_length(const unsigned char *p, size_t len)
{
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;
	if (n > len)
		n = 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			n = 0;
	}
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((n == 3 && p[0] == 0xe0 && p[1] < 0xa0) || (n == 3 && p[0] == 0xed && p[1] >= 0xa0) ||
	    (n == 4 && p[0] == 0xf0 && p[1] < 0x90) || (n == 4 && p[0] == 0xf4 && p[1] >= 0x90))
		n = 0;
	return n;
}

bool ct_text_is_plain(const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t i = 0;
	bool plain = true;
	while (plain && i < len) {
		size_t n = utf8_length(p + i, len - i);
		plain = n && !(p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r') && p[i] != 0x7f;
		i += n;
	}
	return plain;
}

static void json_text(struct ct_out *out, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	ct_out_char(out, '"');
	size_t i = 0, run = 0; /* bytes [run, i) can go as they are */
	while (i < len) {
		size_t n = utf8_length(p + i, len - i);
		if (n && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
			i += n;
			continue;
		}
		ct_out_mem(out, p + run, i - run);
		if (p[i] == '"' || p[i] == '\\')
			ct_out_fmt(out, "\\%c", p[i]);
		else if (p[i] == '\n')
			ct_out_str(out, "\\n");
		else if (p[i] == '\t')
			ct_out_str(out, "\\t");
		else /* control characters; bytes that are no UTF-8 go as the code point of the same number */
			ct_out_fmt(out, "\\u%04x", p[i]);
		run = ++i;
	}
	ct_out_mem(out, p + run, len - run);
	ct_out_char(out, '"');
}

static void json_key(struct ct_out *out, const char *key)
{
	if (out->comma)
		ct_out_char(out, ',');
	out->comma = true;
	if (key) {
		ct_out_char(out, '"');
		ct_out_str(out, key);
		ct_out_mem(out, "\":", 2);
	}
}

void ct_json_open(struct ct_out *out, const char *key, char bracket)
{
	json_key(out, key);
	ct_out_char(out, bracket);
	out->comma = false;
}

void ct_json_close(struct ct_out *out, char bracket)
{
	ct_out_char(out, bracket);
	out->comma = true;
}

void ct_json_u64(struct ct_out *out, const char *key, uint64_t value)
{
	json_key(out, key);
	ct_out_u64(out, value, 0);
}

void ct_json_s64(struct ct_out *out, const char *key, int64_t value)
{
	json_key(out, key);
	if (value < 0)
		ct_out_char(out, '-');
	ct_out_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 0);
}

void ct_json_hex(struct ct_out *out, const char *key, uint64_t value)
{
	json_key(out, key);
	ct_out_char(out, '"');
	ct_out_hex(out, value);
	ct_out_char(out, '"');
}

void ct_json_double(struct ct_out *out, const char *key, double value, int decimals)
{
	json_key(out, key);
	ct_out_fmt(out, "%.*f", decimals, value);
}

void ct_json_bool(struct ct_out *out, const char *key, bool value)
{
	json_key(out, key);
	ct_out_str(out, value ? "true" : "false");
}

void ct_json_null(struct ct_out *out, const char *key)
{
	json_key(out, key);
	ct_out_str(out, "null");
}

void ct_json_str(struct ct_out *out, const char *key, const char *text)
{
	if (text)
		ct_json_strn(out, key, text, strlen(text));
	else
		ct_json_null(out, key);
}

void ct_json_strn(struct ct_out *out, const char *key, const char *text, size_t len)
{
	json_key(out, key);
	json_text(out, text, len);
}

void ct_json_bytes(struct ct_out *out, const char *key, const void *data, size_t len)
{
	const unsigned char *p = data;
	json_key(out, key);
	char *at = ct_out_reserve(out, 2 * len + 2);
	if (at) {
		*at++ = '"';
		for (size_t i = 0; i < len; i++) {
			*at++ = "0123456789abcdef"[p[i] >> 4];
			*at++ = "0123456789abcdef"[p[i] & 15];
		}
		*at = '"';
		out->len += 2 * len + 2;
	}
}

void ct_json_line(struct ct_out *out)
{
	ct_out_char(out, '\n');
	out->comma = false;
}

/* ---- Numbers for people ---- */

char *ct_human_bytes(char buf[CT_HUMAN], uint64_t bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	unsigned unit = 0;
	double value = (double)bytes;
	while (value >= 999.5 && unit < 6) {
		value /= 1000;
		unit++;
	}
	snprintf(buf, CT_HUMAN, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

char *ct_human_count(char buf[CT_HUMAN], uint64_t count)
{
	/* 20 digits with 6 commas would not fit; nothing we count comes near */
	if (count > 999999999999999999u)
		count = 999999999999999999u;
	char digits[CT_HUMAN];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *at = buf;
	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return buf;
}

char *ct_human_seconds(char buf[CT_HUMAN], double seconds)
{
	long whole = (long)(seconds + 0.5);
	if (seconds < 0.0009995)
		snprintf(buf, CT_HUMAN, "%.0f us", seconds * 1e6);
	else if (seconds < 0.9995)
		snprintf(buf, CT_HUMAN, seconds < 0.09995 ? "%.1f ms" : "%.0f ms", seconds * 1e3);
	else if (seconds < 59.995)
		snprintf(buf, CT_HUMAN, "%.2f s", seconds);
	else if (whole < 3600)
		snprintf(buf, CT_HUMAN, "%ld:%02ld min", whole / 60, whole % 60);
	else
		snprintf(buf, CT_HUMAN, "%ld:%02ld:%02ld h", whole / 3600, whole / 60 % 60, whole % 60);
	return buf;
}

char *ct_human_time(char buf[CT_HUMAN], uint64_t real_ns, bool iso)
{
	time_t seconds = (time_t)(real_ns / 1000000000);
	struct tm tm;
	if (!real_ns || !gmtime_r(&seconds, &tm) ||
	    !strftime(buf, CT_HUMAN, iso ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, CT_HUMAN, "-");
	return buf;
}

/* ---- Terminals ---- */

bool ct_is_terminal(int fd)
{
	return isatty(fd) == 1;
}

bool ct_use_colour(int fd)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	return ct_is_terminal(fd) && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
}

/* ---- Tables ---- */

void ct_table_init(struct ct_table *table, unsigned columns, uint32_t right)
{
	*table = (struct ct_table){.columns = columns, .right = right};
}

void ct_table_cell(struct ct_table *table, const char *text)
{
	if (table->ncells == table->cap) {
		size_t cap = table->cap ? table->cap * 2 : 64;
		char **cells = realloc(table->cells, cap * sizeof(*cells));
		if (!cells)
			return; /* a shorter table is better than none */
		table->cells = cells;
		table->cap = cap;
	}
	table->cells[table->ncells++] = strdup(text);
}

/* Columns on the screen: code points, which is right for names and numbers. */
static size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void ct_table_print(const struct ct_table *table, struct ct_out *out, const char *indent)
{
	enum { MAX_COLUMNS = 32 };
	size_t width[MAX_COLUMNS] = {0};
	unsigned columns = table->columns < MAX_COLUMNS ? table->columns : MAX_COLUMNS;
	for (size_t i = 0; i < table->ncells; i++) {
		size_t w = table->cells[i] ? text_width(table->cells[i]) : 0, column = i % table->columns;
		if (column < columns && w > width[column])
			width[column] = w;
	}
	for (size_t i = 0; i < table->ncells; i++) {
		size_t column = i % table->columns;
		if (column >= columns)
			continue;
		const char *text = table->cells[i] ? table->cells[i] : "";
		bool last = column + 1 == columns || i + 1 == table->ncells;
		int pad = (int)(width[column] - text_width(text));
		if (!column)
			ct_out_str(out, indent);
		if (table->right & (1u << column))
			ct_out_fmt(out, "%*s%s", pad, "", text);
		else
			ct_out_fmt(out, "%s%*s", text, last ? 0 : pad, "");
		ct_out_str(out, last ? "\n" : "  ");
	}
}

void ct_table_deinit(struct ct_table *table)
{
	for (size_t i = 0; i < table->ncells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct ct_table){0};
}
