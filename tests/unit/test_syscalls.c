/* SPDX-License-Identifier: MIT
 * The system call table and its generator (calls as text: test_syscall_text.c).
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
