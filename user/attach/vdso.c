// SPDX-License-Identifier: MIT
/* The vDSO: time, CPU number and random bytes without a system call, hence without a record. While a process is
 * recorded each exported function jumps to a thunk behind the image: mov $nr,%eax; syscall; ret.
 *
 * The thunks are not taken away if a signal handler may yet return into one: its frame holds an address behind the
 * system call. The functions themselves are whole again in any case; nothing but such a frame leads to a thunk. */
#include <assert.h>
#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "user/attach/target.h"

#define VDSO_MAX (64u << 10)

static const struct {
	const char *name;
	int nr;
} functions[] = {
	{"__vdso_clock_gettime", SYS_clock_gettime},
	{"__vdso_gettimeofday", SYS_gettimeofday},
	{"__vdso_time", SYS_time},
	{"__vdso_getcpu", SYS_getcpu},
	{"__vdso_clock_getres", SYS_clock_getres},
	{"__vdso_getrandom", 318},
};

static const unsigned char stub_code[] = {
	0x0f, 0x05,                   /* syscall */
	0xb8, 0x0f, 0x00, 0x00, 0x00, /* mov $__NR_rt_sigreturn,%eax */
	0x0f, 0x05,                   /* syscall */
	/* the one for clone: a child that nobody traces any more ends at once */
	0x0f, 0x05,                   /* syscall */
	0x85, 0xc0,                   /* test %eax,%eax */
	0x74, 0x07,                   /* jz child */
	0xb8, 0x0f, 0x00, 0x00, 0x00, /* mov $__NR_rt_sigreturn,%eax */
	0x0f, 0x05,                   /* syscall */
	0xb8, 0x3c, 0x00, 0x00, 0x00, /* child: mov $__NR_exit,%eax */
	0x0f, 0x05,                   /* syscall */
};
#define CLONE_STUB 9

static bool find_vdso(struct ct_target *t)
{
	t->vdso = 0;
	for (size_t i = 0; i < t->maps.count; i++) {
		if (strcmp(t->maps.map[i].name, "[vdso]"))
			continue;
		t->vdso = t->maps.map[i].start;
		t->vdso_len = t->maps.map[i].end - t->vdso;
	}
	return t->vdso && t->vdso_len <= VDSO_MAX;
}

static int plan(struct ct_target *t, const unsigned char *image, ct_u32 offset, const void *code, ct_u32 len,
		struct ct_error *err)
{
	struct ct_vdso_patch *p = &t->patch[t->npatches];

	for (unsigned i = 0; i < t->npatches; i++)
		if (offset < t->patch[i].offset + t->patch[i].len && t->patch[i].offset < offset + len)
			return 0; /* another name of the same function */
	if (t->npatches == CT_VDSO_PATCHES || offset > t->vdso_len - len)
		return ct_fail(err, CT_EXIT_FAILED, "the vDSO of %d (%s) has an unexpected layout", t->pid, t->comm);
	p->offset = offset;
	p->len = len;
	memcpy(p->orig, image + offset, len);
	memcpy(p->code, code, len);
	t->npatches++;
	return 0;
}

#define THUNK  8                                  /* bytes of one */
#define THUNKS ((sizeof(stub_code) + 15) & ~15ul) /* where they begin, behind the stub */
#define PAD    (THUNKS + THUNK * sizeof(functions) / sizeof(*functions))

static_assert(PAD <= CT_PATCH_MAX, "stub and thunks are one patch");

/* Zero bytes behind the image, which nothing ever runs: the stub for injected calls and the thunks go there. */
static ct_u32 find_pad(const struct ct_target *t, const unsigned char *image)
{
	ct_u64 end = t->vdso_len;

	while (end && !image[end - 1])
		end--;
	end = (end + 15) & ~15ull;
	return end + PAD <= t->vdso_len ? end : 0;
}

static int place_pad(struct ct_target *t, const unsigned char *image, struct ct_error *err)
{
	unsigned char code[PAD] = {0};
	ct_u32 pad = find_pad(t, image);

	if (!pad)
		return ct_fail(err, CT_EXIT_FAILED, "the vDSO of %d (%s) has no room for %zu bytes", t->pid, t->comm,
			       PAD);
	memcpy(code, stub_code, sizeof(stub_code));
	for (size_t k = 0; k < sizeof(functions) / sizeof(*functions); k++) {
		unsigned char thunk[THUNK] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};

		memcpy(thunk + 1, &functions[k].nr, 4);
		/* A C library that has not asked for the size of its state yet must be told that there is no such
		 * function: the answer would come from the code that is replaced. mov $-ENOSYS,%eax; cltq; ret */
		if (functions[k].nr == 318 && t->fresh)
			memcpy(thunk, "\xb8\xda\xff\xff\xff\x48\x98\xc3", THUNK);
		memcpy(code + THUNKS + k * THUNK, thunk, THUNK);
	}
	if (plan(t, image, pad, code, PAD, err))
		return -1;
	t->stub = t->vdso + pad;
	t->clone_stub = t->stub + CLONE_STUB;
	return 0;
}

struct dynamic {
	ct_u64 sym, str, hash;
};
/* A process can write to its vDSO, by /proc/self/mem: nothing in there is trusted. */
static bool parse(const unsigned char *image, size_t len, struct dynamic *d)
{
	const Elf64_Ehdr *eh = (const void *)image;

	memset(d, 0, sizeof(*d));
	if (len < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_phnum > len / sizeof(Elf64_Phdr) || eh->e_phoff > len - eh->e_phnum * sizeof(Elf64_Phdr))
		return false;
	for (int i = 0; i < eh->e_phnum; i++) {
		const Elf64_Phdr *ph = (const Elf64_Phdr *)(image + eh->e_phoff) + i;

		if (ph->p_type != PT_DYNAMIC || ph->p_offset > len || ph->p_filesz > len - ph->p_offset)
			continue;
		for (size_t k = 0; k < ph->p_filesz / sizeof(Elf64_Dyn); k++) {
			const Elf64_Dyn *dyn = (const Elf64_Dyn *)(image + ph->p_offset) + k;

			if (dyn->d_tag == DT_SYMTAB)
				d->sym = dyn->d_un.d_ptr;
			else if (dyn->d_tag == DT_STRTAB)
				d->str = dyn->d_un.d_ptr;
		}
	}
	/* The vDSO's symbol table is followed by its strings; there is no count of symbols but in the hash tables. */
	return d->sym && d->str > d->sym && d->str < len && (d->str - d->sym) % sizeof(Elf64_Sym) == 0;
}

static int patch_functions(struct ct_target *t, const unsigned char *image, struct ct_error *err)
{
	struct dynamic d;
	size_t nsyms;

	if (!parse(image, t->vdso_len, &d))
		return ct_fail(err, CT_EXIT_FAILED,
			       image[EI_CLASS] == ELFCLASS32
				       ? "process %d (%s) is a 32-bit program, which cannot be recorded"
				       : "the vDSO of %d (%s) cannot be read",
			       t->pid, t->comm);
	nsyms = (d.str - d.sym) / sizeof(Elf64_Sym);
	for (size_t i = 0; i < nsyms; i++) {
		const Elf64_Sym *sym = (const Elf64_Sym *)(image + d.sym) + i;
		const char *name = (const char *)image + d.str + sym->st_name;

		if (!sym->st_value || d.str + sym->st_name >= t->vdso_len - 32)
			continue;
		for (size_t k = 0; k < sizeof(functions) / sizeof(*functions); k++) {
			unsigned char code[5] = {0xe9}; /* jmp */
			ct_s32 rel;

			if (strcmp(name, functions[k].name))
				continue;
			rel = (ct_s32)(t->stub + THUNKS + k * THUNK - (t->vdso + sym->st_value + sizeof(code)));
			memcpy(code + 1, &rel, 4);
			if (plan(t, image, sym->st_value, code, sizeof(code), err))
				return -1;
		}
	}
	return 0;
}

static int fail_killed(const struct ct_target *t, const struct ct_thread *th, struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_NOT_ATTACHED, "thread %d of %d (%s) was killed", (int)th->tid, t->pid, t->comm);
}

/* Code that is being run must not change under a thread: it is stepped out first. */
static int leave_vdso(struct ct_target *t, struct ct_error *err)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		struct ct_thread *th = &t->threads[i];
		int status;

		for (int n = 0; th->stopped && th->regs.r[CT_RIP] - t->vdso < t->vdso_len; n++) {
			if (n == 200000)
				return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s) does not leave the vDSO",
					       (int)th->tid, t->pid, t->comm);
			if (ptrace(PTRACE_SINGLESTEP, th->tid, 0, 0) || ct_wait_stop_fairly(th->tid, &status, 5000) ||
			    !WIFSTOPPED(status))
				return fail_killed(t, th, err);
			/* A signal that comes meanwhile is delivered with the next step. */
			if (!(status >> 16) && WSTOPSIG(status) != SIGTRAP &&
			    (ptrace(PTRACE_SINGLESTEP, th->tid, 0, WSTOPSIG(status)) ||
			     ct_wait_stop_fairly(th->tid, &status, 5000) || !WIFSTOPPED(status)))
				return fail_killed(t, th, err);
			if (ct_get_regs(th->tid, &th->regs))
				return fail_killed(t, th, err);
		}
	}
	return 0;
}

int ct_vdso_apply(struct ct_target *t, struct ct_error *err)
{
	for (unsigned i = 0; i < t->npatches; i++)
		if (!ct_mem_write(t->memfd, t->vdso + t->patch[i].offset, t->patch[i].code, t->patch[i].len))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot patch the vDSO of %d (%s)", t->pid, t->comm);
	return 0;
}

static unsigned char *read_vdso(const struct ct_target *t, struct ct_error *err)
{
	unsigned char *image = malloc(t->vdso_len);

	if (image && ct_mem_read(t->memfd, t->vdso, image, t->vdso_len))
		return image;
	free(image);
	ct_fail(err, CT_EXIT_FAILED, "the vDSO of %d (%s) cannot be read", t->pid, t->comm);
	return NULL;
}

int ct_vdso_plan(struct ct_target *t, struct ct_error *err)
{
	unsigned char *image;
	int ret;

	t->stub = t->clone_stub = 0;
	if (!find_vdso(t))
		return 0; /* booted with vdso=0: nothing bypasses the kernel, and no snapshot child either */
	if (leave_vdso(t, err))
		return -1;
	image = read_vdso(t, err);
	ret = !image || place_pad(t, image, err) || patch_functions(t, image, err) ? -1 : 0;
	free(image);
	return ret;
}

int ct_vdso_borrow(struct ct_target *t, struct ct_error *err)
{
	unsigned char *image;
	int ret;

	t->npatches = 0;
	if (!find_vdso(t))
		return ct_fail(err, CT_EXIT_FAILED, "process %d (%s) has no vDSO to put code in", t->pid, t->comm);
	image = read_vdso(t, err);
	ret = image ? place_pad(t, image, err) : -1;
	free(image);
	return ret ? -1 : ct_vdso_apply(t, err);
}

/* After ct_undo_load: the stub is where a patch of its size is, if it is still there. */
static void find_stub(struct ct_target *t)
{
	unsigned char code[sizeof(stub_code)];

	for (unsigned i = 0; i < t->npatches; i++) {
		if (t->patch[i].len != PAD ||
		    !ct_mem_read(t->memfd, t->vdso + t->patch[i].offset, code, sizeof(code)) ||
		    memcmp(code, stub_code, sizeof(code)))
			continue;
		t->stub = t->vdso + t->patch[i].offset;
		t->clone_stub = t->stub + CLONE_STUB;
	}
}

void ct_vdso_find_stub(struct ct_target *t)
{
	if (!t->stub)
		find_stub(t);
}

/* Frames of signals that came while rip was in [lo, hi). */
struct frames {
	struct ct_target *t;
	ct_u64 lo, hi;
	unsigned stacks; /* that are left to be looked at */
};
#define FAR    (1u << 20) /* how deep handlers and what they call may be */
#define STACKS 8

/* Whether there is one between here and the end of the stack: the words of struct sigcontext around its saved rip. A
 * handler on an alternate stack may have interrupted another one: the search goes on where that one's stack was. */
static bool has_frame(struct frames *f, ct_u64 from, ct_u64 to)
{
	const ct_u64 segments = 0x2b000000000033, which = 0xffff00000000ffff; /* ss and cs */
	enum { SP, IP, FLAGS, SEGMENTS, WORDS };
	ct_u64 buf[512];

	if (!f->stacks)
		return false;
	f->stacks--;
	to = to - from < FAR ? to : from + FAR;
	for (ct_u64 at = from & ~7ull; at + WORDS * 8 <= to; at += sizeof(buf) - (WORDS - 1) * 8) {
		size_t n = to - at < sizeof(buf) ? to - at : sizeof(buf);

		if (!ct_mem_read(f->t->memfd, at, buf, n))
			continue;
		for (const ct_u64 *w = buf; w + WORDS <= buf + n / 8; w++) {
			const struct ct_map *m;

			if ((w[SEGMENTS] & which) != segments)
				continue;
			if (w[IP] >= f->lo && w[IP] < f->hi)
				return true;
			m = w[SP] - from < to - from ? NULL : ct_maps_find(&f->t->maps, w[SP]);
			if (m && (m->prot & 2) && has_frame(f, w[SP], m->end))
				return true;
		}
	}
	return false;
}

/* Of any thread. `aside`: also one to which the thread's stack pointer does not lead, on its stack for signals, where
 * it may be long over. */
static bool signal_came_in(struct ct_target *t, ct_u64 lo, ct_u64 hi, bool aside)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		const struct ct_thread *th = &t->threads[i];
		const struct ct_map *m = ct_maps_find(&t->maps, th->regs.r[CT_RSP]);
		struct frames f = {.t = t, .lo = lo, .hi = hi, .stacks = STACKS};

		if (!th->stopped)
			continue;
		if ((m && has_frame(&f, th->regs.r[CT_RSP], m->end)) ||
		    (aside && th->state.altstack_size &&
		     has_frame(&f, th->state.altstack_sp, th->state.altstack_sp + th->state.altstack_size)))
			return true;
	}
	return false;
}

int ct_vdso_leave(struct ct_target *t, struct ct_error *err)
{
	if (!find_vdso(t))
		return 0;
	if (leave_vdso(t, err))
		return -1;
	/* The vDSO calls nothing, so no other frame is above one of its functions. */
	return signal_came_in(t, t->vdso, t->vdso + t->vdso_len, false);
}

int ct_vdso_restore(struct ct_target *t, struct ct_error *err)
{
	int ret = 0;
	bool keep;

	if (t->npatches && leave_vdso(t, err))
		return -1;
	/* Looked for now: a signal may have come on the way out. Whether the process has handlers does not matter: one
	 * may be gone from its signal while it runs (SA_RESETHAND). */
	keep = t->npatches && t->stub && (t->astray || signal_came_in(t, t->stub + THUNKS, t->stub + PAD, true));
	for (unsigned i = 0; i < t->npatches; i++)
		if (!(keep && t->patch[i].len == PAD) &&
		    !ct_mem_write(t->memfd, t->vdso + t->patch[i].offset, t->patch[i].orig, t->patch[i].len))
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot restore the vDSO of %d (%s)", t->pid, t->comm);
	if (!ret)
		t->npatches = 0;
	return ret;
}
