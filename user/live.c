// SPDX-License-Identifier: MIT
/* A live process looked at: which interpreters it runs, its threads stopped for a moment, copied, and let go. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <time.h>
#include <unistd.h>

#include "live_priv.h"

#define STOP_MS 1000 /* a thread that has a CPU stops at once */
#define AGAIN   4    /* looks at a Ruby whose threads are not all known yet */

static const struct ct_step_limits limits = {.values = true, .depth = 2, .items = 8, .bytes = 64};

/* ---- interpreters ------------------------------------------------------------------------------------------------ */

static void python_name(char name[32], unsigned version)
{
	snprintf(name, 32, "CPython %u.%u.%u", version >> 24, version >> 16 & 255, version >> 8 & 255);
}

static int describe(const char *path, struct ct_python *py, struct ct_ruby *rb, struct live_runtime *rt)
{
	struct ct_error why = {0};
	int ret = ct_python_find(path, py, &why);

	*rt->trouble = 0;
	if (ret && py->version)
		python_name(rt->name, py->version);
	else if (ret)
		snprintf(rt->name, sizeof(rt->name), "CPython");
	if (!ret && (ret = ct_ruby_find(path, rb, &why)))
		snprintf(rt->name, sizeof(rt->name), rb->layout ? "Ruby %u.%u" : "Ruby",
			 rb->layout ? rb->layout->major : 0, rb->layout ? rb->layout->minor : 0);
	if (ret < 0)
		snprintf(rt->trouble, sizeof(rt->trouble), "%.400s", why.msg);
	return ret;
}

/* A file as the process sees it; if it has been replaced meanwhile, as it is mapped. */
static void file_path(pid_t pid, const struct ct_map *m, char path[4200])
{
	snprintf(path, 4200, "/proc/%d/map_files/%lx-%lx", pid, (unsigned long)m->start, (unsigned long)m->end);
	if (access(path, R_OK))
		snprintf(path, 4200, "/proc/%d/root%.4000s", pid, m->name);
}

static bool is_first(const struct ct_maps *maps, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(maps->map[k].name, maps->map[i].name))
			return false;
	return true;
}

/* Is the file that this mapping begins an interpreter? As describe(). */
static int look_at_map(pid_t pid, const struct ct_maps *maps, size_t i, struct ct_python *py, struct ct_ruby *rb,
		       struct live_runtime *rt)
{
	const struct ct_map *m = &maps->map[i];
	char path[4200], why[sizeof(rt->trouble)];
	int ret;

	if (m->offset || m->name[0] != '/' || !is_first(maps, i))
		return 0;
	file_path(pid, m, path);
	snprintf(rt->file, sizeof(rt->file), "%.255s", m->name);
	ret = describe(path, py, rb, rt);
	if (!strncmp(rt->trouble, path, strlen(path))) { /* under the name that it is known by */
		snprintf(why, sizeof(why), "%s", rt->trouble + strlen(path));
		snprintf(rt->trouble, sizeof(rt->trouble), "%.200s%.200s", m->name, why);
	}
	return ret;
}

size_t live_find_runtimes(pid_t pid, struct live_runtime list[LIVE_RUNTIMES])
{
	struct ct_python *py = malloc(sizeof(*py));
	struct ct_ruby *rb = malloc(sizeof(*rb));
	struct ct_maps maps = {0};
	struct ct_error none;
	size_t n = 0;

	if (py && rb && !ct_maps_read(pid, &maps, &none)) {
		for (size_t i = 0; i < maps.count && n < LIVE_RUNTIMES; i++)
			n += look_at_map(pid, &maps, i, py, rb, &list[n]) != 0;
		ct_maps_deinit(&maps);
	}
	free(py);
	free(rb);
	return n;
}

static int find_runtimes(struct live *l, struct ct_error *err)
{
	for (size_t i = 0; i < l->maps.count && l->nruntimes < LIVE_RUNTIMES; i++) {
		const struct ct_map *m = &l->maps.map[i];
		struct ct_python py;
		struct ct_ruby rb;
		int ret = look_at_map(l->pid, &l->maps, i, &py, &rb, &l->runtime[l->nruntimes]);

		if (!ret)
			continue;
		l->nruntimes++;
		if (ret > 0 && py.version && !l->py) {
			l->python = py;
			l->python_bias = py.relative ? m->start : 0;
			l->py = ct_py_peek_create(l->memfd, &l->python, l->python_bias, &limits);
			l->python_file = strdup(m->name);
			if (!l->py || !l->python_file)
				return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		} else if (ret > 0 && !py.version && !l->rb) {
			l->ruby = rb;
			l->ruby_bias = m->start;
			l->rb = ct_rb_peek_create(l->memfd, &l->ruby, l->ruby_bias, &limits);
			l->ruby_file = strdup(m->name);
			if (!l->rb || !l->ruby_file)
				return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
	}
	return 0;
}

size_t live_runtimes(const struct live *l, const struct live_runtime **list)
{
	*list = l->runtime;
	return l->nruntimes;
}

struct live *live_open(pid_t pid, const struct live_options *options, struct ct_error *err)
{
	struct live *l = calloc(1, sizeof(*l));
	char path[64];

	if (!l || !(l->frames = malloc(LIVE_PYTHON_FRAMES * sizeof(*l->frames)))) {
		free(l);
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	l->pid = pid;
	l->options = *options;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	l->memfd = open(path, O_RDONLY | O_CLOEXEC);
	if (l->memfd < 0) {
		if (errno == ENOENT)
			ct_fail(err, CT_EXIT_NOT_ATTACHED,
				"there is no process %d; look it up again, for example with pgrep", pid);
		else if (errno == ESRCH)
			ct_fail(err, CT_EXIT_NOT_ATTACHED,
				"process %d has no memory: it is one of the kernel's, or has exited", pid);
		else
			ct_fail_errno(err, errno == EACCES ? CT_EXIT_MISSING : CT_EXIT_NOT_ATTACHED,
				      "the memory of process %d cannot be read (run as root, or as the process's user)",
				      pid);
	} else if (!ct_maps_read(pid, &l->maps, err) && !find_runtimes(l, err) && !live_native_open(l, err)) {
		return l;
	}
	live_close(l);
	return NULL;
}

void live_close(struct live *l)
{
	if (!l)
		return;
	if (l->dwfl)
		dwfl_end(l->dwfl);
	ct_py_peek_destroy(l->py);
	ct_rb_peek_destroy(l->rb);
	ct_maps_deinit(&l->maps);
	free(l->python_file);
	free(l->ruby_file);
	free(l->frames);
	free(l->ec);
	if (l->memfd >= 0)
		close(l->memfd);
	free(l);
}

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

static ct_u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ct_u64)t.tv_sec * 1000000000 + (ct_u64)t.tv_nsec;
}

const char *live_state(char letter)
{
	switch (letter) {
	case 'R': return "running";
	case 'S': return "sleeping";
	case 'D': return "in uninterruptible sleep";
	case 'T': return "stopped";
	case 't': return "stopped by a tracer";
	case 'Z': return "has exited";
	}
	return "in an unknown state";
}

/* Name, state and the number that the process itself knows it by. */
static bool read_status(pid_t pid, pid_t tid, struct live_copy *c)
{
	char path[64], *text, *p;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	text = ct_read_file(path, NULL);
	if (!text)
		return false;
	c->thread.tid = tid;
	c->ns_tid = (ct_u32)tid;
	if (sscanf(text, "Name: %15[^\n]", c->name) != 1)
		*c->name = 0;
	if ((p = strstr(text, "\nState:")))
		sscanf(p, " State: %c", &c->state);
	if ((p = strstr(text, "\nNSpid:"))) {
		p[1 + strcspn(p + 1, "\n")] = 0;
		p = strrchr(p, '\t');
		c->ns_tid = p ? (ct_u32)atoi(p) : c->ns_tid;
	}
	for (char *q = c->name; *q; q++)
		if (*q < ' ' || *q > '~') /* also what is not ASCII: char is signed */
			*q = '?';
	free(text);
	return true;
}

/* Uninterruptible sleepers do not stop; zombies have nothing to look at; what is stopped already is another's. */
static bool can_stop(const struct live *l, const struct live_copy *c)
{
	if (l->options.running_only && c->state != 'R')
		return false;
	return c->state != 'D' && c->state != 'Z' && c->state != 'X';
}

static int stop(struct live *l, struct live_copy *list, size_t n, struct ct_error *err)
{
	size_t stopped = 0, refused = 0;
	int ret, why = 0;

	for (size_t i = 0; i < n; i++) {
		if (!can_stop(l, &list[i]))
			continue;
		ret = ct_seize(list[i].thread.tid, 0);
		if (!ret) {
			ptrace(PTRACE_INTERRUPT, list[i].thread.tid, 0, 0);
			list[i].thread.stopped = true;
		} else if (ret != -ESRCH) {
			refused++;
			why = -ret;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (!list[i].thread.stopped)
			continue;
		ret = ct_wait_interrupted_fairly(list[i].thread.tid, STOP_MS);
		/* It would stop later, and stand still; when this process ends, the kernel lets it go. */
		if (ret == -ETIMEDOUT)
			return ct_fail(err, CT_EXIT_NOT_ATTACHED, "thread %d of process %d does not stop within %d s",
				       (int)list[i].thread.tid, l->pid, STOP_MS / 1000);
		if (ret || ct_get_regs(list[i].thread.tid, &list[i].thread.regs)) {
			list[i].thread.stopped = false; /* gone */
			continue;
		}
		list[i].looked_at = true;
		stopped++;
	}
	if (refused && !stopped) {
		errno = why;
		return ct_fail_errno(err, CT_EXIT_NOT_ATTACHED,
				     "process %d may not be stopped (a debugger has it, or privileges are missing)",
				     l->pid);
	}
	return 0;
}

/* On a busy machine whoever waits for a CPU makes those wait that stand still. */
static void hurry(bool on)
{
	static int policy;
	static struct sched_param usual;
	const struct sched_param first = {.sched_priority = 1};

	if (on && (policy = sched_getscheduler(0)) >= 0 && !sched_getparam(0, &usual))
		sched_setscheduler(0, SCHED_RR, &first); /* or it takes longer, without the privilege */
	else if (!on && policy >= 0)
		sched_setscheduler(0, policy, &usual);
}

static void go_on(struct live_copy *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].thread.stopped)
			ct_thread_go_on(&list[i].thread);
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static void copy_stack(struct live *l, struct live_copy *c)
{
	const ct_u64 sp = c->thread.regs.r[CT_RSP];
	const struct ct_map *m = ct_maps_find(&l->maps, sp);
	struct ct_error none;
	size_t most;

	if (!m) { /* a thread that has come meanwhile */
		ct_maps_deinit(&l->maps);
		if (ct_maps_read(l->pid, &l->maps, &none))
			return;
		m = ct_maps_find(&l->maps, sp);
	}
	if (!m)
		return;
	c->stack_at = sp - m->start < 128 ? m->start : sp - 128; /* the red zone */
	most = m->end - c->stack_at < LIVE_STACK ? m->end - c->stack_at : LIVE_STACK;
	/* It may end before, at a guard page that no mapping tells of. */
	c->stack = malloc(most);
	for (ssize_t got = 1; c->stack && c->stack_len < most && got > 0; c->stack_len += got > 0 ? (size_t)got : 0)
		got = pread(l->memfd, c->stack + c->stack_len, most - c->stack_len,
			    (off_t)(c->stack_at + c->stack_len));
}

static void add_local(void *ctx, const char *name, const struct ct_value *v)
{
	struct live_frame *f = ctx;
	struct live_local *more = realloc(f->local, (f->nlocals + 1) * sizeof(*more)), *local;
	size_t len;
	FILE *text;

	if (!more)
		return;
	f->local = more;
	local = &f->local[f->nlocals];
	local->value = NULL;
	if (!(local->name = strdup(name)))
		return;
	f->nlocals++;
	if (!v || !(text = open_memstream(&local->value, &len)))
		return;
	ct_value_print(text, v);
	fclose(text);
}

static bool room_inner(struct live_copy *c, size_t n)
{
	c->inner = calloc(n + 1, sizeof(*c->inner));
	c->entry = calloc(n + 1, sizeof(*c->entry));
	return c->inner && c->entry;
}

static void copy_python(struct live *l, struct live_copy *list, size_t n)
{
	const size_t count = ct_py_peek_frames(l->py, l->frames, LIVE_PYTHON_FRAMES);

	for (size_t i = 0, end; i < count; i = end) {
		struct live_copy *c = NULL;

		for (end = i; end < count && l->frames[end].tid == l->frames[i].tid;)
			end++;
		for (size_t k = 0; k < n; k++)
			if (list[k].ns_tid == l->frames[i].tid && list[k].looked_at && !list[k].inner)
				c = &list[k];
		if (!c || !room_inner(c, end - i))
			continue;
		for (; c->ninner < end - i; c->ninner++) {
			const struct ct_py_live *from = &l->frames[i + c->ninner];
			const struct ct_py_code *code = ct_py_peek_code(l->py, from->code);
			struct live_frame *f = &c->inner[c->ninner];

			f->kind = LIVE_PYTHON;
			f->function = strdup(code ? code->code.name : "?");
			f->file = code ? strdup(code->code.file) : NULL;
			f->line = from->line;
			c->entry[c->ninner] = from->entry;
			if (l->options.locals)
				ct_py_peek_locals(l->py, from, add_local, f);
		}
	}
}

static void copy_ruby(struct live *l, struct live_copy *c)
{
	struct ct_rb_live *list;
	size_t n;

	for (size_t i = 0; i < l->nec; i++)
		if (l->ec[i].tid == c->thread.tid)
			c->ruby_ec = l->ec[i].ec;
	list = c->ruby_ec && !c->inner ? calloc(LIVE_FRAMES, sizeof(*list)) : NULL;
	if (!list)
		return;
	n = ct_rb_peek_frames(l->rb, c->ruby_ec, list, LIVE_FRAMES);
	if (room_inner(c, n))
		for (; c->ninner < n; c->ninner++) {
			const struct ct_rb_live *from = &list[c->ninner];
			struct live_frame *f = &c->inner[c->ninner];

			f->kind = LIVE_RUBY;
			f->function = strdup(from->iseq->code.name);
			f->file = strdup(from->iseq->code.file);
			f->line = from->line;
			c->entry[c->ninner] = from->entry;
			if (l->options.locals)
				ct_rb_peek_locals(l->rb, from, add_local, f);
		}
	free(list);
}

/* ---- a look ------------------------------------------------------------------------------------------------------ */

static void free_copies(struct live_copy *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < list[i].ninner; k++)
			live_frame_deinit(&list[i].inner[k]);
		free(list[i].inner);
		free(list[i].entry);
		free(list[i].stack);
	}
	free(list);
}

/* Threads that have come have stacks of their own, maybe where others had them. */
static void refresh_maps(struct live *l, const pid_t *tids, size_t n)
{
	struct ct_error none;
	ct_u64 sum = n;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ (ct_u64)tids[i]) * 0x100000001b3ull;
	if (sum == l->threads)
		return;
	l->threads = sum;
	ct_maps_deinit(&l->maps);
	ct_maps_read(l->pid, &l->maps, &none);
}

static int take_copies(struct live *l, struct live_copy **out, size_t *count, ct_u64 *stopped_ns, struct ct_error *err)
{
	struct live_copy *list;
	pid_t *tids;
	size_t all, n = 0;
	ct_u64 since;

	if (ct_list_threads(l->pid, &tids, &all, err))
		return -1;
	list = calloc(all + 1, sizeof(*list));
	if (!list) {
		free(tids);
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	refresh_maps(l, tids, all);
	for (size_t i = 0; i < all; i++)
		n += read_status(l->pid, tids[i], &list[n]);
	free(tids);
	since = now_ns();
	if (stop(l, list, n, err)) {
		go_on(list, n);
		free_copies(list, n);
		return -1;
	}
	hurry(true);
	for (size_t i = 0; i < n; i++)
		if (list[i].looked_at)
			copy_stack(l, &list[i]);
	if (l->py)
		copy_python(l, list, n);
	for (size_t i = 0; l->rb && i < n; i++)
		if (list[i].looked_at)
			copy_ruby(l, &list[i]);
	go_on(list, n);
	*stopped_ns += now_ns() - since;
	hurry(false);
	*out = list;
	*count = n;
	return 0;
}

/* Which frames are Ruby's is told by a register in the evaluation loop: it is known when the stack has been unwound. */
static bool learn_ec(struct live *l, const struct live_copy *c, const struct live_native *native, size_t n)
{
	struct live_ec *more;
	ct_u64 ec = 0;

	for (size_t i = 0; i < n && !ec; i++)
		ec = native[i].ec;
	if (!ec || ec == c->ruby_ec)
		return false;
	for (size_t i = 0; i < l->nec; i++)
		if (l->ec[i].tid == c->thread.tid) {
			l->ec[i].ec = ec;
			return true;
		}
	more = realloc(l->ec, (l->nec + 1) * sizeof(*more));
	if (!more)
		return false;
	l->ec = more;
	l->ec[l->nec++] = (struct live_ec){c->thread.tid, ec};
	return true;
}

static int make_stacks(struct live *l, struct live_copy *list, size_t n, struct live_native *native, bool last,
		       struct live_stacks *out)
{
	bool again = false;

	out->thread = calloc(n + 1, sizeof(*out->thread));
	for (size_t i = 0; out->thread && i < n; i++) {
		struct live_thread *t = &out->thread[out->n];
		size_t count = 0;

		if (!list[i].looked_at && (l->options.running_only || can_stop(l, &list[i]))) /* or it has ended */
			continue;
		out->n++;
		t->tid = list[i].thread.tid;
		t->state = list[i].state;
		memcpy(t->name, list[i].name, sizeof(t->name));
		if (list[i].looked_at)
			count = live_native_unwind(l, &list[i], native, t->note);
		else
			snprintf(t->note, sizeof(t->note), "it does not stop to be looked at (state %c)",
				 list[i].state);
		if (l->rb && learn_ec(l, &list[i], native, count))
			again = true;
		live_merge(l, &list[i], native, count, t);
	}
	return again && !last;
}

int live_look(struct live *l, struct live_stacks *out, struct ct_error *err)
{
	struct live_native *native = malloc(LIVE_FRAMES * sizeof(*native));
	struct live_copy *list = NULL;
	size_t n = 0;
	int ret = 1;

	memset(out, 0, sizeof(*out));
	for (int i = 0; native && ret > 0 && i < AGAIN; i++) {
		live_stacks_deinit(out);
		ret = take_copies(l, &list, &n, &out->stopped_ns, err);
		if (ret)
			break;
		if (!n) {
			ret = ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d has ended", l->pid);
		} else {
			ret = make_stacks(l, list, n, native, i == AGAIN - 1, out);
		}
		free_copies(list, n);
	}
	if (!native)
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	free(native);
	return ret;
}

void live_frame_deinit(struct live_frame *f)
{
	for (size_t i = 0; i < f->nlocals; i++) {
		free(f->local[i].name);
		free(f->local[i].value);
	}
	free(f->local);
	free(f->function);
	free(f->file);
	free(f->module);
}

void live_stacks_deinit(struct live_stacks *s)
{
	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < s->thread[i].n; k++)
			live_frame_deinit(&s->thread[i].frame[k]);
		free(s->thread[i].frame);
	}
	free(s->thread);
	s->thread = NULL;
	s->n = 0;
}
