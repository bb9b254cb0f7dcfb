/* SPDX-License-Identifier: MIT
 * gdb's remote protocol as bytes: taking packets out of a stream, taking requests apart, putting replies together.
 *
 * No input does any harm here: lengths are bounded, numbers are checked, nothing is printed, read or written. */
#ifndef CT_GDB_PACKET_H
#define CT_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

#define CT_GDB_PACKET_MAX 0x20000 /* bytes of one, unescaped */

/* ---- the stream ---- */

enum ct_gdb_seen {
	CT_GDB_MORE,    /* nothing yet */
	CT_GDB_PACKET,  /* a whole one is in `data` */
	CT_GDB_DAMAGED, /* one with a wrong checksum, or too long */
	CT_GDB_ACK,
	CT_GDB_NAK,
	CT_GDB_BREAK /* Ctrl-C */
};
struct ct_gdb_in {
	int state;
	unsigned char sum, want;
	bool escaped, too_long;
	size_t len;
	char data[CT_GDB_PACKET_MAX + 1]; /* of the last packet, unescaped, with a 0 behind it */
};
enum ct_gdb_seen ct_gdb_feed(struct ct_gdb_in *in, unsigned char byte);

/* ---- requests ---- */

struct ct_gdb_text {
	const char *p, *end;
};
/* Each takes something off the front and says whether it was there; else nothing is taken. */
bool ct_gdb_word(struct ct_gdb_text *t, const char *word);
bool ct_gdb_hex(struct ct_gdb_text *t, ct_u64 *value); /* 1 to 16 digits */
bool ct_gdb_signed_hex(struct ct_gdb_text *t, ct_s64 *value);
/* Hex bytes, to the end or to a character that is none; at most `most`. False: half a byte, or more than that. */
bool ct_gdb_bytes(struct ct_gdb_text *t, void *out, size_t most, size_t *len);
/* Everything up to `c`, which is taken, too, or to the end. */
struct ct_gdb_text ct_gdb_until(struct ct_gdb_text *t, char c);
/* A thread: "p1f.20", "p1f", "20", "-1" (all), "0" (any). pid 0: not given. */
struct ct_gdb_thread {
	ct_s64 pid, tid;
};
bool ct_gdb_thread(struct ct_gdb_text *t, struct ct_gdb_thread *id);

/* Behind Z or z. */
struct ct_gdb_point {
	unsigned type; /* 0..4 */
	ct_u64 addr, kind;
	struct ct_gdb_text conditions; /* gdb_cond.h's; in the packet */
};
bool ct_gdb_parse_point(struct ct_gdb_text t, struct ct_gdb_point *point);
/* Behind "vCont": what is to be done with thread `tid`, which is the first action that names it. */
struct ct_gdb_action {
	char what; /* c, s, r, t; 0: nothing is said about it */
	ct_u64 start, end;
};
bool ct_gdb_parse_cont(struct ct_gdb_text t, ct_u64 tid, struct ct_gdb_action *action);
/* A thread that is to be stepped, 0: none, -1: any. */
bool ct_gdb_stepped(struct ct_gdb_text t, ct_s64 *tid);
/* Behind "qXfer:". */
struct ct_gdb_xfer {
	char object[32], annex[64];
	bool read;
	ct_u64 offset, length;
};
bool ct_gdb_parse_xfer(struct ct_gdb_text t, struct ct_gdb_xfer *x);

/* ---- replies ---- */

struct ct_gdb_out {
	char *data; /* owned */
	size_t len, room;
	bool failed; /* out of memory: what is in it is not all */
};
void ct_gdb_put(struct ct_gdb_out *o, const void *data, size_t len);
void ct_gdb_putf(struct ct_gdb_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ct_gdb_putf_hex(struct ct_gdb_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ct_gdb_put_hex(struct ct_gdb_out *o, const void *bytes, size_t len);
/* Bytes of a reply as they are, for a packet: escaped. */
void ct_gdb_put_binary(struct ct_gdb_out *o, const void *bytes, size_t len);
/* Text inside of an XML attribute. */
void ct_gdb_put_xml(struct ct_gdb_out *o, const char *text);
/* A part of `text` as the reply to a qXfer. */
void ct_gdb_put_part(struct ct_gdb_out *o, const struct ct_gdb_xfer *x, const char *text, size_t len);
void ct_gdb_clear(struct ct_gdb_out *o);
void ct_gdb_free(struct ct_gdb_out *o);

/* gdb has signal numbers of its own. */
int ct_gdb_signal(int linux_signal);
int ct_gdb_signal_of(int gdb_signal); /* 0: none */

#endif
