// SPDX-License-Identifier: MIT
/* Which processes are recorded: those attached to, and their descendants, which the kernel side adds by itself; who of
 * them lives; what a descendant has inherited, to be undone in it as in those attached to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/attach/survey.h"
#include "user/recorder_priv.h"

#define LET_GO_ROUNDS 100
#define NEW_NS        20000000

static bool thread_lives(pid_t pid, pid_t tid)
{
	ct_u64 state = ct_proc_stat(pid, tid, 3);

	return state && state != 'Z' && state != 'X';
}

/* The first thread may have ended while others live on. */
bool ct_process_lives(pid_t pid)
{
	pid_t *tids = NULL;
	bool alive = false;
	size_t n = 0;

	if (thread_lives(pid, pid))
		return true;
	if (ct_list_threads(pid, &tids, &n, NULL))
		return false;
	for (size_t i = 0; i < n && !alive; i++)
		alive = thread_lives(pid, tids[i]);
	free(tids);
	return alive ||
	       thread_lives(pid, pid); /* or another has taken the first one's number (de_thread()) meanwhile */
}

bool ct_target_lives(const struct ct_target *t)
{
	return ct_proc_stat(t->pid, t->pid, 22) == t->start_time && ct_process_lives(t->pid);
}

size_t ct_recorder_count(struct ct_recorder *r)
{
	size_t count = 0, alive = 0;
	pid_t *pids;

	if (ct_probes_list(&r->probes, CT_PROCS_ALL, &pids, &count))
		return 1;
	for (size_t i = 0; i < count; i++)
		if (ct_process_lives(pids[i]))
			alive++;
		else
			ct_probes_forget(&r->probes, pids[i]);
	free(pids);
	return alive;
}

struct ct_target *ct_recorder_target(struct ct_recorder *r, pid_t pid, bool add)
{
	struct ct_target **more, *t;

	for (size_t i = 0; i < r->ntargets; i++)
		if (r->targets[i]->pid == pid)
			return r->targets[i];
	if (!add)
		return NULL;
	more = realloc(r->targets, (r->ntargets + 1) * sizeof(*more));
	t = calloc(1, sizeof(*t));
	if (more)
		r->targets = more;
	if (!more || !t) {
		free(t);
		return NULL;
	}
	ct_target_init(t, pid);
	/* What is to be redacted may reach over into a page that has not changed. */
	t->track.wanted = (ct_keep_on(r) || r->opts->snapshot_ns) && r->opts->incremental && !r->redact;
	r->targets[r->ntargets++] = t;
	return t;
}

void ct_recorder_forget(struct ct_recorder *r, struct ct_target *t)
{
	for (size_t i = 0; i < r->ntargets; i++) {
		if (r->targets[i] != t)
			continue;
		memmove(&r->targets[i], &r->targets[i + 1], (r->ntargets - i - 1) * sizeof(*r->targets));
		r->ntargets--;
		break;
	}
	ct_undo_forget(t);
	ct_target_deinit(t);
	free(t);
}

void ct_recorder_drop(struct ct_recorder *r, struct ct_target *t)
{
	ct_recorder_unprobe(r, t->pid);
	ct_recorder_forget(r, t);
}

/* What the leader of `pid` had before anything was pinned: its own if known, else its parent's, else any target's (all
 * descend from those attached first). */
const struct ct_thread *ct_recorder_before_pinning(struct ct_recorder *r, pid_t pid)
{
	pid_t parent = ct_proc_stat(pid, pid, 4);
	const struct ct_thread *any = NULL;

	for (size_t i = 0; i < r->ntargets; i++) {
		const struct ct_target *t = r->targets[i];

		for (size_t k = 0; k < t->nthreads; k++) {
			if (!t->threads[k].saved)
				continue;
			if (t->pid == pid || t->pid == parent)
				return &t->threads[k];
			any = &t->threads[k];
			break;
		}
	}
	return any ? any : r->first_thread.saved ? &r->first_thread : NULL;
}

bool ct_recorder_inherit(struct ct_target *t, const struct ct_thread *from)
{
	t->threads = from ? calloc(1, sizeof(*t->threads)) : NULL;
	if (!t->threads)
		return false;
	t->nthreads = 1;
	t->threads[0].tid = t->pid;
	t->threads[0].saved = true;
	t->threads[0].affinity = from->affinity;
	t->threads[0].policy = from->policy;
	t->threads[0].priority = from->priority;
	return true;
}

/* Makes a forked child a target: it has its parent's patched vDSO, pinning and (no) rseq. */
static bool adopt(struct ct_recorder *r, pid_t pid)
{
	pid_t up = ct_proc_stat(pid, pid, 4);
	struct ct_target *parent = ct_recorder_target(r, up, false);
	const struct ct_thread *before = ct_recorder_before_pinning(r, pid);
	struct ct_target *t = ct_recorder_target(r, pid, true);

	if (!t || !ct_recorder_inherit(t, before))
		return false;
	for (size_t i = 0; !parent && i < r->ntargets; i++)
		if (r->targets[i]->npatches && r->targets[i] != t)
			parent = r->targets[i]; /* its own parent has gone; the vDSO is the same for all */
	t->changed = true;
	t->pin = r->pin; /* inherited, too */
	if (!parent)
		return true;
	for (size_t i = 0; i < parent->nthreads; i++) {
		if (!parent->threads[i].rseq.addr)
			continue;
		t->threads[0].rseq = parent->threads[i].rseq;
		t->threads[0].rseq_off = parent->threads[i].rseq_off;
		break;
	}
	t->own_page = parent->own_page; /* a fork copies the page and the registration */
	t->vdso = parent->vdso;
	t->vdso_len = parent->vdso_len;
	t->npatches = parent->npatches;
	memcpy(t->patch, parent->patch, sizeof(t->patch));
	return true;
}

/* Every recorded process becomes a target, also children nobody has looked at yet. */
void ct_recorder_target_all(struct ct_recorder *r)
{
	size_t count = 0;
	pid_t *pids;

	if (ct_probes_list(&r->probes, CT_PROCS_REPLAYED, &pids, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (!ct_recorder_target(r, pids[i], false) && ct_process_lives(pids[i]))
			adopt(r, pids[i]);
	free(pids);
}

void ct_recorder_adopt_children(struct ct_recorder *r)
{
	size_t count = 0;
	pid_t *pids;

	if (ct_probes_list(&r->probes, CT_PROCS_REPLAYED, &pids, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (!ct_recorder_target(r, pids[i], false) && adopt(r, pids[i])) {
			ct_recorder_probe(r, pids[i]);
			ct_undo_save(ct_recorder_target(r, pids[i], false), NULL);
		}
	free(pids);
}

/* Puts back what one that is not replayed has inherited. False: it could not be stopped now. */
static bool let_go(struct ct_recorder *r, pid_t pid)
{
	struct ct_target *t = ct_recorder_target(r, pid, false);
	bool done = true;

	if (!t && !adopt(r, pid))
		return true;
	t = ct_recorder_target(r, pid, false);
	if (t->memfd < 0 && ct_target_stop(t, NULL)) {
		done = !ct_target_lives(t);
	} else {
		/* While it stands: a child it makes later has nothing to be undone. */
		if (ct_probes_how(&r->probes, pid) & CT_PROC_NEW_IMAGE)
			ct_target_forget_image(t);
		if (!ct_target_inspect(t, r->inspector, NULL))
			ct_target_undo(t, NULL);
		ct_probes_set(&r->probes, pid, CT_PROC_LET_GO);
		ct_target_release(t);
	}
	ct_recorder_drop(r, t);
	return done;
}

void ct_recorder_let_go(struct ct_recorder *r)
{
	bool again = !r->opts->no_replay && r->opts->max_processes;
	size_t count = 0;
	pid_t *pids;

	/* Who is not let go yet may have made more meanwhile. */
	for (int round = 0; again && round < LET_GO_ROUNDS; round++) {
		again = false;
		if (ct_probes_list(&r->probes, CT_PROCS_EVENTS_ONLY, &pids, &count))
			return;
		for (size_t i = 0; i < count; i++) {
			if ((ct_probes_how(&r->probes, pids[i]) & CT_PROC_LET_GO) || !ct_process_lives(pids[i]))
				continue;
			again |= let_go(r, pids[i]);
		}
		free(pids);
	}
}

/* Whether all that it writes is replayed. A new child is in /proc a moment before it is known to be recorded. Who is
 * traced by this program is a snapshot's copy, which does nothing. */
static bool is_replayed(void *ctx, pid_t pid)
{
	struct ct_recorder *r = ctx;
	ct_u32 how = ct_probes_how(&r->probes, pid);

	if ((how & CT_PROC_NONE) && !(ct_probes_how(&r->probes, (pid_t)ct_proc_stat(pid, pid, 4)) & CT_PROC_NONE)) {
		nanosleep(&(struct timespec){.tv_nsec = NEW_NS}, NULL);
		how = ct_probes_how(&r->probes, pid);
	}
	return !(how & (CT_PROC_NONE | CT_PROC_EVENTS_ONLY)) || ct_is_traced_by_us(pid) || !ct_process_lives(pid);
}

void ct_recorder_note_outsider(struct ct_recorder *r)
{
	pid_t *group = calloc(r->ntargets + 1, sizeof(*group)), writer;
	char what[160], label[48];
	bool share = false;

	for (size_t i = 0; group && i < r->ntargets; i++) {
		group[i] = r->targets[i]->pid;
		share |= ct_probes_how(&r->probes, group[i]) & CT_PROC_SHARES;
	}
	writer = share ? ct_survey_outsider(group, r->ntargets, is_replayed, ct_recorder_answer, r, what, sizeof(what))
		       : 0;
	free(group);
	if (!writer)
		return;
	ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_SHARED, writer, 0,
			 "%s can write to shared memory (%s) and is not replayed",
			 ct_target_label(label, sizeof(label), writer), what);
	r->unsound_seen = atomic_load(&r->unsound); /* another snapshot would not help */
}

/* One of a thread's children that began with this program or later, and is no target yet; 0: none. */
static pid_t new_child(struct ct_recorder *r, pid_t pid, pid_t tid, ct_u64 begin)
{
	char path[64], *children, *save = NULL;
	pid_t found = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	children = ct_read_file(path, NULL);
	for (char *p = children ? strtok_r(children, " ", &save) : NULL; p && !found; p = strtok_r(NULL, " ", &save)) {
		pid_t child = atoi(p);

		if (!ct_recorder_target(r, child, false) && ct_proc_stat(child, child, 22) >= begin &&
		    ct_process_lives(child))
			found = child;
	}
	free(children);
	return found;
}

/* Asked while the targets stand still: only they are looked at, not all of the machine. */
pid_t ct_recorder_newcomer(struct ct_recorder *r)
{
	const ct_u64 begin = ct_proc_stat(getpid(), getpid(), 22);
	pid_t found = 0;

	for (size_t i = 0; r->opts->follow && i < r->ntargets && !found; i++)
		for (size_t k = 0; k < r->targets[i]->nthreads && !found; k++)
			found = new_child(r, r->targets[i]->pid, r->targets[i]->threads[k].tid, begin);
	return found;
}
