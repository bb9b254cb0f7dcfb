/* SPDX-License-Identifier: MIT
 * Printing for the commands: a fast buffered writer, JSON, numbers for people, tables.
 *
 * A struct ct_out collects text and writes it to a descriptor; errors stick and are asked for once, at the end. */
#ifndef CT_OUT_H
#define CT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Buffered text ---- */

struct ct_out {
	int fd;     /* -1: nothing is written, the text stays in buf (ct_out_memory) */
	int error;  /* errno of the first write that failed, 0 if none; later text is dropped */
	bool comma; /* the next JSON value needs a comma before it */
	char *buf;
	size_t len, cap;
};

/* Writes to `fd`. Out of memory shows as error ENOMEM. */
void ct_out_open(struct ct_out *out, int fd);
/* Collects everything in out->buf, not terminated. */
void ct_out_memory(struct ct_out *out);
/* Writes what is buffered; returns 0 or the errno that stuck. */
int ct_out_flush(struct ct_out *out);
/* Flushes and frees; returns as ct_out_flush. */
int ct_out_close(struct ct_out *out);

/* At least `need` free bytes at the returned place; pass what was used to ct_out_advance. NULL after an error. */
char *ct_out_reserve(struct ct_out *out, size_t need);
static inline void ct_out_advance(struct ct_out *out, size_t used)
{
	out->len += used;
}

void ct_out_mem(struct ct_out *out, const void *data, size_t len);
void ct_out_str(struct ct_out *out, const char *text);
void ct_out_char(struct ct_out *out, char c);
void ct_out_fmt(struct ct_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Right-aligned in `width` columns; 0: as short as it is. */
void ct_out_u64(struct ct_out *out, uint64_t value, unsigned width);
void ct_out_hex(struct ct_out *out, uint64_t value); /* with 0x */
/* "0.001234": seconds with six decimals, of a time in nanoseconds. */
void ct_out_seconds(struct ct_out *out, uint64_t ns);
/* A name that others chose: what could move a terminal's cursor, or more, is shown as '?'. */
void ct_out_name(struct ct_out *out, const char *name, size_t max);
/* In double quotes as C would have it, at most `max` bytes of it, then "..." if there is more. */
void ct_out_quoted(struct ct_out *out, const void *data, size_t len, size_t max);
/* A classic dump, 16 bytes a line, each line starting with `indent`. */
void ct_out_hexdump(struct ct_out *out, const char *indent, uint64_t addr, const void *data, size_t len);

/* ---- JSON ----
 * `key` is NULL inside arrays. Open and close take '{' '}' '[' ']'. Values that may pass 2^53 go as "0x..." strings
 * by ct_json_hex, because most readers would round them. */
void ct_json_open(struct ct_out *out, const char *key, char bracket);
void ct_json_close(struct ct_out *out, char bracket);
void ct_json_u64(struct ct_out *out, const char *key, uint64_t value);
void ct_json_s64(struct ct_out *out, const char *key, int64_t value);
void ct_json_hex(struct ct_out *out, const char *key, uint64_t value);
void ct_json_double(struct ct_out *out, const char *key, double value, int decimals);
void ct_json_bool(struct ct_out *out, const char *key, bool value);
void ct_json_null(struct ct_out *out, const char *key);
void ct_json_str(struct ct_out *out, const char *key, const char *text); /* NULL: null */
void ct_json_strn(struct ct_out *out, const char *key, const char *text, size_t len);
void ct_json_bytes(struct ct_out *out, const char *key, const void *data, size_t len); /* as hex digits */
/* Ends a line of JSON lines, and the document state with it. */
void ct_json_line(struct ct_out *out);
/* True if the bytes are valid UTF-8 without control characters other than \t \n \r. */
bool ct_text_is_plain(const void *data, size_t len);

/* ---- Numbers for people; each returns `buf` ---- */

#define CT_HUMAN 32
char *ct_human_bytes(char buf[CT_HUMAN], uint64_t bytes);   /* "812 B", "12.3 MB" (powers of 1000) */
char *ct_human_count(char buf[CT_HUMAN], uint64_t count);   /* "1,234,567" */
char *ct_human_seconds(char buf[CT_HUMAN], double seconds); /* "12.3 ms", "4.25 s", "3:07 min", "2:03:04 h" */
/* "2026-11-22 12:30:05" or with iso "2026-11-22T12:30:05Z", UTC; "-" for 0. */
char *ct_human_time(char buf[CT_HUMAN], uint64_t real_ns, bool iso);

/* ---- Terminals ---- */

bool ct_is_terminal(int fd);
/* Whether to colour what goes to fd: a terminal, and neither NO_COLOR nor TERM=dumb is set. */
bool ct_use_colour(int fd);

/* ---- Tables ---- */

/* Cells are collected, then printed with every column as wide as its widest cell. */
struct ct_table {
	unsigned columns;
	uint32_t right; /* bit c: column c is right-aligned */
	char **cells;
	size_t ncells, cap;
};
void ct_table_init(struct ct_table *table, unsigned columns, uint32_t right);
void ct_table_cell(struct ct_table *table, const char *text);
void ct_table_print(const struct ct_table *table, struct ct_out *out, const char *indent);
void ct_table_deinit(struct ct_table *table);

#endif
