// SPDX-License-Identifier: MIT
/* Processes that wait inside the kernel for the recorder; the thread that hears of them, and the one that attaches
 * instruction probes.
 *
 * A held process occupies its CPU. So it is answered at once. Most only want their file opened: the hearing thread,
 * which never waits for anything else, does that. The others have to be stopped, and ptrace ties them to the main
 * thread: from whatever that is doing they are seized and interrupted, which needs nobody's help, and released; they
 * then stop before their next instruction, unseen by their parent. What they were held for is done afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "user/recorder_priv.h"
#include "user/stepper.h"
#include "formats/sysrule.h"
#include "record.skel.h" /* after the headers with its types */

/* A larger file is copied while the process that maps it goes on. */
#define SHARED_WAIT (64 << 20)

#define LATER_MAX 128         /* ended processes whose probes are still attached */
#define SERVE_NS  50000000ull /* then the recorder looks at its clock and its signals again */
#define HEAR_MS   20          /* the hearing thread looks at least so often, whatever wakes it */

/* ---- the probing thread -------------------------------------------------------------------------------- */

static void note_uncertain(struct ct_recorder *r, pid_t pid, const char *name, size_t uncertain)
{
	ct_recorder_note(
		r, CT_EV_NOTE, 0, pid, uncertain,
		"%s has %zu places that may be rdtsc or rdrand but could not be probed; a replay that runs one of "
		"them stops there",
		name, uncertain);
}

static void probe_file(struct ct_recorder *r, pid_t pid, const char *path, const char *name)
{
	size_t uncertain;
	struct ct_error err;

	if (ct_probes_scan(&r->probes, pid, path, name, &uncertain, &err))
		ct_recorder_note(r, CT_EV_NOTE, 0, pid, 0, "%s", err.msg);
	else if (uncertain)
		note_uncertain(r, pid, name, uncertain);
}

static void probe_all(struct ct_recorder *r, pid_t pid)
{
	struct ct_maps maps;
	char path[96];

	if (!ct_maps_read(pid, &maps, NULL)) {
		for (size_t i = 0; i < maps.count; i++) {
			const struct ct_map *m = &maps.map[i];

			if (!(m->prot & 4) || m->name[0] != '/' || !m->ino)
				continue;
			snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)m->start,
				 (unsigned long long)m->end);
			probe_file(r, pid, path, m->name);
		}
		ct_maps_deinit(&maps);
	}
	ct_probes_scan_known(&r->probes, pid);
}

static struct ct_probe_op *take(struct ct_probe_op **first, struct ct_probe_op ***end)
{
	struct ct_probe_op *op = *first;

	*first = op->next;
	if (!*first)
		*end = first;
	return op;
}

/* Taking the probes of an ended process away takes a grace period, and nobody waits for it; several threads wait for
 * the same one. With too many descriptors open the prober helps: then new programs wait. */
static void *detacher_main(void *arg)
{
	struct ct_recorder *r = arg;

	pthread_setname_np(pthread_self(), "ctbpf-detach");
	pthread_mutex_lock(&r->probe_lock);
	for (;;) {
		struct ct_probe_op *op;

		if (!r->later) {
			if (r->prober_quit)
				break;
			pthread_cond_wait(&r->detach_wake, &r->probe_lock);
			continue;
		}
		op = take(&r->later, &r->later_end);
		r->nlater--;
		pthread_mutex_unlock(&r->probe_lock);
		ct_probes_detach(op->gone);
		free(op);
		pthread_mutex_lock(&r->probe_lock);
	}
	pthread_mutex_unlock(&r->probe_lock);
	return NULL;
}

static void *prober_main(void *arg)
{
	struct ct_recorder *r = arg;

	pthread_setname_np(pthread_self(), "ctbpf-probe");
	pthread_mutex_lock(&r->probe_lock);
	for (;;) {
		struct ct_probe_op *op;
		bool waited;

		if (r->nlater >= LATER_MAX) {
			op = take(&r->later, &r->later_end);
			r->nlater--;
		} else if (r->ops) {
			op = take(&r->ops, &r->ops_end);
		} else {
			if (r->prober_quit)
				break;
			pthread_cond_wait(&r->probe_wake, &r->probe_lock);
			continue;
		}
		pthread_mutex_unlock(&r->probe_lock);
		waited = op->waited;
		if (op->gone)
			ct_probes_detach(op->gone);
		else if (op->path[0])
			probe_file(r, op->pid, op->path, op->name);
		else
			probe_all(r, op->pid);
		atomic_store(&op->done, 1);
		if (!waited)
			free(op);
		pthread_mutex_lock(&r->probe_lock);
	}
	pthread_mutex_unlock(&r->probe_lock);
	return NULL;
}

int ct_recorder_prober_start(struct ct_recorder *r, struct ct_error *err)
{
	pthread_mutex_init(&r->probe_lock, NULL);
	pthread_cond_init(&r->probe_wake, NULL);
	pthread_cond_init(&r->detach_wake, NULL);
	r->ops_end = &r->ops;
	r->later_end = &r->later;
	if (pthread_create(&r->prober, NULL, prober_main, r))
		return ct_fail(err, CT_EXIT_FAILED, "cannot start a thread");
	r->prober_on = true;
	for (; r->ndetachers < CT_DETACHERS; r->ndetachers++)
		if (pthread_create(&r->detachers[r->ndetachers], NULL, detacher_main, r))
			return ct_fail(err, CT_EXIT_FAILED, "cannot start a thread");
	return 0;
}

void ct_recorder_prober_stop(struct ct_recorder *r)
{
	if (!r->prober_on)
		return;
	pthread_mutex_lock(&r->probe_lock);
	r->prober_quit = true;
	pthread_cond_signal(&r->probe_wake);
	pthread_cond_broadcast(&r->detach_wake);
	pthread_mutex_unlock(&r->probe_lock);
	pthread_join(r->prober, NULL);
	while (r->ndetachers)
		pthread_join(r->detachers[--r->ndetachers], NULL);
	r->prober_on = false;
}

static void submit(struct ct_recorder *r, struct ct_probe_op *op)
{
	struct ct_probe_op ***end = op->gone ? &r->later_end : &r->ops_end;

	pthread_mutex_lock(&r->probe_lock);
	**end = op;
	*end = &op->next;
	r->nlater += op->gone != NULL;
	pthread_cond_signal(op->gone ? &r->detach_wake : &r->probe_wake);
	pthread_mutex_unlock(&r->probe_lock);
}

/* Meanwhile held processes are answered: the grace period the prober waits for may depend on it. */
static void submit_and_wait(struct ct_recorder *r, struct ct_probe_op *op)
{
	const struct timespec pause = {0, 50000};

	op->waited = true;
	submit(r, op);
	while (!atomic_load(&op->done)) {
		ct_recorder_answer(r);
		nanosleep(&pause, NULL);
	}
	free(op);
}

void ct_recorder_probe(struct ct_recorder *r, pid_t pid)
{
	struct ct_probe_op *op = calloc(1, sizeof(*op));

	if (!op)
		return;
	op->pid = pid;
	submit_and_wait(r, op);
}

void ct_recorder_unprobe(struct ct_recorder *r, pid_t pid)
{
	struct ct_insn_link *gone = ct_probes_take(&r->probes, pid);
	struct ct_probe_op *op = gone && r->prober_on ? calloc(1, sizeof(*op)) : NULL;

	if (!op) {
		ct_probes_detach(gone);
		return;
	}
	op->gone = gone;
	submit(r, op);
}

/* ---- holds ------------------------------------------------------------------------------------------------ */

static bool was_late(struct ct_recorder *r, const struct ct_held *h)
{
	return r->probes.counters->hold_late >= h->hold.id;
}

/* Whether fd, opened after the process had gone on, is what it mapped, with the content it had then. */
static bool still_the_same(const struct ct_held *h)
{
	const struct ct_file_ref *was = &h->hold.ref;
	struct timespec real, mono;
	struct ct_file_ref ref;
	struct stat st;
	ct_u64 ctime, mapped;

	if (fstat(h->fd, &st))
		return false;
	ct_recorder_file_ref(&ref, &st);
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	ctime = ref.ctime_s * 1000000000ull + ref.ctime_ns;
	mapped = real.tv_sec * 1000000000ull + real.tv_nsec -
		 (mono.tv_sec * 1000000000ull + mono.tv_nsec - h->hold.time_ns);
	/* A change within the tick of the clock that stamps files would not show. */
	return ct_recorder_same_file(&ref, was) && ctime + 50000000 < mapped;
}

static bool probed_late(struct ct_recorder *r, const struct ct_held *h)
{
	struct stat st;

	return h->stopped && !fstat(h->fd, &st) && ct_probes_has_sites(&r->probes, st.st_dev, st.st_ino);
}

/* The same file by its name, if that still is its name. */
static int open_by_name(const struct ct_held *h, const char *name)
{
	struct ct_file_ref ref;
	struct stat st;
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/root%s", h->hold.pid, name);
	fd = name[0] == '/' ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st)) {
		ct_recorder_file_ref(&ref, &st);
		if (ct_recorder_same_file(&ref, &h->hold.ref))
			return fd;
	}
	close(fd);
	return -1;
}

static void open_mapped(struct ct_held *h)
{
	const struct ct_map *m;
	struct ct_maps maps;
	struct stat st;
	char path[96];

	if (ct_maps_read(h->hold.pid, &maps, NULL))
		return;
	m = ct_maps_find(&maps, h->hold.addr);
	if (m) {
		snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", h->hold.pid, (unsigned long long)m->start,
			 (unsigned long long)m->end);
		h->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (h->fd < 0) {
			h->error = errno;
			h->fd = open_by_name(h, m->name);
		}
		snprintf(h->name, sizeof(h->name), "%s", m->name);
		h->as.ref = h->hold.ref;
		if (h->fd >= 0 && !fstat(h->fd, &st)) {
			h->as.mtime = st.st_mtim;
			h->changing = !ct_recorder_settled(&st) ||
				      ((h->hold.ref.flags & CT_FILE_SHARED_WRITABLE) && st.st_size <= SHARED_WAIT);
		}
	}
	ct_maps_deinit(&maps);
}

void ct_recorder_release_held(struct ct_recorder *r, const struct ct_hold *hold)
{
	r->probes.skel->bss->hold_released[hold->id % CT_HOLDS] = hold->id;
}

static int on_hold(void *ctx, void *data, size_t len)
{
	struct ct_recorder *r = ctx;
	const ct_u64 one = 1;
	struct ct_held *h;

	if (len < sizeof(h->hold))
		return 0;
	h = calloc(1, sizeof(*h));
	if (!h) {
		ct_recorder_release_held(r, data);
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_FILE, 0, 0, "out of memory for a file that was mapped");
		return 0;
	}
	memcpy(&h->hold, data, sizeof(h->hold));
	h->heard_ns = ct_now_ns();
	h->fd = -1;
	if (h->hold.kind == CT_HOLD_FILE)
		for (int i = 0; i < 5 && h->fd < 0; i++) /* a list of mappings read while it changes may lack one */
			open_mapped(h);
	/* Who has just written a file and maps it, or maps it in order to write, waits for the copy. */
	h->to_stop = h->hold.kind == CT_HOLD_EXEC ||
		     (h->fd >= 0 && (h->changing || ct_probes_needs_scan(&r->probes, h->hold.pid, h->fd)));
	if (!h->to_stop) {
		h->told_ns = ct_now_ns();
		ct_recorder_release_held(r, &h->hold);
	}
	pthread_mutex_lock(&r->heard_lock);
	*r->heard_end = h;
	r->heard_end = &h->next;
	pthread_mutex_unlock(&r->heard_lock);
	if (write(r->heard_fd, &one, sizeof(one)) < 0)
		return 0; /* the counter is full: the main thread knows */
	return 0;
}

static void *hearer_main(void *arg)
{
	struct ct_recorder *r = arg;

	pthread_setname_np(pthread_self(), "ctbpf-hold");
	setpriority(PRIO_PROCESS, gettid(), -10);
	while (!atomic_load(&r->hearer_quit)) {
		r->probes.skel->bss->recorder_beat = ct_now_ns();
		ring_buffer__poll(r->urgent, HEAR_MS);
		ct_recorder_hand_look(r);
	}
	ring_buffer__consume(r->urgent);
	return NULL;
}

int ct_recorder_hearer_start(struct ct_recorder *r, struct ct_error *err)
{
	pthread_mutex_init(&r->heard_lock, NULL);
	r->heard_end = &r->heard;
	r->held_end = &r->held;
	r->taken_end = &r->taken;
	r->heard_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->urgent = ring_buffer__new(bpf_map__fd(r->probes.skel->maps.urgent), on_hold, r, NULL);
	if (r->heard_fd < 0 || !r->urgent)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot listen to the kernel side");
	if (ct_recorder_hand_start(r, err))
		return -1;
	if (pthread_create(&r->hearer, NULL, hearer_main, r))
		return ct_fail(err, CT_EXIT_FAILED, "cannot start a thread");
	r->hearer_on = true;
	return 0;
}

void ct_recorder_hearer_stop(struct ct_recorder *r)
{
	if (r->hearer_on) {
		atomic_store(&r->hearer_quit, true);
		pthread_join(r->hearer, NULL);
		r->hearer_on = false;
	}
	ct_recorder_answer(r);
	ct_recorder_hand_stop(r);
	ring_buffer__free(r->urgent);
	r->urgent = NULL;
	if (r->heard_fd >= 0)
		close(r->heard_fd);
	r->heard_fd = -1;
}

static void stop_and_release(struct ct_recorder *r, struct ct_held *h)
{
	h->stopped = (ct_stepper_has(r, h->hold.tid) || !ct_seize(h->hold.tid, PTRACE_O_TRACESYSGOOD)) &&
		     !ptrace(PTRACE_INTERRUPT, h->hold.tid, 0, 0);
	h->told_ns = ct_now_ns();
	ct_recorder_release_held(r, &h->hold);
}

void ct_recorder_answer(void *ctx)
{
	struct ct_recorder *r = ctx;
	struct ct_held *h;
	ct_u64 count;

	if (read(r->heard_fd, &count, sizeof(count)) >= 0) {
		pthread_mutex_lock(&r->heard_lock);
		*r->taken_end = r->heard;
		if (r->heard)
			r->taken_end = r->heard_end;
		r->heard = NULL;
		r->heard_end = &r->heard;
		pthread_mutex_unlock(&r->heard_lock);
		/* Whoever is still held first: those that have been stopped already may wait for that one's CPU. */
		for (h = r->taken; h; h = h->next)
			if (h->to_stop && !h->told_ns && !ct_recorder_hand_has(h))
				stop_and_release(r, h);
	}
	/* One at a time is handed over: the other thread waits for this one then. */
	while (r->taken && !r->regaining) {
		h = r->taken;
		r->taken = h->next;
		if (!r->taken)
			r->taken_end = &r->taken;
		h->next = NULL;
		if (ct_recorder_hand_has(h) && !ct_recorder_hand_regain(r, h))
			stop_and_release(r, h);
		*r->held_end = h;
		r->held_end = &h->next;
	}
}

bool ct_recorder_heard(struct ct_recorder *r)
{
	ct_recorder_answer(r);
	return r->held != NULL;
}

bool ct_recorder_is_held(const struct ct_recorder *r, pid_t pid)
{
	for (const struct ct_held *h = r->held; h; h = h->next)
		if (h->hold.kind == CT_HOLD_EXEC && h->hold.pid == (ct_u32)pid && h->stopped)
			return true;
	return false;
}

static void serve_exec(struct ct_recorder *r, struct ct_held *h)
{
	struct ct_target *t = ct_recorder_target(r, h->hold.pid, false);
	/* A snapshot of all was about to stop it: so it has been, at the same place. */
	const bool stands = t && t->memfd >= 0, waiting = h->stopped && !stands, stopped = h->stopped || stands;
	struct ct_error err;

	if (t && !stopped) /* but what was changed in it went with its image */
		ct_target_forget_image(t);
	if (!stopped)
		ct_fail(&err, CT_EXIT_FAILED, "process %u could not be stopped after its execve", h->hold.pid);
	if (was_late(r, h))
		ct_recorder_note(r, CT_EV_NOTE, 0, h->hold.pid, 0,
				 "the execve of process %u was heard of after %llu ms and answered after %llu ms",
				 h->hold.pid, (unsigned long long)(h->heard_ns - h->hold.time_ns) / 1000000,
				 (unsigned long long)(h->told_ns - h->hold.time_ns) / 1000000);
	if (!stopped || ct_recorder_attach_exec(r, h->hold.pid, h->hold.addr == h->hold.pid, waiting, &err))
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_EXEC_NOT_HELD, h->hold.pid, 0, "%s", err.msg);
}

static void serve_file(struct ct_recorder *r, struct ct_held *h)
{
	bool late = was_late(r, h), kept = false;
	unsigned long long heard, told;
	struct ct_probe_op *op;

	if (h->stopped) {
		op = calloc(1, sizeof(*op));
		if (!ct_wait_interrupted_fairly(h->hold.tid, 3000) && op) {
			op->pid = h->hold.pid;
			snprintf(op->path, sizeof(op->path), "/proc/self/fd/%d", h->fd);
			snprintf(op->name, sizeof(op->name), "%s", h->name);
			submit_and_wait(r, op);
		} else {
			free(op);
		}
		if (h->changing && !late) {
			ct_recorder_keep_mapped(r, h->fd, &h->as, h->name, h->hold.pid, true);
			kept = true;
		}
		if (ct_stepper_has(r, h->hold.tid))
			ct_stepper_stopped(r, h->hold.tid);
		else
			ptrace(PTRACE_DETACH, h->hold.tid, 0, 0);
	}
	if (kept)
		return;
	heard = (h->heard_ns - h->hold.time_ns) / 1000000;
	told = (h->told_ns - h->hold.time_ns) / 1000000;
	if (late && h->fd >= 0 && (!still_the_same(h) || probed_late(r, h))) {
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_FILE, h->hold.pid, h->hold.addr,
				 "%s, which a process mapped, was looked at too late (heard of after %llu ms, answered "
				 "after %llu ms): %s",
				 h->name, heard, told,
				 probed_late(r, h) ? "a time stamp counter or random number read in it may be missing"
						   : "it has changed");
		close(h->fd);
	} else if (h->fd < 0)
		ct_recorder_note(
			r, CT_EV_UNSOUND, CT_UNSOUND_FILE, h->hold.pid, h->hold.addr,
			"the file process %u mapped could not be opened (heard of after %llu ms, answered after "
			"%llu ms): %s",
			h->hold.pid, heard, told, h->error ? strerror(h->error) : "it is not mapped any more");
	else
		ct_recorder_keep_mapped(r, h->fd, &h->as, h->name, h->hold.pid, false);
}

void ct_recorder_serve(struct ct_recorder *r)
{
	const ct_u64 until = ct_now_ns() + SERVE_NS;
	struct ct_held *h;

	ct_recorder_answer(r);
	/* In a storm of new programs the next one is held before this one is served. */
	while ((h = r->held) && ct_now_ns() < until) {
		r->held = h->next;
		if (!r->held)
			r->held_end = &r->held;
		if (h->hold.kind == CT_HOLD_EXEC)
			serve_exec(r, h);
		else
			serve_file(r, h);
		free(h);
	}
}
