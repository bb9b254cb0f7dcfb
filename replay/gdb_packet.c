// SPDX-License-Identifier: MIT
/* gdb's remote protocol as bytes. See gdb_packet.h; tests/fuzz/fuzz_gdb.c feeds it anything. */
#include "replay/gdb_packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BETWEEN, INSIDE, SUM_1, SUM_2 };

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* ---- the stream ------------------------------------------------------------------------------------------------- */

static void begin(struct ct_gdb_in *in)
{
	in->state = INSIDE;
	in->len = 0;
	in->sum = 0;
	in->escaped = in->too_long = false;
}

static void add(struct ct_gdb_in *in, unsigned char byte)
{
	if (in->len == CT_GDB_PACKET_MAX) {
		in->too_long = true;
		return;
	}
	in->data[in->len++] = (char)byte;
}

enum ct_gdb_seen ct_gdb_feed(struct ct_gdb_in *in, unsigned char byte)
{
	int d;

	switch (in->state) {
	case BETWEEN:
		switch (byte) {
		case '$': begin(in); return CT_GDB_MORE;
		case '+': return CT_GDB_ACK;
		case '-': return CT_GDB_NAK;
		case 3: return CT_GDB_BREAK;
		}
		return CT_GDB_MORE;
	case INSIDE:
		if (byte == '#') {
			in->state = SUM_1;
			return CT_GDB_MORE;
		}
		if (byte == '$') { /* the one before has no end */
			begin(in);
			return CT_GDB_MORE;
		}
		in->sum = (unsigned char)(in->sum + byte);
		if (in->escaped)
			add(in, byte ^ 0x20);
		else if (byte != '}')
			add(in, byte);
		in->escaped = !in->escaped && byte == '}';
		return CT_GDB_MORE;
	}
	d = digit((char)byte);
	if (d < 0) {
		in->state = BETWEEN;
		return CT_GDB_DAMAGED;
	}
	if (in->state == SUM_1) {
		in->want = (unsigned char)(d << 4);
		in->state = SUM_2;
		return CT_GDB_MORE;
	}
	in->state = BETWEEN;
	in->data[in->len] = 0;
	return in->too_long || (in->want | d) != in->sum ? CT_GDB_DAMAGED : CT_GDB_PACKET;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

bool ct_gdb_word(struct ct_gdb_text *t, const char *word)
{
	const size_t len = strlen(word);

	if ((size_t)(t->end - t->p) < len || memcmp(t->p, word, len) != 0)
		return false;
	t->p += len;
	return true;
}

bool ct_gdb_hex(struct ct_gdb_text *t, ct_u64 *value)
{
	const char *p = t->p;
	ct_u64 v = 0;

	for (; p < t->end && digit(*p) >= 0; p++) {
		if (v >> 60)
			return false;
		v = v << 4 | (ct_u64)digit(*p);
	}
	if (p == t->p)
		return false;
	t->p = p;
	*value = v;
	return true;
}

bool ct_gdb_signed_hex(struct ct_gdb_text *t, ct_s64 *value)
{
	struct ct_gdb_text rest = *t;
	const bool minus = ct_gdb_word(&rest, "-");
	ct_u64 v;

	if (!ct_gdb_hex(&rest, &v) || v > INT64_MAX)
		return false;
	*value = minus ? -(ct_s64)v : (ct_s64)v;
	*t = rest;
	return true;
}

bool ct_gdb_bytes(struct ct_gdb_text *t, void *out, size_t most, size_t *len)
{
	unsigned char *to = out;
	const char *p = t->p;
	size_t n = 0;

	for (; p < t->end && digit(*p) >= 0; p += 2, n++) {
		if (n == most || t->end - p < 2 || digit(p[1]) < 0)
			return false;
		to[n] = (unsigned char)(digit(*p) << 4 | digit(p[1]));
	}
	t->p = p;
	*len = n;
	return true;
}

struct ct_gdb_text ct_gdb_until(struct ct_gdb_text *t, char c)
{
	const char *at = t->p < t->end ? memchr(t->p, c, (size_t)(t->end - t->p)) : NULL;
	const struct ct_gdb_text part = {t->p, at ? at : t->end};

	t->p = at ? at + 1 : t->end;
	return part;
}

bool ct_gdb_thread(struct ct_gdb_text *t, struct ct_gdb_thread *id)
{
	struct ct_gdb_text rest = *t;

	*id = (struct ct_gdb_thread){0, -1};
	if (ct_gdb_word(&rest, "p")) {
		if (!ct_gdb_signed_hex(&rest, &id->pid))
			return false;
		if (ct_gdb_word(&rest, ".") && !ct_gdb_signed_hex(&rest, &id->tid))
			return false;
	} else if (!ct_gdb_signed_hex(&rest, &id->tid)) {
		return false;
	}
	*t = rest;
	return true;
}

bool ct_gdb_parse_point(struct ct_gdb_text t, struct ct_gdb_point *point)
{
	ct_u64 type;

	if (!ct_gdb_hex(&t, &type) || type > 4 || !ct_gdb_word(&t, ",") || !ct_gdb_hex(&t, &point->addr) ||
	    !ct_gdb_word(&t, ",") || !ct_gdb_hex(&t, &point->kind))
		return false;
	point->type = (unsigned)type;
	point->conditions = t;
	return true;
}

/* One action of a list: "s:p1.2", "C05", "r1000,2000:3". */
static bool one_action(struct ct_gdb_text part, struct ct_gdb_action *a, struct ct_gdb_thread *id)
{
	ct_u64 sig;

	*a = (struct ct_gdb_action){0};
	*id = (struct ct_gdb_thread){0, -1};
	if (part.p == part.end)
		return false;
	a->what = *part.p++;
	switch (a->what) {
	case 'C':
	case 'S':
		if (!ct_gdb_hex(&part, &sig))
			return false;
		a->what = a->what == 'C' ? 'c' : 's'; /* the signal is in the recording, or it is not */
		break;
	case 'r':
		if (!ct_gdb_hex(&part, &a->start) || !ct_gdb_word(&part, ",") || !ct_gdb_hex(&part, &a->end))
			return false;
		break;
	case 'c':
	case 's':
	case 't': break;
	default: return false;
	}
	return part.p == part.end || (ct_gdb_word(&part, ":") && ct_gdb_thread(&part, id) && part.p == part.end);
}

/* The next one of a list, each behind a semicolon. */
static bool next_action(struct ct_gdb_text *t, struct ct_gdb_action *a, struct ct_gdb_thread *id)
{
	struct ct_gdb_text part;

	if (!ct_gdb_word(t, ";"))
		return false;
	part = (struct ct_gdb_text){t->p, t->p};
	while (part.end < t->end && *part.end != ';')
		part.end++;
	t->p = part.end;
	return one_action(part, a, id);
}

bool ct_gdb_parse_cont(struct ct_gdb_text t, ct_u64 tid, struct ct_gdb_action *action)
{
	struct ct_gdb_action a;
	struct ct_gdb_thread id;

	*action = (struct ct_gdb_action){0};
	while (t.p < t.end) {
		if (!next_action(&t, &a, &id))
			return false;
		if (!action->what && (id.tid <= 0 || (ct_u64)id.tid == tid))
			*action = a;
	}
	return true;
}

bool ct_gdb_stepped(struct ct_gdb_text t, ct_s64 *tid)
{
	struct ct_gdb_action a;
	struct ct_gdb_thread id;

	*tid = 0;
	while (t.p < t.end) {
		if (!next_action(&t, &a, &id))
			return false;
		if ((a.what == 's' || a.what == 'r') && !*tid)
			*tid = id.tid > 0 ? id.tid : -1;
	}
	return true;
}

static bool copy_text(struct ct_gdb_text from, char *to, size_t room)
{
	const size_t len = (size_t)(from.end - from.p);

	if (len >= room || memchr(from.p, 0, len))
		return false;
	memcpy(to, from.p, len);
	to[len] = 0;
	return true;
}

bool ct_gdb_parse_xfer(struct ct_gdb_text t, struct ct_gdb_xfer *x)
{
	struct ct_gdb_text part = ct_gdb_until(&t, ':');

	memset(x, 0, sizeof(*x));
	if (!copy_text(part, x->object, sizeof(x->object)))
		return false;
	part = ct_gdb_until(&t, ':');
	x->read = part.end - part.p == 4 && !memcmp(part.p, "read", 4);
	part = ct_gdb_until(&t, ':');
	return x->read && copy_text(part, x->annex, sizeof(x->annex)) && ct_gdb_hex(&t, &x->offset) &&
	       ct_gdb_word(&t, ",") && ct_gdb_hex(&t, &x->length) && t.p == t.end;
}

/* ---- replies ---------------------------------------------------------------------------------------------------- */

void ct_gdb_put(struct ct_gdb_out *o, const void *data, size_t len)
{
	if (o->failed)
		return;
	if (o->room - o->len < len + 1) {
		const size_t room = (o->len + len + 1) * 2;
		char *more = realloc(o->data, room);

		if (!more) {
			o->failed = true;
			return;
		}
		o->data = more;
		o->room = room;
	}
	if (len)
		memcpy(o->data + o->len, data, len);
	o->len += len;
	o->data[o->len] = 0;
}

/* What does not fit is left out. Returns the length of what did. */
static size_t format(char *text, size_t room, const char *fmt, va_list args)
{
	int n = vsnprintf(text, room, fmt, args);

	return n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

void ct_gdb_putf(struct ct_gdb_out *o, const char *fmt, ...)
{
	char text[4400];
	va_list args;

	va_start(args, fmt);
	ct_gdb_put(o, text, format(text, sizeof(text), fmt, args));
	va_end(args);
}

void ct_gdb_putf_hex(struct ct_gdb_out *o, const char *fmt, ...)
{
	char text[1400];
	va_list args;

	va_start(args, fmt);
	ct_gdb_put_hex(o, text, format(text, sizeof(text), fmt, args));
	va_end(args);
}

void ct_gdb_put_hex(struct ct_gdb_out *o, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++)
		ct_gdb_put(o, (char[]){digits[p[i] >> 4], digits[p[i] & 15]}, 2);
}

void ct_gdb_put_binary(struct ct_gdb_out *o, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '#' || p[i] == '$' || p[i] == '}' || p[i] == '*')
			ct_gdb_put(o, (char[]){'}', (char)(p[i] ^ 0x20)}, 2);
		else
			ct_gdb_put(o, &p[i], 1);
	}
}

void ct_gdb_put_xml(struct ct_gdb_out *o, const char *text)
{
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;

		if (strchr("<>&\"'", c))
			ct_gdb_putf(o, "&#%u;", c);
		else if (c >= ' ')
			ct_gdb_put(o, text, 1);
	}
}

void ct_gdb_put_part(struct ct_gdb_out *o, const struct ct_gdb_xfer *x, const char *text, size_t len)
{
	size_t n;

	if (x->offset >= len) {
		ct_gdb_put(o, "l", 1);
		return;
	}
	n = len - x->offset;
	if (n > x->length)
		n = x->length;
	if (n > CT_GDB_PACKET_MAX / 2 - 8) /* every byte may be two */
		n = CT_GDB_PACKET_MAX / 2 - 8;
	ct_gdb_put(o, x->offset + n < len ? "m" : "l", 1);
	ct_gdb_put_binary(o, text + x->offset, n);
}

void ct_gdb_clear(struct ct_gdb_out *o)
{
	o->len = 0;
	o->failed = false;
}

void ct_gdb_free(struct ct_gdb_out *o)
{
	free(o->data);
	*o = (struct ct_gdb_out){0};
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

/* By Linux's number on x86-64; 1 to 31. Real-time signals 34 to 63 are gdb's 46 to 75 (gdb/signals.def). */
static const unsigned char signals[32] = {0, 1,  2,  3,  4,  5,  6,  10, 8,  9,  30, 11, 31, 13, 14, 15,
					  0, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28, 23, 32, 12};

int ct_gdb_signal(int sig)
{
	if (sig > 0 && sig < 32)
		return signals[sig] ? signals[sig] : 143; /* unknown */
	if (sig == 32)
		return 77;
	if (sig == 33)
		return 45;
	return sig >= 34 && sig <= 63 ? sig - 34 + 46 : sig == 64 ? 78 : 143;
}

int ct_gdb_signal_of(int gdb)
{
	for (int sig = 1; sig <= 64; sig++)
		if (ct_gdb_signal(sig) == gdb)
			return sig;
	return 0;
}
