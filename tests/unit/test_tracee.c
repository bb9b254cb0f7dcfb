/* SPDX-License-Identifier: MIT
 * Waiting for tracees: exit status and stops of one that is the tracer's own child; threads of one that is killed;
 * giving up one that never stops.
 *
 * needs: root */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/replica.h"
#include "replay/tracee.h"

static pid_t start(int (*run)(void))
{
	pid_t pid = fork();

	if (!pid)
		_exit(run());
	ct_wait_child(pid);
	cr_assert_eq(ct_seize(pid, 0), 0);
	return pid;
}

static int seven(void)
{
	usleep(50000);
	return 7;
}

static int waits(void)
{
	for (;;)
		pause();
	return 0;
}

Test(tracee, status_taken_by_a_wait_for_a_stop)
{
	pid_t pid = start(seven);
	int status = -1;

	cr_assert_eq(ct_wait_stop(pid, &status, 5000), 0);
	cr_assert(!WIFSTOPPED(status));
	status = -1;
	cr_assert(ct_wait_child_ended(&status));
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "%#x", status);
	cr_assert(ct_wait_child_ended(&status), "it is kept");
	pid = start(waits);
	cr_assert(!ct_wait_child_ended(&status), "that of the child before");
	kill(pid, SIGKILL);
}

Test(tracee, asking_for_the_end_takes_no_stop)
{
	pid_t pid = start(waits);
	int status;

	cr_assert_eq(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	usleep(50000);
	for (int i = 0; i < 10; i++)
		cr_assert(!ct_wait_child_ended(&status));
	cr_assert_eq(ct_wait_interrupted_fairly(pid, 5000), 0, "the stop is still to be had");
	kill(pid, SIGKILL);
	cr_assert_eq(ct_wait_stop(pid, &status, 5000), 0);
	cr_assert(ct_wait_child_ended(&status));
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void *thread(void *arg)
{
	waits();
	return arg;
}

static int two_threads(void)
{
	pthread_t t;

	pthread_create(&t, NULL, thread, NULL);
	return waits();
}

Test(tracee, first_of_killed_threads)
{
	pid_t pid = start(two_threads), *tids = NULL, other;
	size_t n = 0;
	int status;

	while (n < 2) {
		free(tids);
		cr_assert_eq(ct_list_threads(pid, &tids, &n, NULL), 0);
	}
	other = tids[0] == pid ? tids[1] : tids[0];
	free(tids);
	cr_assert_eq(ct_seize(other, 0), 0);
	kill(pid, SIGKILL);
	cr_assert_eq(ct_wait_stop(pid, &status, 60000), -ESRCH,
		     "it reports nothing before the other has been waited for");
	cr_assert_eq(ct_wait_stop(other, &status, 60000), 0);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(ct_wait_stop(pid, &status, 60000), 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int loops(void)
{
	for (volatile unsigned long n = 0;; n++)
		;
	return 0;
}

/* With a patience of 200 ms. */
static ct_u64 cpu_ms_until_given_up(int (*run)(void))
{
	const bool was_open = ct_replica_expect_stops();
	const unsigned before = ct_replica_patience(200);
	const pid_t pid = start(run);
	int status;
	ct_u64 ms;

	cr_assert_eq(ct_replica_wait(pid, &status), -ETIMEDOUT);
	ms = (ct_proc_stat(pid, pid, 14) + ct_proc_stat(pid, pid, 15)) * 1000 / (ct_u64)sysconf(_SC_CLK_TCK);
	ct_replica_patience(before);
	kill(pid, SIGKILL);
	cr_assert_eq(ct_wait_stop(pid, &status, 5000), 0);
	ct_replica_expect_no_stops(was_open);
	return ms;
}

Test(tracee, one_that_loops_is_given_up_by_the_cpu_it_had)
{
	/* Before the first look it may have had some, and it is given up all the same where it gets hardly any. */
	cr_assert_geq(cpu_ms_until_given_up(loops), 100);
}

Test(tracee, one_that_sleeps_is_given_up_as_well)
{
	cr_assert_lt(cpu_ms_until_given_up(waits), 150);
}
