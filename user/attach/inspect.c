// SPDX-License-Identifier: MIT
/* Kernel-side state of threads that /proc does not show, read by a BPF iterator: nothing is injected for it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
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

int ct_inspect_threads(struct ct_inspector *in, struct ct_target *t, struct ct_error *err)
{
	struct inspect_bpf *skel = (struct inspect_bpf *)in;
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, opts);
	union bpf_iter_link_info info;
	struct bpf_link *link;
	int fd = -1, ret = -1;

	skel->bss->wanted_tgid = t->pid;
	memset(&info, 0, sizeof(info));
	info.task.pid = t->pid; /* threads of this process only, where the kernel can (6.1) */
	opts.link_info = &info;
	opts.link_info_len = sizeof(info);
	link = bpf_program__attach_iter(skel->progs.ct_inspect, &opts);
	if (!link)
		link = bpf_program__attach_iter(skel->progs.ct_inspect, NULL);
	if (link)
		fd = bpf_iter_create(bpf_link__fd(link));
	if (fd >= 0) {
		ret = read_states(fd, t);
		close(fd);
	}
	bpf_link__destroy(link);
	if (ret)
		return ct_fail_errno(err, CT_EXIT_MISSING, "cannot read the kernel's state of %d (%s)", t->pid,
				     t->comm);
	return 0;
}
