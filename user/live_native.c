// SPDX-License-Identifier: MIT
/* Native stacks of a live process: libdwfl unwinds by call frame information, with registers and stacks that have been
 * copied while the threads stood still. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "live_priv.h"

/* DWARF's numbers: rax rdx rcx rbx rsi rdi rbp rsp r8..r15, return address. */
static const unsigned char by_dwarf[17] = {CT_RAX, CT_RDX, CT_RCX, CT_RBX, CT_RSI, CT_RDI, CT_RBP, CT_RSP, CT_R8,
					   CT_R9,  CT_R10, CT_R11, CT_R12, CT_R13, CT_R14, CT_R15, CT_RIP};
/* The same for the numbers that instructions have: rax rcx rdx rbx rsp rbp rsi rdi r8..r15. */
static const unsigned char dwarf_of[16] = {0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
	(void)dwfl, (void)arg, (void)thread;
	return 0;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
	(void)dwfl, (void)tid;
	*thread = arg;
	return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *result, void *arg)
{
	struct live *l = arg;
	const struct live_copy *c = l->unwound;

	(void)dwfl;
	if (c && addr >= c->stack_at && addr - c->stack_at < c->stack_len && c->stack_len - (addr - c->stack_at) >= 8) {
		memcpy(result, c->stack + (addr - c->stack_at), 8);
		return true;
	}
	/* The thread runs on: what its stack has by now is another one's. */
	if (c && addr + LIVE_STACK > c->thread.regs.r[CT_RSP] && addr < c->thread.regs.r[CT_RSP] + LIVE_STACK)
		return false;
	return ct_mem_read(l->memfd, addr, result, 8);
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct live *l = arg;
	Dwarf_Word regs[17];

	for (int i = 0; i < 17; i++)
		regs[i] = l->unwound->thread.regs.r[by_dwarf[i]];
	return dwfl_thread_state_registers(thread, 0, 17, regs);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {.next_thread = next_thread,
						       .get_thread = get_thread,
						       .memory_read = read_memory,
						       .set_initial_registers = set_registers};

/* Files are those that the process sees, which may be in a container. */
static pid_t seen_by;
static int find_elf(Dwfl_Module *m, void **data, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
	char path[4200];
	int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/root%.4000s", seen_by, name);
	/* By now anything may have this name: a FIFO must not make us wait. */
	if (name[0] == '/' && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) >= 0 &&
	    !(*file = strdup(name))) {
		close(fd);
		fd = -1;
	}
	return fd >= 0 ? fd : dwfl_linux_proc_find_elf(m, data, name, base, file, elf);
}

int live_native_open(struct live *l, struct ct_error *err)
{
	static char *no_path;
	static const Dwfl_Callbacks callbacks = {
		.find_elf = find_elf, .find_debuginfo = dwfl_standard_find_debuginfo, .debuginfo_path = &no_path};

	if (l->dwfl)
		dwfl_end(l->dwfl);
	l->opened = time(NULL);
	seen_by = l->pid;
	l->dwfl = dwfl_begin(&callbacks);
	if (!l->dwfl || dwfl_linux_proc_report(l->dwfl, l->pid) || dwfl_report_end(l->dwfl, NULL, NULL) ||
	    !dwfl_attach_state(l->dwfl, NULL, l->pid, &thread_callbacks, l))
		return ct_fail(err, CT_EXIT_FAILED, "the program files of process %d cannot be read: %s", l->pid,
			       dwfl_errmsg(-1));
	return 0;
}

/* In an evaluation loop? Its code may be in several pieces, of which one has the name. */
static bool in_loop(const struct live *l, ct_u64 pc, bool *ruby)
{
	const ct_u64 py = pc - l->python_bias;

	*ruby = false;
	if (l->py && ct_py_peek_in_loop(&l->python, py))
		return true;
	*ruby = l->rb && ct_rb_peek_in_loop(&l->ruby, pc - l->ruby_bias);
	return *ruby;
}

struct unwinding {
	struct live *l;
	struct live_native *list;
	size_t n;
	bool astray;
};

/* Where call frame information is wrong, as at some places of hand-written code, what seems to be a return address may
 * be anything. */
static bool is_code(struct live *l, ct_u64 pc)
{
	const struct ct_map *m = ct_maps_find(&l->maps, pc);
	struct ct_error none;

	if (!m && time(NULL) - l->mapped > 1) {
		l->mapped = time(NULL);
		ct_maps_deinit(&l->maps);
		if (!ct_maps_read(l->pid, &l->maps, &none))
			m = ct_maps_find(&l->maps, pc);
	}
	return m && (m->prot & PROT_EXEC);
}

static int on_frame(Dwfl_Frame *state, void *arg)
{
	struct unwinding *u = arg;
	struct live_native *n = &u->list[u->n];
	Dwarf_Word ec;
	Dwarf_Addr pc;
	bool activation, ruby;

	if (u->n == LIVE_FRAMES || !dwfl_frame_pc(state, &pc, &activation))
		return DWARF_CB_ABORT;
	memset(n, 0, sizeof(*n));
	n->pc = activation ? pc : pc - 1;
	u->astray = u->n && !is_code(u->l, n->pc);
	if (u->astray)
		return DWARF_CB_ABORT;
	n->loop = in_loop(u->l, n->pc, &ruby);
	if (ruby && !dwfl_frame_reg(state, dwarf_of[u->l->ruby.ec_reg], &ec))
		n->ec = ec;
	u->n++;
	return DWARF_CB_OK;
}

size_t live_native_unwind(struct live *l, struct live_copy *c, struct live_native *list, char note[160])
{
	struct unwinding u = {l, list, 0, false};
	const char *why;
	int ret;

	l->unwound = c;
	dwfl_errno();
	ret = dwfl_getthread_frames(l->dwfl, c->thread.tid, on_frame, &u);
	why = ret < 0 ? dwfl_errmsg(0) : NULL;
	if (ret < 0 && !why)
		why = "its memory cannot be read";
	l->unwound = NULL;
	if (u.n == LIVE_FRAMES)
		snprintf(note, 160, "more than %d native frames", LIVE_FRAMES);
	else if (u.astray)
		snprintf(note, 160, "further out the native stack cannot be unwound: no code at the return address");
	else if (why)
		snprintf(note, 160, "further out the native stack cannot be unwound: %s", why);
	return u.n;
}

/* As people write it, if the C++ library is there that knows how. */
static char *readable(const char *symbol)
{
	static char *(*demangle)(const char *, char *, size_t *, int *);
	static bool tried;
	void *lib = tried ? NULL : dlopen("libstdc++.so.6", RTLD_LAZY);
	char *name = NULL;

	tried = true;
	if (lib)
		*(void **)&demangle = dlsym(lib, "__cxa_demangle");
	if (demangle && symbol && !strncmp(symbol, "_Z", 2))
		name = demangle(symbol, NULL, NULL, NULL);
	if (!name && symbol && (name = strdup(symbol)))
		name[strcspn(name, "@")] = 0; /* a symbol's version */
	return name;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

void live_native_describe(struct live *l, const struct live_native *n, struct live_frame *f)
{
	Dwfl_Module *m = dwfl_addrmodule(l->dwfl, n->pc);
	const char *file = NULL, *name;
	GElf_Off offset = 0;
	struct ct_error none;
	Dwfl_Line *line;
	GElf_Sym sym;
	int number;

	/* What has been mapped meanwhile is looked for, but not at every address that no file has. */
	if (!m && time(NULL) - l->opened > 2 && !live_native_open(l, &none))
		m = dwfl_addrmodule(l->dwfl, n->pc);
	memset(f, 0, sizeof(*f));
	f->kind = LIVE_NATIVE;
	f->address = n->pc;
	if (!m)
		return;
	name = dwfl_module_info(m, NULL, NULL, NULL, NULL, NULL, &file, NULL);
	f->module = copy(file ? file : name);
	f->internal = f->module && ((l->python_file && !strcmp(f->module, l->python_file)) ||
				    (l->ruby_file && !strcmp(f->module, l->ruby_file)));
	f->function = readable(dwfl_module_addrinfo(m, n->pc, &offset, &sym, NULL, NULL, NULL));
	f->offset = offset;
	line = dwfl_module_getsrc(m, n->pc);
	if (line && (name = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL))) {
		f->file = copy(name);
		f->line = (ct_u32)number;
	}
}
