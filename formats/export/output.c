/* SPDX-License-Identifier: MIT
 * What exporters write with: a buffer in front of a descriptor, gzip, JSON texts, protobuf fields.
 *
 * Also the table of formats, and what all of them ask of a recording. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "../recording_private.h"
#include "output.h"

#define BUFFER ((size_t)256 << 10)

const struct ct_export_info ct_export_info[CT_EXPORT_NFORMATS] = {
#define X(sym, name, log, suffix) [CT_EXPORT_##sym] = {name, suffix, log},
	CT_EXPORT_FORMATS(X)
#undef X
};

/* ---- Output ---- */

/* Remembers the first error. */
static void ex_fail(struct ex_out *o, const struct ct_error *err)
{
	if (!o->failed)
		o->err = *err;
	o->failed = true;
}

static void fail_memory(struct ex_out *o)
{
	struct ct_error err;

	ct_fail_memory(&err);
	ex_fail(o, &err);
}

void ex_open(struct ex_out *o, int fd, bool gzip)
{
	*o = (struct ex_out){.fd = fd};
	o->zip = gzip ? calloc(1, sizeof(*o->zip)) : NULL;
	/* 15 bits of window, and 16: a gzip header and trailer around it. */
	if (!sd_reserve(&o->buf, BUFFER) || (gzip && (!o->zip || deflateInit2(o->zip, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
									      15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)))
		fail_memory(o);
}

static void write_all(struct ex_out *o, const ct_u8 *data, size_t len)
{
	struct ct_error err;

	while (len && !o->failed) {
		ssize_t n = write(o->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ct_fail_errno(&err, CT_EXIT_FAILED, "cannot write the output");
			ex_fail(o, &err);
			return;
		}
		data += n;
		len -= (size_t)n;
	}
}

/* Compresses what is in the buffer, all of it. */
static void write_zip(struct ex_out *o, int how)
{
	ct_u8 out[16384];

	o->zip->next_in = o->buf.data;
	o->zip->avail_in = (uInt)o->buf.len;
	do {
		o->zip->next_out = out;
		o->zip->avail_out = sizeof(out);
		deflate(o->zip, how);
		write_all(o, out, sizeof(out) - o->zip->avail_out);
	} while (!o->zip->avail_out && !o->failed);
}

static void flush(struct ex_out *o, bool end)
{
	if (!o->failed && o->zip)
		write_zip(o, end ? Z_FINISH : Z_NO_FLUSH);
	else if (!o->failed)
		write_all(o, o->buf.data, o->buf.len);
	o->buf.len = 0;
}

void ex_put(struct ex_out *o, const void *data, size_t len)
{
	if (o->failed)
		return;
	if (!sd_put(&o->buf, data, len)) {
		fail_memory(o);
		return;
	}
	if (o->buf.len >= BUFFER)
		flush(o, false);
}

void ex_str(struct ex_out *o, const char *text)
{
	ex_put(o, text, strlen(text));
}

void ex_u64(struct ex_out *o, ct_u64 v)
{
	char digits[20];
	unsigned n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	ex_put(o, digits + n, sizeof(digits) - n);
}

void ex_fmt(struct ex_out *o, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		ex_put(o, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

int ex_finish(struct ex_out *o, struct ct_error *err)
{
	flush(o, true);
	if (o->zip)
		deflateEnd(o->zip);
	free(o->zip);
	free(o->buf.data);
	o->zip = NULL;
	o->buf = (struct sd_buf){0};
	if (o->failed && err)
		*err = o->err;
	return o->failed ? -1 : 0;
}

/* ---- Texts ---- */

bool ex_json_text(struct sd_buf *b, const void *text, size_t len)
{
	const ct_u8 *s = text, *end = s + len;
	bool ok = sd_put(b, "\"", 1);

	while (s < end && ok) {
		const ct_u8 *from = s;
		char escape[8];
		unsigned n = 1;

		while (s < end && *s >= 0x20 && *s != '"' && *s != '\\' && (n = sd_utf8_len(s, (size_t)(end - s))))
			s += n;
		ok = sd_put(b, from, (size_t)(s - from));
		if (s == end || !ok)
			break;
		if (!n)
			ok = sd_put(b, "\xef\xbf\xbd", 3);
		else if (*s == '"' || *s == '\\')
			ok = sd_put(b, (char[]){'\\', (char)*s}, 2);
		else
			ok = sd_put(b, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", *s));
		s++;
	}
	return ok && sd_put(b, "\"", 1);
}

void ex_json(struct ex_out *o, const void *text, size_t len)
{
	if (!o->failed && !ex_json_text(&o->buf, text, len))
		fail_memory(o);
}

bool ex_utf8(struct sd_buf *b, const void *text, size_t len)
{
	const ct_u8 *s = text, *end = s + len;
	bool ok = true;

	while (s < end && ok) {
		unsigned n = sd_utf8_len(s, (size_t)(end - s));

		ok = n ? sd_put(b, s, n) : sd_put(b, "\xef\xbf\xbd", 3);
		s += n ? n : 1;
	}
	return ok;
}

/* ---- Protobuf ---- */

static bool pb_tag(struct sd_buf *b, unsigned field, unsigned type)
{
	return sd_put_uint(b, (ct_u64)field << 3 | type);
}

bool ex_pb_uint(struct sd_buf *b, unsigned field, ct_u64 v)
{
	return pb_tag(b, field, EX_PB_VARINT) && sd_put_uint(b, v);
}

bool ex_pb_bytes(struct sd_buf *b, unsigned field, const void *data, size_t len)
{
	return pb_tag(b, field, EX_PB_BYTES) && sd_put_uint(b, len) && sd_put(b, data, len);
}

bool ex_pb_text(struct sd_buf *b, unsigned field, const void *text, size_t len)
{
	struct sd_buf clean = {0};
	bool ok = ex_utf8(&clean, text, len) && ex_pb_bytes(b, field, clean.data, clean.len);

	free(clean.data);
	return ok;
}

/* ---- What all formats ask ---- */

const struct ct_name *ex_name(const struct ct_export_source *src, enum ct_names table, ct_u64 id)
{
	static const struct ct_name none = {"?", 1, {0}};
	const struct ct_name *name = src->db ? ct_stepdb_name(src->db, table, id) : NULL;

	return name ? name : &none;
}

bool ex_times(const struct ct_export_source *src, ct_u64 *first_ns, ct_u64 *last_ns)
{
	struct ct_index_entry range;

	*first_ns = *last_ns = 0;
	if (!src->rec || !ct_recording_range(src->rec, &range))
		return false;
	*first_ns = range.first_ns;
	*last_ns = range.last_ns;
	return true;
}

int ex_end_time(const struct ct_export_source *src, ct_u64 *ns, struct ct_error *err)
{
	ct_u64 row[CT_STEP_NCOLS], first;
	struct ct_stepdb_info info;

	ct_stepdb_info(src->db, &info);
	if (info.complete && ex_times(src, &first, ns))
		return 0;
	*ns = 0;
	if (!info.steps)
		return 0;
	if (!ct_stepdb_step_row(src->db, info.steps, row, err))
		return -1;
	*ns = row[CT_STEP_TIME];
	return 0;
}

int ct_export_file(enum ct_export_format format, const struct ct_export_source *src,
		   const struct ct_export_options *opts, int fd, struct ct_export_result *result, struct ct_error *err)
{
	static int (*const export[CT_EXPORT_NFORMATS])(const struct ct_export_source *,
						       const struct ct_export_options *, struct ex_out *,
						       struct ct_error *) = {
		[CT_EXPORT_PERFETTO] = ex_perfetto,     [CT_EXPORT_CHROME] = ex_chrome,
		[CT_EXPORT_SPEEDSCOPE] = ex_speedscope, [CT_EXPORT_FOLDED] = ex_folded,
		[CT_EXPORT_PPROF] = ex_pprof,
	};
	struct ex_out out;

	if (!export[format])
		return ct_fail(err, CT_EXIT_USAGE, "%s is not one file", ct_export_info[format].name);
	*result = (struct ct_export_result){.threads = src->db ? ct_stepdb_names(src->db, CT_THREADS) : 0};
	ex_open(&out, fd, format == CT_EXPORT_PPROF);
	if (export[format](src, opts, &out, err) < 0) {
		ex_finish(&out, NULL);
		return -1;
	}
	return ex_finish(&out, err);
}
