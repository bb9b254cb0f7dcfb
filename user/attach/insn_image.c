/* SPDX-License-Identifier: MIT
 * ELF headers, unwind tables and symbols, as far as the instruction scan needs them.
 *
 * Every number in the file is taken for a lie until it has been compared with the file's size. */
#include "insn_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Limits no real program comes near; they bound what a hostile file can cost. */
#define MAX_PHDRS    1170
#define MAX_SECTIONS 65535
#define MAX_CODE     (4ull << 30)
#define MAX_EH_FRAME (256ull << 20)
#define MAX_RANGES   (1u << 20)
#define MAX_NAMES    (1u << 20)

/* Room for one more element in the array *v of elements of `size` bytes. */
int ct_image_grow(void *v, size_t *cap, size_t n, size_t size)
{
	if (n < *cap)
		return 0;
	size_t want = *cap ? *cap * 2 : 64;
	void *p = reallocarray(*(void **)v, want, size);
	if (!p)
		return -1;
	*(void **)v = p;
	*cap = want;
	return 0;
}

/* Reads up to len bytes at off; less only at the end of the file. */
ssize_t ct_image_read(int fd, void *buf, size_t len, ct_u64 off)
{
	size_t done = 0;
	while (done < len) {
		ssize_t r = pread(fd, (char *)buf + done, len - done, (off_t)(off + done));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (!r)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

size_t ct_image_code(const struct ct_image *im, ct_u64 addr, void *buf, size_t len, ct_u64 *offset)
{
	for (size_t i = 0; i < im->nexec; i++) {
		const struct ct_segment *g = &im->exec[i];
		ssize_t got;

		if (addr < g->vaddr || addr - g->vaddr >= g->size)
			continue;
		*offset = g->off + (addr - g->vaddr);
		len = len < g->size - (addr - g->vaddr) ? len : g->size - (addr - g->vaddr);
		got = ct_image_read(im->fd, buf, len, *offset);
		return got > 0 ? (size_t)got : 0;
	}
	return 0;
}

/* Reads exactly len bytes at off into new memory; NULL if the file has not that many. */
static void *read_new(const struct ct_image *im, ct_u64 off, ct_u64 len)
{
	if (off > im->size || len > im->size - off)
		return NULL;
	void *p = malloc(len ? len : 1);
	if (p && ct_image_read(im->fd, p, len, off) != (ssize_t)len) {
		free(p);
		return NULL;
	}
	return p;
}

/* ---- The ELF file --------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
	const struct ct_segment *x = a, *y = b;
	return (x->off > y->off) - (x->off < y->off);
}
static int by_start(const void *a, const void *b)
{
	const struct ct_range *x = a, *y = b;
	if (x->start != y->start)
		return x->start > y->start ? 1 : -1;
	return (x->end < y->end) - (x->end > y->end); /* the longer one first */
}

static int read_phdrs(struct ct_image *im, const Elf64_Ehdr *eh, struct ct_error *err)
{
	ct_u64 code = 0;
	Elf64_Phdr *ph = read_new(im, eh->e_phoff, (ct_u64)eh->e_phnum * sizeof(*ph));
	if (!ph)
		return ct_fail(err, CT_EXIT_FAILED, "%s: its program headers are not in the file: truncated?",
			       im->name);
	im->load = calloc(eh->e_phnum, sizeof(*im->load));
	im->exec = calloc(eh->e_phnum, sizeof(*im->exec));
	if (!im->load || !im->exec) {
		free(ph);
		return ct_fail(err, CT_EXIT_FAILED, "%s: out of memory", im->name);
	}
	for (size_t i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_GNU_EH_FRAME)
			im->eh_hdr_vaddr = ph[i].p_vaddr;
		if (ph[i].p_type != PT_LOAD || ph[i].p_offset >= im->size)
			continue;
		struct ct_segment g = {ph[i].p_offset, ph[i].p_vaddr, ph[i].p_filesz};
		if (g.size > im->size - g.off)
			g.size = im->size - g.off;
		if (g.size > UINT64_MAX - g.vaddr)
			continue;
		im->load[im->nload++] = g;
		if (!(ph[i].p_flags & PF_X))
			continue;
		im->exec[im->nexec++] = g;
		code += g.size;
	}
	free(ph);
	if (code > MAX_CODE)
		return ct_fail(err, CT_EXIT_FAILED, "%s: %llu bytes of executable code, more than is scanned (%llu)",
			       im->name, (unsigned long long)code, MAX_CODE);
	qsort(im->exec, im->nexec, sizeof(*im->exec), by_offset);
	return 0;
}

static int read_headers(struct ct_image *im, struct ct_error *err)
{
	struct stat st;
	Elf64_Ehdr eh;
	if (fstat(im->fd, &st) < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot stat", im->name);
	if (!S_ISREG(st.st_mode))
		return ct_fail(err, CT_EXIT_FAILED, "%s: not a regular file", im->name);
	im->size = (ct_u64)st.st_size;
	ssize_t r = ct_image_read(im->fd, &eh, sizeof(eh), 0);
	if (r < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot read", im->name);
	if (r < SELFMAG || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return ct_fail(err, CT_EXIT_FAILED, "%s: not an ELF file", im->name);
	if (r < (ssize_t)sizeof(eh))
		return ct_fail(err, CT_EXIT_FAILED, "%s: the ELF header is truncated", im->name);
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64)
		return ct_fail(err, CT_EXIT_FAILED, "%s: not an x86-64 ELF file (class %u, machine %u)", im->name,
			       eh.e_ident[EI_CLASS], eh.e_machine);
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || !eh.e_phnum || eh.e_phnum > MAX_PHDRS)
		return ct_fail(err, CT_EXIT_FAILED, "%s: no usable program headers (%u of size %u)", im->name,
			       eh.e_phnum, eh.e_phentsize);
	if (read_phdrs(im, &eh, err) < 0)
		return -1;
	/* Sections are a help only: a file without them, or with nonsense in them, is scanned all the same. */
	if (eh.e_shentsize == sizeof(Elf64_Shdr) && eh.e_shnum && eh.e_shnum < MAX_SECTIONS) {
		im->sh = read_new(im, eh.e_shoff, (ct_u64)eh.e_shnum * sizeof(*im->sh));
		im->nsh = im->sh ? eh.e_shnum : 0;
		im->shstrndx = eh.e_shstrndx;
	}
	return 0;
}

/* ---- Functions around the addresses --------------------------------------------------------------- */

/* Keeps [start, start+size) if one of the addresses is inside. */
static void add_range(struct ct_image *im, struct ct_ranges *r, ct_u64 start, ct_u64 size)
{
	ct_u64 end = start + size;
	if (!size || end < start || r->overflow)
		return;
	size_t lo = 0, hi = im->nvaddrs;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (im->vaddrs[mid] < start)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == im->nvaddrs || im->vaddrs[lo] >= end)
		return;
	if (r->n == MAX_RANGES || ct_image_grow(&r->v, &r->cap, r->n, sizeof(*r->v)) < 0)
		r->overflow = true; /* then this source is not used: sites become uncertain, not wrong */
	else
		r->v[r->n++] = (struct ct_range){start, end};
}

const struct ct_range *ct_image_function(const struct ct_ranges *r, ct_u64 vaddr)
{
	size_t lo = 0, hi = r->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->v[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && vaddr < r->v[lo - 1].end ? &r->v[lo - 1] : NULL;
}

static void sort_ranges(struct ct_ranges *r)
{
	size_t n = 0;
	if (r->overflow)
		r->n = 0;
	if (r->n)
		qsort(r->v, r->n, sizeof(*r->v), by_start);
	for (size_t i = 0; i < r->n; i++)
		if (!n || r->v[n - 1].start != r->v[i].start)
			r->v[n++] = r->v[i];
	r->n = n;
}

/* File offset of vaddr and how many bytes follow in its segment; false if it is in none. */
static bool locate(const struct ct_image *im, ct_u64 vaddr, ct_u64 *off, ct_u64 *len)
{
	for (size_t i = 0; i < im->nload; i++) {
		const struct ct_segment *g = &im->load[i];
		if (vaddr >= g->vaddr && vaddr - g->vaddr < g->size) {
			*off = g->off + (vaddr - g->vaddr);
			*len = g->size - (vaddr - g->vaddr);
			return true;
		}
	}
	return false;
}

/* A reader that stops at the end: after an overrun everything is 0 and `bad` is set. */
struct reader {
	const ct_u8 *p, *end;
	const ct_u8 *base; /* at vaddr */
	ct_u64 vaddr;
	bool bad;
};
static ct_u64 get(struct reader *r, unsigned n)
{
	ct_u64 v = 0;
	if ((size_t)(r->end - r->p) < n) {
		r->bad = true;
		return 0;
	}
	memcpy(&v, r->p, n);
	r->p += n;
	return v;
}
static ct_u64 get_leb(struct reader *r)
{
	ct_u64 v = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		ct_u64 b = get(r, 1);
		if (shift < 64)
			v |= (b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}
/* A pointer in one of the encodings DW_EH_PE_*; those that need more than its own address count as bad. */
static ct_u64 get_encoded(struct reader *r, unsigned enc)
{
	ct_u64 at = r->vaddr + (ct_u64)(r->p - r->base), v;
	switch (enc & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c: v = get(r, 8); break;
	case 0x02: v = get(r, 2); break;
	case 0x03: v = get(r, 4); break;
	case 0x0a: v = (ct_u64)(int64_t)(int16_t)get(r, 2); break;
	case 0x0b: v = (ct_u64)(int64_t)(int32_t)get(r, 4); break;
	default: r->bad = true; return 0;
	}
	if ((enc & 0xf0) == 0x10)
		return v + at;
	if (enc & 0xf0)
		r->bad = true;
	return v;
}

/* How the FDEs of the CIE at r encode their addresses; -1 if that cannot be told. */
static int cie_encoding(struct reader r)
{
	ct_u64 length = get(&r, 4);
	if (length > (size_t)(r.end - r.p))
		return -1;
	r.end = r.p + length;
	if (get(&r, 4) != 0)
		return -1;
	unsigned version = (unsigned)get(&r, 1);
	const char *aug = (const char *)r.p;
	size_t len = strnlen(aug, (size_t)(r.end - r.p));
	if ((version != 1 && version != 3) || len == (size_t)(r.end - r.p))
		return -1;
	r.p += len + 1;
	get_leb(&r);
	get_leb(&r);
	if (version == 1)
		get(&r, 1);
	else
		get_leb(&r);
	if (!*aug)
		return r.bad ? -1 : 0;
	if (*aug++ != 'z')
		return -1;
	get_leb(&r);
	for (; *aug && !r.bad; aug++) {
		switch (*aug) {
		case 'R': {
			unsigned enc = (unsigned)get(&r, 1);
			return r.bad ? -1 : (int)enc;
		}
		case 'L': get(&r, 1); break;
		case 'P': get_encoded(&r, (unsigned)get(&r, 1) & 0x0f); break; /* only its length matters */
		case 'S':
		case 'B': break;
		default: return -1;
		}
	}
	return r.bad ? -1 : 0;
}

static void walk_eh_frame(struct ct_image *im, const ct_u8 *p, size_t len, ct_u64 vaddr, bool sized)
{
	size_t pos = 0, cie = SIZE_MAX;
	int enc = -1;
	while (len - pos >= 4) {
		struct reader r = {p + pos, p + len, p, vaddr, false};
		ct_u64 length = get(&r, 4);
		if (!length && !sized)
			return; /* the terminator */
		if (length == 0xffffffff || length > (size_t)(r.end - r.p))
			return; /* nobody has 4 GiB of unwind information in one record */
		pos += 4 + length;
		r.end = p + pos;
		size_t id_at = pos - length;
		ct_u64 id = length >= 4 ? get(&r, 4) : 0;
		if (!id || id > id_at)
			continue;
		if (cie != id_at - id) {
			cie = id_at - id;
			enc = cie_encoding((struct reader){p + cie, p + len, p, vaddr, false});
		}
		if (enc < 0)
			continue;
		ct_u64 start = get_encoded(&r, (unsigned)enc);
		ct_u64 size = get_encoded(&r, (unsigned)enc & 0x0f);
		if (!r.bad)
			add_range(im, &im->fde, start, size);
	}
}

/* The section of this name, NULL if there is none that is loaded and has content. */
static const Elf64_Shdr *find_section(const struct ct_image *im, const char *name)
{
	size_t len = strlen(name) + 1;
	if (im->shstrndx >= im->nsh || im->sh[im->shstrndx].sh_size > MAX_NAMES)
		return NULL;
	const Elf64_Shdr *found = NULL, *names = &im->sh[im->shstrndx];
	char *p = read_new(im, names->sh_offset, names->sh_size);
	for (size_t i = 0; p && i < im->nsh && !found; i++) {
		const Elf64_Shdr *h = &im->sh[i];
		if (h->sh_type != SHT_NOBITS && h->sh_addr && names->sh_size >= len &&
		    h->sh_name <= names->sh_size - len && memcmp(p + h->sh_name, name, len) == 0)
			found = h;
	}
	free(p);
	return found;
}

/* The unwind table: as the section table says (static programs have only that), else by way of its search table, which
 * says where it begins but not where it ends. */
static void read_fdes(struct ct_image *im)
{
	ct_u64 off, len, vaddr;
	ct_u8 hdr[12] = {0};
	const Elf64_Shdr *h = find_section(im, ".eh_frame");
	if (h) {
		off = h->sh_offset;
		len = h->sh_size;
		vaddr = h->sh_addr;
	} else {
		if (!locate(im, im->eh_hdr_vaddr, &off, &len) || len < sizeof(hdr) ||
		    ct_image_read(im->fd, hdr, sizeof(hdr), off) != sizeof(hdr) || hdr[0] != 1)
			return;
		struct reader r = {hdr + 4, hdr + sizeof(hdr), hdr, im->eh_hdr_vaddr, false};
		vaddr = get_encoded(&r, hdr[1]);
		if (r.bad || !locate(im, vaddr, &off, &len))
			return;
	}
	if (len > MAX_EH_FRAME)
		len = MAX_EH_FRAME;
	ct_u8 *p = read_new(im, off, len);
	if (p)
		walk_eh_frame(im, p, len, vaddr, h != NULL);
	free(p);
}

/* Go programs have a function table of their own instead of unwind information; stripping leaves it in.
 * Layout of Go 1.18 and later: header, ..., { u32 start - text, u32 where } for each function, u32 end - text. */
static void read_go_functions(struct ct_image *im)
{
	struct {
		ct_u32 magic;
		ct_u8 pad[2], quantum, ptrsize;
		ct_u64 nfunc, nfiles, text, name_off, cu_off, file_off, pc_off, func_off;
	} h;
	ct_u64 text_off, left;
	const Elf64_Shdr *sec = find_section(im, ".gopclntab");
	if (!sec || sec->sh_offset > im->size ||
	    ct_image_read(im->fd, &h, sizeof(h), sec->sh_offset) != (ssize_t)sizeof(h))
		return;
	if ((h.magic != 0xfffffff0 && h.magic != 0xfffffff1) || h.quantum != 1 || h.ptrsize != 8 ||
	    !locate(im, h.text, &text_off, &left) || h.func_off > im->size - sec->sh_offset || h.nfunc > im->size / 8)
		return;
	ct_u32 *tab = read_new(im, sec->sh_offset + h.func_off, h.nfunc * 8 + 4);
	for (ct_u64 i = 0; tab && i < h.nfunc; i++)
		if (tab[2 * i] < tab[2 * i + 2])
			add_range(im, &im->fde, h.text + tab[2 * i], tab[2 * i + 2] - tab[2 * i]);
	free(tab);
}

static void read_symbols(struct ct_image *im)
{
	enum { BATCH = 4096 };
	Elf64_Sym *sym = malloc(BATCH * sizeof(*sym));
	for (size_t s = 0; sym && s < im->nsh; s++) {
		const Elf64_Shdr *h = &im->sh[s];
		if ((h->sh_type != SHT_SYMTAB && h->sh_type != SHT_DYNSYM) || h->sh_entsize != sizeof(*sym) ||
		    h->sh_offset > im->size || h->sh_size > im->size - h->sh_offset)
			continue;
		/* Tables that share bytes are a hostile file's way to have us read the same ones 65535 times. */
		bool seen = false;
		for (size_t j = 0; j < s && !seen; j++)
			seen = im->sh[j].sh_type == h->sh_type;
		if (seen)
			continue;
		for (ct_u64 left = h->sh_size / sizeof(*sym), off = h->sh_offset; left;) {
			size_t n = left < BATCH ? (size_t)left : BATCH;
			if (ct_image_read(im->fd, sym, n * sizeof(*sym), off) != (ssize_t)(n * sizeof(*sym)))
				break;
			for (size_t i = 0; i < n; i++) {
				unsigned type = ELF64_ST_TYPE(sym[i].st_info);
				if ((type == STT_FUNC || type == STT_GNU_IFUNC) && sym[i].st_shndx != SHN_UNDEF)
					add_range(im, &im->sym, sym[i].st_value, sym[i].st_size);
			}
			left -= n;
			off += n * sizeof(*sym);
		}
	}
	free(sym);
}

void ct_image_functions(struct ct_image *im, const ct_u64 *vaddrs, size_t n)
{
	im->vaddrs = vaddrs;
	im->nvaddrs = n;
	read_fdes(im);
	read_go_functions(im);
	read_symbols(im);
	sort_ranges(&im->fde);
	sort_ranges(&im->sym);
	im->vaddrs = NULL;
	im->nvaddrs = 0;
}

int ct_image_open(struct ct_image *im, int fd, const char *name, struct ct_error *err)
{
	memset(im, 0, sizeof(*im));
	im->fd = fd;
	im->name = name;
	if (read_headers(im, err) == 0)
		return 0;
	ct_image_close(im);
	return -1;
}

void ct_image_close(struct ct_image *im)
{
	free(im->load);
	free(im->exec);
	free(im->sh);
	free(im->fde.v);
	free(im->sym.v);
	memset(im, 0, sizeof(*im));
}
