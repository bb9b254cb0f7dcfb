/* SPDX-License-Identifier: MIT
 * Uprobes for real: uprobe_multi links, the perf fallback, the red-zone self-test, probes on rdtsc sites. Needs root.
 *
 * The last test wants tests/programs/insn_rdtsc in the build directory ($B). */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nop5.skel.h"
#include "user/attach/insn_scan.h"
#include "user/selftest_nop5.h"
#include "user/uprobe_multi.h"

/* Places to probe. The kernel emulates the nops; it refuses the hlt, which is never run. */
void ct_test_places(void);
extern const char ct_test_nop1[], ct_test_nop2[], ct_test_hlt[];
__asm__(".text\n"
	"ct_test_places:\n"
	"	push %rbp\n"
	".globl ct_test_nop1, ct_test_nop2, ct_test_hlt\n"
	"ct_test_nop1: nop\n"
	"ct_test_nop2: nop\n"
	"	pop %rbp\n"
	"	ret\n"
	"ct_test_hlt: hlt\n");

static int offset_of(struct dl_phdr_info *info, size_t size, void *arg)
{
	ct_u64 *at = arg;
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;
		if (p->p_type == PT_LOAD && *at >= start && *at - start < p->p_filesz) {
			*at = *at - start + p->p_offset;
			return 1;
		}
	}
	return 0;
}

/* File offset of an address in this program. */
static ct_u64 file_offset(const void *addr)
{
	ct_u64 at = (uintptr_t)addr;
	cr_assert_eq(dl_iterate_phdr(offset_of, &at), 1);
	return at;
}

static struct nop5_bpf *load(bool multi)
{
	if (geteuid() != 0)
		cr_assert_fail("needs root");
	struct nop5_bpf *skel = nop5_bpf__open();
	cr_assert_not_null(skel);
	bpf_program__set_expected_attach_type(skel->progs.nop5_hit, (enum bpf_attach_type)ct_uprobe_attach_type(multi));
	cr_assert_eq(nop5_bpf__load(skel), 0);
	return skel;
}

static int open_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void check_hits(bool multi, pid_t pid)
{
	struct nop5_bpf *skel = load(multi);
	struct ct_error err = {0};
	const ct_u64 offsets[] = {file_offset(ct_test_nop1), file_offset(ct_test_nop2)}, cookies[] = {1, 2};
	struct ct_uprobe_spec spec = {.path = "/proc/self/exe",
				      .offsets = offsets,
				      .cookies = cookies,
				      .n = 2,
				      .pid = pid,
				      .flags = multi ? 0 : CT_UPROBE_PERF};
	int fds = open_fds();
	struct ct_uprobes *u = ct_uprobes_create(bpf_program__fd(skel->progs.nop5_hit), &spec, &err);
	cr_assert_not_null(u, "%s", err.msg);
	for (int i = 0; i < 100; i++)
		ct_test_places();
	ct_u64 hits = skel->bss->hits;
	cr_expect(pid ? hits == 200 : hits >= 200, "%llu hits",
		  (unsigned long long)hits); /* other tests run meanwhile */
	ct_uprobes_destroy(u);
	hits = skel->bss->hits;
	ct_test_places();
	cr_expect_eq(skel->bss->hits, hits, "hit after it was detached");
	cr_expect_eq(open_fds(), fds);
	nop5_bpf__destroy(skel);
}

Test(uprobes, one_link_for_many_places)
{
	if (!ct_uprobe_multi_supported())
		cr_assert_fail("no uprobe_multi here");
	check_hits(true, getpid());
}

Test(uprobes, pid_0_is_everybody)
{
	if (!ct_uprobe_multi_supported())
		cr_assert_fail("no uprobe_multi here");
	check_hits(true, 0);
}

Test(uprobes, perf_events_do_the_same)
{
	check_hits(false, getpid());
}

Test(uprobes, perf_events_for_everybody)
{
	check_hits(false, 0);
}

Test(uprobes, another_process_is_not_probed)
{
	struct nop5_bpf *skel = load(ct_uprobe_multi_supported());
	struct ct_error err = {0};
	const ct_u64 offset = file_offset(ct_test_nop1);
	pid_t other = fork();
	if (other == 0) {
		pause();
		_exit(0);
	}
	struct ct_uprobe_spec spec = {.path = "/proc/self/exe", .offsets = &offset, .n = 1, .pid = other};
	struct ct_uprobes *u = ct_uprobes_create(bpf_program__fd(skel->progs.nop5_hit), &spec, &err);
	cr_expect_not_null(u, "%s", err.msg);
	ct_test_places();
	cr_expect_eq(skel->bss->hits, 0);
	cr_expect_eq((ct_u8)ct_test_nop1[0], 0x90, "there is a breakpoint in a process that was not asked for");
	ct_uprobes_destroy(u);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	nop5_bpf__destroy(skel);
}

static void check_refused(bool multi)
{
	struct nop5_bpf *skel = load(multi);
	struct ct_error err = {0};
	char where[32];
	const ct_u64 hlt = file_offset(ct_test_hlt);
	const ct_u64 offsets[] = {file_offset(ct_test_nop1), file_offset(ct_test_nop2), hlt};
	struct ct_uprobe_spec spec = {.path = "/proc/self/exe",
				      .offsets = offsets,
				      .n = 3,
				      .pid = getpid(),
				      .flags = multi ? 0 : CT_UPROBE_PERF};
	snprintf(where, sizeof(where), "%#llx", (unsigned long long)hlt);
	cr_assert_null(ct_uprobes_create(bpf_program__fd(skel->progs.nop5_hit), &spec, &err));
	cr_expect(strstr(err.msg, where) && strstr(err.msg, "/proc/self/exe"), "%s", err.msg);
	ct_test_places();
	cr_expect_eq(skel->bss->hits, 0, "some probes stayed");
	nop5_bpf__destroy(skel);
}

Test(uprobes, the_refused_place_is_named)
{
	if (!ct_uprobe_multi_supported())
		cr_assert_fail("no uprobe_multi here");
	check_refused(true);
}

Test(uprobes, the_refused_place_is_named_by_the_fallback_too)
{
	check_refused(false);
}

static void expect_failure(struct nop5_bpf *skel, struct ct_uprobe_spec spec, const char *why)
{
	struct ct_error err = {0};
	cr_expect_null(ct_uprobes_create(bpf_program__fd(skel->progs.nop5_hit), &spec, &err));
	cr_expect(strstr(err.msg, why) && strstr(err.msg, spec.path), "%s", err.msg);
}

Test(uprobes, failures_name_the_file_and_the_cause)
{
	struct nop5_bpf *skel = load(ct_uprobe_multi_supported());
	const ct_u64 offset = file_offset(ct_test_nop1);
	expect_failure(skel, (struct ct_uprobe_spec){.path = "/nonexistent", .offsets = &offset, .n = 1},
		       "no such file");
	expect_failure(skel, (struct ct_uprobe_spec){.path = "/tmp", .offsets = &offset, .n = 1}, "not a regular file");
	expect_failure(skel, (struct ct_uprobe_spec){.path = "/proc/self/exe", .offsets = &offset}, "at 0 places");
	expect_failure(skel,
		       (struct ct_uprobe_spec){.path = "/proc/self/exe", .offsets = &offset, .n = 1, .pid = 1 << 29},
		       "is gone");
	nop5_bpf__destroy(skel);
}

Test(selftest_nop5, gives_a_verdict_and_leaves_nothing_behind)
{
	char what[512] = "";
	if (geteuid() != 0)
		cr_assert_fail("needs root");
	int fds = open_fds();
	int verdict = ct_selftest_nop5(what, sizeof(what));
	cr_expect(verdict == 0 || verdict == 1, "%d: %s", verdict, what);
	cr_expect(strstr(what, "5-byte nop"), "%s", what);
	cr_expect_eq(ct_selftest_nop5(what, sizeof(what)), verdict);
	cr_expect_eq(open_fds(), fds);
	cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
}

Test(selftest_nop5, a_short_buffer_is_enough)
{
	char what[8];
	memset(what, 'x', sizeof(what));
	ct_selftest_nop5(what, sizeof(what));
	cr_expect_not_null(memchr(what, 0, sizeof(what)));
}

/* A program whose every unpredictable instruction is probed, twice, runs as before. */
Test(insn_probes, a_probed_program_runs_and_all_sites_are_hit)
{
	char path[4096];
	struct ct_insn_sites sites;
	struct ct_insn_probes probes;
	struct ct_error err = {0};
	snprintf(path, sizeof(path), "%s/tests/programs/insn_rdtsc", getenv("B") ? getenv("B") : "build");
	int fd = open(path, O_RDONLY | O_CLOEXEC), status = -1;
	if (fd < 0)
		cr_assert_fail("%s is not built", path);
	struct nop5_bpf *skel = load(ct_uprobe_multi_supported());
	cr_assert_eq(ct_insn_scan(fd, path, &sites, &err), 0, "%s", err.msg);
	cr_assert_eq(ct_insn_probes(&sites, false, &probes, &err), 0, "%s", err.msg);
	struct ct_uprobe_spec spec = {
		.path = path, .offsets = probes.offsets, .cookies = probes.cookies, .n = probes.n};
	struct ct_uprobes *u = ct_uprobes_create(bpf_program__fd(skel->progs.nop5_hit), &spec, &err);
	cr_assert_not_null(u, "%s", err.msg);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execl(path, path, "10", "1", NULL);
		_exit(127);
	}
	cr_expect_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	/* Each of them ten times at least; the rdrand and rdseed loops may go round more than once. */
	cr_expect_geq(skel->bss->hits, 10 * probes.n, "%llu hits of %zu probes", (unsigned long long)skel->bss->hits,
		      probes.n);
	ct_uprobes_destroy(u);
	ct_insn_probes_free(&probes);
	ct_insn_sites_free(&sites);
	nop5_bpf__destroy(skel);
	close(fd);
}
