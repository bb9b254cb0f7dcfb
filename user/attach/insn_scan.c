/* SPDX-License-Identifier: MIT
 * Finds rdtsc and the like in ELF files and in memory.
 *
 * A byte search over the executable segments, then decoding, from its first byte, of each function that has a hit. */
#include "insn_scan.h"

#include <Zydis/Zydis.h>
#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

#include "insn_image.h"

#define MAX_CANDIDATES (1u << 20) /* no real program comes near; bounds what a hostile one can cost */
#define SCAN_CHUNK     (256u << 10)
#define CODE_WINDOW    (16u << 10)
#define OPCODE_MAX     3 /* bytes of the longest pattern searched for */
#define INSN_MAX       15

/* The opcode bytes of one of the instructions, found by searching. */
struct candidate {
	ct_u64 off, vaddr;
	ct_u32 kind, seg; /* seg: index into ct_image.exec */
};
struct candidates {
	struct candidate *v;
	size_t n, cap;
};

/* ---- The byte search ---------------------------------------------------------------------------- */

/* Kind of the instruction whose opcode starts at p, 0 if none; p[0] is 0x0f, n bytes can be read. */
static ct_u32 match(const ct_u8 *p, size_t n)
{
	if (n < 2)
		return 0;
	if (p[1] == 0x31)
		return CT_INSN_RDTSC;
	if (p[1] == 0xa2)
		return CT_INSN_CPUID;
	if (n < 3)
		return 0;
	if (p[1] == 0x01 && p[2] == 0xf9)
		return CT_INSN_RDTSCP;
	if (p[1] == 0xc7 && p[2] >= 0xf8) /* with f3 before it, this is rdpid: decoding will tell */
		return CT_INSN_RDSEED;
	if (p[1] == 0xc7 && p[2] >= 0xf0)
		return CT_INSN_RDRAND;
	return 0;
}

static int add_candidate(struct candidates *c, ct_u64 off, ct_u64 vaddr, ct_u32 kind, ct_u32 seg, const char *name,
			 struct ct_error *err)
{
	if (c->n == MAX_CANDIDATES)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: more than %u byte patterns of rdtsc and the like; this is no ordinary program",
			       name, MAX_CANDIDATES);
	if (ct_image_grow(&c->v, &c->cap, c->n, sizeof(*c->v)) < 0)
		return ct_fail(err, CT_EXIT_FAILED, "%s: out of memory", name);
	c->v[c->n++] = (struct candidate){.off = off, .vaddr = vaddr, .kind = kind, .seg = seg};
	return 0;
}

/* Adds the opcodes that start in p[0..n); `avail` bytes can be read. off and vaddr are p's. */
static int search(struct candidates *c, const ct_u8 *p, size_t n, size_t avail, ct_u64 off, ct_u64 vaddr, ct_u32 seg,
		  const char *name, struct ct_error *err)
{
	const __m128i esc = _mm_set1_epi8(0x0f), a = _mm_set1_epi8(0x31), b = _mm_set1_epi8((char)0xa2),
		      d = _mm_set1_epi8(0x01), e = _mm_set1_epi8((char)0xc7);
	size_t i = 0;
	while (i < n) {
		unsigned hits;
		size_t step;
		if (i + 17 <= avail && i + 16 <= n) {
			__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
			__m128i y = _mm_loadu_si128((const __m128i *)(const void *)(p + i + 1));
			__m128i second = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(y, a), _mm_cmpeq_epi8(y, b)),
						      _mm_or_si128(_mm_cmpeq_epi8(y, d), _mm_cmpeq_epi8(y, e)));
			hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(x, esc), second));
			step = 16;
		} else {
			hits = p[i] == 0x0f;
			step = 1;
		}
		for (; hits; hits &= hits - 1) {
			size_t at = i + (size_t)__builtin_ctz(hits);
			ct_u32 kind = match(p + at, avail - at);
			if (kind && add_candidate(c, off + at, vaddr + at, kind, seg, name, err) < 0)
				return -1;
		}
		i += step;
	}
	return 0;
}

static int by_vaddr(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	return (x->vaddr > y->vaddr) - (x->vaddr < y->vaddr);
}

static int search_segments(const struct ct_image *im, struct candidates *c, ct_u64 *scanned, struct ct_error *err)
{
	ct_u8 *buf = malloc(SCAN_CHUNK + OPCODE_MAX);
	int ret = -1;
	ct_u64 done_to = 0; /* segments are sorted by offset; what two of them share is searched once */
	if (!buf) {
		ct_fail(err, CT_EXIT_FAILED, "%s: out of memory", im->name);
		goto out;
	}
	for (size_t s = 0; s < im->nexec; s++) {
		const struct ct_segment *g = &im->exec[s];
		ct_u64 end = g->off + g->size;
		for (ct_u64 off = g->off > done_to ? g->off : done_to; off < end; off += SCAN_CHUNK) {
			ct_u64 left = end - off;
			size_t n = left < SCAN_CHUNK ? (size_t)left : SCAN_CHUNK;
			size_t want = left < SCAN_CHUNK + OPCODE_MAX ? (size_t)left : SCAN_CHUNK + OPCODE_MAX;
			ssize_t got = ct_image_read(im->fd, buf, want, off);
			if (got < 0) {
				ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot read", im->name);
				goto out;
			}
			if ((size_t)got < n)
				n = (size_t)got;
			*scanned += n;
			if (search(c, buf, n, (size_t)got, off, g->vaddr + (off - g->off), (ct_u32)s, im->name, err) <
			    0)
				goto out;
			if ((size_t)got < want)
				break; /* it has become shorter */
		}
		if (end > done_to)
			done_to = end;
	}
	if (c->n)
		qsort(c->v, c->n, sizeof(*c->v), by_vaddr);
	ret = 0;
out:
	free(buf);
	return ret;
}

/* ---- Decoding -------------------------------------------------------------------------------------- */

struct decoder {
	ZydisDecoder zy;
	const struct ct_image *im;
	ct_u64 win_off;
	size_t win_len;
	ct_u8 win[CODE_WINDOW];
};

/* Decodes at off, where at most `max` bytes belong to the code. */
static bool decode(struct decoder *d, ct_u64 off, ct_u64 max, ZydisDecodedInstruction *in)
{
	size_t want = max < INSN_MAX ? (size_t)max : INSN_MAX;
	if (off < d->win_off || off - d->win_off + want > d->win_len) {
		ssize_t r = ct_image_read(d->im->fd, d->win, sizeof(d->win), off);
		d->win_off = off;
		d->win_len = r > 0 ? (size_t)r : 0;
		if (want > d->win_len)
			want = d->win_len;
	}
	return want && ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d->zy, NULL, d->win + (off - d->win_off), want, in));
}

/* Position in one source's functions. Candidates come sorted, so each byte is decoded once per source. */
struct cursor {
	ct_u64 start, pos;
	bool valid, stuck;
};

static const ct_u32 mnemonics[] = {
	[CT_INSN_RDTSC] = ZYDIS_MNEMONIC_RDTSC,   [CT_INSN_RDTSCP] = ZYDIS_MNEMONIC_RDTSCP,
	[CT_INSN_RDRAND] = ZYDIS_MNEMONIC_RDRAND, [CT_INSN_RDSEED] = ZYDIS_MNEMONIC_RDSEED,
	[CT_INSN_CPUID] = ZYDIS_MNEMONIC_CPUID,
};

static unsigned opcode_len(ct_u32 kind)
{
	return kind == CT_INSN_RDTSC || kind == CT_INSN_CPUID ? 2 : 3;
}

/* Whether the kernel takes this instruction for a 5-byte nop, which it may rewrite to a call. Same rules as its
 * insn_is_nop(): the nops proper, and lea or mov of a register to itself; too many rather than too few. */
static bool is_nop5(const ZydisDecodedInstruction *in)
{
	if (in->length != 5)
		return false;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_NOP: return true;
	case ZYDIS_MNEMONIC_LEA: return in->raw.modrm.mod != 3 && in->raw.disp.value == 0;
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_XCHG: return in->raw.modrm.offset && in->raw.modrm.mod == 3;
	default: return false;
	}
}

/* What one source says about candidate c; fills in the site if it says CT_DOUBT_NONE. */
static enum ct_insn_doubt judge(struct decoder *d, struct cursor *cur, const struct ct_range *f,
				const struct candidate *c, struct ct_insn_site *site)
{
	ZydisDecodedInstruction in;
	const struct ct_segment *g = &d->im->exec[c->seg];
	if (!f || f->start < g->vaddr)
		return CT_DOUBT_NO_FUNCTION;
	ct_u64 end = f->end - g->vaddr < g->size ? f->end : g->vaddr + g->size;
	if (!cur->valid || cur->start != f->start || cur->pos > c->vaddr)
		*cur = (struct cursor){.start = f->start, .pos = f->start, .valid = true};
	for (;;) {
		ct_u64 off = g->off + (cur->pos - g->vaddr);
		if (cur->stuck || !decode(d, off, end - cur->pos, &in)) {
			cur->stuck = true;
			return CT_DOUBT_UNDECODED;
		}
		if (in.length > c->vaddr - cur->pos)
			break; /* the one that holds the candidate; stay, the next candidate may be in it too */
		cur->pos += in.length;
	}
	if (in.mnemonic != mnemonics[c->kind] || in.length - (c->vaddr - cur->pos) != opcode_len(c->kind))
		return CT_DOUBT_INSIDE;
	site->vaddr = cur->pos;
	site->offset = g->off + (cur->pos - g->vaddr);
	site->len = in.length;
	site->next_offset = site->offset + site->len;
	ct_u64 next = cur->pos + in.length;
	if (next >= end || !decode(d, site->next_offset, end - next, &in))
		return CT_DOUBT_UNDECODED;
	site->next_len = in.length;
	site->next_nop5 = is_nop5(&in);
	/* Those with a one-byte opcode from e0 on (loop, jrcxz) are executed, if elsewhere, and so counted. */
	site->next_branch = in.meta.category == ZYDIS_CATEGORY_COND_BR && in.opcode < 0xe0;
	return CT_DOUBT_NONE;
}

static void count(struct ct_insn_sites *out)
{
	memset(out->by_doubt, 0, sizeof(out->by_doubt));
	for (size_t i = 0; i < out->n; i++)
		out->by_doubt[out->v[i].doubt]++;
}

/* The site of a candidate about which nothing else is known. */
static struct ct_insn_site bare_site(const struct candidate *c)
{
	unsigned len = opcode_len(c->kind);
	return (struct ct_insn_site){.offset = c->off,
				     .vaddr = c->vaddr,
				     .next_offset = c->off + len,
				     .kind = c->kind,
				     .len = (ct_u8)len,
				     .doubt = CT_DOUBT_NO_FUNCTION};
}

/* Judges all candidates, which are sorted. */
static int judge_all(struct ct_image *im, const struct candidates *cand, struct ct_insn_sites *out,
		     struct ct_error *err)
{
	struct cursor cf = {0}, cs = {0};
	struct decoder *d = calloc(1, sizeof(*d));
	ct_u64 *vaddrs = calloc(cand->n, sizeof(*vaddrs));
	int ret = -1;
	out->v = calloc(cand->n, sizeof(*out->v));
	if (!d || !vaddrs || !out->v) {
		ct_fail(err, CT_EXIT_FAILED, "%s: out of memory", im->name);
		goto out;
	}
	for (size_t i = 0; i < cand->n; i++)
		vaddrs[i] = cand->v[i].vaddr;
	ct_image_functions(im, vaddrs, cand->n);
	d->im = im;
	ZydisDecoderInit(&d->zy, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0; i < cand->n; i++) {
		const struct candidate *c = &cand->v[i];
		struct ct_insn_site bare = bare_site(c), a = bare, b = bare, *s = &bare;
		enum ct_insn_doubt x = judge(d, &cf, ct_image_function(&im->fde, c->vaddr), c, &a);
		enum ct_insn_doubt y = judge(d, &cs, ct_image_function(&im->sym, c->vaddr), c, &b);
		enum ct_insn_doubt both = x == CT_DOUBT_NO_FUNCTION ? y : x;
		/* Whoever knows the function must agree. */
		if (x != CT_DOUBT_NO_FUNCTION && y != CT_DOUBT_NO_FUNCTION &&
		    (x != y || (x == CT_DOUBT_NONE && a.offset != b.offset)))
			both = CT_DOUBT_DISAGREE;
		if (both == CT_DOUBT_NONE)
			s = x == CT_DOUBT_NONE ? &a : &b;
		s->doubt = (ct_u8)both;
		s->certain = both == CT_DOUBT_NONE;
		out->v[out->n++] = *s;
	}
	count(out);
	ret = 0;
out:
	free(d);
	free(vaddrs);
	return ret;
}

int ct_insn_scan(int fd, const char *name, struct ct_insn_sites *out, struct ct_error *err)
{
	struct ct_image im;
	struct candidates cand = {0};
	memset(out, 0, sizeof(*out));
	if (ct_image_open(&im, fd, name, err) < 0)
		return -1;
	int ret = search_segments(&im, &cand, &out->scanned, err);
	if (ret == 0 && cand.n)
		ret = judge_all(&im, &cand, out, err);
	free(cand.v);
	ct_image_close(&im);
	if (ret < 0)
		ct_insn_sites_free(out);
	return ret;
}

int ct_insn_scan_memory(const void *code, size_t len, ct_u64 vaddr, struct ct_insn_sites *out, struct ct_error *err)
{
	struct candidates c = {0};
	int ret = -1;
	memset(out, 0, sizeof(*out));
	if (search(&c, code, len, len, 0, vaddr, 0, "memory", err) < 0)
		goto out;
	out->scanned = len;
	out->v = calloc(c.n ? c.n : 1, sizeof(*out->v));
	if (!out->v) {
		ct_fail(err, CT_EXIT_FAILED, "memory at %#llx: out of memory", (unsigned long long)vaddr);
		goto out;
	}
	for (size_t i = 0; i < c.n; i++)
		out->v[out->n++] = bare_site(&c.v[i]);
	count(out);
	ret = 0;
out:
	free(c.v);
	if (ret < 0)
		ct_insn_sites_free(out);
	return ret;
}

void ct_insn_sites_free(struct ct_insn_sites *s)
{
	free(s->v);
	memset(s, 0, sizeof(*s));
}

/* ---- Probes ---------------------------------------------------------------------------------------- */

struct probe {
	ct_u64 offset, cookie;
};
static int by_probe_offset(const void *a, const void *b)
{
	const struct probe *x = a, *y = b;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

int ct_insn_probes(const struct ct_insn_sites *s, bool nop5_safe, struct ct_insn_probes *out, struct ct_error *err)
{
	size_t n = 0;
	struct probe *p = calloc(2 * s->n + 1, sizeof(*p));
	memset(out, 0, sizeof(*out));
	out->offsets = calloc(2 * s->n + 1, sizeof(*out->offsets));
	out->cookies = calloc(2 * s->n + 1, sizeof(*out->cookies));
	if (!p || !out->offsets || !out->cookies) {
		free(p);
		ct_insn_probes_free(out);
		return ct_fail(err, CT_EXIT_FAILED, "out of memory for %zu probes", 2 * s->n);
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct ct_insn_site *t = &s->v[i];
		if (!t->certain || t->kind == CT_INSN_CPUID)
			continue;
		if (t->next_nop5 && !nop5_safe) {
			out->skipped++;
			continue;
		}
		p[n++] = (struct probe){t->offset, CT_INSN_COOKIE(t->kind, t->len)};
		p[n++] = (struct probe){t->next_offset, CT_INSN_AFTER | (t->next_branch ? CT_INSN_BRANCH : 0)};
	}
	qsort(p, n, sizeof(*p), by_probe_offset);
	for (size_t i = 0; i < n; i++) {
		if (!out->n || out->offsets[out->n - 1] != p[i].offset)
			out->offsets[out->n++] = p[i].offset;
		out->cookies[out->n - 1] |= p[i].cookie;
	}
	free(p);
	return 0;
}

void ct_insn_probes_free(struct ct_insn_probes *p)
{
	free(p->offsets);
	free(p->cookies);
	memset(p, 0, sizeof(*p));
}
