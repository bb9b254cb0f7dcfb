/* SPDX-License-Identifier: MIT
 * Replay of a small program whose calls are answered inside the replica. needs: root
 *
 * The program is run once for real, by this test as its tracer, which makes up results of its calls and writes what
 * happens as a recording. Then that is replayed. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "replay/session.h"
#include "replay/tracee.h"
#include "tests/unit/recording_helpers.h"

#define CODE  0x40000000ull
#define DATA  0x40100000ull
#define STACK 0x40200000ull
#define HEAP  0x40300000ull
#define AREA  0x4000ull

/* Keeps an account in r13 of everything that calls give it; flags and vector registers take part. r12: rounds
 * left. Each kind of call site there is: mov before the call; a comparison or a move behind it; neither. */
__asm__(".pushsection .rodata\n"
	"program:\n"
	"	mov $7, %ecx\n"
	"	movd %ecx, %xmm7\n"
	"1:	mov $39, %eax\n" /* getpid */
	"	syscall\n"
	"	add %rax, %r13\n"
	"	mov $5, %edi\n" /* read(5, DATA, 100) */
	"	mov $0x40100000, %esi\n"
	"	mov $100, %edx\n"
	"	xor %eax, %eax\n"
	"	syscall\n"
	"	cmp $-4096, %rax\n"
	"	adc %rax, %r13\n"
	"	add (%rsi), %r13\n"
	"	add 91(%rsi), %r13\n"
	"	mov %r13, 200(%rsi)\n"
	"	mov $1, %edi\n" /* write(1, DATA + 200, 77) */
	"	mov $0x401000c8, %esi\n"
	"	mov $77, %edx\n"
	"	lea 1(%rdx), %eax\n"
	"	sub %edx, %eax\n"
	"	syscall\n"
	"	mov %rax, %rbp\n"
	"	paddd %xmm7, %xmm7\n"
	"	mov $0x40300000, %edi\n" /* madvise(HEAP, AREA, MADV_DONTNEED), with something in it */
	"	incq (%rdi)\n"
	"	incq 0x1000(%rdi)\n"
	"	mov $0x4000, %esi\n"
	"	mov $4, %edx\n"
	"	mov $28, %eax\n"
	"	syscall\n"
	"	add (%rdi), %r13\n"
	"	incq (%rdi)\n"
	"	xor %eax, %eax\n" /* read again, of a site that cannot be patched: nothing to move behind it */
	"	mov $0x40101000, %esi\n"
	"	syscall\n"
	"	nop\n"
	"	nop\n"
	"	push %r11\n"
	"	add %rcx, %r13\n"
	"	pop %r15\n"
	"	mov $0x40102000, %edi\n" /* flags: the direction of stos, and carry */
	"	std\n"
	"	stc\n"
	"	mov $39, %eax\n"
	"	syscall\n"
	"	stosb\n"
	"	cld\n"
	"	adc %rdi, %r13\n"
	"	dec %r12\n"
	"	jnz 1b\n"
	"	mov $102, %eax\n" /* getuid; the recording ends behind it */
	"	syscall\n"
	"2:	pause\n"
	"	jmp 2b\n"
	"program_end:\n"
	".popsection\n");
extern const unsigned char program[], program_end[];

struct live {
	pid_t pid;
	int memfd;
	ct_u64 seq;
	struct bytes records;
	ct_u64 random;
};

static char *dir;
static int rec_fd;

static ct_u64 made_up(struct live *l)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	return l->random ^= l->random << 17;
}

static void live_start(struct live *l, ct_u64 rounds)
{
	struct ct_regs r;
	int status;

	memset(l, 0, sizeof(*l));
	l->random = 88172645463325252ull;
	l->pid = fork();
	if (!l->pid) {
		const ct_u64 area[] = {CODE, DATA, STACK, HEAP};

		for (int i = 0; i < 4; i++)
			if (mmap((void *)area[i], AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				 -1, 0) == MAP_FAILED)
				_exit(1);
		memcpy((void *)(CODE + 64), program, (size_t)(program_end - program));
		mprotect((void *)CODE, AREA, PROT_READ | PROT_EXEC);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(1);
	}
	must(waitpid(l->pid, &status, 0) == l->pid && WIFSTOPPED(status), "child");
	ptrace(PTRACE_SETOPTIONS, l->pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	l->memfd = ct_mem_open(l->pid);
	must(!ct_get_regs(l->pid, &r), "regs");
	for (int i = 0; i < CT_ORIG_RAX; i++)
		r.r[i] = 0;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_RIP] = CODE + 64;
	r.r[CT_RSP] = STACK + AREA - 64;
	r.r[CT_RFLAGS] = 0x202;
	r.r[CT_R12] = rounds;
	must(!ct_set_regs(l->pid, &r), "regs");
}

static void live_snapshot(struct live *l, ct_u32 id, ct_u32 kind)
{
	const ct_u64 area[] = {CODE, DATA, STACK, HEAP};
	static ct_u8 page[AREA];
	static char no_name[1];
	unsigned char xsave[CT_XSAVE_MAX];
	ssize_t xlen = ct_get_xsave(l->pid, xsave);
	struct ct_snap_map map[4];
	struct ct_snap_thread t = {
		.tid = 100, .in_syscall = -1, .restart_nr = -1, .xsave = xsave, .xsave_len = (ct_u32)xlen};
	struct ct_snap_proc p = {.pid = 100, .nthreads = 1, .threads = &t, .nmaps = 4, .maps = map};
	struct ct_snapshot snap = {
		.id = id, .kind = kind, .seq = l->seq + 1, .current_tid = 100, .nprocs = 1, .procs = &p};
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec_fd, id, 1, NULL, &err);

	must(w && xlen > 0 && !ct_get_regs(l->pid, &t.regs), err.msg);
	t.regs.r[CT_ORIG_RAX] = (ct_u64)-1;
	for (int i = 0; i < 4; i++) {
		map[i] = (struct ct_snap_map){.start = area[i],
					      .end = area[i] + AREA,
					      .prot = i ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC,
					      .name = no_name};
		must(ct_mem_read(l->memfd, area[i], page, AREA) &&
			     !ct_snapshot_add_pages(w, 0, area[i], page, AREA / CT_PAGE, &err),
		     err.msg);
	}
	must(!ct_snapshot_writer_finish(w, &snap, &err), err.msg);
	l->seq++;
	add_snapshot(&l->records, l->seq, l->seq * 1000, id, kind);
}

static int next_stop(struct live *l, struct ct_regs *r)
{
	int status = 0;

	must(!ptrace(PTRACE_SYSCALL, l->pid, 0, 0) && waitpid(l->pid, &status, 0) == l->pid && WIFSTOPPED(status),
	     "child");
	must(!ct_get_regs(l->pid, r), "regs");
	return WSTOPSIG(status);
}

static void put_buf(struct bytes *b, ct_u64 addr, const void *data, ct_u32 len, ct_u8 kind)
{
	struct ct_buf buf = {.addr = addr, .len = len, .want = len, .kind = kind, .arg = 1};

	bytes_add(b, &buf, sizeof(buf));
	bytes_add(b, data, len);
	bytes_add(b, NULL, -len & 7);
}

/* One call, from the program's point of view; false if it was the last one. */
static bool live_call(struct live *l)
{
	struct ct_ev_syscall sc = {0};
	struct bytes bufs = {0};
	struct ct_regs r;
	ct_u8 data[100];

	must(next_stop(l, &r) == (SIGTRAP | 0x80), "no system call");
	sc.nr = (ct_s32)r.r[CT_ORIG_RAX];
	sc.args[0] = r.r[CT_RDI], sc.args[1] = r.r[CT_RSI], sc.args[2] = r.r[CT_RDX];
	sc.args[3] = r.r[CT_R10], sc.args[4] = r.r[CT_R8], sc.args[5] = r.r[CT_R9];
	sc.ip = r.r[CT_RIP];
	sc.sp = r.r[CT_RSP];
	sc.saved = CT_SAVED_HASH(r.r[CT_RBX], r.r[CT_RBP], r.r[CT_R12], r.r[CT_R13], r.r[CT_R14], r.r[CT_R15]);
	if (sc.nr != SYS_madvise) {
		r.r[CT_ORIG_RAX] = (ct_u64)-1;
		must(!ct_set_regs(l->pid, &r), "regs");
	}
	must(next_stop(l, &r) == (SIGTRAP | 0x80), "no return");
	sc.ret = (ct_s64)r.r[CT_RAX];
	switch (sc.nr) {
	case SYS_madvise: break;
	case SYS_read:
		sc.ret = sizeof(data);
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (ct_u8)made_up(l);
		must(ct_mem_write(l->memfd, sc.args[1], data, sizeof(data)), "data");
		put_buf(&bufs, sc.args[1], data, sizeof(data), CT_BUF_OUT);
		break;
	case SYS_write:
		sc.ret = 77;
		must(ct_mem_read(l->memfd, sc.args[1], data, 77), "data");
		put_buf(&bufs, sc.args[1], data, 77, CT_BUF_IN);
		break;
	default: sc.ret = (ct_s64)(made_up(l) >> 40);
	}
	sc.nbufs = bufs.len ? 1 : 0;
	r.r[CT_RAX] = (ct_u64)sc.ret;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	must(!ct_set_regs(l->pid, &r), "regs");
	sc.rflags = r.r[CT_RFLAGS];
	l->seq++;
	add_event(&l->records, CT_EV_SYSCALL, l->seq, l->seq * 1000, &sc, sizeof(sc), bufs.data, bufs.len);
	free(bufs.data);
	return sc.nr != SYS_getuid;
}

/* Changes the records before they are written. */
typedef void change(struct bytes *records);

static struct ct_event *event_number(struct bytes *records, ct_u64 seq)
{
	struct ct_event *ev = (void *)records->data;

	while (ev->seq != seq)
		ev = (void *)((char *)ev + ct_event_stride(ev));
	return ev;
}

static struct ct_recording *record(ct_u64 rounds, change *change)
{
	struct ct_error err = {0};
	struct ct_recording *rec;
	struct segment_maker m;
	struct live l;
	int status;

	live_start(&l, rounds);
	live_snapshot(&l, 1, CT_SNAP_ATTACH);
	while (live_call(&l))
		;
	live_snapshot(&l, 2, CT_SNAP_FINAL);
	kill(l.pid, SIGKILL);
	waitpid(l.pid, &status, 0);
	close(l.memfd);
	if (change)
		change(&l.records);
	segment_start(&m, 1, 1, test_uuid, 1);
	segment_block(&m, &l.records);
	segment_end(&m, 0);
	put_segment(dir, 1, &m);
	rec = ct_recording_open(below(dir, "rec.ctr"), &err);
	must(rec != NULL, err.msg);
	return rec;
}

static void setup(void)
{
	dir = scratch_dir();
	rec_fd = make_recording(dir, "complete");
}

static void teardown(void)
{
	close(rec_fd);
	scratch_remove(dir);
}

TestSuite(inproc, .init = setup, .fini = teardown);

static struct ct_session *start(struct ct_recording *rec)
{
	struct ct_error err = {0};
	struct ct_session *s = ct_session_create(rec, 1, NULL, &err);

	cr_assert(s != NULL, "%s", err.msg);
	return s;
}

#define ROUNDS 500
#define CALLS  (ROUNDS * 6 + 1)

Test(inproc, program_ends_as_it_did)
{
	struct ct_recording *rec = record(ROUNDS, NULL);
	struct ct_session *s = start(rec);
	struct ct_session_stats stats;
	struct ct_comparison result;
	struct ct_error err = {0};

	cr_assert(ct_session_run(s, CALLS + 2, &err) == 0, "%s", err.msg);
	ct_session_stats(s, &stats);
	cr_assert(eq(u64, stats.syscalls, CALLS));
	cr_assert(eq(u64, stats.events, CALLS));
	cr_assert(eq(u64, stats.executed, ROUNDS));
	cr_assert(ct_session_compare(s, 2, stderr, &result, &err) == 0, "%s", err.msg);
	ct_session_destroy(s);
	ct_recording_close(rec);
}

/* All but one site, which has an instruction of one byte behind it. */
Test(inproc, calls_do_not_stop)
{
	struct ct_recording *rec = record(ROUNDS, NULL);
	struct ct_session *s = start(rec);
	struct ct_session_stats stats;
	struct ct_error err = {0};

	cr_assert(ct_session_run(s, CALLS + 2, &err) == 0, "%s", err.msg);
	ct_session_stats(s, &stats);
	cr_assert(ge(u64, stats.answered, (ROUNDS - 20) * 5));
	cr_assert(le(u64, stats.answered, ROUNDS * 5));
	ct_session_destroy(s);
	ct_recording_close(rec);
}

Test(inproc, run_stops_where_it_is_told_to)
{
	struct ct_recording *rec = record(ROUNDS, NULL);
	struct ct_session *s = start(rec);
	struct ct_session_stats stats;
	struct ct_comparison result;
	struct ct_error err = {0};

	for (ct_u64 seq = 2; seq<CALLS + 2; seq += seq> 200 && seq < 300 ? 1 : 37) {
		const struct ct_event *ev;
		struct ct_regs r;

		cr_assert(ct_session_run(s, seq, &err) == 0, "%s", err.msg);
		ct_session_stats(s, &stats);
		cr_assert(eq(u64, stats.events, seq - 2));
		cr_assert(ct_session_next(s, &ev, &err) == 1 && ev->seq == seq);
		cr_assert(ct_session_regs(s, 100, &r, &err) == 0, "%s", err.msg);
		cr_assert(r.r[CT_RIP] >= CODE && r.r[CT_RIP] < CODE + AREA, "rip %llx at event %llu",
			  (unsigned long long)r.r[CT_RIP], (unsigned long long)seq);
	}
	cr_assert(ct_session_run(s, CALLS + 2, &err) == 0, "%s", err.msg);
	cr_assert(ct_session_compare(s, 2, stderr, &result, &err) == 0, "%s", err.msg);
	ct_session_destroy(s);
	ct_recording_close(rec);
}

Test(inproc, code_looks_as_it_was)
{
	struct ct_recording *rec = record(ROUNDS, NULL);
	struct ct_session *s = start(rec);
	const size_t len = (size_t)(program_end - program);
	struct ct_error err = {0};
	unsigned char have[4096];

	cr_assert(ct_session_run(s, 1000, &err) == 0, "%s", err.msg);
	cr_assert(ct_session_read(s, 100, CODE + 64, have, len, &err) == 0, "%s", err.msg);
	cr_assert(memcmp(have, program, len) == 0);
	ct_session_destroy(s);
	ct_recording_close(rec);
}

/* A debugger's step takes the instruction that the program has there, from any place. */
Test(inproc, steps_see_no_patches)
{
	struct ct_recording *rec = record(ROUNDS, NULL);
	struct ct_session *s = start(rec);
	struct ct_comparison result;
	struct ct_error err = {0};

	cr_assert(ct_session_run(s, 1000, &err) == 0, "%s", err.msg);
	for (int i = 0; i < 100; i++) {
		struct ct_regs r;

		cr_assert(ct_session_step(s, &err) == 0, "%s", err.msg);
		cr_assert(ct_session_regs(s, 100, &r, &err) == 0, "%s", err.msg);
		cr_assert(r.r[CT_RIP] >= CODE && r.r[CT_RIP] < CODE + AREA, "rip %llx",
			  (unsigned long long)r.r[CT_RIP]);
	}
	cr_assert(ct_session_run(s, CALLS + 2, &err) == 0, "%s", err.msg);
	cr_assert(ct_session_compare(s, 2, stderr, &result, &err) == 0, "%s", err.msg);
	ct_session_destroy(s);
	ct_recording_close(rec);
}

Test(inproc, checkpoints_have_the_patches)
{
	struct ct_recording *rec = record(ROUNDS, NULL);
	struct ct_session *s = start(rec);
	struct ct_session_stats stats;
	struct ct_checkpoint *cp;
	struct ct_comparison result;
	struct ct_error err = {0};

	cr_assert(ct_session_run(s, 1000, &err) == 0, "%s", err.msg);
	cp = ct_session_checkpoint(s, &err);
	cr_assert(cp != NULL, "%s", err.msg);
	for (int i = 0; i < 2; i++) {
		cr_assert(ct_session_run(s, 2000, &err) == 0, "%s", err.msg);
		cr_assert(ct_session_restore(s, cp, &err) == 0, "%s", err.msg);
	}
	cr_assert(ct_session_run(s, CALLS + 2, &err) == 0, "%s", err.msg);
	ct_session_stats(s, &stats);
	cr_assert(ge(u64, stats.answered, (ROUNDS - 20) * 5));
	cr_assert(ct_session_compare(s, 2, stderr, &result, &err) == 0, "%s", err.msg);
	ct_session_destroy(s);
	ct_checkpoint_destroy(cp);
	ct_recording_close(rec);
}

/* ---- what differs is found, at its event ---- */

#define LATE 2000 /* getpid, the first call of its round: read, write, madvise, read, getpid follow */

static void check_diverges(change *change, ct_u64 seq, const char *words)
{
	struct ct_recording *rec = record(ROUNDS, change);
	struct ct_session *s = start(rec);
	struct ct_error err = {0};
	const struct ct_event *ev;
	struct ct_error other = {0};

	cr_assert(ct_session_run(s, CALLS + 2, &err) == -1);
	cr_assert(eq(int, err.status, CT_EXIT_DIVERGED));
	cr_assert(strstr(err.msg, words) != NULL, "%s", err.msg);
	cr_assert(ct_session_next(s, &ev, &other) == 1 && ev->seq == seq, "event %llu: %s", (unsigned long long)ev->seq,
		  err.msg);
	ct_session_destroy(s);
	ct_recording_close(rec);
}

static struct ct_ev_syscall *call_number(struct bytes *records, ct_u64 seq)
{
	return (void *)(event_number(records, seq) + 1);
}

static void other_argument(struct bytes *records)
{
	call_number(records, LATE)->args[3]++;
}
Test(inproc, other_argument_is_found)
{
	check_diverges(other_argument, LATE, "argument 3 is");
}

static void other_number(struct bytes *records)
{
	call_number(records, LATE)->nr = SYS_getppid;
}
Test(inproc, other_number_is_found)
{
	check_diverges(other_number, LATE, "recorded was 110");
}

static void other_stack(struct bytes *records)
{
	call_number(records, LATE)->sp += 8;
}
Test(inproc, other_stack_is_found)
{
	check_diverges(other_stack, LATE, "with stack");
}

static void other_saved(struct bytes *records)
{
	call_number(records, LATE)->saved ^= 1;
}
Test(inproc, other_saved_registers_are_found)
{
	check_diverges(other_saved, LATE, "callee-saved registers differ");
}

/* r13 is in the hash of every later call. */
static void other_result(struct bytes *records)
{
	call_number(records, LATE)->ret ^= 1;
}
Test(inproc, other_result_is_found_by_the_next_call)
{
	check_diverges(other_result, LATE + 1, "callee-saved registers differ");
}

static ct_u64 first_of(struct bytes *records, ct_s32 nr, ct_u64 from)
{
	while (call_number(records, from)->nr != nr)
		from++;
	return from;
}

static void other_input(struct bytes *records)
{
	ct_u64 seq = first_of(records, SYS_write, LATE);

	((ct_u8 *)(call_number(records, seq) + 1))[sizeof(struct ct_buf) + 76] ^= 1;
}
Test(inproc, other_input_is_found)
{
	check_diverges(other_input, LATE + 2, "passes other data at 0x401000c8");
}

static void other_real_result(struct bytes *records)
{
	call_number(records, first_of(records, SYS_madvise, LATE))->ret = 1;
}
Test(inproc, other_result_of_a_call_really_made_is_found)
{
	check_diverges(other_real_result, LATE + 3, "really made gives 0, recorded was 1");
}

static void missing_call(struct bytes *records)
{
	/* as if it had not been made: its record is that of a note */
	struct ct_event *ev = event_number(records, LATE);
	struct ct_ev_text *text = (void *)(ev + 1);

	ev->type = CT_EV_NOTE;
	memset(text, 0, sizeof(*text));
	text->text_len = ev->size - sizeof(*ev) - sizeof(*text);
}
Test(inproc, call_that_is_not_in_the_log_is_found)
{
	check_diverges(missing_call, LATE + 1, "call ");
}
