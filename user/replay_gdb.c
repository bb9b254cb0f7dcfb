// SPDX-License-Identifier: MIT
/* A recording opened in gdb: one that is started here, with the recorded files as its sysroot and a private socket, or
 * one that connects to a port of this machine. */
#include "user/replay_gdb.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loopback.h"
#include "replay/gdb_server.h"

/* What gdb is told first. Its caches know nothing of `seek`. */
static const char gdbinit[] =
	"set sysroot %s/root\n"
	"set remotetimeout 600\n"
	"set tcp connect-timeout 600\n"
	"set stack-cache off\n"
	"set code-cache off\n"
	"set breakpoint pending on\n"
	"set confirm off\n"
	"set height %s\n"
	"set directories $cdir:$cwd%s%s\n"
	"target remote %s/socket\n"
	"define when\n"
	"monitor when\n"
	"end\n"
	"document when\n"
	"The present position in the recording.\n"
	"end\n"
	"define ctbpf-moved\n"
	"maintenance flush register-cache\n"
	"sharedlibrary\n"
	"frame\n"
	"end\n"
	"document ctbpf-moved\n"
	"What seek and restart do when they have gone somewhere.\n"
	"end\n"
	"define seek\n"
	"monitor seek $arg0\n"
	"ctbpf-moved\n"
	"end\n"
	"document seek\n"
	"Go to a position of the recording: e:NUMBER, e:NUMBER@ADDRESS#PASS, tick:NUMBER, t:+1.25s, start, end.\n"
	"end\n"
	/* gdb's own ones fork processes of this machine. */
	"define checkpoint\n"
	"monitor checkpoint\n"
	"end\n"
	"define restart\n"
	"monitor restart $arg0\n"
	"ctbpf-moved\n"
	"end\n"
	"define info checkpoints\n"
	"monitor checkpoints\n"
	"end\n"
	"define delete checkpoint\n"
	"monitor forget $arg0\n"
	"end\n";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool in_path(const char *name)
{
	const char *path = getenv("PATH");
	char full[PATH_MAX];

	for (path = path ? path : "/usr/bin:/bin"; *path; path += strspn(path, ":")) {
		const int len = (int)strcspn(path, ":");

		snprintf(full, sizeof(full), "%.*s/%s", len, path, name);
		if (!access(full, X_OK))
			return true;
		path += len;
	}
	return false;
}

/* Where the program ran, for sources whose paths are relative; "": gdb would not take it for one directory. */
static void where_it_ran(struct ct_timeline *tl, char cwd[PATH_MAX])
{
	struct ct_snapshot_reader *snap =
		ct_snapshot_open(ct_recording_dirfd(ct_timeline_recording(tl)), ct_timeline_snapshot(tl), NULL);

	*cwd = 0;
	for (ct_u32 i = 0; snap && i < ct_snapshot_get(snap)->nprocs; i++) {
		const struct ct_snap_proc *p = &ct_snapshot_get(snap)->procs[i];

		if (p->pid == ct_timeline_pid(tl) && p->cwd[0] == '/' && strlen(p->cwd) < PATH_MAX &&
		    !strpbrk(p->cwd, ": \t\n\\\"'$"))
			strcpy(cwd, p->cwd);
	}
	ct_snapshot_reader_close(snap);
}

static int put_text(struct ct_timeline *tl, const char *dir, const char *name, bool batch, struct ct_error *err)
{
	char path[PATH_MAX], cwd[PATH_MAX];
	FILE *f;
	int ret;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot write %s", path);
	where_it_ran(tl, cwd);
	ret = fprintf(f, gdbinit, dir, batch ? "0" : "unlimited", *cwd ? ":" : "", cwd, dir) < 0;
	return fclose(f) || ret ? ct_fail_errno(err, CT_EXIT_FAILED, "cannot write %s", path) : 0;
}

static _Noreturn void become_gdb(const struct ct_replay_gdb *opts, const char *dir, const cpu_set_t *cpus)
{
	const char *argv[8 + 2 * CT_GDB_SCRIPTS] = {"gdb", "-q", "-nh"};
	char init[PATH_MAX];
	sigset_t none;
	int n = 2;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sched_setaffinity(0, sizeof(*cpus), cpus); /* the replay has one CPU for itself */
	snprintf(init, sizeof(init), "%s/gdbinit", dir);
	if (opts->batch)
		argv[n++] = "-batch";
	argv[n++] = "-x";
	argv[n++] = init;
	for (unsigned i = 0; i < opts->nscripts; i++) {
		argv[n++] = "-x";
		argv[n++] = opts->script[i];
	}
	argv[n] = NULL;
	execvp("gdb", (char *const *)argv);
	fprintf(stderr, "ctbpf replay: gdb cannot be started: %s\n", strerror(errno));
	_exit(127);
}

/* The connection of that gdb; -1 if it ends without one. */
static int wait_for_gdb(int listener, pid_t gdb, int *status, bool *ended)
{
	for (;;) {
		struct timeval tv = {.tv_usec = 50000};
		fd_set set;

		FD_ZERO(&set);
		FD_SET(listener, &set);
		if (select(listener + 1, &set, NULL, NULL, &tv) > 0)
			return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		*ended = waitpid(gdb, status, WNOHANG) == gdb;
		if (*ended)
			return -1;
	}
}

static int with_gdb(struct ct_timeline *tl, const struct ct_replay_gdb *opts, const char *dir, const cpu_set_t *cpus,
		    struct ct_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char root[PATH_MAX];
	bool ended = false;
	int listener, fd, status = 0, ret = 0;
	pid_t gdb;

	snprintf(root, sizeof(root), "%s/root", dir);
	if (mkdir(root, 0700) || ct_gdb_sysroot(tl, root, err))
		return -1;
	if (put_text(tl, dir, "gdbinit", opts->batch, err))
		return -1;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1)) {
		if (listener >= 0)
			close(listener);
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot make the socket %s", addr.sun_path);
	}
	gdb = fork();
	if (!gdb)
		become_gdb(opts, dir, cpus);
	fd = gdb < 0 ? -1 : wait_for_gdb(listener, gdb, &status, &ended);
	close(listener);
	if (fd >= 0) {
		ret = ct_gdb_serve(tl, fd, err);
		close(fd);
	}
	while (gdb > 0 && !ended && !(ended = waitpid(gdb, &status, 0) == gdb) && errno == EINTR)
		;
	if (gdb < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "gdb cannot be started");
	if (ret)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int start_gdb(struct ct_timeline *tl, const struct ct_replay_gdb *opts, const cpu_set_t *cpus,
		     struct ct_error *err)
{
	const char *tmp = getenv("TMPDIR");
	char dir[64]; /* the path of a socket is at most 108 bytes */
	int ret;

	if (!tmp || *tmp != '/' || strlen(tmp) > 40)
		tmp = "/tmp";
	snprintf(dir, sizeof(dir), "%s/ctbpf-gdb.XXXXXX", tmp);
	if (!mkdtemp(dir))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot make a directory in %s", tmp);
	ret = with_gdb(tl, opts, dir, cpus, err);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return ret;
}

static int serve_port(struct ct_timeline *tl, const struct ct_replay_gdb *opts, struct ct_error *err)
{
	unsigned port;
	const int listener = ct_loopback_listen((unsigned)opts->port, 1, &port, err);
	int fd, ret;

	if (listener < 0)
		return -1;
	if (!opts->quiet)
		fprintf(stderr,
			"waiting for gdb: (gdb) set remotetimeout 600\n"
			"                 (gdb) target remote 127.0.0.1:%u\n",
			port);
	while ((fd = ct_loopback_accept(listener)) < 0 && (errno == EINTR || errno == EACCES || errno == ECONNABORTED))
		if (errno == EACCES)
			fputs("ctbpf replay: a connection of another user's has been refused\n", stderr);
	close(listener);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "no connection");
	ret = ct_gdb_serve(tl, fd, err);
	close(fd);
	return ret;
}

int ct_replay_gdb(struct ct_recording *rec, const struct ct_replay_gdb *opts, struct ct_error *err)
{
	const struct ct_timeline_opts how = {.from = opts->from, .pid = opts->pid};
	struct ct_timeline *tl;
	cpu_set_t cpus;
	int ret;

	if (opts->port < 0 && !in_path("gdb"))
		return ct_fail(err, CT_EXIT_MISSING,
			       "gdb is not installed; install it (apt install gdb), or use -s PORT and connect another "
			       "debugger that speaks its remote protocol");
	sched_getaffinity(0, sizeof(cpus), &cpus);
	tl = ct_timeline_create(rec, &how, err);
	if (!tl)
		return -1;
	if (opts->to && ct_timeline_seek_text(tl, opts->to, err)) {
		ct_timeline_destroy(tl);
		return -1;
	}
	signal(SIGPIPE, SIG_IGN);
	if (opts->port < 0)
		signal(SIGINT, SIG_IGN); /* Ctrl-C is for gdb, which tells us */
	ret = opts->port < 0 ? start_gdb(tl, opts, &cpus, err) : serve_port(tl, opts, err);
	ct_timeline_destroy(tl);
	return ret;
}
