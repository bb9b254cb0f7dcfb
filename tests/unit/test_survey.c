/* SPDX-License-Identifier: MIT
 * Survey of a target, against real processes that are each something a recorder must know.
 *
 * needs: root */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/attach/survey.h"
#include "user/attach/target.h"

static struct ct_findings found;

/* Runs become() in a child, which says 'y' when it is that (or 'n': not possible here) and then waits for its end. */
static pid_t target(bool (*become)(void))
{
	int ready[2], never[2];
	char answer = 'n';
	cr_assert_eq(pipe(ready), 0);
	cr_assert_eq(pipe(never), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		answer = !become || become() ? 'y' : 'n';
		syscall(SYS_write, ready[1], &answer, 1);
		for (;;) /* read, because seccomp's strict mode leaves it nothing else */
			syscall(SYS_read, never[0], &answer, 1);
	}
	close(ready[1]);
	if (read(ready[0], &answer, 1) != 1)
		answer = 'n';
	close(ready[0]);
	close(never[0]);
	close(never[1]); /* the child has both ends still, so that its read blocks */
	if (answer != 'y') {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		cr_assert_fail("this machine does not let a process become that");
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void survey(pid_t pid)
{
	struct ct_error err;
	cr_assert_eq(ct_survey_target(pid, &found, &err), 0);
}

static void assert_finding(const char *id, enum ct_severity severity)
{
	const struct ct_finding *finding = ct_findings_by_id(&found, id);
	for (size_t i = 0; !finding && i < found.count; i++)
		cr_log_error("found %s: %s", found.item[i].id, found.item[i].what);
	cr_assert_not_null(finding, "no finding %s", id);
	cr_assert_eq(finding->severity, severity, "%s is %s", id, ct_severity_name(finding->severity));
}

static void assert_of(bool (*become)(void), const char *id, enum ct_severity severity)
{
	pid_t pid = target(become);
	survey(pid);
	end(pid);
	assert_finding(id, severity);
}

static void cleanup(void)
{
	ct_findings_deinit(&found);
}

TestSuite(survey, .fini = cleanup, .timeout = 30);

/* ---- The process itself ---- */

Test(survey, plain_process_is_fine)
{
	struct ct_error err;
	pid_t pid = target(NULL);
	survey(pid);
	cr_expect_leq(ct_findings_worst(&found), CT_FIND_NOTE);
	cr_expect_eq(ct_survey_refusal(&found, pid, true, &err), 0);
	end(pid);
	assert_finding("pause", CT_FIND_OK);
}

Test(survey, no_such_process)
{
	struct ct_error err;
	pid_t pid = target(NULL);
	end(pid);
	survey(pid);
	assert_finding("no_process", CT_FIND_BLOCKS);
	cr_assert_eq(ct_survey_refusal(&found, pid, false, &err), -1);
	cr_expect_eq(err.status, CT_EXIT_NOT_ATTACHED);
}

Test(survey, kernel_thread)
{
	char name[16] = "";
	int fd = open("/proc/2/comm", O_RDONLY);
	if (fd < 0 || read(fd, name, sizeof(name) - 1) <= 0 || strcmp(name, "kthreadd\n") != 0)
		cr_assert_fail("no kernel threads in this PID namespace");
	close(fd);
	survey(2);
	assert_finding("kernel_thread", CT_FIND_BLOCKS);
}

Test(survey, zombie)
{
	pid_t pid = target(NULL);
	siginfo_t info;
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	survey(pid);
	waitpid(pid, NULL, 0);
	assert_finding("zombie", CT_FIND_BLOCKS);
}

Test(survey, stopped)
{
	pid_t pid = target(NULL);
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	survey(pid);
	end(pid);
	assert_finding("stopped", CT_FIND_BLOCKS_REPLAY);
}

Test(survey, traced_names_the_tracer)
{
	char who[32];
	pid_t pid = target(NULL);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		cr_assert_fail("ptrace is not permitted");
	survey(pid);
	end(pid);
	assert_finding("traced", CT_FIND_BLOCKS);
	snprintf(who, sizeof(who), "traced by %d (", getpid());
	cr_assert_not_null(strstr(ct_findings_by_id(&found, "traced")->what, who));
}

static void *wait_forever(void *arg)
{
	*(_Atomic pid_t *)arg = gettid();
	for (;;)
		pause();
	return NULL;
}

Test(survey, thread_id_names_its_process)
{
	static _Atomic pid_t tid;
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, wait_forever, (void *)&tid), 0);
	while (!tid)
		sched_yield();
	survey(tid);
	assert_finding("thread", CT_FIND_BLOCKS);
}

static bool start_threads(void)
{
	static _Atomic pid_t tid;
	pthread_t thread;
	return !pthread_create(&thread, NULL, wait_forever, (void *)&tid);
}

Test(survey, threads_are_counted)
{
	assert_of(start_threads, "threads", CT_FIND_NOTE);
	cr_assert_not_null(strstr(ct_findings_by_id(&found, "threads")->what, "2 threads"));
}

Test(survey, itself)
{
	survey(getpid());
	assert_finding("self", CT_FIND_BLOCKS);
}

Test(survey, leaves_no_trace_of_a_target_that_exits_meanwhile)
{
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();
		if (!pid) {
			for (volatile int spin = 0; spin < i * 5000; spin++)
				;
			_exit(0);
		}
		survey(pid);
		waitpid(pid, NULL, 0);
		cr_expect(!found.out_of_memory);
		ct_findings_deinit(&found);
	}
}

Test(survey, other_users_process_needs_privilege)
{
	int result[2];
	struct {
		enum ct_severity severity;
		bool missing;
		int status;
	} seen = {0};
	if (geteuid())
		cr_assert_fail("needs root");
	cr_assert_eq(pipe(result), 0);
	pid_t pid = target(NULL), surveyor = fork();
	if (!surveyor) {
		struct ct_error err = {0};
		if (setgid(65534) || setuid(65534))
			_exit(1);
		ct_survey_target(pid, &found, &err);
		const struct ct_finding *finding = ct_findings_by_id(&found, "permission");
		ct_survey_refusal(&found, pid, true, &err);
		if (finding) {
			seen.severity = finding->severity;
			seen.missing = finding->missing;
			seen.status = err.status;
		}
		_exit(write(result[1], &seen, sizeof(seen)) != sizeof(seen));
	}
	cr_assert_eq(read(result[0], &seen, sizeof(seen)), sizeof(seen));
	waitpid(surveyor, NULL, 0);
	end(pid);
	cr_expect_eq(seen.severity, CT_FIND_BLOCKS);
	cr_expect(seen.missing);
	cr_expect_eq(seen.status, CT_EXIT_MISSING);
}

/* ---- What others hold of it ---- */

static void state_file(pid_t pid, pid_t recorder, unsigned long long recorder_start)
{
	char path[64];
	mkdir(CT_RUN_DIR, 0700);
	snprintf(path, sizeof(path), CT_RUN_DIR "/%d.json", pid);
	FILE *file = fopen(path, "w");
	if (!file)
		cr_assert_fail("cannot write " CT_RUN_DIR);
	fprintf(file, "{\"pid\": %d, \"start_time\": %llu, \"recorder\": %d, \"recorder_start\": %llu}", pid,
		(unsigned long long)ct_proc_stat(pid, pid, 22), recorder, recorder_start);
	fclose(file);
	survey(pid);
	unlink(path);
}

Test(survey, recorded_by_a_living_recorder)
{
	pid_t pid = target(NULL);
	state_file(pid, getpid(), ct_proc_stat(getpid(), getpid(), 22));
	end(pid);
	assert_finding("recorded", CT_FIND_BLOCKS);
}

Test(survey, left_attached_by_a_dead_recorder)
{
	pid_t pid = target(NULL);
	state_file(pid, getpid(), 1); /* the PID is another process's by now */
	end(pid);
	assert_finding("left_attached", CT_FIND_BLOCKS);
	cr_assert_not_null(strstr(ct_findings_by_id(&found, "left_attached")->fix, "ctbpf detach"));
}

/* ---- Confinement ---- */

static bool strict_seccomp(void)
{
	return !prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
}

Test(survey, seccomp_strict_blocks)
{
	assert_of(strict_seccomp, "seccomp", CT_FIND_BLOCKS);
}

static bool filter_seccomp(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

Test(survey, seccomp_filter_degrades)
{
	assert_of(filter_seccomp, "seccomp", CT_FIND_DEGRADES);
}

static bool new_namespaces(void)
{
	return !unshare(CLONE_NEWNS);
}

Test(survey, other_mount_namespace)
{
	assert_of(new_namespaces, "namespace_mnt", CT_FIND_NOTE);
}

static bool go_realtime(void)
{
	struct sched_param param = {.sched_priority = 1};
	return !sched_setscheduler(0, SCHED_FIFO, &param);
}

Test(survey, realtime)
{
	assert_of(go_realtime, "realtime", CT_FIND_NOTE);
}

/* ---- Memory that others write ---- */

static bool use_io_uring(void)
{
	struct io_uring_params params = {0};
	return syscall(SYS_io_uring_setup, 2, &params) >= 0;
}

Test(survey, io_uring_blocks_replay_only)
{
	struct ct_error err;
	pid_t pid = target(use_io_uring);
	survey(pid);
	assert_finding("io_uring", CT_FIND_BLOCKS_REPLAY);
	cr_expect_eq(ct_survey_refusal(&found, pid, true, &err), -1);
	cr_expect_not_null(strstr(err.msg, "io_uring"));
	cr_expect_not_null(strstr(err.msg, "--no-replay"));
	cr_expect_eq(ct_survey_refusal(&found, pid, false, &err), 0);
	end(pid);
}

static bool use_aio(void)
{
	aio_context_t ctx = 0;
	return !syscall(SYS_io_setup, 2, &ctx);
}

Test(survey, aio)
{
	assert_of(use_aio, "aio", CT_FIND_BLOCKS_REPLAY);
}

static bool use_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) >= 0;
}

Test(survey, userfaultfd)
{
	assert_of(use_userfaultfd, "userfaultfd", CT_FIND_BLOCKS_REPLAY);
}

static bool map_perf_ring(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	return fd >= 0 && mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
}

Test(survey, memory_the_kernel_writes)
{
	assert_of(map_perf_ring, "kernel_memory", CT_FIND_BLOCKS_REPLAY);
}

static bool map_shared(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

Test(survey, shared_memory_of_its_own_is_fine)
{
	assert_of(map_shared, "shared_alone", CT_FIND_OK);
}

Test(survey, shared_memory_with_another_writer_names_it)
{
	char who[48];
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(map, MAP_FAILED);
	pid_t pid = target(NULL), other = target(NULL);
	munmap(map, 4096); /* or the test itself would be another one */
	survey(pid);
	snprintf(who, sizeof(who), "with %d (", other);
	end(pid);
	end(other);
	assert_finding("shared_memory", CT_FIND_BLOCKS_REPLAY);
	cr_expect_not_null(strstr(ct_findings_by_id(&found, "shared_memory")->what, who));
}

static void *shared_file; /* mapped writable by the test before its children */

static bool keep_reading_only(void)
{
	return !mprotect(shared_file, 4096, PROT_READ);
}

Test(survey, shared_file_it_only_reads_but_another_writes)
{
	int fd = memfd_create("survey", 0);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	shared_file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid_t pid = target(keep_reading_only);
	survey(pid); /* the test is the writer */
	end(pid);
	assert_finding("shared_memory", CT_FIND_BLOCKS_REPLAY);
}

Test(survey, shared_file_another_only_reads_is_fine)
{
	int fd = memfd_create("survey", 0);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	shared_file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid_t pid = target(NULL), reader = target(keep_reading_only);
	munmap(shared_file, 4096);
	survey(pid);
	end(pid);
	end(reader);
	assert_finding("shared_alone", CT_FIND_OK);
	cr_expect_null(ct_findings_by_id(&found, "shared_memory"));
}

static bool map_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

Test(survey, jit_memory_is_noted)
{
	assert_of(map_executable, "jit", CT_FIND_NOTE);
}

/* ---- Programs ---- */

/* The smallest 32-bit program: pause() for ever. */
/* clang-format off */
static const unsigned char elf32[] = {
	0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,	       /* 32 bits, little endian */
	2, 0, 3, 0, 1, 0, 0, 0, 0x54, 0x80, 0x04, 0x08, 0x34, 0, 0, 0,	       /* i386 program, entry, headers' place */
	0, 0, 0, 0, 0, 0, 0, 0, 0x34, 0, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0,     /* sizes; one segment, no sections */
	1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x04, 0x08, 0, 0x80, 0x04, 0x08,     /* the segment: all of the file */
	0x5d, 0, 0, 0, 0x5d, 0, 0, 0, 5, 0, 0, 0, 0, 0x10, 0, 0,	       /* r-x */
	0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7,			       /* mov eax, 29; int 0x80; jmp back */
};
/* clang-format on */

Test(survey, program_of_32_bits)
{
	char path[] = "/tmp/ctbpf-test-elf32-XXXXXX", exe[64], link[64] = "";
	int fd = mkostemp(path, O_CLOEXEC);
	cr_assert_eq(write(fd, elf32, sizeof(elf32)), sizeof(elf32));
	fchmod(fd, 0700);
	close(fd);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(path, path, NULL);
		_exit(1);
	}
	snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	for (int i = 0; i < 1000 && strcmp(link, path) != 0 && waitpid(pid, NULL, WNOHANG) == 0; i++) {
		ssize_t n = readlink(exe, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		usleep(1000);
	}
	survey(pid);
	end(pid);
	unlink(path);
	if (strcmp(link, path) != 0)
		cr_assert_fail("this kernel does not run 32-bit programs");
	assert_finding("32bit", CT_FIND_BLOCKS);
}

Test(survey, interpreter_is_named)
{
	int ready[2];
	char byte;
	cr_assert_eq(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ready[1], STDOUT_FILENO);
		execlp("perl", "perl", "-e", "$| = 1; print 'x'; sleep 60", NULL);
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		waitpid(pid, NULL, 0);
		cr_assert_fail("no perl here");
	}
	survey(pid);
	end(pid);
	assert_finding("runtime", CT_FIND_NOTE);
	cr_expect_not_null(strstr(ct_findings_by_id(&found, "runtime")->what, "Perl"));
}
