// SPDX-License-Identifier: MIT
/* The code around a divergence: which file and symbol, and the instructions, disassembled.
 * Symbols come from the recording's own kept files, which the replica has mapped. */
#include <Zydis/Zydis.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/disasm.h"
#include "replay/kept.h"
#include "replay/report_priv.h"

#define BACK      48         /* bytes before rip that are disassembled when no symbol says where code begins */
#define FUNCTION  (64 << 10) /* farthest start of a function that is disassembled from */
#define IMAGE_MAX (1u << 20) /* of an ELF image in memory (the vDSO is two pages) */

/* Virtual address in the ELF file of a file offset. */
static bool offset_to_vaddr(Elf *elf, ct_u64 offset, ct_u64 *vaddr)
{
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && offset - ph.p_offset < ph.p_filesz) {
			*vaddr = offset - ph.p_offset + ph.p_vaddr;
			return true;
		}
	}
	return false;
}

/* The nearest symbol at or below vaddr in all symbol tables. */
static const char *find_symbol(Elf *elf, ct_u64 vaddr, ct_u64 *start)
{
	const char *best = NULL;

	*start = 0;
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr sh;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &sh) || (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM) ||
		    !sh.sh_entsize || !(data = elf_getdata(scn, NULL)))
			continue;
		for (size_t i = 0; i < sh.sh_size / sh.sh_entsize; i++) {
			GElf_Sym sym;
			int type;

			if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF || sym.st_value > vaddr)
				continue;
			type = GELF_ST_TYPE(sym.st_info);
			if ((type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) ||
			    (best && sym.st_value <= *start) || (sym.st_size && vaddr - sym.st_value > sym.st_size))
				continue;
			best = elf_strptr(elf, sh.sh_link, sym.st_name);
			*start = sym.st_value;
			if (best && !*best)
				best = NULL;
		}
	}
	return best;
}

static void add_line(Elf *elf, ct_u64 vaddr, char *out, size_t len)
{
	Dwarf *dw = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	Dwarf_Die cu;
	Dwarf_Line *line = dw && dwarf_addrdie(dw, vaddr, &cu) ? dwarf_getsrc_die(&cu, vaddr) : NULL;
	const char *src = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
	int number = 0;

	if (src && !dwarf_lineno(line, &number)) {
		size_t used = strlen(out);

		snprintf(out + used, len - used, " (%s:%d)", src, number);
	}
	if (dw)
		dwarf_end(dw);
}

/* Names `ip`; returns the address its function begins at, or 0. */
static ct_u64 name_place(struct ct_session *s, const struct ct_rthread *t, ct_u64 ip, char *out, size_t len)
{
	const struct ct_map *m = NULL;
	const char *name, *hash, *symbol = NULL;
	ct_u64 vaddr = 0, start = 0, offset;
	struct ct_maps maps;
	char *image = NULL;
	Elf *elf = NULL;
	int fd = -1;

	if (ct_maps_read(t->real, &maps, NULL))
		return 0;
	m = ct_maps_find(&maps, ip);
	if (!m) {
		snprintf(out, len, "no mapping");
		ct_maps_deinit(&maps);
		return 0;
	}
	hash = ct_kept_hash(m->name);
	offset = ip - m->start + (hash ? m->offset : 0);
	name = hash ? ct_report_file_name(s, hash) : *m->name ? m->name : "anonymous memory";
	if (m->start == CT_GADGET)
		name = "a page of the replay's own";
	elf_version(EV_CURRENT);
	if (hash) {
		char path[16 + CT_KEPT_DIGITS];

		snprintf(path, sizeof(path), "files/%.32s", hash);
		fd = openat(s->files.dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
	} else if (m->end - m->start <= IMAGE_MAX && (image = malloc(m->end - m->start)) &&
		   ct_replica_read(t->proc, m->start, image, m->end - m->start) && !memcmp(image, ELFMAG, SELFMAG)) {
		elf = elf_memory(image, m->end - m->start);
		name = "[vdso]"; /* no other image is mapped from no file */
	}
	if (elf && elf_kind(elf) == ELF_K_ELF && offset_to_vaddr(elf, offset, &vaddr))
		symbol = find_symbol(elf, vaddr, &start);
	if (symbol)
		snprintf(out, len, "%s, %s+%#llx", name, symbol, (unsigned long long)(vaddr - start));
	else
		snprintf(out, len, "%s+%#llx", name, (unsigned long long)offset);
	if (symbol && hash)
		add_line(elf, vaddr, out, len);
	if (elf)
		elf_end(elf);
	if (fd >= 0)
		close(fd);
	free(image);
	ct_maps_deinit(&maps);
	return symbol ? ip - (vaddr - start) : 0;
}

/* Where to begin so that instructions end exactly at ip: the function's start, or the farthest place that works out. */
static ct_u64 find_start(const ZydisDecoder *dec, const struct ct_replica *p, ct_u64 ip, ct_u64 function)
{
	unsigned char code[BACK + 15];
	ZydisDecodedInstruction insn;

	if (function && ip - function < FUNCTION) {
		ct_u64 at = function, ring[CT_REPORT_INSNS / 2] = {0};
		size_t n = 0;

		while (at < ip && ct_replica_read(p, at, code, 15) &&
		       ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(dec, NULL, code, 15, &insn))) {
			ring[n++ % (CT_REPORT_INSNS / 2)] = at;
			at += insn.length;
		}
		if (at == ip && n)
			return n >= CT_REPORT_INSNS / 2 ? ring[n % (CT_REPORT_INSNS / 2)] : function;
	}
	if (!ct_replica_read(p, ip - BACK, code, BACK))
		return ip;
	for (size_t from = 0; from < BACK; from++) {
		size_t at = from, n = 0;

		while (at < BACK &&
		       ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(dec, NULL, code + at, BACK - at, &insn))) {
			at += insn.length;
			n++;
		}
		if (at == BACK && n <= CT_REPORT_INSNS / 2)
			return ip - BACK + from;
	}
	return ip;
}

void ct_report_code(struct ct_session *s, struct ct_report *r, const struct ct_rthread *t, ct_u64 ip)
{
	ZydisDecoder dec;
	struct ct_disasm insn;
	ct_u64 at = name_place(s, t, ip, r->place, sizeof(r->place));

	if (r->different & 1u << CT_RIP)
		name_place(s, t, r->want.r[CT_RIP], r->want_place, sizeof(r->want_place));
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (at = find_start(&dec, t->proc, ip, at); r->ninsns < CT_REPORT_INSNS; at += insn.len) {
		struct ct_report_insn *i = &r->insn[r->ninsns];
		unsigned char code[15];
		size_t len = sizeof(code);

		while (len && !ct_replica_read(t->proc, at, code, len)) /* the mapping's end */
			len--;
		if (!ct_disassemble(code, len, at, &insn))
			break;
		snprintf(i->text, sizeof(i->text), "%s", insn.text);
		i->ip = at;
		i->len = insn.len;
		memcpy(i->bytes, code, insn.len);
		i->here = at == ip;
		r->ninsns++;
	}
}
