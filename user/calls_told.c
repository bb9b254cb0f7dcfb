/* SPDX-License-Identifier: MIT
 * Programs that tell of themselves: where a file has the probes of ctbpf.h, by their notes (.note.stapsdt: address of
 * the probe, of the section .stapsdt.base, of the semaphore; provider, name and arguments as strings). Files are not
 * trusted. */
#include <gelf.h>
#include <string.h>

#include "user/calls.h"

#define NT_STAPSDT 3

/* Where in the file an address as linked is. */
static ct_u64 file_offset(Elf *elf, ct_u64 addr)
{
	GElf_Phdr ph;
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && addr >= ph.p_vaddr &&
		    addr - ph.p_vaddr < ph.p_filesz)
			return addr - ph.p_vaddr + ph.p_offset;
	return 0;
}

static bool add_note(Elf *elf, const char *desc, size_t len, struct ct_told_sites *sites)
{
	static const char *const names[CT_TOLD_PROBES] = {"entry", "exit", "lines", "value", "message"};
	const char *provider = desc + 24, *end = desc + len, *name;
	ct_u64 addr[3], at, semaphore;

	if (len < 24 || !(name = memchr(provider, 0, (size_t)(end - provider))) || strcmp(provider, "ctbpf"))
		return false;
	name++;
	if (!memchr(name, 0, (size_t)(end - name)))
		return false;
	memcpy(addr, desc, sizeof(addr));
	at = file_offset(elf, addr[0]);
	semaphore = file_offset(elf, addr[2]);
	for (size_t i = 0; i < CT_TOLD_PROBES && at && semaphore; i++) {
		if (strcmp(name, names[i]))
			continue;
		sites->offset[i] = at;
		sites->semaphore[i] = semaphore;
		return true;
	}
	return false;
}

static bool read_notes(Elf *elf, Elf_Data *data, struct ct_told_sites *sites)
{
	size_t at = 0, name, desc;
	bool found = false;
	GElf_Nhdr h;

	while (data && (at = gelf_getnote(data, at, &h, &name, &desc)) > 0)
		if (h.n_type == NT_STAPSDT && h.n_namesz == sizeof("stapsdt") &&
		    !memcmp((char *)data->d_buf + name, "stapsdt", sizeof("stapsdt")))
			found |= add_note(elf, (char *)data->d_buf + desc, h.n_descsz, sites);
	return found;
}

int ct_told_find(int fd, struct ct_told_sites *sites)
{
	bool found = false;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	Elf *elf;

	memset(sites, 0, sizeof(*sites));
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	while (elf && (scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_NOTE)
			found |= read_notes(elf, elf_getdata(scn, NULL), sites);
	elf_end(elf);
	return found;
}
