/* SPDX-License-Identifier: MIT
 * The pointer in a live CPython that is written while its calls are recorded, and put back: at the end, or by `ctbpf
 * detach` after a recorder that was killed. Until then the program does the same, a little slower. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/attach/target.h"
#include "user/calls.h"

#define INTERPRETERS 64

/* Changes the pointer of all interpreters of the process that have `from` there. */
static int set_pointers(pid_t pid, const struct ct_python_target *t, ct_u64 from, ct_u64 to, struct ct_error *err)
{
	char path[64];
	ct_u64 at, value;
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot open the memory of process %d", pid);
	if (pread(fd, &at, 8, (off_t)t->head) != 8)
		at = 0;
	if (!at)
		ret = ct_fail(err, CT_EXIT_FAILED,
			      "process %d: its Python interpreter has not started yet, or has ended", pid);
	for (unsigned i = 0; at && i < INTERPRETERS && !ret; i++) {
		if (pread(fd, &value, 8, (off_t)(at + t->eval_frame)) != 8)
			ret = ct_fail(err, CT_EXIT_FAILED, "process %d: the state of its interpreter cannot be read",
				      pid);
		else if (value == from && pwrite(fd, &to, 8, (off_t)(at + t->eval_frame)) != 8)
			ret = ct_fail(err, CT_EXIT_FAILED, "process %d: the state of its interpreter cannot be written",
				      pid);
		if (pread(fd, &at, 8, (off_t)(at + t->next)) != 8)
			at = 0;
	}
	close(fd);
	return ret;
}

static void mark_path(char path[64], pid_t pid)
{
	snprintf(path, 64, CT_RUN_DIR "/%d.calls", pid);
}

int ct_python_open(pid_t pid, const struct ct_python_target *t, struct ct_error *err)
{
	char path[64];
	int fd;

	if (ct_rundir_make(err))
		return -1;
	mark_path(path, pid);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot write %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return ct_fail(err, CT_EXIT_FAILED, "the Python calls of process %d are being recorded already", pid);
	}
	/* One with an evaluation function of its own calls for every frame already; it is left alone. */
	if (!set_pointers(pid, t, 0, t->eval, err))
		return fd;
	unlink(path);
	close(fd);
	return -1;
}

void ct_python_close(pid_t pid, const struct ct_python_target *t, int fd)
{
	struct ct_error ignored;
	char path[64];

	set_pointers(pid, t, t->eval, 0, &ignored);
	if (fd < 0)
		return;
	mark_path(path, pid);
	unlink(path);
	close(fd);
}

int ct_python_undo(pid_t pid, struct ct_error *err)
{
	struct ct_python_target t;
	char path[64];
	int fd, ret;

	mark_path(path, pid);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return ct_fail(err, CT_EXIT_FAILED, "the calls of process %d are being recorded: end that recorder",
			       pid);
	}
	/* If it is not there any more, or is another program now, there is nothing to do. */
	ret = ct_python_target(pid, &t, err) == 1;
	ct_python_close(pid, &t, fd);
	return ret;
}
