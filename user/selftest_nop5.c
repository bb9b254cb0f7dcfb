/* SPDX-License-Identifier: MIT
 * Runs a leaf function with live data below the stack pointer while its nop is probed, and looks at the data.
 *
 * It runs in a forked child: the probe is put into that address space only, and dies with it. */
#include "selftest_nop5.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nop5.skel.h"
#include "uprobe_multi.h"

#define ROUNDS           10000
#define CHILD_TIMEOUT_MS 10000

/* Fills the 128 bytes below the stack pointer, passes the nop, counts the rounds in which they have changed.
 * The nop is aligned, since the kernel rewrites none that crosses a page. */
uint64_t ct_nop5_victim(uint64_t rounds);
extern const char ct_nop5_site[];
__asm__(".text\n"
	".p2align 6\n"
	".type ct_nop5_victim, @function\n"
	"ct_nop5_victim:\n"
	"	.cfi_startproc\n"
	"	xor %eax, %eax\n"
	"	test %rdi, %rdi\n"
	"	jz 3f\n"
	"1:	movabs $0x5a5aa5a500000000, %rdx\n"
	"	or %rdi, %rdx\n"
	"	.set ct_nop5_i, 1\n"
	"	.rept 16\n"
	"	mov %rdx, -8*ct_nop5_i(%rsp)\n"
	"	.set ct_nop5_i, ct_nop5_i+1\n"
	"	.endr\n"
	"	.p2align 6\n"
	".globl ct_nop5_site\n"
	".hidden ct_nop5_site\n"
	"ct_nop5_site:\n"
	"	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"	xor %ecx, %ecx\n"
	"	.set ct_nop5_i, 1\n"
	"	.rept 16\n"
	"	mov -8*ct_nop5_i(%rsp), %rsi\n"
	"	xor %rdx, %rsi\n"
	"	or %rsi, %rcx\n"
	"	.set ct_nop5_i, ct_nop5_i+1\n"
	"	.endr\n"
	"	test %rcx, %rcx\n"
	"	jz 2f\n"
	"	inc %rax\n"
	"2:	dec %rdi\n"
	"	jnz 1b\n"
	"3:	ret\n"
	"	.cfi_endproc\n"
	"	.size ct_nop5_victim, .-ct_nop5_victim\n");

/* Waits until told (a byte from `go`), runs, tells the result. Only system calls: other threads' locks do not exist
 * here. */
static void child(int go, int result, pid_t parent)
{
	char c;
	ssize_t r;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	do
		r = read(go, &c, 1);
	while (r < 0 && errno == EINTR);
	if (r == 1) {
		uint64_t bad = ct_nop5_victim(ROUNDS);
		r = write(result, &bad, sizeof(bad));
	}
	_exit(r <= 0);
}

__attribute__((format(printf, 3, 4))) static int could_not(char *what, size_t len, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, len, fmt, ap);
	va_end(ap);
	return -1;
}

/* Starts the child and gets its count; false if it gave none. */
static bool run_child(int go, int result, uint64_t *bad)
{
	struct pollfd p = {.fd = result, .events = POLLIN};
	int r;
	if (write(go, "", 1) != 1)
		return false;
	do
		r = poll(&p, 1, CHILD_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	return r == 1 && read(result, bad, sizeof(*bad)) == sizeof(*bad);
}

static int test_with(struct nop5_bpf *skel, bool multi, const char *path, ct_u64 offset, char *what, size_t len)
{
	int go[2] = {-1, -1}, result[2] = {-1, -1}, ret;
	pid_t parent = getpid(), pid = -1;
	struct ct_uprobes *probe = NULL;
	struct ct_error err = {0};
	uint64_t bad = 0;

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		ret = could_not(what, len, "cannot start the test's child: %s", strerror(errno));
		goto out;
	}
	if (pid == 0)
		child(go[0], result[1], parent);
	close(result[1]); /* so that the child's death is seen */
	result[1] = -1;
	struct ct_uprobe_spec spec = {
		.path = path, .offsets = &offset, .n = 1, .pid = pid, .flags = multi ? 0 : CT_UPROBE_PERF};
	probe = ct_uprobes_create(bpf_program__fd(skel->progs.nop5_hit), &spec, &err);
	if (!probe) {
		ret = could_not(what, len, "%s", err.msg);
		goto out;
	}
	bool ran = run_child(go[1], result[0], &bad);
	unsigned long long hits = __atomic_load_n(&skel->bss->hits, __ATOMIC_RELAXED);
	if (!ran) {
		ret = could_not(what, len, "the test's child did not finish (%llu of %d probe hits)", hits, ROUNDS);
	} else if (bad) {
		snprintf(what, len,
			 "a uprobe on a 5-byte nop destroyed data below the stack pointer in %llu of %d runs; probes "
			 "are kept "
			 "off such nops",
			 (unsigned long long)bad, ROUNDS);
		ret = 1;
	} else if (hits < ROUNDS) {
		ret = could_not(what, len, "the test's probe was hit %llu times instead of %d", hits, ROUNDS);
	} else {
		snprintf(what, len, "a uprobe on a 5-byte nop left the data below the stack pointer alone in %d runs",
			 ROUNDS);
		ret = 0;
	}
out:
	if (pid > 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	ct_uprobes_destroy(probe);
	for (int i = 0; i < 2; i++) {
		if (go[i] >= 0)
			close(go[i]);
		if (result[i] >= 0)
			close(result[i]);
	}
	return ret;
}

int ct_selftest_nop5(char *what, size_t len)
{
	char path[4096];
	ct_u64 offset;
	if (!ct_uprobe_own_site(ct_nop5_site, path, &offset))
		return could_not(what, len, "the test's code is in no file");
	struct nop5_bpf *skel = nop5_bpf__open();
	if (!skel)
		return could_not(what, len, "cannot open the test's BPF program: %s", strerror(errno));
	bool multi = ct_uprobe_multi_supported();
	bpf_program__set_expected_attach_type(skel->progs.nop5_hit, (enum bpf_attach_type)ct_uprobe_attach_type(multi));
	int r = nop5_bpf__load(skel), ret;
	if (r < 0)
		ret = could_not(what, len, "cannot load the test's BPF program: %s%s", strerror(-r),
				r == -EPERM ? "; run as root or with CAP_BPF and CAP_PERFMON" : "");
	else
		ret = test_with(skel, multi, path, offset, what, len);
	nop5_bpf__destroy(skel);
	return ret;
}
