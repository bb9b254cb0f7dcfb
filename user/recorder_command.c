// SPDX-License-Identifier: MIT
/* A command that is recorded from its first instruction on: started, and waited for. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/recorder_priv.h"

pid_t ct_recorder_start_command(struct ct_recorder *r, struct ct_error *err)
{
	int go[2], failed[2], status, code = 0;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot make a pipe");
		return -1;
	}
	pid = fork();
	if (!pid) {
		sigset_t none;
		char byte;

		setrlimit(RLIMIT_NOFILE, &r->files_limit);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		signal(SIGXFSZ, SIG_DFL);
		sched_setaffinity(0, sizeof(r->mine), &r->mine);
		if (read(go[0], &byte, 1) == 1)
			execvp(r->opts->command[0], r->opts->command);
		code = errno;
		if (write(failed[1], &code, sizeof(code)) < 0)
			_exit(126);
		_exit(127);
	}
	close(go[0]);
	close(failed[1]);
	ct_wait_child(pid);
	if (pid < 0 || ct_seize(pid, PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD) || write(go[1], "", 1) != 1) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot start %s", r->opts->command[0]);
		goto fail;
	}
	for (;;) {
		if (ct_wait_stop_fairly(pid, &status, 10000) || !WIFSTOPPED(status)) {
			if (read(failed[0], &code, sizeof(code)) == sizeof(code)) {
				errno = code;
				ct_fail_errno(err, code == ENOENT || code == EACCES ? CT_EXIT_USAGE : CT_EXIT_FAILED,
					      "cannot run %s", r->opts->command[0]);
			} else {
				ct_fail(err, CT_EXIT_FAILED, "%s ended before it began", r->opts->command[0]);
			}
			pid = -1;
			goto fail;
		}
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8))
			break;
		ptrace(PTRACE_CONT, pid, 0, status >> 16 ? 0 : WSTOPSIG(status));
	}
	/* From inside execve to the stop on its way out, before the first instruction of the new image. */
	ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	ptrace(PTRACE_CONT, pid, 0, 0);
	close(go[1]);
	close(failed[0]);
	return pid;
fail:
	close(go[1]);
	close(failed[0]);
	if (pid > 0)
		kill(pid, SIGKILL);
	return -1;
}

void ct_recorder_reap_command(struct ct_recorder *r)
{
	int status;

	if (r->command_pid > 0 && ct_wait_child_ended(&status)) {
		r->command_status = status;
		r->command_pid = 0;
	}
}
