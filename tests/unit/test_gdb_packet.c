/* SPDX-License-Identifier: MIT
 * gdb's remote protocol as bytes: packets out of a stream, requests taken apart, replies put together. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "replay/gdb_packet.h"

static struct ct_gdb_in in;

/* What the last byte of `text` leads to; nothing may come of those before. */
static enum ct_gdb_seen feed(const char *text)
{
	enum ct_gdb_seen seen = CT_GDB_MORE;

	for (; *text; text++) {
		cr_assert_eq(seen, CT_GDB_MORE);
		seen = ct_gdb_feed(&in, (unsigned char)*text);
	}
	return seen;
}

static struct ct_gdb_text text(const char *s)
{
	return (struct ct_gdb_text){s, s + strlen(s)};
}

Test(gdb_packet, packets)
{
	cr_assert_eq(feed("$g#67"), CT_GDB_PACKET);
	cr_assert_str_eq(in.data, "g");
	cr_assert_eq(feed("noise$OK#9a"), CT_GDB_PACKET);
	cr_assert_eq(in.len, 2);
	cr_assert_eq(feed("$#00"), CT_GDB_PACKET);
	cr_assert_eq(in.len, 0);
	cr_assert_eq(feed("+"), CT_GDB_ACK);
	cr_assert_eq(feed("-"), CT_GDB_NAK);
	cr_assert_eq(feed("\x03"), CT_GDB_BREAK);
	cr_assert_eq(feed("$g#68"), CT_GDB_DAMAGED);
	cr_assert_eq(feed("$g#6x"), CT_GDB_DAMAGED);
	cr_assert_eq(feed("$broken off$g#67"), CT_GDB_PACKET);
	cr_assert_str_eq(in.data, "g");
}

Test(gdb_packet, escapes)
{
	cr_assert_eq(feed("$X}\x03}]#b2"), CT_GDB_PACKET);
	cr_assert_eq(in.len, 3);
	cr_assert_eq(memcmp(in.data, "X#}", 3), 0);
}

Test(gdb_packet, too_long)
{
	unsigned char sum = 0;

	ct_gdb_feed(&in, '$');
	for (unsigned i = 0; i < CT_GDB_PACKET_MAX + 1; i++, sum += 'a')
		cr_assert_eq(ct_gdb_feed(&in, 'a'), CT_GDB_MORE);
	ct_gdb_feed(&in, '#');
	ct_gdb_feed(&in, (unsigned char)"0123456789abcdef"[sum >> 4]);
	cr_assert_eq(ct_gdb_feed(&in, (unsigned char)"0123456789abcdef"[sum & 15]), CT_GDB_DAMAGED);
	cr_assert_eq(feed("$g#67"), CT_GDB_PACKET);
}

Test(gdb_packet, numbers)
{
	struct ct_gdb_text t = text("ffffffffffffffff,");
	ct_s64 s;
	ct_u64 v;

	cr_assert(ct_gdb_hex(&t, &v));
	cr_assert_eq(v, UINT64_MAX);
	cr_assert(ct_gdb_word(&t, ","));
	cr_assert_not(ct_gdb_hex(&t, &v));
	t = text("10000000000000000");
	cr_assert_not(ct_gdb_hex(&t, &v));
	t = text("-1");
	cr_assert(ct_gdb_signed_hex(&t, &s));
	cr_assert_eq(s, -1);
	t = text("ffffffffffffffff");
	cr_assert_not(ct_gdb_signed_hex(&t, &s));
}

Test(gdb_packet, bytes)
{
	struct ct_gdb_text t = text("00fF7");
	unsigned char b[2];
	size_t n;

	cr_assert_not(ct_gdb_bytes(&t, b, 2, &n)); /* half a byte */
	t = text("00fF");
	cr_assert(ct_gdb_bytes(&t, b, 2, &n));
	cr_assert(n == 2 && b[0] == 0 && b[1] == 0xff);
	t = text("00ff11");
	cr_assert_not(ct_gdb_bytes(&t, b, 2, &n));
}

Test(gdb_packet, threads)
{
	struct ct_gdb_thread id;
	struct ct_gdb_text t = text("p1f.20");

	cr_assert(ct_gdb_thread(&t, &id) && id.pid == 0x1f && id.tid == 0x20);
	t = text("p5");
	cr_assert(ct_gdb_thread(&t, &id) && id.pid == 5 && id.tid == -1);
	t = text("-1");
	cr_assert(ct_gdb_thread(&t, &id) && id.pid == 0 && id.tid == -1);
	t = text("p.");
	cr_assert_not(ct_gdb_thread(&t, &id));
}

Test(gdb_packet, actions)
{
	struct ct_gdb_action a;
	ct_s64 tid;

	cr_assert(ct_gdb_parse_cont(text(";s:p1.2;c"), 2, &a) && a.what == 's');
	cr_assert(ct_gdb_parse_cont(text(";s:p1.2;c"), 3, &a) && a.what == 'c');
	cr_assert(ct_gdb_parse_cont(text(";C0b:2;t:3"), 2, &a) && a.what == 'c');
	cr_assert(ct_gdb_parse_cont(text(";r10,20:2"), 2, &a) && a.what == 'r' && a.start == 16 && a.end == 32);
	cr_assert(ct_gdb_parse_cont(text(";t:3"), 2, &a) && !a.what);
	cr_assert_not(ct_gdb_parse_cont(text(";q"), 2, &a));
	cr_assert_not(ct_gdb_parse_cont(text(";"), 2, &a));
	cr_assert_not(ct_gdb_parse_cont(text("c"), 2, &a));
	cr_assert(ct_gdb_stepped(text(";s:p1.2;c"), &tid) && tid == 2);
	cr_assert(ct_gdb_stepped(text(";s"), &tid) && tid == -1);
	cr_assert(ct_gdb_stepped(text(";c"), &tid) && tid == 0);
}

Test(gdb_packet, points_and_documents)
{
	struct ct_gdb_point p;
	struct ct_gdb_xfer x;
	struct ct_gdb_out o = {0};

	cr_assert(ct_gdb_parse_point(text("2,7fff,8"), &p) && p.type == 2 && p.addr == 0x7fff && p.kind == 8);
	cr_assert_not(ct_gdb_parse_point(text("5,7fff,8"), &p));
	cr_assert_not(ct_gdb_parse_point(text("0,7fff"), &p));
	cr_assert(ct_gdb_parse_xfer(text("features:read:target.xml:0,ffb"), &x));
	cr_assert_str_eq(x.object, "features");
	cr_assert_str_eq(x.annex, "target.xml");
	cr_assert_not(ct_gdb_parse_xfer(text("features:write:target.xml:0,ffb"), &x));
	cr_assert_not(ct_gdb_parse_xfer(text("features:read:target.xml:0"), &x));
	x.offset = 2;
	x.length = 3;
	ct_gdb_put_part(&o, &x, "ab#$}yz", 7);
	cr_assert_eq(o.len, 7);
	cr_assert_eq(memcmp(o.data, "m}\x03}\x04}]", 7), 0);
	ct_gdb_clear(&o);
	x.offset = 6;
	ct_gdb_put_part(&o, &x, "ab#$}yz", 7);
	cr_assert_str_eq(o.data, "lz");
	ct_gdb_clear(&o);
	x.offset = 70;
	ct_gdb_put_part(&o, &x, "ab#$}yz", 7);
	cr_assert_str_eq(o.data, "l");
	ct_gdb_clear(&o);
	ct_gdb_put_xml(&o, "a<\"&\x01");
	cr_assert_str_eq(o.data, "a&#60;&#34;&#38;");
	ct_gdb_free(&o);
}

Test(gdb_packet, signals)
{
	for (int sig = 1; sig <= 64; sig++)
		if (sig != 16)
			cr_assert_eq(ct_gdb_signal_of(ct_gdb_signal(sig)), sig, "signal %d", sig);
	cr_assert_eq(ct_gdb_signal(7), 10);
	cr_assert_eq(ct_gdb_signal(17), 20);
}
