/* SPDX-License-Identifier: MIT
 * The system call table, its generator, and the formatting of calls as text.
 *
 * Wants gen_syscalls in the build directory ($B) and the top directory as current one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/event_access.h"
#include "formats/syscalls.h"

/* ---- the table ------------------------------------------------------------------------------------------ */

Test(syscalls, names_are_those_of_the_system_headers)
{
	char line[256], name[128];
	int nr, seen = 0;
	FILE *in = fopen("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "r");
	if (!in)
		cr_assert_fail("no kernel headers: run scripts/setup test");
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "#define __NR_%127s %d", name, &nr) != 2)
			continue;
		const struct ct_syscall *call = ct_syscall(nr);
		cr_assert_not_null(call, "%s (%d) is missing", name, nr);
		cr_expect_str_eq(call->name, name);
		cr_expect_eq(ct_syscall_nr(name), nr);
		seen++;
	}
	fclose(in);
	cr_expect_geq(seen, 350);
}

Test(syscalls, covers_linux_6_18_and_nothing_else)
{
	for (int nr = -2; nr < 600; nr++) {
		bool want = (nr >= 0 && nr <= 336) || (nr >= 424 && nr <= 469);
		cr_expect_eq(ct_syscall(nr) != NULL, want, "number %d", nr);
	}
	cr_expect_null(ct_syscall(1 << 30));
	cr_expect_eq(ct_syscall_nr("no_such_call"), -1);
	cr_expect_eq(ct_syscall_nr("file_setattr"), 469);
}

static void check_rules(const char *name, const struct ct_sysrules *r, unsigned nargs)
{
	bool in = false;
	cr_expect(r->action >= CT_ACT_EMULATE && r->action <= CT_ACT_REFUSE, "%s: action", name);
	cr_expect_leq(r->nrules, CT_MAX_RULES);
	cr_expect(r->subarg == 0xff || r->subarg < nargs, "%s: sub-command argument", name);
	for (unsigned i = 0; i < r->nrules; i++) {
		const struct ct_rule *rule = &r->rule[i];
		cr_expect_lt(rule->arg, nargs, "%s: rule %u", name, i);
		cr_expect_lt(rule->sarg, 6, "%s: rule %u", name, i);
		cr_expect(rule->dir == CT_DIR_OUT || rule->dir == CT_DIR_IN, "%s: rule %u", name, i);
		cr_expect(rule->size >= CT_SZ_FIXED && rule->size <= CT_SZ_PAGES, "%s: rule %u", name, i);
		cr_expect(rule->cond <= CT_IF_INTR, "%s: rule %u", name, i);
		cr_expect(!in || rule->dir == CT_DIR_IN, "%s: an out rule behind an in rule", name);
		in = rule->dir == CT_DIR_IN;
	}
}

Test(syscalls, every_row_is_well_formed)
{
	size_t n;
	const struct ct_subcommand *sub = ct_subcommands(&n);
	for (int nr = 0; nr < CT_MAX_SYSCALL; nr++) {
		const struct ct_syscall *call = ct_syscall(nr);
		if (!call)
			continue;
		check_rules(call->name, &call->rules, call->nargs);
		if (call->rules.action == CT_ACT_REFUSE)
			cr_expect_not_null(call->note, "%s is refused without a reason", call->name);
	}
	cr_expect_gt(n, 400);
	for (size_t i = 0; i < n; i++) {
		check_rules(sub[i].name, &sub[i].rules, sub[i].nargs);
		cr_expect_eq(ct_subcommand((int)sub[i].key.nr, sub[i].key.cmd), &sub[i]);
	}
	cr_expect_null(ct_subcommand(ct_syscall_nr("ioctl"), 0xdeadbeef));
	cr_expect_null(ct_subcommand(-1, 0));
}

#define OUT CT_DIR_OUT
#define IN  CT_DIR_IN
/* What must be covered. `n` is the size for FIXED, else the addend; 0 for mul stands for any. */
static const struct expect {
	const char *call;
	ct_u8 arg, dir, size, cond, sarg;
	ct_u16 mul;
	ct_u32 n;
} expected[] = {
	{"read", 1, OUT, CT_SZ_FILEREAD, CT_IF_OK, 0, 0, 0xff},
	{"pread64", 1, OUT, CT_SZ_FILEREAD, CT_IF_OK, 0, 0, 3},
	{"readv", 1, OUT, CT_SZ_FILEREAD, CT_IF_OK, 2, 1, 0xff},
	{"preadv2", 1, OUT, CT_SZ_FILEREAD, CT_IF_OK, 2, 1, 3},
	{"write", 1, IN, CT_SZ_ARG, CT_IF_OK, 2, 1, 0},
	{"open", 0, IN, CT_SZ_CSTR, CT_IF_OK, 0, 1, 256},
	{"stat", 1, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 144},
	{"poll", 0, OUT, CT_SZ_ARG, CT_IF_OK, 1, 8, 0},
	{"poll", 0, OUT, CT_SZ_ARG, CT_IF_INTR, 1, 8, 0},
	{"mmap", 0, OUT, CT_SZ_FILEMAP, CT_IF_OK, 0, 0, 0},
	{"rt_sigaction", 2, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 32},
	{"rt_sigprocmask", 2, OUT, CT_SZ_ARG, CT_IF_OK, 3, 1, 0},
	{"pipe", 0, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 8},
	{"select", 3, OUT, CT_SZ_BITS, CT_IF_OK, 0, 0, 0},
	{"select", 4, OUT, CT_SZ_FIXED, CT_IF_ALWAYS, 0, 0, 16},
	{"mincore", 2, OUT, CT_SZ_PAGES, CT_IF_ALWAYS, 1, 0, 0},
	{"nanosleep", 1, OUT, CT_SZ_FIXED, CT_IF_INTR, 0, 0, 16},
	{"clock_nanosleep", 3, OUT, CT_SZ_FIXED, CT_IF_INTR, 0, 0, 16},
	{"accept4", 1, OUT, CT_SZ_PTR32, CT_IF_OK, 2, 1, 0},
	{"accept4", 2, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 4},
	{"recvfrom", 1, OUT, CT_SZ_RETMIN, CT_IF_OK, 2, 1, 0},
	{"recvfrom", 4, OUT, CT_SZ_PTR32, CT_IF_OK, 5, 1, 0},
	{"recvmsg", 1, OUT, CT_SZ_MSGHDR, CT_IF_OK, 0, 0, 0},
	{"recvmmsg", 1, OUT, CT_SZ_MMSGHDR, CT_IF_OK, 0, 0, 0},
	{"sendmmsg", 1, OUT, CT_SZ_RET, CT_IF_OK, 0, 64, 0},
	{"socketpair", 3, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 8},
	{"getsockopt", 3, OUT, CT_SZ_PTR32, CT_IF_OK, 4, 1, 0},
	{"getsockopt", 4, OUT, CT_SZ_FIXED, CT_IF_ALWAYS, 0, 0, 4},
	{"clone", 2, OUT, CT_SZ_FIXED, CT_IF_POS, 0, 0, 4},
	{"clone", 3, OUT, CT_SZ_FIXED, CT_IF_ZERO, 0, 0, 4},
	{"execve", 1, IN, CT_SZ_STRV, CT_IF_OK, 0, 0, 0},
	{"wait4", 1, OUT, CT_SZ_FIXED, CT_IF_POS, 0, 0, 4},
	{"wait4", 3, OUT, CT_SZ_FIXED, CT_IF_POS, 0, 0, 144},
	{"waitid", 2, OUT, CT_SZ_FIXED, CT_IF_ALWAYS, 0, 0, 128},
	{"uname", 0, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 390},
	{"msgrcv", 1, OUT, CT_SZ_RET, CT_IF_OK, 0, 1, 8},
	{"getdents64", 1, OUT, CT_SZ_RET, CT_IF_OK, 0, 1, 0},
	{"getgroups", 1, OUT, CT_SZ_RETMIN, CT_IF_OK, 0, 4, 0},
	{"sysinfo", 0, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 112},
	{"sched_getaffinity", 2, OUT, CT_SZ_RET, CT_IF_OK, 0, 1, 0},
	{"epoll_wait", 1, OUT, CT_SZ_RET, CT_IF_OK, 0, 12, 0},
	{"epoll_pwait2", 1, OUT, CT_SZ_RET, CT_IF_OK, 0, 12, 0},
	{"ppoll", 2, OUT, CT_SZ_FIXED, CT_IF_ALWAYS, 0, 0, 16},
	{"name_to_handle_at", 2, OUT, CT_SZ_PTR32, CT_IF_OK, 2, 1, 8},
	{"process_vm_readv", 1, OUT, CT_SZ_IOVEC, CT_IF_OK, 2, 0, 0},
	{"prlimit64", 3, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 16},
	{"getrandom", 0, OUT, CT_SZ_RET, CT_IF_OK, 0, 1, 0},
	{"statx", 4, OUT, CT_SZ_FIXED, CT_IF_OK, 0, 0, 256},
	{"getxattr", 2, OUT, CT_SZ_RETMIN, CT_IF_OK, 3, 1, 0},
	{"statmount", 1, OUT, CT_SZ_PTR32, CT_IF_OK, 1, 1, 0},
};

Test(syscalls, rules_cover_what_the_kernel_writes)
{
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const struct expect *e = &expected[i];
		const struct ct_syscall *call = ct_syscall(ct_syscall_nr(e->call));
		bool found = false;
		cr_assert_not_null(call, "%s", e->call);
		for (unsigned k = 0; k < call->rules.nrules; k++) {
			const struct ct_rule *r = &call->rules.rule[k];
			found |= r->arg == e->arg && r->dir == e->dir && r->size == e->size && r->cond == e->cond &&
				 r->sarg == e->sarg && (!e->mul || r->mul == e->mul) && r->n == e->n;
		}
		cr_expect(found, "%s: no such rule for argument %u (line %zu of the list)", e->call, e->arg, i + 1);
	}
}

Test(syscalls, clone3_rules_follow_the_pointers_inside)
{
	const struct ct_sysrules *r = &ct_syscall(435)->rules;
	cr_assert_geq(r->nrules, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(r->rule[i].flags & CT_RF_DEREF && r->rule[i].n == 4);
	cr_expect_eq(r->rule[0].off, 8);  /* pidfd */
	cr_expect_eq(r->rule[1].off, 24); /* parent_tid */
	cr_expect_eq(r->rule[2].off, 16); /* child_tid, in the child */
	cr_expect_eq(r->rule[2].cond, CT_IF_ZERO);
}

static enum ct_action action_of(const char *name)
{
	return ct_syscall(ct_syscall_nr(name))->rules.action;
}

Test(syscalls, actions)
{
	static const char *const execute[] = {"mmap", "munmap",  "mprotect",      "mremap",
					      "brk",  "madvise", "pkey_mprotect", "mseal"};
	static const char *const special[] = {
		"clone",           "clone3", "fork",       "vfork",        "execve",
		"execveat",        "exit",   "exit_group", "rt_sigreturn", "restart_syscall",
		"set_tid_address", "rseq",   "sigaltstack"};
	static const char *const refuse[] = {"io_uring_setup",  "io_setup", "io_submit",         "userfaultfd",
					     "ptrace",          "bpf",      "process_vm_writev", "kexec_load",
					     "perf_event_open", "shmat"};
	for (size_t i = 0; i < sizeof(execute) / sizeof(execute[0]); i++)
		cr_expect_eq(action_of(execute[i]), CT_ACT_EXECUTE, "%s", execute[i]);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		cr_expect_eq(action_of(special[i]), CT_ACT_SPECIAL, "%s", special[i]);
	for (size_t i = 0; i < sizeof(refuse) / sizeof(refuse[0]); i++)
		cr_expect_eq(action_of(refuse[i]), CT_ACT_REFUSE, "%s", refuse[i]);
	cr_expect_eq(action_of("getpid"), CT_ACT_EMULATE);
	for (int nr = 0; nr < CT_MAX_SYSCALL; nr++) {
		static const char enter[] = " exit exit_group rt_sigreturn execve execveat vfork ";
		const struct ct_syscall *call = ct_syscall(nr);
		char word[64];
		if (!call)
			continue;
		snprintf(word, sizeof(word), " %s ", call->name);
		cr_expect_eq(!!(call->rules.flags & CT_SYSR_ENTER), strstr(enter, word) != NULL, "%s", call->name);
	}
}

static const struct ct_sysrules *sub_rules(const char *call, ct_u32 cmd)
{
	const struct ct_subcommand *sub = ct_subcommand(ct_syscall_nr(call), cmd);
	cr_assert_not_null(sub, "%s %#x", call, cmd);
	return &sub->rules;
}

Test(syscalls, sub_commands)
{
	cr_expect_eq(ct_syscall(16)->rules.flags, CT_SYSR_SUB_STRICT | CT_SYSR_IOC_OUT);
	cr_expect_eq(ct_syscall(16)->rules.subarg, 1);
	cr_expect_eq(ct_syscall(202)->rules.submask, 0x7f);
	cr_expect_eq(sub_rules("ioctl", 0x5401)->rule[0].n, 36);
	cr_expect_eq(sub_rules("ioctl", 0x80045430)->rule[0].n, 4);  /* TIOCGPTN */
	cr_expect_eq(sub_rules("ioctl", 0x400454ca)->rule[0].n, 40); /* TUNSETIFF */
	cr_expect(sub_rules("ioctl", 0x8912)->rule[1].flags & CT_RF_DEREF);
	cr_expect_eq(sub_rules("fcntl", 5)->rule[0].n, 32);
	cr_expect_eq(sub_rules("fcntl", 1)->nrules, 0);
	cr_expect_eq(sub_rules("prctl", 16)->rule[0].n, 16);
	cr_expect_eq(sub_rules("prctl", 26)->action, CT_ACT_SPECIAL);
	cr_expect_eq(sub_rules("arch_prctl", 0x1002)->action, CT_ACT_SPECIAL);
	cr_expect_eq(sub_rules("arch_prctl", 0x1003)->rule[0].n, 8);
	cr_expect_eq(sub_rules("futex", 0)->action, CT_ACT_EMULATE);
	cr_expect_eq(sub_rules("futex", 2)->action, CT_ACT_REFUSE);
	cr_expect_eq(sub_rules("futex", 6)->rule[0].cond, CT_IF_ALWAYS);
	cr_expect_eq(sub_rules("futex", 5)->rule[0].arg, 4);
	cr_expect_eq(sub_rules("shmctl", 2)->rule[0].n, 112);
	cr_expect_eq(sub_rules("semctl", 13)->action, CT_ACT_REFUSE);
	cr_expect_eq(sub_rules("keyctl", 11)->rule[0].size, CT_SZ_RETMIN);
}

Test(syscalls, names_of_errors_signals_and_actions)
{
	cr_expect_str_eq(ct_errno_name(2), "ENOENT");
	cr_expect_str_eq(ct_errno_name(11), "EAGAIN");
	cr_expect_str_eq(ct_errno_name(133), "EHWPOISON");
	cr_expect_str_eq(ct_errno_name(512), "ERESTARTSYS");
	cr_expect_str_eq(ct_errno_name(516), "ERESTART_RESTARTBLOCK");
	cr_expect_str_eq(ct_errno_name(529), "EIOCBQUEUED");
	cr_expect_str_eq(ct_errno_name(530), "ERECALLCONFLICT");
	for (int e = 1; e <= 133; e++)
		cr_expect(ct_errno_name(e) || e == 41 || e == 58, "errno %d", e);
	cr_expect_null(ct_errno_name(0));
	cr_expect_null(ct_errno_name(-1));
	cr_expect_null(ct_errno_name(4096));
	cr_expect_str_eq(ct_signal_name(2), "SIGINT");
	cr_expect_str_eq(ct_signal_name(31), "SIGSYS");
	cr_expect_str_eq(ct_signal_name(35), "SIGRT_3");
	cr_expect_str_eq(ct_signal_name(64), "SIGRT_32");
	cr_expect_null(ct_signal_name(0));
	cr_expect_null(ct_signal_name(65));
	cr_expect_str_eq(ct_action_name(CT_ACT_REFUSE), "refuse");
}

/* ---- the generator -------------------------------------------------------------------------------------- */

/* Runs it on `def`; its exit status, and what it said. */
static int generate(const char *def, const char *mode, char *said, size_t len)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	char path[] = "/tmp/ct_def_XXXXXX", cmd[512];
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, def, strlen(def)), (ssize_t)strlen(def));
	close(fd);
	snprintf(cmd, sizeof(cmd), "%s/gen_syscalls %s %s 2>&1", build, mode, path);
	FILE *p = popen(cmd, "r");
	cr_assert_not_null(p);
	size_t n = fread(said, 1, len - 1, p);
	said[n] = 0;
	while (fgetc(p) != EOF) /* let it finish */
		;
	int status = pclose(p);
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define TYPES "type int -- number\ntype ptr -- address\ntype str -- string\n"
#define SUB   "9 f emulate,sub=a a:int b:ptr\nsub f 1 ONE emulate b:ptr:out[8]\n"

Test(generator, takes_a_good_table)
{
	char said[8192];
	cr_assert_eq(generate(TYPES SUB
			      "1 g special,enter a:str b:ptr:in[8]:out[c*4+2]?pos c:int -- a note # comment\n",
			      "--header", said, sizeof(said)),
		     0, "%s", said);
	/* out rules come first, the string's own rule last; arg dir size cond sarg flags off soff mul n */
	cr_expect_not_null(strstr(said, "{ 1, 1, 3, 2, 2, 0, 0, 0, 4, 2 }, { 0, 2, 9,"), "%s", said);
	cr_expect_not_null(strstr(said, "\"a note\""));
	cr_assert_eq(generate(TYPES SUB, "--markdown", said, sizeof(said)), 0);
	cr_expect_not_null(strstr(said, "| 1 | ONE(a, b) | emulate | b[8] |"), "%s", said);
}

Test(generator, rejects_bad_rows_with_their_line)
{
	static const struct {
		const char *row, *message;
	} bad[] = {
		{"9 again emulate", "number 9 is taken"},
		{"10 f emulate", "f already has number 9"},
		{"512 f2 emulate", "larger than 511"},
		{"x f2 emulate", "not a number"},
		{"1x f2 emulate", "not a number"},
		{"1 f2", "at least"},
		{"1 f-2 emulate", "not an identifier"},
		{"1 f2 imagine", "unknown action"},
		{"1 f2 emulate,fast", "unknown modifier"},
		{"1 f2 emulate,sub=z a:int", "no argument 'z'"},
		{"1 f2 emulate,strict a:int", "need 'sub='"},
		{"1 f2 refuse", "say why"},
		{"1 f2 emulate a", "no type"},
		{"1 f2 emulate a:float", "unknown argument type"},
		{"1 f2 emulate a:int a:int", "two arguments"},
		{"1 f2 emulate a:int b:int c:int d:int e:int f:int g:int", "more than 6 arguments"},
		{"1 f2 emulate a:ptr:out", "no [size]"},
		{"1 f2 emulate a:ptr:to[8]", "'in' or 'out'"},
		{"1 f2 emulate a:ptr:out[0]", "0 bytes"},
		{"1 f2 emulate a:ptr:out[8*2]", "stands alone"},
		{"1 f2 emulate a:ptr:out[b]", "no argument 'b'"},
		{"1 f2 emulate a:ptr:out[most(a)]", "unknown size"},
		{"1 f2 emulate a:ptr:out[bits]", "needs a parameter"},
		{"1 f2 emulate a:ptr:out[u32(a]", "unbalanced"},
		{"1 f2 emulate a:ptr:out[min(a,ret)]", "min(ret,ARG)"},
		{"1 f2 emulate a:ptr:out[bits(a@4)]", "makes no sense"},
		{"1 f2 emulate a:ptr:out[a*70000]", "larger than 65535"},
		{"1 f2 emulate a:ptr:out@x[8]", "not a number"},
		{"1 f2 emulate a:ptr:out[8]?maybe", "unknown condition"},
		{"1 f2 emulate a:ptr:in[8]?pos", "no condition"},
		{"1 f2 emulate a:ptr:out[1]:out[2]:out[3]:out[4]:out[5]:out[6]:out[7]", "more than 6 rules"},
		{"1 f2 emulate --", "nothing after"},
		{"type int -- again", "declared twice"},
		{"type word", "type name"},
		{"sub g 1 G emulate", "no call 'g'"},
		{"sub f 1 AGAIN emulate", "is taken"},
		{"sub f 2 TWO", "at least"},
		{"sub f 2 TWO emulate c:int", "no argument 'c'"},
		{"sub f _IOR(T,1) TWO emulate", "wrong number of parts"},
		{"sub f _IOR(T,1,99999) TWO emulate", "larger than 16383"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char def[1024], said[2048];
		snprintf(def, sizeof(def), "%s%s%s\n", TYPES, SUB, bad[i].row);
		cr_expect_eq(generate(def, "--header", said, sizeof(said)), 1, "'%s' was taken", bad[i].row);
		cr_expect_not_null(strstr(said, ":6: "), "'%s': no line number: %s", bad[i].row, said);
		cr_expect_not_null(strstr(said, bad[i].message), "'%s': %s", bad[i].row, said);
	}
}

Test(generator, refuses_an_empty_table)
{
	char said[256];
	cr_expect_eq(generate("# nothing\n", "--header", said, sizeof(said)), 1);
	cr_expect_eq(generate(TYPES SUB, "--pdf", said, sizeof(said)), 2);
}

/* ---- formatting ------------------------------------------------------------------------------------------ */

struct rec {
	union {
		struct ct_event ev;
		unsigned char b[8192];
	};
};

static struct rec rec_syscall(const char *name, ct_s64 ret, const ct_u64 args[6])
{
	struct rec r = {.ev = {.type = CT_EV_SYSCALL, .seq = 1, .tid = 7, .pid = 7}};
	struct ct_ev_syscall s = {.ret = ret, .nr = ct_syscall_nr(name)};
	memcpy(s.args, args, sizeof(s.args));
	memcpy(r.b + sizeof(r.ev), &s, sizeof(s));
	r.ev.size = sizeof(r.ev) + sizeof(s);
	return r;
}

static void rec_buf(struct rec *r, int kind, int arg, ct_u64 addr, const void *data, size_t len)
{
	struct ct_buf b = {
		.addr = addr, .len = (ct_u32)len, .want = (ct_u32)len, .kind = (ct_u8)kind, .arg = (ct_u8)arg};
	size_t at = (r->ev.size + 7) & ~7u;
	unsigned char *to = (unsigned char *)r + at;
	cr_assert_lt(at + sizeof(b) + len, sizeof(r->b));
	memcpy(to, &b, sizeof(b));
	memcpy(to + sizeof(b), data, len);
	r->ev.size = (ct_u32)(at + sizeof(b) + len);
	if (r->ev.type == CT_EV_SYSCALL)
		((struct ct_ev_syscall *)(r->b + sizeof(r->ev)))->nbufs++;
	else
		((struct ct_ev_enter *)(r->b + sizeof(r->ev)))->nbufs++;
}

static void expect_line(const struct rec *r, const char *want)
{
	struct ct_error err = {0};
	char line[2048], cut[24];
	cr_assert_eq(ct_event_check(r, sizeof(*r), &err), 0, "%s", err.msg);
	size_t n = ct_syscall_format(&r->ev, 32, line, sizeof(line));
	cr_expect_str_eq(line, want);
	cr_expect_eq(n, strlen(want));
	cr_expect_eq(ct_syscall_format(&r->ev, 32, cut, sizeof(cut)), n);
	cr_expect_lt(strlen(cut), sizeof(cut));
	cr_expect_eq(strncmp(cut, want, strlen(cut)), 0);
	cr_expect_eq(ct_syscall_format(&r->ev, 32, NULL, 0), n);
}

#define ARGS(...)                                                                                                      \
	(const ct_u64[6])                                                                                              \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}
#define BUF(r, kind, arg, addr, ...) rec_buf(&(r), kind, arg, addr, &(__VA_ARGS__), sizeof(__VA_ARGS__))
#define W(...)                                                                                                         \
	(const ct_u32[])                                                                                               \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

Test(format, openat)
{
	struct rec r = rec_syscall("openat", 3, ARGS((ct_u32)-100, 0x1000, 02000000, 0x1234));
	rec_buf(&r, CT_BUF_IN, 1, 0x1000, "/etc/passwd", 12);
	expect_line(&r, "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3");
}

Test(format, open_with_mode_and_error)
{
	struct rec r = rec_syscall("open", -2, ARGS(0x1000, 01101, 0644));
	rec_buf(&r, CT_BUF_IN, 0, 0x1000,
		"a\"b\n\001"
		"1",
		7);
	expect_line(
		&r,
		"open(\"a\\\"b\\n\\0011\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 ENOENT (No such file or directory)");
}

Test(format, read_and_its_cut)
{
	struct rec r = rec_syscall("read", 40, ARGS(5, 0x2000, 4096));
	rec_buf(&r, CT_BUF_OUT, 1, 0x2000, "0123456789012345678901234567890123456789", 40);
	expect_line(&r, "read(5, \"01234567890123456789012345678901\"..., 4096) = 40");
}

Test(format, read_restarted)
{
	struct rec r = rec_syscall("read", -512, ARGS(0, 0x2000, 16));
	expect_line(&r, "read(0, 0x2000, 16) = ? ERESTARTSYS");
}

static struct ct_buf *last_file_buf(struct rec *r)
{
	return (struct ct_buf *)(r->b + r->ev.size - sizeof(struct ct_file_ref) - sizeof(struct ct_buf));
}

Test(format, read_by_reference)
{
	struct ct_file_ref ref = {.dev = 8 << 20 | 1, .ino = 42, .size = 100000, .offset = 512, .len = 65536};
	struct rec r = rec_syscall("read", 65536, ARGS(3, 0x2000, 65536));
	BUF(r, CT_BUF_FILE, 1, 0x2000, ref);
	last_file_buf(&r)->want = 65536;
	expect_line(&r, "read(3, <65536 bytes of file 8:1/42 at 512>, 65536) = 65536");
}

Test(format, mmap)
{
	struct rec r = rec_syscall("mmap", 0x7f0000000000, ARGS(0, 8192, 3, 0x22, (ct_u64)-1, 0));
	expect_line(&r, "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000");
}

Test(format, mmap_of_a_file_shows_its_address)
{
	struct ct_file_ref ref = {.dev = 254 << 20, .ino = 332835, .size = 2000000, .offset = 155648, .len = 8192};
	struct rec r = rec_syscall("mmap", 0x7f0000000000, ARGS(0x7f0000000000, 8192, 5, 0x12, 3, 155648));
	BUF(r, CT_BUF_FILE, 0, 0x7f0000000000, ref);
	last_file_buf(&r)->want = 8192;
	expect_line(&r, "mmap(0x7f0000000000, 8192, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED, 3, 0x26000) = "
			"0x7f0000000000");
}

Test(format, an_offered_file_does_not_hide_the_bytes)
{
	struct ct_file_ref ref = {.dev = 8 << 20 | 1, .ino = 42, .size = 100000, .len = 5};
	struct rec r = rec_syscall("read", 5, ARGS(3, 0x2000, 4096));
	BUF(r, CT_BUF_FILE, 1, 0x2000, ref);
	last_file_buf(&r)->want = 0;
	rec_buf(&r, CT_BUF_OUT, 1, 0x2000, "hello", 5);
	expect_line(&r, "read(3, \"hello\", 4096) = 5");
}

Test(format, an_offered_file_does_not_hide_bytes_in_other_records)
{
	struct ct_file_ref ref = {.dev = 8 << 20 | 1, .ino = 42, .size = 1 << 24, .len = 1 << 23};
	struct rec r = rec_syscall("pread64", 1 << 23, ARGS(3, 0x2000, 1 << 23, 0));
	BUF(r, CT_BUF_FILE, 1, 0x2000, ref);
	last_file_buf(&r)->want = 0;
	rec_buf(&r, CT_BUF_OUT, 1, 0x2000, "", 0);
	struct ct_buf *out = (struct ct_buf *)(r.b + r.ev.size - sizeof(struct ct_buf));
	out->want = 1 << 23;
	out->flags = CT_BUFF_CHUNKED;
	expect_line(&r, "pread64(3, 0x2000 /* 8388608 bytes */, 8388608, 0) = 8388608");
}

Test(format, execve_returns_without_arguments)
{
	struct rec r = rec_syscall("execve", 0, ARGS(0));
	expect_line(&r, "execve(...) = 0");
	r = rec_syscall("execveat", 0, ARGS(0));
	expect_line(&r, "execveat(...) = 0");
	r = rec_syscall("execve", -2, ARGS(0x10, 0x20, 0));
	rec_buf(&r, CT_BUF_IN, 0, 0x10, "/none", 6);
	expect_line(&r, "execve(\"/none\", 0x20, NULL) = -1 ENOENT (No such file or directory)");
}

Test(format, mprotect_none)
{
	struct rec r = rec_syscall("mprotect", 0, ARGS(0x5000, 4096, 0));
	expect_line(&r, "mprotect(0x5000, 4096, PROT_NONE) = 0");
}

Test(format, fstat)
{
	ct_u64 st[18] = {[3] = 0100644, [6] = 1234};
	struct rec r = rec_syscall("fstat", 0, ARGS(3, 0x9000));
	BUF(r, CT_BUF_OUT, 1, 0x9000, st);
	expect_line(&r, "fstat(3, {st_mode=S_IFREG|0644, st_size=1234, ...}) = 0");
}

Test(format, connect_inet)
{
	unsigned char sa[16] = {2, 0, 0x1f, 0x90, 127, 0, 0, 1};
	struct rec r = rec_syscall("connect", -115, ARGS(4, 0x100, 16));
	BUF(r, CT_BUF_IN, 1, 0x100, sa);
	expect_line(&r,
		    "connect(4, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = "
		    "-1 EINPROGRESS (Operation now in progress)");
}

Test(format, accept_unix)
{
	unsigned char sa[9] = {1, 0, 0, 'a', 'b'};
	struct rec r = rec_syscall("accept4", 6, ARGS(4, 0x100, 0x200, 02004000));
	rec_buf(&r, CT_BUF_OUT, 1, 0x100, sa, 5);
	BUF(r, CT_BUF_OUT, 2, 0x200, W(5));
	expect_line(&r, "accept4(4, {sa_family=AF_UNIX, sun_path=@\"ab\"}, [5], SOCK_NONBLOCK|SOCK_CLOEXEC) = 6");
}

Test(format, socket)
{
	struct rec r = rec_syscall("socket", 3, ARGS(10, 02004002, 0));
	expect_line(&r, "socket(AF_INET6, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0) = 3");
}

Test(format, setsockopt)
{
	struct rec r = rec_syscall("setsockopt", 0, ARGS(3, 6, 1, 0x40, 4));
	BUF(r, CT_BUF_IN, 3, 0x40, W(1));
	expect_line(&r, "setsockopt(3, SOL_TCP, TCP_NODELAY, 0x40 [01 00 00 00], 4) = 0");
}

Test(format, poll)
{
	ct_u32 fds[4] = {3, 1 | 1 << 16, 4, 5};
	struct rec r = rec_syscall("poll", 1, ARGS(0x100, 2, (ct_u32)-1));
	BUF(r, CT_BUF_OUT, 0, 0x100, fds);
	expect_line(
		&r,
		"poll([{fd=3, events=POLLIN, revents=POLLIN}, {fd=4, events=POLLIN|POLLOUT, revents=0}], 2, -1) = 1");
	r = rec_syscall("poll", 0, ARGS(0, 0, 10));
	expect_line(&r, "poll(NULL, 0, 10) = 0 (Timeout)");
}

Test(format, epoll)
{
	struct rec r = rec_syscall("epoll_wait", 1, ARGS(4, 0x100, 64, 1000));
	BUF(r, CT_BUF_OUT, 1, 0x100, W(0x2001, 7, 0));
	expect_line(&r, "epoll_wait(4, [{events=EPOLLIN|EPOLLRDHUP, data=0x7}], 64, 1000) = 1");
	r = rec_syscall("epoll_ctl", 0, ARGS(4, 1, 5, 0x100));
	BUF(r, CT_BUF_IN, 3, 0x100, W(0x80000001, 9, 0));
	expect_line(&r, "epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN|EPOLLET, data=0x9}) = 0");
}

Test(format, clock_nanosleep_interrupted)
{
	ct_u64 req[2] = {5, 0}, rem[2] = {4, 999};
	struct rec r = rec_syscall("clock_nanosleep", -516, ARGS(1, 0, 0x10, 0x20));
	BUF(r, CT_BUF_OUT, 3, 0x20, rem);
	BUF(r, CT_BUF_IN, 2, 0x10, req);
	expect_line(&r, "clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=5, tv_nsec=0}, {tv_sec=4, tv_nsec=999}) = "
			"? ERESTART_RESTARTBLOCK");
}

Test(format, futex)
{
	struct rec r = rec_syscall("futex", 0, ARGS(0x7000, 128, 2, 0));
	expect_line(&r, "futex(0x7000, FUTEX_WAIT_PRIVATE, 2, NULL) = 0");
	r = rec_syscall("futex", 1, ARGS(0x7000, 129, 1, 77));
	expect_line(&r, "futex(0x7000, FUTEX_WAKE_PRIVATE, 1) = 1");
	r = rec_syscall("futex", -110, ARGS(0x7000, 0x189, 0, 0, 0, 0xffffffff));
	expect_line(&r, "futex(0x7000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0xffffffff) = "
			"-1 ETIMEDOUT (Connection timed out)");
}

Test(format, clone_flags)
{
	struct rec r = rec_syscall("clone", 99, ARGS(0x1200000 | 17, 0, 0, 0x300));
	expect_line(&r, "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, 0x300, NULL) = 99");
}

Test(format, signals)
{
	ct_u64 act[4] = {0x401000, 0x14000000, 0x402000, 1 << 1}, old[4] = {0};
	struct rec r = rec_syscall("rt_sigaction", 0, ARGS(2, 0x10, 0x30, 8));
	BUF(r, CT_BUF_OUT, 2, 0x30, old);
	BUF(r, CT_BUF_IN, 1, 0x10, act);
	expect_line(&r, "rt_sigaction(SIGINT, {sa_handler=0x401000, sa_mask=[INT], sa_flags=SA_RESTORER|SA_RESTART, "
			"sa_restorer=0x402000}, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, 8) = 0");
	ct_u64 set = ~0ull & ~(1ull << 8);
	r = rec_syscall("rt_sigprocmask", 0, ARGS(0, 0x10, 0, 8));
	BUF(r, CT_BUF_IN, 1, 0x10, set);
	expect_line(&r, "rt_sigprocmask(SIG_BLOCK, ~[KILL], NULL, 8) = 0");
	r = rec_syscall("kill", 0, ARGS(12, 9));
	expect_line(&r, "kill(12, SIGKILL) = 0");
}

Test(format, wait4)
{
	struct rec r = rec_syscall("wait4", 12, ARGS((ct_u32)-1, 0x10, 1, 0));
	BUF(r, CT_BUF_OUT, 1, 0x10, W(0x300));
	expect_line(&r, "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 12");
	r = rec_syscall("wait4", 12, ARGS((ct_u32)-1, 0x10, 0, 0));
	BUF(r, CT_BUF_OUT, 1, 0x10, W(0x8b));
	expect_line(&r, "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}], 0, NULL) = 12");
}

Test(format, pipe_and_sub_commands)
{
	struct rec r = rec_syscall("pipe2", 0, ARGS(0x10, 02000000));
	BUF(r, CT_BUF_OUT, 0, 0x10, W(3, 4));
	expect_line(&r, "pipe2([3, 4], O_CLOEXEC) = 0");
	r = rec_syscall("fcntl", 0x8002, ARGS(3, 3, 99));
	expect_line(&r, "fcntl(3, F_GETFL) = 0x8002 (O_RDWR|O_LARGEFILE)");
	r = rec_syscall("fcntl", 0, ARGS(3, 2, 1));
	expect_line(&r, "fcntl(3, F_SETFD, FD_CLOEXEC) = 0");
	r = rec_syscall("prctl", 0, ARGS(15, 0x10));
	rec_buf(&r, CT_BUF_IN, 1, 0x10, "worker", 7);
	expect_line(&r, "prctl(PR_SET_NAME, \"worker\") = 0");
}

Test(format, ioctl)
{
	struct rec r = rec_syscall("ioctl", 0, ARGS(1, 0x5413, 0x10));
	BUF(r, CT_BUF_OUT, 2, 0x10, W(24 | 80 << 16, 0));
	expect_line(&r, "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0");
	r = rec_syscall("ioctl", -25, ARGS(1, 0x80087a01, 0x10));
	expect_line(&r, "ioctl(1, _IOC(_IOC_READ, 0x7a, 0x1, 0x8), 0x10) = -1 ENOTTY (Inappropriate ioctl for device)");
}

Test(format, scattered_data)
{
	struct rec r = rec_syscall("writev", 5, ARGS(1, 0x10, 2));
	rec_buf(&r, CT_BUF_IN, 1, 0x100, "abc", 3);
	rec_buf(&r, CT_BUF_IN, 1, 0x200, "\n\0", 2);
	expect_line(&r, "writev(1, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"\\n\\0\", iov_len=2}], 2) = 5");
	ct_u64 msg[7] = {0, 0, 0x500, 1, 0, 0, 0x40000000};
	r = rec_syscall("recvmsg", 2, ARGS(4, 0x10, 0));
	BUF(r, CT_BUF_OUT, 1, 0x10, msg);
	rec_buf(&r, CT_BUF_OUT, 1, 0x600, "hi", 2);
	expect_line(&r,
		    "recvmsg(4, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"hi\", iov_len=2}], msg_iovlen=1, "
		    "msg_controllen=0, msg_flags=MSG_CMSG_CLOEXEC}, 0) = 2");
}

Test(format, unknown_call_and_sigreturn)
{
	struct rec r = rec_syscall("no_such", -38, ARGS(1, 2));
	((struct ct_ev_syscall *)(r.b + sizeof(r.ev)))->nr = 600;
	expect_line(&r, "syscall_600(0x1, 0x2, 0x0, 0x0, 0x0, 0x0) = -38");
	struct ct_regs regs = {.r[CT_RIP] = 0x401234, .r[CT_RSP] = 0x7ffe0};
	r = rec_syscall("no_such", 5, ARGS(0)); /* number -1 */
	BUF(r, CT_BUF_REGS, 0, 0, regs);
	expect_line(&r, "rt_sigreturn({rip=0x401234, rsp=0x7ffe0}) = 5");
}

Test(format, enter)
{
	struct rec r = {.ev = {.type = CT_EV_ENTER, .seq = 1}};
	struct ct_ev_enter e = {.nr = 231};
	char line[256];
	memcpy(r.b + sizeof(r.ev), &e, sizeof(e));
	r.ev.size = sizeof(r.ev) + sizeof(e);
	cr_assert_eq(ct_event_check(&r, sizeof(r), NULL), 0);
	ct_enter_format(&r.ev, 32, line, sizeof(line));
	cr_expect_str_eq(line, "exit_group(0) <enters>");

	e = (struct ct_ev_enter){.nr = 59, .regs.r[CT_RDI] = 0x10, .regs.r[CT_RSI] = 0x20, .regs.r[CT_RDX] = 0x30};
	memcpy(r.b + sizeof(r.ev), &e, sizeof(e));
	rec_buf(&r, CT_BUF_IN, 0, 0x10, "/bin/ls", 8);
	rec_buf(&r, CT_BUF_IN, 1, 0x100, "ls", 3);
	rec_buf(&r, CT_BUF_IN, 1, 0x103, "-l", 3);
	rec_buf(&r, CT_BUF_IN, 2, 0x200, "A=1", 4);
	cr_assert_eq(ct_event_check(&r, sizeof(r), NULL), 0);
	ct_enter_format(&r.ev, 32, line, sizeof(line));
	cr_expect_str_eq(line, "execve(\"/bin/ls\", [\"ls\", \"-l\"], 0x30 /* 1 vars */) <enters>");
}

/* Any call with any arguments and buffers of any length: the right length is returned, nothing is overrun. */
Test(format, survives_every_call_with_random_buffers)
{
	unsigned seed = 1;
	unsigned char noise[600];
	size_t nsubs;
	const struct ct_subcommand *sub = ct_subcommands(&nsubs);
	for (int round = 0; round < 6000; round++) {
		ct_u64 args[6];
		for (int i = 0; i < 6; i++)
			args[i] = rand_r(&seed) % 3 ? (ct_u64)rand_r(&seed) % 4096
						    : (ct_u64)rand_r(&seed) << 32 | rand_r(&seed);
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = rand_r(&seed) % 2 ? (unsigned char)rand_r(&seed) : 0;
		int nr = round % CT_MAX_SYSCALL;
		if (round % 3 == 0) {
			const struct ct_subcommand *s = &sub[rand_r(&seed) % nsubs];
			nr = (int)s->key.nr;
			args[s->rules.subarg] = s->key.cmd;
		}
		struct rec r = rec_syscall("", (int)(rand_r(&seed) % 2000) - 1000, args);
		((struct ct_ev_syscall *)(r.b + sizeof(r.ev)))->nr = nr;
		for (int i = 0; i < 6; i++)
			rec_buf(&r, 1 + rand_r(&seed) % 2, i, args[i], noise,
				rand_r(&seed) % 2 ? rand_r(&seed) % 600 : 16);
		cr_assert_eq(ct_event_check(&r, r.ev.size, NULL), 0);
		/* exactly as large as the record, so that memory checkers see a read beyond it */
		struct ct_event *ev = malloc(r.ev.size);
		memcpy(ev, &r, r.ev.size);
		size_t n = ct_syscall_format(ev, 64, NULL, 0);
		char *line = malloc(n + 1);
		cr_assert_eq(ct_syscall_format(ev, 64, line, n + 1), n);
		cr_assert_eq(strlen(line), n);
		free(line);
		free(ev);
	}
}
