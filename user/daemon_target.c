// SPDX-License-Identifier: MIT
/* One target of the daemon: its processes are looked for, a recorder is started on them, asked, ended, and when they
 * have gone it begins again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "formats/recording.h"
#include "user/attach/target.h"
#include "user/control.h"
#include "user/daemon.h"
#include "user/recorder.h"
#include "user/recorder_priv.h"

#define SECOND    1000000000ull
#define ASK_NS    (2 * SECOND)
#define SILENT_NS (60 * SECOND) /* a recorder that has not answered for so long is not well */
#define RETRY_MAX 60            /* seconds between two attempts */
#define STAMP_LEN 20            /* 20260131T235959.999Z */

const char *ct_daemon_state_name(enum ct_daemon_state state)
{
	static const char *const name[] = {"waiting", "attaching", "recording", "ending",
					   "undoing", "failing",   "stopped"};

	return name[state];
}

struct ct_daemon_target *ct_daemon_target_create(struct ct_daemon_target_config *take)
{
	struct ct_daemon_target *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->conf = *take;
	*take = (struct ct_daemon_target_config){0};
	t->client = t->asked_fd = -1;
	return t;
}

static void forget_answer(struct ct_daemon_target *t)
{
	if (t->asked_fd >= 0)
		close(t->asked_fd);
	t->asked_fd = -1;
	json_decref(t->stats);
	t->stats = NULL;
}

void ct_daemon_target_destroy(struct ct_daemon_target *t)
{
	forget_answer(t);
	ct_control_answer(t->client, "error the daemon has let go of %s", t->conf.name);
	ct_daemon_target_config_deinit(&t->conf);
	free(t->pids);
	free(t->seen);
	free(t);
}

/* ---- recordings ------------------------------------------------------------------------------------------------ */

/* NAME-STAMP.ctr, as it is named here; what triggers have made has more in its name. */
static int is_recording(const char *file, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(file, name, len) && file[len] == '-' && strlen(file) == len + 1 + STAMP_LEN + 4 &&
	       strspn(file + len + 1, "0123456789TZ.") >= STAMP_LEN && !strcmp(file + len + 1 + STAMP_LEN, ".ctr");
}

/* The first recording of its name, or the last; "" if there is none. How many there are. */
static size_t find_recording(const struct ct_daemon *d, const struct ct_daemon_target *t, bool last,
			     char found[NAME_MAX + 1])
{
	DIR *dir = opendir(d->conf.directory);
	struct dirent *entry;
	size_t count = 0;

	*found = 0;
	while (dir && (entry = readdir(dir))) {
		if (!is_recording(entry->d_name, t->conf.name))
			continue;
		count++;
		if (!*found || (strcmp(entry->d_name, found) > 0) == last)
			snprintf(found, NAME_MAX + 1, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return count;
}

/* Makes room for one more. Names rise with time. */
static void remove_old(const struct ct_daemon *d, const struct ct_daemon_target *t)
{
	char oldest[NAME_MAX + 1], path[PATH_MAX + NAME_MAX];

	while (find_recording(d, t, false, oldest) >= d->conf.recordings) {
		snprintf(path, sizeof(path), "%s/%s", d->conf.directory, oldest);
		ct_recording_discard(path);
		if (!access(path, F_OK)) {
			ct_daemon_log("%s: %s cannot be removed", t->conf.name, path);
			return;
		}
		ct_daemon_log("%s: removed %s: there are %u newer ones", t->conf.name, oldest, d->conf.recordings - 1);
	}
}

static void stamp(char out[STAMP_LEN + 1], time_t seconds, unsigned ms)
{
	char when[16] = ""; /* four digits of a year */
	struct tm tm;

	strftime(when, sizeof(when), "%Y%m%dT%H%M%S", gmtime_r(&seconds, &tm));
	snprintf(out, STAMP_LEN + 1, "%s.%03uZ", when, ms % 1000);
}

/* By the clock; if that has been set back, right behind the last one: what is removed first is what is first by name.
 */
static void name_recording(const struct ct_daemon *d, struct ct_daemon_target *t)
{
	char last[NAME_MAX + 1], when[STAMP_LEN + 1];
	struct timespec now;
	struct tm tm = {0};
	const char *was;

	clock_gettime(CLOCK_REALTIME, &now);
	stamp(when, now.tv_sec, (unsigned)now.tv_nsec / 1000000);
	find_recording(d, t, true, last);
	was = *last ? last + strlen(t->conf.name) + 1 : "";
	if (*was && strncmp(when, was, STAMP_LEN) <= 0 && strptime(was, "%Y%m%dT%H%M%S", &tm)) {
		const unsigned ms = (unsigned)strtoul(was + STAMP_LEN - 4, NULL, 10) + 1;

		stamp(when, timegm(&tm) + ms / 1000, ms);
	}
	snprintf(t->recording, sizeof(t->recording), "%s/%s-%s.ctr", d->conf.directory, t->conf.name, when);
}

/* ---- children -------------------------------------------------------------------------------------------------- */

static bool start(struct ct_daemon_target *t, char **argv)
{
	pid_t parent = getpid();

	t->child = fork();
	if (!t->child) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* A recording ends in order if its daemon is killed. */
		if (prctl(PR_SET_PDEATHSIG, SIGINT) || getppid() != parent)
			_exit(CT_EXIT_FAILED);
		execv("/proc/self/exe", argv);
		_exit(CT_EXIT_FAILED);
	}
	if (t->child > 0)
		return true;
	ct_daemon_log("%s: cannot start a process: %s", t->conf.name, strerror(errno));
	t->child = 0;
	return false;
}

static char *join_pids(const struct ct_daemon_target *t)
{
	char *text = malloc(t->npids * 12 + 1);
	size_t len = 0;

	for (size_t i = 0; text && i < t->npids; i++)
		len += (size_t)sprintf(text + len, "%s%d", i ? "," : "", t->pids[i]);
	return text;
}

static void failed(struct ct_daemon_target *t)
{
	unsigned wait = t->tries < 6 ? 1u << t->tries : RETRY_MAX;

	t->tries++;
	t->failures++;
	t->state = CT_DAEMON_FAILING;
	t->next_ns = ct_now_ns() + wait * SECOND;
	ct_daemon_log("%s: tried again in %u s", t->conf.name, wait);
}

static void start_recorder(struct ct_daemon *d, struct ct_daemon_target *t)
{
	char *pids = join_pids(t), **argv = calloc(t->conf.noptions + 8, sizeof(*argv));
	size_t n = 0;

	if (pids && argv) {
		remove_old(d, t);
		name_recording(d, t);
		argv[n++] = "ctbpf";
		argv[n++] = "record";
		argv[n++] = "-q";
		argv[n++] = "-p";
		argv[n++] = pids;
		argv[n++] = "-o";
		argv[n++] = t->recording;
		for (size_t i = 0; i < t->conf.noptions; i++)
			argv[n++] = t->conf.options[i];
		if (start(t, argv)) {
			t->state = CT_DAEMON_ATTACHING;
			t->attached++;
			t->heard_ns = t->asked_ns = ct_now_ns();
			t->kill_ns = 0;
			ct_daemon_log("%s: process%s %s: to %s", t->conf.name, t->npids > 1 ? "es" : "", pids,
				      t->recording);
		}
	}
	if (!t->child)
		failed(t);
	free(pids);
	free(argv);
}

/* What a killed recorder has left changed, in children, too. Processes with a living recorder are left alone. */
static bool start_undo(struct ct_daemon_target *t)
{
	char *argv[] = {"ctbpf", "detach", "--all", NULL};

	if (!start(t, argv))
		return false;
	t->state = CT_DAEMON_UNDOING;
	return true;
}

void ct_daemon_target_end(struct ct_daemon_target *t, unsigned patience_s)
{
	if (t->state != CT_DAEMON_RECORDING && t->state != CT_DAEMON_ATTACHING)
		return;
	t->state = CT_DAEMON_ENDING;
	t->kill_ns = ct_now_ns() + patience_s * SECOND;
	kill(t->child, SIGINT);
}

/* There is no recorder, and nothing is left to undo. */
static void settle(struct ct_daemon_target *t, bool bad)
{
	if (t->stop || t->removed)
		t->state = CT_DAEMON_STOPPED;
	else if (bad)
		failed(t);
	else
		t->state = CT_DAEMON_WAITING;
	t->next_ns = bad ? t->next_ns : 0;
	if (t->client >= 0 && !t->client_restart) {
		ct_control_answer(t->client, "ok %s", t->recording);
		t->client = -1;
	}
}

static bool some_live(const struct ct_daemon_target *t)
{
	bool live = false;

	for (size_t i = 0; i < t->npids && !live; i++)
		live = !kill(t->pids[i], 0);
	return live;
}

/* Also by a recorder from before the daemon. */
static bool left_changed(const struct ct_daemon_target *t)
{
	bool left = false;

	for (size_t i = 0; i < t->npids && !left; i++) {
		char path[64];

		snprintf(path, sizeof(path), CT_RUN_DIR "/%d.json", t->pids[i]);
		left = !access(path, F_OK);
	}
	return left;
}

void ct_daemon_target_ended(struct ct_daemon *d, struct ct_daemon_target *t, int status)
{
	bool asked = t->state == CT_DAEMON_ENDING, undoing = t->state == CT_DAEMON_UNDOING;
	bool bad = !WIFEXITED(status) || WEXITSTATUS(status);

	(void)d;
	t->child = 0;
	t->kill_ns = 0;
	forget_answer(t);
	if (!undoing)
		t->bad = bad && !asked && some_live(t);
	if (!undoing && WIFSIGNALED(status))
		ct_daemon_log("%s: its recorder was killed (signal %d)", t->conf.name, WTERMSIG(status));
	else if (!undoing)
		ct_daemon_log("%s: the recording has ended%s (status %d)", t->conf.name,
			      asked    ? " as asked for"
			      : t->bad ? " by an error"
				       : "",
			      WEXITSTATUS(status));
	if (!undoing && bad && left_changed(t) && start_undo(t))
		return;
	settle(t, t->bad);
}

/* ---- what is due ----------------------------------------------------------------------------------------------- */

static void ask(struct ct_daemon *d, struct ct_daemon_target *t)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int dir = open(t->recording, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	t->asked_ns = ct_now_ns();
	if (t->asked_fd >= 0) { /* not answered yet */
		if (dir >= 0)
			close(dir);
		return;
	}
	t->asked_fd = dir >= 0 ? ct_control_send(dir, CT_CONTROL, "status") : -1;
	ev.data.fd = t->asked_fd;
	if (t->asked_fd >= 0)
		epoll_ctl(d->ep, EPOLL_CTL_ADD, t->asked_fd, &ev);
	if (dir >= 0)
		close(dir);
}

void ct_daemon_target_heard(struct ct_daemon *d, struct ct_daemon_target *t)
{
	char text[4096];
	ssize_t n = recv(t->asked_fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	json_t *stats;

	if (n < 0 && errno == EAGAIN)
		return;
	epoll_ctl(d->ep, EPOLL_CTL_DEL, t->asked_fd, NULL);
	close(t->asked_fd);
	t->asked_fd = -1;
	text[n > 0 ? n : 0] = 0;
	stats = strncmp(text, "ok ", 3) ? NULL : json_loads(text + 3, 0, NULL);
	if (!stats)
		return;
	json_decref(t->stats);
	t->stats = stats;
	t->heard_ns = ct_now_ns();
	t->tries = 0;
	if (t->state != CT_DAEMON_ATTACHING)
		return;
	t->state = CT_DAEMON_RECORDING;
	if (t->client_restart) {
		ct_control_answer(t->client, "ok %s", t->recording);
		t->client = -1;
		t->client_restart = false;
	}
}

bool ct_daemon_target_healthy(const struct ct_daemon_target *t)
{
	return t->state != CT_DAEMON_FAILING && ((t->state != CT_DAEMON_RECORDING && t->state != CT_DAEMON_ATTACHING) ||
						 ct_now_ns() - t->heard_ns < SILENT_NS);
}

/* Starts when two looks in a row have found the same: a service that is just being started makes its processes. */
static void look(struct ct_daemon *d, struct ct_daemon_target *t)
{
	struct ct_match match = {t->conf.kind, t->conf.what};
	size_t count;
	pid_t *pids;
	bool same;

	if (ct_match_find(&match, &pids, &count)) {
		free(pids);
		return;
	}
	same = count && count == t->nseen && !memcmp(pids, t->seen, count * sizeof(*pids));
	free(t->seen);
	t->seen = pids;
	t->nseen = count;
	if (!count)
		t->state = CT_DAEMON_WAITING;
	if (!same)
		return;
	free(t->pids);
	t->pids = t->seen;
	t->npids = t->nseen;
	t->seen = NULL;
	t->nseen = 0;
	start_recorder(d, t);
}

void ct_daemon_target_tick(struct ct_daemon *d, struct ct_daemon_target *t)
{
	ct_u64 now = ct_now_ns();

	if (t->kill_ns && t->child && now >= t->kill_ns) {
		ct_daemon_log("%s: its recorder does not end", t->conf.name);
		kill(t->child, SIGKILL);
		t->kill_ns = 0;
	}
	if (t->state == CT_DAEMON_ATTACHING || (t->state == CT_DAEMON_RECORDING && now - t->asked_ns >= ASK_NS))
		ask(d, t);
	if (!d->ending && (t->state == CT_DAEMON_WAITING || t->state == CT_DAEMON_FAILING) && now >= t->next_ns)
		look(d, t);
}
