/* SPDX-License-Identifier: MIT
 * Private to the exporters: buffered output, and the pieces of JSON and protobuf they are made of.
 *
 * The first failure sticks; what is put afterwards is dropped, and ex_finish says why. */
#ifndef CT_EXPORT_OUTPUT_H
#define CT_EXPORT_OUTPUT_H

#include "../stepdb_private.h"
#include "export.h"

struct ex_out {
	int fd;
	struct sd_buf buf;
	struct ct_error err;
	bool failed;
	struct z_stream_s *zip; /* NULL: as it is */
};
/* `gzip`: what is put gets compressed. */
void ex_open(struct ex_out *o, int fd, bool gzip);
void ex_put(struct ex_out *o, const void *data, size_t len);
void ex_str(struct ex_out *o, const char *text);
void ex_u64(struct ex_out *o, ct_u64 v);
__attribute__((format(printf, 2, 3))) void ex_fmt(struct ex_out *o, const char *fmt, ...);
/* Writes what is left and frees; 0 or -1 with the first error. */
int ex_finish(struct ex_out *o, struct ct_error *err);

/* Text in JSON's quotes; bytes that are not UTF-8 become U+FFFD. */
bool ex_json_text(struct sd_buf *b, const void *text, size_t len);
void ex_json(struct ex_out *o, const void *text, size_t len);
/* Text with bytes that are not UTF-8 replaced, for formats whose strings must be UTF-8. */
bool ex_utf8(struct sd_buf *b, const void *text, size_t len);

/* Protobuf: fields of a message being built. Numbers of fields are below 2^28. */
enum { EX_PB_VARINT = 0, EX_PB_BYTES = 2 };
bool ex_pb_uint(struct sd_buf *b, unsigned field, ct_u64 v);
bool ex_pb_bytes(struct sd_buf *b, unsigned field, const void *data, size_t len);
/* A string: UTF-8. */
bool ex_pb_text(struct sd_buf *b, unsigned field, const void *text, size_t len);

/* Text of name `id` of a table, "?" if there is none. */
const struct ct_name *ex_name(const struct ct_export_source *src, enum ct_names table, ct_u64 id);
/* First and last time of the recording; false: it has no events. */
bool ex_times(const struct ct_export_source *src, ct_u64 *first_ns, ct_u64 *last_ns);
/* Until when an open call is known to have gone on. */
int ex_end_time(const struct ct_export_source *src, ct_u64 *ns, struct ct_error *err);

/* One file of its own each. */
int ex_perfetto(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
		struct ct_error *err);
int ex_chrome(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
	      struct ct_error *err);
int ex_speedscope(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
		  struct ct_error *err);
int ex_folded(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
	      struct ct_error *err);
int ex_pprof(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
	     struct ct_error *err);

#endif
