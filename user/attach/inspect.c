// SPDX-License-Identifier: MIT
/* Kernel-side state of threads that /proc does not show, read by BPF iterators: nothing is injected for it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/probe.h"
#include "inspect.skel.h"
#include "user/attach/target.h"

static int read_states(int fd, struct ct_target *t)
{
	struct ct_task_state state;
	size_t have = 0;

	for (;;) {
		ssize_t got = read(fd, (char *)&state + have, sizeof(state) - have);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		have += got;
		if (have < sizeof(state))
			continue;
		have = 0;
		for (size_t i = 0; i < t->nthreads; i++)
			if ((ct_u32)t->threads[i].tid == state.tid)
				t->threads[i].state = state;
	}
}

struct ct_inspector *ct_inspector_create(struct ct_error *err)
{
	struct inspect_bpf *skel = inspect_bpf__open_and_load();

	if (!skel)
		ct_fail_errno(err, CT_EXIT_MISSING, "the kernel refuses the thread iterator (BPF iter/task)");
	return (struct ct_inspector *)skel;
}

void ct_inspector_destroy(struct ct_inspector *in)
{
	inspect_bpf__destroy((struct inspect_bpf *)in);
}

/* Opens an iterator limited to the target, where the kernel can do that (6.1). */
static int open_iter(struct bpf_program *prog, pid_t pid, struct bpf_link **link)
{
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, opts);
	union bpf_iter_link_info info;

	memset(&info, 0, sizeof(info));
	info.task.pid = pid;
	opts.link_info = &info;
	opts.link_info_len = sizeof(info);
	*link = bpf_program__attach_iter(prog, &opts);
	if (!*link)
		*link = bpf_program__attach_iter(prog, NULL);
	return *link ? bpf_iter_create(bpf_link__fd(*link)) : -1;
}

/* What a fork has as zeroes: the snapshot's child is one. */
static int read_wiped(int fd, struct ct_target *t)
{
	ct_u64 range[2];
	size_t have = 0;

	t->nwiped = 0;
	for (;;) {
		ssize_t got = read(fd, (char *)range + have, sizeof(range) - have);
		void *more;

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		have += got;
		if (have < sizeof(range))
			continue;
		have = 0;
		more = realloc(t->wiped, (t->nwiped + 1) * sizeof(*t->wiped));
		if (!more)
			return -ENOMEM;
		t->wiped = more;
		t->wiped[t->nwiped].start = range[0];
		t->wiped[t->nwiped++].end = range[1];
	}
}

int ct_inspect_threads(struct ct_inspector *in, struct ct_target *t, struct ct_error *err)
{
	struct inspect_bpf *skel = (struct inspect_bpf *)in;
	struct bpf_program *progs[2] = {skel->progs.ct_inspect, skel->progs.ct_inspect_wiped};
	int ret = 0;

	skel->bss->wanted_tgid = t->pid;
	for (int i = 0; i < 2 && !ret; i++) {
		struct bpf_link *link;
		int fd = open_iter(progs[i], t->pid, &link);

		ret = fd < 0 ? -1 : i ? read_wiped(fd, t) : read_states(fd, t);
		if (fd >= 0)
			close(fd);
		bpf_link__destroy(link);
	}
	if (ret)
		return ct_fail_errno(err, CT_EXIT_MISSING, "cannot read the kernel's state of %d (%s)", t->pid,
				     t->comm);
	return 0;
}
