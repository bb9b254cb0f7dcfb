// SPDX-License-Identifier: MIT
/* Modules as they are mapped at the present moment, their functions and lines, and unwinding by libdwfl. */
#include "replay/symbols.h"

#include <dwarf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "replay/kept.h"
#include "replay/tracee.h"

struct ct_symbols {
	struct ct_timeline *tl;
	Dwfl *dwfl;      /* NULL: nothing is mapped */
	ct_u64 digest;   /* of what is mapped */
	ct_u32 snapshot; /* that `kept` is from */
	bool has_log;    /* ... and the log, too */
	struct ct_kept_files kept;
	char **texts; /* paths that had to be put together */
	size_t ntexts;
};

const int ct_dwarf_regs[17] = {CT_RAX, CT_RDX, CT_RCX, CT_RBX, CT_RSI, CT_RDI, CT_RBP, CT_RSP, CT_R8,
			       CT_R9,  CT_R10, CT_R11, CT_R12, CT_R13, CT_R14, CT_R15, CT_RIP};

struct ct_symbols *ct_symbols_create(struct ct_timeline *tl, struct ct_error *err)
{
	struct ct_symbols *sy = calloc(1, sizeof(*sy));

	if (!sy) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	sy->tl = tl;
	if (ct_symbols_update(sy, err) < 0) {
		ct_symbols_destroy(sy);
		return NULL;
	}
	return sy;
}

void ct_symbols_destroy(struct ct_symbols *sy)
{
	if (!sy)
		return;
	if (sy->dwfl)
		dwfl_end(sy->dwfl);
	ct_kept_free(&sy->kept);
	for (size_t i = 0; i < sy->ntexts; i++)
		free(sy->texts[i]);
	free(sy->texts);
	free(sy);
}

struct ct_timeline *ct_symbols_timeline(struct ct_symbols *sy)
{
	return sy->tl;
}

Dwfl *ct_symbols_dwfl(struct ct_symbols *sy)
{
	return sy->dwfl;
}

/* ---- modules ---------------------------------------------------------------------------------------------------- */

static const char *look_up(const struct ct_symbols *sy, const ct_u8 hash[16])
{
	for (size_t i = 0; i < sy->kept.n; i++)
		if (!memcmp(sy->kept.list[i].hash, hash, 16))
			return sy->kept.list[i].path;
	return NULL;
}

/* Path that the file with this hash had. The log is only read if the snapshot does not say. */
static const char *path_of(struct ct_symbols *sy, const ct_u8 hash[16])
{
	const ct_u32 snapshot = ct_timeline_snapshot(sy->tl);
	const char *path;

	if (snapshot != sy->snapshot) {
		ct_kept_in_snapshot(&sy->kept, ct_timeline_recording(sy->tl), snapshot);
		sy->snapshot = snapshot;
	}
	path = look_up(sy, hash);
	if (path || sy->has_log)
		return path;
	ct_kept_in_log(&sy->kept, ct_timeline_recording(sy->tl));
	sy->has_log = true;
	return look_up(sy, hash);
}

static void parse_hash(const char *hex, ct_u8 hash[16])
{
	for (int i = 0; i < 16; i++) {
		const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

		hash[i] = (ct_u8)strtoul(digits, NULL, 16);
	}
}

/* Where the segment with the file's beginning was meant to be. */
static bool first_vaddr(int fd, GElf_Addr *vaddr)
{
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	bool found = false;
	size_t n = 0;

	if (elf && elf_kind(elf) == ELF_K_ELF && !elf_getphdrnum(elf, &n))
		for (size_t i = 0; i < n && !found; i++) {
			GElf_Phdr ph;

			if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && ph.p_offset < 4096) {
				*vaddr = ph.p_vaddr - ph.p_offset;
				found = true;
			}
		}
	if (elf)
		elf_end(elf);
	return found;
}

static void report(struct ct_symbols *sy, const struct ct_map *m, const char *hex)
{
	const char *path;
	GElf_Addr vaddr;
	ct_u8 hash[16];
	int fd;

	parse_hash(hex, hash);
	fd = ct_file_open(ct_recording_dirfd(ct_timeline_recording(sy->tl)), hash, false, NULL);
	if (fd < 0)
		return;
	path = path_of(sy, hash);
	if (!path)
		path = hex;
	if (!first_vaddr(fd, &vaddr) || !dwfl_report_elf(sy->dwfl, path, path, fd, m->start - vaddr, true))
		close(fd);
}

static int find_no_elf(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
	(void)mod, (void)data, (void)name, (void)base, (void)file, (void)elf;
	return -1; /* all of them have been reported with their files */
}

static bool is_code(const struct ct_maps *maps, size_t i)
{
	/* The mapping of a file's beginning; its code follows in one of the next. */
	for (size_t k = i; k < maps->count && !strcmp(maps->map[k].name, maps->map[i].name); k++)
		if (maps->map[k].prot & 4)
			return true;
	return false;
}

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread);
static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread);
static bool read_word(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *result, void *arg);
static bool set_registers(Dwfl_Thread *thread, void *arg);

static int load(struct ct_symbols *sy, const struct ct_maps *maps, struct ct_error *err)
{
	static const Dwfl_Thread_Callbacks threads = {
		.next_thread = next_thread,
		.get_thread = get_thread,
		.memory_read = read_word,
		.set_initial_registers = set_registers,
	};
	static char *no_path;
	static const Dwfl_Callbacks callbacks = {
		.find_elf = find_no_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.debuginfo_path = &no_path,
	};

	if (sy->dwfl)
		dwfl_end(sy->dwfl);
	elf_version(EV_CURRENT);
	sy->dwfl = dwfl_begin(&callbacks);
	if (!sy->dwfl)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	dwfl_report_begin(sy->dwfl);
	for (size_t i = 0; i < maps->count; i++) {
		const char *hex = ct_kept_hash(maps->map[i].name);

		if (hex && !maps->map[i].offset && is_code(maps, i))
			report(sy, &maps->map[i], hex);
	}
	dwfl_report_end(sy->dwfl, NULL, NULL);
	/* Fails if there are no modules; there are no stacks then. */
	dwfl_attach_state(sy->dwfl, NULL, (pid_t)ct_timeline_pid(sy->tl), &threads, sy);
	return 0;
}

int ct_symbols_update(struct ct_symbols *sy, struct ct_error *err)
{
	XXH3_state_t *h = XXH3_createState();
	struct ct_maps maps;
	ct_u64 digest;
	int ret;

	if (!h)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	XXH3_64bits_reset(h);
	if (ct_session_maps(ct_timeline_session(sy->tl), ct_timeline_pid(sy->tl), &maps, NULL))
		memset(&maps, 0, sizeof(maps)); /* the process has ended */
	for (size_t i = 0; i < maps.count; i++)
		if ((maps.map[i].prot & 4) && ct_kept_hash(maps.map[i].name)) {
			XXH3_64bits_update(h, &maps.map[i].start, sizeof(maps.map[i].start));
			XXH3_64bits_update(h, maps.map[i].name, strlen(maps.map[i].name));
		}
	digest = XXH3_64bits_digest(h);
	XXH3_freeState(h);
	ret = sy->dwfl && digest == sy->digest ? 0 : 1;
	if (ret && load(sy, &maps, err))
		ret = -1;
	sy->digest = digest;
	ct_maps_deinit(&maps);
	return ret;
}

Dwfl_Module *ct_symbols_module(struct ct_symbols *sy, ct_u64 addr)
{
	return dwfl_addrmodule(sy->dwfl, addr);
}

Dwarf_Die *ct_symbols_unit(struct ct_symbols *sy, ct_u64 addr, Dwarf_Addr *bias)
{
	Dwfl_Module *mod = dwfl_addrmodule(sy->dwfl, addr);
	Dwarf_Die *cu = mod ? dwfl_module_addrdie(mod, addr, bias) : NULL;

	if (!mod || cu)
		return cu;
	/* Compilers other than gcc leave out the table of addresses that it is looked up in. */
	while ((cu = dwfl_module_nextcu(mod, cu, bias)) && dwarf_haspc(cu, addr - *bias) <= 0)
		;
	return cu;
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

struct row {
	Dwarf_Addr addr;
	int line;
	const char *file;
	bool end;
};

static bool get_row(Dwarf_Lines *lines, size_t i, struct row *row)
{
	Dwarf_Line *line = dwarf_onesrcline(lines, i);

	if (!line || dwarf_lineaddr(line, &row->addr) || dwarf_lineno(line, &row->line) ||
	    dwarf_lineendsequence(line, &row->end))
		return false;
	row->file = dwarf_linesrc(line, NULL, NULL);
	return true;
}

static bool same_line(const struct row *a, const struct row *b)
{
	return !b->end && a->line == b->line &&
	       (a->file == b->file || (a->file && b->file && !strcmp(a->file, b->file)));
}

/* The path of a file that a unit names by what may be relative to where it was compiled. */
static const char *absolute(struct ct_symbols *sy, Dwarf_Die *cu, const char *file)
{
	Dwarf_Attribute attr;
	const char *dir = *file != '/' && dwarf_attr(cu, DW_AT_comp_dir, &attr) ? dwarf_formstring(&attr) : NULL;
	char path[PATH_MAX], **more;

	if (!dir || (size_t)snprintf(path, sizeof(path), "%s/%s", dir, file) >= sizeof(path))
		return file;
	for (size_t i = 0; i < sy->ntexts; i++)
		if (!strcmp(sy->texts[i], path))
			return sy->texts[i];
	more = realloc(sy->texts, (sy->ntexts + 1) * sizeof(*more));
	if (!more)
		return file;
	sy->texts = more;
	more[sy->ntexts] = strdup(path);
	return more[sy->ntexts] ? more[sy->ntexts++] : file;
}

static void find_line(struct ct_symbols *sy, Dwarf_Die *cu, Dwarf_Addr bias, ct_u64 addr, struct ct_place *place)
{
	const Dwarf_Addr at = addr - bias;
	struct row row, other;
	Dwarf_Lines *lines;
	size_t n, lo = 0, hi;

	if (dwarf_getsrclines(cu, &lines, &n) || !n)
		return;
	for (hi = n; lo < hi;) { /* rows are sorted: the first one behind the address */
		const size_t mid = lo + (hi - lo) / 2;

		if (!get_row(lines, mid, &row))
			return;
		if (row.addr <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || !get_row(lines, lo - 1, &row) || row.end || !row.line || !row.file)
		return;
	place->file = absolute(sy, cu, row.file);
	place->line = row.line;
	place->line_begin = row.addr + bias;
	for (size_t i = lo - 1; i-- > 0 && get_row(lines, i, &other) && same_line(&row, &other);)
		place->line_begin = other.addr + bias;
	place->line_end = addr + 1;
	for (size_t i = lo; i < n && get_row(lines, i, &other); i++) {
		place->line_end = other.addr + bias;
		if (!same_line(&row, &other))
			break;
	}
}

void ct_symbols_place(struct ct_symbols *sy, ct_u64 addr, struct ct_place *place)
{
	Dwfl_Module *mod = dwfl_addrmodule(sy->dwfl, addr);
	Dwarf_Addr bias;
	Dwarf_Die *cu;
	GElf_Off offset = 0;
	GElf_Sym sym;

	*place = (struct ct_place){0};
	if (!mod)
		return;
	place->module = dwfl_module_info(mod, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	place->function = dwfl_module_addrinfo(mod, addr, &offset, &sym, NULL, NULL, NULL);
	place->begin = place->function ? addr - offset : 0;
	cu = ct_symbols_unit(sy, addr, &bias);
	if (cu)
		find_line(sy, cu, bias, addr, place);
}

/* ---- places by name --------------------------------------------------------------------------------------------- */

struct found {
	ct_u64 *addr;
	size_t n, most;
};

static void add(struct found *f, ct_u64 addr)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->addr[i] == addr)
			return;
	if (f->n < f->most)
		f->addr[f->n++] = addr;
}

/* Where the arguments are in their places: the second line of a function. */
static ct_u64 behind_prologue(struct ct_symbols *sy, ct_u64 entry)
{
	Dwarf_Addr bias, *list = NULL;
	Dwarf_Die *cu = ct_symbols_unit(sy, entry, &bias), *scopes = NULL;
	const int n = cu ? dwarf_getscopes(cu, entry - bias, &scopes) : 0;
	ct_u64 addr = entry;

	for (int i = 0; i < n; i++)
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram) {
			if (dwarf_entry_breakpoints(&scopes[i], &list) > 0)
				addr = list[0] + bias;
			free(list);
			break;
		}
	free(scopes);
	return addr;
}

static void find_function(struct ct_symbols *sy, Dwfl_Module *mod, const char *name, bool entry, struct found *f)
{
	const int n = dwfl_module_getsymtab(mod);

	for (int i = 1; i < n; i++) {
		GElf_Sym sym;
		GElf_Addr addr;
		GElf_Word shndx;
		const char *have = dwfl_module_getsym_info(mod, i, &sym, &addr, &shndx, NULL, NULL);

		if (have && (GELF_ST_TYPE(sym.st_info) == STT_FUNC || GELF_ST_TYPE(sym.st_info) == STT_NOTYPE) &&
		    shndx != SHN_UNDEF && !strcmp(have, name) && dwfl_addrmodule(sy->dwfl, addr) == mod)
			add(f, entry ? addr : behind_prologue(sy, addr));
	}
}

/* Whether one of them is the end of the other: a unit may name its files from where it was compiled. */
static bool is_file(const char *path, const char *wanted)
{
	const size_t len = path ? strlen(path) : 0, want = strlen(wanted);
	const size_t least = len < want ? len : want;

	if (!least || strcmp(path + len - least, wanted + want - least) != 0)
		return false;
	return len == want || (len > want ? path[len - want - 1] : wanted[want - len - 1]) == '/';
}

/* The least line from `wanted` on that has code in this unit; 0: none. */
static int next_line(Dwarf_Lines *lines, size_t n, const char *file, int wanted)
{
	struct row row;
	int best = 0;

	for (size_t i = 0; i < n; i++)
		if (get_row(lines, i, &row) && !row.end && row.line >= wanted && (!best || row.line < best) &&
		    is_file(row.file, file))
			best = row.line;
	return best;
}

/* The first code of the line in each function. */
static void add_line(struct ct_symbols *sy, Dwarf_Lines *lines, size_t n, Dwarf_Addr bias, const char *file, int line,
		     struct found *f)
{
	const size_t from = f->n;
	struct row row;

	for (size_t i = 0; i < n; i++) {
		struct ct_place place, other;
		bool stmt = false, known = false;

		if (!get_row(lines, i, &row) || row.end || row.line != line || !is_file(row.file, file) ||
		    dwarf_linebeginstatement(dwarf_onesrcline(lines, i), &stmt) || !stmt)
			continue;
		ct_symbols_place(sy, row.addr + bias, &place);
		for (size_t k = from; k < f->n && !known; k++) {
			ct_symbols_place(sy, f->addr[k], &other);
			known = other.begin == place.begin;
		}
		if (!known)
			add(f, row.addr + bias);
	}
}

static void find_file_line(struct ct_symbols *sy, Dwfl_Module *mod, const char *file, int wanted, struct found *f)
{
	Dwarf_Addr bias;
	Dwarf_Die *cu = NULL;
	int best = 0;

	for (int round = 0; round < 2; round++) /* which line it is; where that is */
		while ((cu = dwfl_module_nextcu(mod, cu, &bias))) {
			Dwarf_Files *files;
			Dwarf_Lines *lines;
			size_t n, nfiles;
			bool has = false;
			int line;

			if (dwarf_getsrcfiles(cu, &files, &nfiles))
				continue;
			for (size_t i = 0; i < nfiles && !has; i++)
				has = is_file(dwarf_filesrc(files, i, NULL, NULL), file);
			if (!has || dwarf_getsrclines(cu, &lines, &n))
				continue;
			if (round)
				add_line(sy, lines, n, bias, file, best, f);
			else if ((line = next_line(lines, n, file, wanted)) && (!best || line < best))
				best = line;
		}
}

struct search {
	struct ct_symbols *sy;
	const char *name; /* of the function, or the file */
	int line;         /* 0: a function */
	bool entry;       /* its first instruction */
	struct found found;
};

static int search_module(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr at, void *ctx)
{
	struct search *s = ctx;

	(void)data;
	(void)name;
	(void)at;
	if (s->line)
		find_file_line(s->sy, mod, s->name, s->line, &s->found);
	else
		find_function(s->sy, mod, s->name, s->entry, &s->found);
	return DWARF_CB_OK;
}

size_t ct_symbols_find(struct ct_symbols *sy, const char *text, const char *file, ct_u64 *addr, size_t most)
{
	const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : text;
	const bool is_line = *digits && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) < 9;
	struct search s = {sy, text, is_line ? atoi(digits) : 0, false, {addr, 0, most}};
	char *name = is_line && colon ? strndup(text, (size_t)(colon - text)) : NULL;

	if (is_line)
		s.name = colon ? name : file;
	if (s.name && (s.line || !is_line))
		dwfl_getmodules(sy->dwfl, search_module, &s, 0);
	free(name);
	return s.found.n;
}

bool ct_symbols_entry(struct ct_symbols *sy, const char *function, ct_u64 *addr)
{
	struct search s = {sy, function, 0, true, {addr, 0, 1}};

	dwfl_getmodules(sy->dwfl, search_module, &s, 0);
	return s.found.n;
}

/* ---- stacks ----------------------------------------------------------------------------------------------------- */

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
	(void)dwfl;
	(void)arg;
	(void)thread;
	return 0; /* threads are asked for by number */
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
	(void)dwfl;
	(void)tid;
	*thread = arg;
	return true;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *result, void *arg)
{
	struct ct_symbols *sy = arg;

	(void)dwfl;
	return !ct_session_read(ct_timeline_session(sy->tl), ct_timeline_pid(sy->tl), addr, result, sizeof(*result),
				NULL);
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	struct ct_symbols *sy = arg;
	Dwarf_Word word[17];
	struct ct_regs regs;

	if (ct_session_regs(ct_timeline_session(sy->tl), (ct_u32)dwfl_thread_tid(thread), &regs, NULL))
		return false;
	for (int i = 0; i < 17; i++)
		word[i] = regs.r[ct_dwarf_regs[i]];
	return dwfl_thread_state_registers(thread, 0, 17, word);
}

struct unwinding {
	struct ct_frame *frame;
	size_t n, most;
};

static int add_frame(Dwfl_Frame *state, void *arg)
{
	struct unwinding *u = arg;
	struct ct_frame *f = &u->frame[u->n];
	Dwarf_Addr pc;
	bool activation;

	if (!dwfl_frame_pc(state, &pc, &activation))
		return DWARF_CB_ABORT;
	*f = (struct ct_frame){.call = !activation, .known = 1u << CT_RIP};
	for (unsigned i = 0; i < 16; i++) {
		Dwarf_Word value;

		if (dwfl_frame_reg(state, i, &value))
			continue;
		f->regs.r[ct_dwarf_regs[i]] = value;
		f->known |= 1u << ct_dwarf_regs[i];
	}
	f->regs.r[CT_RIP] = pc;
	/* By definition the caller's rsp. */
	if (u->n && (f->known >> CT_RSP & 1))
		f[-1].cfa = f->regs.r[CT_RSP];
	return ++u->n == u->most ? DWARF_CB_ABORT : DWARF_CB_OK;
}

size_t ct_symbols_unwind(struct ct_symbols *sy, ct_u32 tid, struct ct_frame *frame, size_t most)
{
	struct unwinding u = {frame, 0, most};
	struct ct_regs regs;

	if (ct_session_regs(ct_timeline_session(sy->tl), tid, &regs, NULL))
		return 0;
	dwfl_getthread_frames(sy->dwfl, (pid_t)tid, add_frame, &u);
	if (!u.n)
		u.n = 1; /* nothing is known but where it is */
	frame[0].regs = regs;
	frame[0].known = ~0u;
	frame[0].call = false;
	return u.n;
}
