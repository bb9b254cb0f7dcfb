// SPDX-License-Identifier: MIT
/* Registers as gdb numbers them, from the general ones and the XSAVE image, and the description that tells it so.
 * Names and order of each feature are those that gdb's manual asks for (Standard Target Features, i386). */
#include <cpuid.h>
#include <string.h>

#include "replay/gdb_priv.h"

enum source { GENERAL, SEGMENT, X87, LEGACY, COMPONENT };
#define XSTATE_MASK_AT 464 /* in the image the kernel gives: the components it may have */

/* A row of registers: `count` of them with numbers behind their name, or one. */
struct row {
	const char *feature; /* NULL: as the row above */
	const char *name, *suffix;
	unsigned first, count;
	unsigned bits;
	const char *type, *group;
	enum source source;
	unsigned where;       /* GENERAL: index of ct_regs; else bytes from the component's beginning */
	unsigned stride;      /* bytes from one to the next */
	unsigned component;   /* of the XSAVE image */
	unsigned stored_bits; /* of it, 0: all */
};
#define G(name, index, type)                                                                                           \
	{                                                                                                              \
		NULL, name, NULL, 0, 0, 64, type, NULL, GENERAL, index, 0, 0, 0                                        \
	}
#define S(name, index)                                                                                                 \
	{                                                                                                              \
		NULL, name, NULL, 0, 0, 32, "int32", NULL, SEGMENT, index, 0, 0, 0                                     \
	}
#define F(name, at, bits)                                                                                              \
	{                                                                                                              \
		NULL, name, NULL, 0, 0, 32, "int", "float", X87, at, 0, 0, bits                                        \
	}
static const struct row rows[] = {
	{"org.gnu.gdb.i386.core", "rax", NULL, 0, 0, 64, "int64", NULL, GENERAL, CT_RAX, 0, 0, 0},
	G("rbx", CT_RBX, "int64"),
	G("rcx", CT_RCX, "int64"),
	G("rdx", CT_RDX, "int64"),
	G("rsi", CT_RSI, "int64"),
	G("rdi", CT_RDI, "int64"),
	G("rbp", CT_RBP, "data_ptr"),
	G("rsp", CT_RSP, "data_ptr"),
	G("r8", CT_R8, "int64"),
	G("r9", CT_R9, "int64"),
	G("r10", CT_R10, "int64"),
	G("r11", CT_R11, "int64"),
	G("r12", CT_R12, "int64"),
	G("r13", CT_R13, "int64"),
	G("r14", CT_R14, "int64"),
	G("r15", CT_R15, "int64"),
	G("rip", CT_RIP, "code_ptr"),
	{NULL, "eflags", NULL, 0, 0, 32, "i386_eflags", NULL, SEGMENT, CT_RFLAGS, 0, 0, 0},
	S("cs", CT_CS),
	S("ss", CT_SS),
	S("ds", CT_NREGS),
	S("es", CT_NREGS),
	S("fs", CT_NREGS),
	S("gs", CT_NREGS),
	{NULL, "st", NULL, 0, 8, 80, "i387_ext", NULL, LEGACY, 32, 16, 0, 0},
	F("fctrl", 0, 16),
	F("fstat", 2, 16),
	F("ftag", 4, 8),
	F("fiseg", 12, 16),
	F("fioff", 8, 32),
	F("foseg", 20, 16),
	F("fooff", 16, 32),
	F("fop", 6, 11),
	{"org.gnu.gdb.i386.sse", "xmm", NULL, 0, 16, 128, "vec128", NULL, LEGACY, 160, 16, 0, 0},
	{NULL, "mxcsr", NULL, 0, 0, 32, "i386_mxcsr", "vector", LEGACY, 24, 0, 0, 0},
	{"org.gnu.gdb.i386.linux", "orig_rax", NULL, 0, 0, 64, "int", "system", GENERAL, CT_ORIG_RAX, 0, 0, 0},
	{"org.gnu.gdb.i386.segments", "fs_base", NULL, 0, 0, 64, "int", NULL, GENERAL, CT_FS_BASE, 0, 0, 0},
	G("gs_base", CT_GS_BASE, "int"),
	{"org.gnu.gdb.i386.avx", "ymm", "h", 0, 16, 128, "uint128", NULL, COMPONENT, 0, 16, 2, 0},
	{"org.gnu.gdb.i386.avx512", "xmm", NULL, 16, 16, 128, "vec128", NULL, COMPONENT, 0, 64, 7, 0},
	{NULL, "ymm", "h", 16, 16, 128, "uint128", NULL, COMPONENT, 16, 64, 7, 0},
	{NULL, "k", NULL, 0, 8, 64, "uint64", NULL, COMPONENT, 0, 8, 5, 0},
	{NULL, "zmm", "h", 0, 16, 256, "v2ui128", NULL, COMPONENT, 0, 32, 6, 0},
	{NULL, "zmm", "h", 16, 16, 256, "v2ui128", NULL, COMPONENT, 32, 64, 7, 0},
};

static const char types_core[] =
	"<flags id=\"i386_eflags\" size=\"4\">"
	"<field name=\"\" start=\"22\" end=\"31\"/><field name=\"ID\" start=\"21\" end=\"21\"/>"
	"<field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>"
	"<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
	"<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"\" start=\"15\" end=\"15\"/>"
	"<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
	"<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
	"<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
	"<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
	"<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"CF\" start=\"0\" end=\"0\"/></flags>";
static const char types_vec[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
	"<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
	"<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
	"<field name=\"uint128\" type=\"uint128\"/></union>"
	"<flags id=\"i386_mxcsr\" size=\"4\">"
	"<field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/>"
	"<field name=\"ZE\" start=\"2\" end=\"2\"/><field name=\"OE\" start=\"3\" end=\"3\"/>"
	"<field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" start=\"5\" end=\"5\"/>"
	"<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/>"
	"<field name=\"DM\" start=\"8\" end=\"8\"/><field name=\"ZM\" start=\"9\" end=\"9\"/>"
	"<field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" start=\"11\" end=\"11\"/>"
	"<field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";
static const char types_zmm[] = "<vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>";

/* What is read of a thread. */
struct state {
	struct ct_regs regs;
	unsigned char xsave[CT_XSAVE_MAX];
	size_t len;
	ct_u64 components;
};

static bool read_state(struct ct_gdb *g, ct_u32 tid, struct state *st)
{
	struct ct_session *s = ct_timeline_session(g->tl);
	ssize_t len;

	memset(st, 0, sizeof(*st));
	if (ct_session_regs(s, tid, &st->regs, NULL))
		return false;
	len = ct_session_xsave(s, tid, st->xsave, NULL);
	if (len < 0)
		return false;
	st->len = (size_t)len;
	memcpy(&st->components, st->xsave + XSTATE_MASK_AT, 8);
	return true;
}

/* Of a component in the standard format of the image: CPUID leaf 13. */
static size_t component_at(unsigned component)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(0xd, component, &a, &b, &c, &d) ? b : 0;
}

static bool has_row(const struct row *r, ct_u64 components)
{
	if (r->source != COMPONENT)
		return true;
	return r->component == 2 ? components >> 2 & 1 : (components >> 5 & 7) == 7;
}

/* Where a register is in the image. NULL: nowhere. */
static unsigned char *in_image(const struct row *r, unsigned i, struct state *st)
{
	size_t at = r->where + i * r->stride;

	if (r->source == COMPONENT)
		at += component_at(r->component);
	return at + r->bits / 8 <= st->len ? st->xsave + at : NULL;
}

static void value_of(const struct row *r, unsigned i, struct state *st, unsigned char *value)
{
	const unsigned char *from;
	ct_u32 v = 0;

	memset(value, 0, r->bits / 8);
	switch (r->source) {
	case GENERAL: memcpy(value, &st->regs.r[r->where], 8); break;
	case SEGMENT:
		if (r->where < CT_NREGS)
			memcpy(value, &st->regs.r[r->where], 4);
		break;
	case X87:
		memcpy(&v, st->xsave + r->where, (r->stored_bits + 7) / 8);
		if (r->stored_bits < 32)
			v &= (1u << r->stored_bits) - 1;
		if (!strcmp(r->name, "ftag")) { /* a bit for each that is in use; gdb wants two, 3: empty */
			const ct_u32 used = v;

			v = 0;
			for (unsigned k = 0; k < 8; k++)
				v |= (used >> k & 1 ? 0u : 3u) << (2 * k);
		}
		memcpy(value, &v, 4);
		break;
	case LEGACY:
	case COMPONENT:
		from = in_image(r, i, st);
		if (from)
			memcpy(value, from, r->bits / 8);
		break;
	}
}

static void set_value(const struct row *r, unsigned i, struct state *st, const unsigned char *value)
{
	unsigned char *to;
	ct_u32 v;

	switch (r->source) {
	case GENERAL: memcpy(&st->regs.r[r->where], value, 8); break;
	case SEGMENT:
		memcpy(&v, value, 4);
		if (r->where < CT_NREGS)
			st->regs.r[r->where] = v;
		break;
	case X87: break; /* nobody computes with those */
	case LEGACY:
	case COMPONENT:
		to = in_image(r, i, st);
		if (to && memcmp(to, value, r->bits / 8)) {
			ct_u64 in_use;
			const unsigned component = r->source == COMPONENT ? r->component : r->where == 32 ? 0 : 1;

			memcpy(to, value, r->bits / 8);
			memcpy(&in_use, st->xsave + 512, 8); /* XSTATE_BV: else the initial values count */
			in_use |= 1ull << component;
			memcpy(st->xsave + 512, &in_use, 8);
		}
		break;
	}
}

#define LAST (rows + sizeof(rows) / sizeof(*rows))

bool ct_gdb_put_regs(struct ct_gdb *g, ct_u32 tid)
{
	unsigned char value[64];
	struct state st;

	if (!read_state(g, tid, &st))
		return false;
	for (const struct row *r = rows; r < LAST; r++)
		for (unsigned i = 0; has_row(r, st.components) && i < (r->count ? r->count : 1); i++) {
			value_of(r, i, &st, value);
			ct_gdb_put_hex(&g->out, value, r->bits / 8);
		}
	return true;
}

/* The row of a register, and which of it. */
static const struct row *find(ct_u64 number, ct_u64 components, unsigned *i)
{
	for (const struct row *r = rows; r < LAST; r++) {
		const unsigned n = r->count ? r->count : 1;

		if (!has_row(r, components))
			continue;
		if (number < n) {
			*i = (unsigned)number;
			return r;
		}
		number -= n;
	}
	return NULL;
}

bool ct_gdb_put_reg(struct ct_gdb *g, ct_u32 tid, ct_u64 number)
{
	unsigned char value[64];
	const struct row *r;
	struct state st;
	unsigned i;

	if (!read_state(g, tid, &st) || !(r = find(number, st.components, &i)))
		return false;
	value_of(r, i, &st, value);
	ct_gdb_put_hex(&g->out, value, r->bits / 8);
	return true;
}

bool ct_gdb_number(struct ct_gdb *g, ct_u32 tid, ct_u64 number, ct_u64 *to)
{
	unsigned char value[64] = {0};
	const struct row *r;
	struct state st;
	unsigned i;

	if (!read_state(g, tid, &st) || !(r = find(number, st.components, &i)) || r->bits > 64)
		return false;
	value_of(r, i, &st, value);
	memcpy(to, value, sizeof(*to));
	return true;
}

static bool write_state(struct ct_gdb *g, ct_u32 tid, const struct state *st)
{
	struct ct_session *s = ct_timeline_session(g->tl);

	return !ct_session_set_xsave(s, tid, st->xsave, st->len, NULL) && !ct_session_set_regs(s, tid, &st->regs, NULL);
}

bool ct_gdb_set_regs(struct ct_gdb *g, ct_u32 tid, struct ct_gdb_text values)
{
	unsigned char value[64];
	struct state st;
	size_t len;

	if (!read_state(g, tid, &st))
		return false;
	for (const struct row *r = rows; r < LAST; r++)
		for (unsigned i = 0; has_row(r, st.components) && i < (r->count ? r->count : 1); i++) {
			struct ct_gdb_text one = {values.p, values.p};

			if ((size_t)(values.end - values.p) < r->bits / 4)
				return values.p == values.end && write_state(g, tid, &st);
			values.p = one.end = values.p + r->bits / 4;
			if (*one.p == 'x')
				continue;
			if (!ct_gdb_bytes(&one, value, sizeof(value), &len) || len != r->bits / 8)
				return false;
			set_value(r, i, &st, value);
		}
	return write_state(g, tid, &st);
}

bool ct_gdb_set_reg(struct ct_gdb *g, ct_u32 tid, ct_u64 number, struct ct_gdb_text text)
{
	unsigned char value[64] = {0};
	const struct row *r;
	struct state st;
	unsigned i;
	size_t len;

	if (!read_state(g, tid, &st) || !(r = find(number, st.components, &i)) ||
	    !ct_gdb_bytes(&text, value, sizeof(value), &len) || len != r->bits / 8)
		return false;
	set_value(r, i, &st, value);
	return write_state(g, tid, &st);
}

void ct_gdb_describe_regs(struct ct_gdb *g)
{
	struct ct_gdb_out *o = &g->text;
	unsigned number = 0;
	struct state st;

	if (!read_state(g, g->tid, &st))
		return;
	ct_gdb_putf(o, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
		       "<architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>");
	for (const struct row *r = rows; r < LAST; r++) {
		if (!has_row(r, st.components))
			continue;
		if (r->feature) {
			ct_gdb_putf(o, "%s<feature name=\"%s\">", r == rows ? "" : "</feature>", r->feature);
			if (r == rows)
				ct_gdb_putf(o, "%s", types_core);
			else if (strstr(r->feature, "sse"))
				ct_gdb_putf(o, "%s", types_vec);
			else if (strstr(r->feature, "avx512"))
				ct_gdb_putf(o, "%.*s%s", (int)(strstr(types_vec, "<flags") - types_vec), types_vec,
					    types_zmm);
		}
		for (unsigned i = 0; i < (r->count ? r->count : 1); i++) {
			ct_gdb_putf(o, "<reg name=\"%s", r->name);
			if (r->count)
				ct_gdb_putf(o, "%u%s", r->first + i, r->suffix ? r->suffix : "");
			ct_gdb_putf(o, "\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"", r->bits, r->type, number++);
			if (r->group)
				ct_gdb_putf(o, " group=\"%s\"", r->group);
			ct_gdb_putf(o, "/>");
		}
	}
	ct_gdb_putf(o, "</feature></target>");
}
