// SPDX-License-Identifier: MIT
/* ctbpf daemon: watches over targets, each with a recorder of its own. One thread, one epoll set; talks to systemd by
 * the protocol of sd_notify(3). */
#include "user/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/attach/target.h"
#include "user/control.h"
#include "user/recorder_priv.h"

#define TICK_MS    500
#define PATIENCE_S 30

void ct_daemon_log(const char *fmt, ...)
{
	char text[5000];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(stderr, "%s\n", text); /* a line at once */
}

/* ---- systemd --------------------------------------------------------------------------------------------------- */

static void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	char text[256];
	va_list args;
	int fd, n;

	if (!len || len >= sizeof(at.sun_path))
		return;
	memcpy(at.sun_path, path, len);
	if (at.sun_path[0] == '@') /* of the abstract namespace */
		at.sun_path[0] = 0;
	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&at,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		ct_daemon_log("the service manager cannot be told: %s", strerror(errno));
	close(fd);
}

static void notify_state(const struct ct_daemon *d)
{
	size_t recording = 0;

	for (size_t i = 0; i < d->ntargets; i++)
		recording += d->target[i]->state == CT_DAEMON_RECORDING;
	notify("WATCHDOG=1\nSTATUS=%zu of %zu targets are being recorded", recording, d->ntargets);
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

static int prepare_directory(const char *path, struct ct_error *err)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot make the directory of recordings", path);
	if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: refused: recordings go to a directory, no link, that belongs to root and nobody "
			       "else may write (chmod go-w)",
			       path);
	return ct_path_safe(path, err);
}

/* Takes the targets out of the configuration. Those that are as before go on as they are. */
static int take_targets(struct ct_daemon *d, struct ct_daemon_config *c)
{
	struct ct_daemon_target **more = realloc(d->target, (d->ntargets + c->ntargets + 1) * sizeof(*more));
	size_t before = d->ntargets;

	if (!more)
		return -1;
	d->target = more;
	for (size_t i = 0; i < before; i++)
		d->target[i]->removed = true;
	for (size_t k = 0; k < c->ntargets; k++) {
		struct ct_daemon_target *t = NULL;

		for (size_t i = 0; i < before && !t; i++)
			if (!strcmp(d->target[i]->conf.name, c->target[k].name))
				t = d->target[i];
		if (!t) {
			t = ct_daemon_target_create(&c->target[k]);
			if (!t)
				return -1;
			d->target[d->ntargets++] = t;
			continue;
		}
		t->removed = false;
		if (ct_daemon_target_config_same(&t->conf, &c->target[k]))
			continue;
		ct_daemon_target_config_deinit(&t->conf);
		t->conf = c->target[k];
		c->target[k] = (struct ct_daemon_target_config){0};
		t->next_ns = 0;
		t->tries = 0;
		ct_daemon_target_end(t, PATIENCE_S);
	}
	for (size_t i = 0; i < before; i++)
		if (d->target[i]->removed)
			ct_daemon_target_end(d->target[i], PATIENCE_S);
	return 0;
}

static int watch(const struct ct_daemon *d, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return fd < 0 ? 0 : epoll_ctl(d->ep, EPOLL_CTL_ADD, fd, &ev);
}

static int apply(struct ct_daemon *d, struct ct_error *err)
{
	struct ct_daemon_config c;
	unsigned port = d->conf.metrics;

	if (ct_daemon_config_read(d->config_path, &c, err))
		return -1;
	if (prepare_directory(c.directory, err)) {
		ct_daemon_config_deinit(&c);
		return -1;
	}
	if (take_targets(d, &c)) {
		ct_daemon_config_deinit(&c);
		return ct_fail_memory(err);
	}
	ct_daemon_config_deinit(&d->conf);
	d->conf = c;
	if (d->metrics && c.metrics == port)
		return 0;
	ct_daemon_metrics_stop(d); /* which takes its descriptor out of the set */
	if (ct_daemon_metrics_start(d, err))
		return -1;
	watch(d, ct_daemon_metrics_fd(d));
	return 0;
}

static void reload(struct ct_daemon *d)
{
	struct ct_error err = {0};

	notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)ct_now_ns() / 1000);
	if (apply(d, &err)) {
		d->bad_reloads++;
		ct_daemon_log("not reloaded: %s", err.msg);
	} else {
		d->reloads++;
		ct_daemon_log("reloaded %s: %zu targets", d->config_path, d->conf.ntargets);
	}
	notify("READY=1");
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void reap(struct ct_daemon *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < d->ntargets; i++)
			if (d->target[i]->child == pid)
				ct_daemon_target_ended(d, d->target[i], status);
}

static bool tick(struct ct_daemon *d)
{
	bool busy = false;

	for (size_t i = 0; i < d->ntargets;) {
		struct ct_daemon_target *t = d->target[i];

		ct_daemon_target_tick(d, t);
		busy |= t->child != 0;
		if (t->removed && !t->child) {
			ct_daemon_target_destroy(t);
			d->target[i] = d->target[--d->ntargets];
		} else {
			i++;
		}
	}
	return busy;
}

static void end_all(struct ct_daemon *d)
{
	d->ending = true;
	notify("STOPPING=1");
	for (size_t i = 0; i < d->ntargets; i++)
		ct_daemon_target_end(d->target[i], PATIENCE_S);
}

static void on_signal(struct ct_daemon *d, int sig)
{
	struct signalfd_siginfo si;

	if (read(sig, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP && !d->ending)
		reload(d);
	else if (si.ssi_signo == SIGINT || si.ssi_signo == SIGTERM)
		end_all(d);
}

static void on_readable(struct ct_daemon *d, int fd)
{
	if (fd == ct_daemon_metrics_fd(d)) {
		ct_daemon_metrics_run(d);
		return;
	}
	for (size_t i = 0; i < d->ntargets; i++) {
		if (d->target[i]->asked_fd != fd)
			continue;
		ct_daemon_target_heard(d, d->target[i]);
		return;
	}
	ct_daemon_serve(d, fd);
}

static void loop(struct ct_daemon *d, int sig)
{
	ct_u64 next = 0;

	for (;;) {
		ct_u64 now = ct_now_ns();
		struct epoll_event ev;

		if (epoll_wait(d->ep, &ev, 1, now < next ? (int)((next - now + 999999) / 1000000) : 0) > 0) {
			if (ev.data.fd == sig)
				on_signal(d, sig);
			else
				on_readable(d, ev.data.fd);
		}
		reap(d);
		if (ct_now_ns() < next)
			continue;
		next = ct_now_ns() + TICK_MS * 1000000ull;
		if (d->metrics) /* connections that take too long */
			ct_daemon_metrics_run(d);
		if (!tick(d) && d->ending)
			return;
		notify_state(d);
	}
}

/* The socket of a daemon that was killed is taken over; not that of one that lives. */
static int listen_for_requests(struct ct_daemon *d, struct ct_error *err)
{
	int other;

	if (ct_rundir_make(err))
		return -1;
	ct_rundir_sweep();
	d->run_fd = open(CT_RUN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	other = d->run_fd >= 0 ? ct_control_send(d->run_fd, CT_DAEMON_SOCKET, "status") : -1;
	if (other >= 0) {
		close(other);
		return ct_fail(err, CT_EXIT_FAILED, "a daemon is running: see `ctbpf daemon status`");
	}
	if (d->run_fd >= 0)
		unlinkat(d->run_fd, CT_DAEMON_SOCKET, 0);
	d->listener = d->run_fd >= 0 ? ct_control_listen(d->run_fd, CT_DAEMON_SOCKET) : -1;
	if (d->listener < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, CT_RUN_DIR "/" CT_DAEMON_SOCKET ": cannot listen");
	return 0;
}

int ct_daemon_run(const char *config_path, struct ct_error *err)
{
	struct ct_daemon d = {.config_path = config_path, .listener = -1, .run_fd = -1};
	sigset_t set;
	int sig, ret;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	sig = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	d.ep = epoll_create1(EPOLL_CLOEXEC);
	if (sig < 0 || d.ep < 0)
		ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot wait for signals");
	else
		ret = listen_for_requests(&d, err) || apply(&d, err) ? -1 : 0;
	if (!ret && (watch(&d, sig) || watch(&d, d.listener)))
		ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot wait for requests");
	if (!ret) {
		ct_daemon_log("ctbpf " CTBPF_VERSION ": %zu targets of %s", d.ntargets, config_path);
		notify("READY=1");
		loop(&d, sig);
	}
	ct_daemon_metrics_stop(&d);
	for (size_t i = 0; i < d.ntargets; i++)
		ct_daemon_target_destroy(d.target[i]);
	free(d.target);
	ct_daemon_config_deinit(&d.conf);
	if (d.listener >= 0) {
		close(d.listener);
		unlinkat(d.run_fd, CT_DAEMON_SOCKET, 0);
	}
	if (d.run_fd >= 0)
		close(d.run_fd);
	close(sig);
	close(d.ep);
	return ret;
}
