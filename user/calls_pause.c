// SPDX-License-Identifier: MIT
/* Live calls: probes are taken away for a while and attached again where they were. Meanwhile the process is as it was,
 * and costs nothing. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "user/attach/insn_image.h"
#include "user/calls_priv.h"

static void *copy(const void *from, size_t n, bool *ok)
{
	void *to = from ? malloc(n) : NULL;

	if (to)
		memcpy(to, from, n);
	else if (from)
		*ok = false;
	return to;
}

static void free_link(struct call_link *l)
{
	ct_uprobes_destroy(l->on);
	free((void *)l->spec.path);
	free((void *)l->spec.offsets);
	free((void *)l->spec.cookies);
	free((void *)l->spec.ref_ctrs);
}

int ct_calls_link(struct ct_calls *c, int prog, pid_t pid, const struct ct_uprobe_spec *spec, struct ct_error *err)
{
	const size_t bytes = spec->n * sizeof(*spec->offsets);
	struct call_link l = {.prog = prog, .spec = *spec, .pid = pid};
	bool ok = true;

	l.spec.path = copy(spec->path, strlen(spec->path) + 1, &ok);
	l.spec.offsets = copy(spec->offsets, bytes, &ok);
	l.spec.cookies = copy(spec->cookies, bytes, &ok);
	l.spec.ref_ctrs = copy(spec->ref_ctrs, bytes, &ok);
	if (!ok || ct_image_grow(&c->links, &c->links_cap, c->nlinks, sizeof(*c->links)))
		ct_fail_memory(err);
	else if ((l.on = ct_uprobes_create(prog, spec, err)))
		c->links[c->nlinks++] = l;
	if (!l.on)
		free_link(&l);
	return l.on ? 0 : -1;
}

static void close_pythons(struct ct_calls *c)
{
	size_t count = 0;
	pid_t *pids = NULL;

	if (!c->ninterp || ct_probes_list(c->probes, CT_PROCS_ALL, &pids, &count))
		pids = NULL;
	for (size_t i = 0; i < c->ninterp; i++) {
		struct interpreter *in = &c->interp[i];

		if (in->fd < 0)
			continue;
		/* Children have the pointer from their parent, at the same place. */
		for (size_t k = 0; pids && k < count; k++)
			if (pids[k] != in->pid)
				ct_python_close(pids[k], &in->t, -1);
		ct_python_close(in->pid, &in->t, in->fd);
		in->fd = -1;
	}
	free(pids);
}

int ct_calls_open_python(struct interpreter *in, struct ct_error *err)
{
	if (!in->t.eval_frame)
		return 0;
	in->fd = ct_python_open(in->pid, &in->t, err);
	return in->fd < 0 ? -1 : 0;
}

void ct_calls_detach(struct ct_calls *c)
{
	close_pythons(c);
	for (size_t i = 0; i < c->nlinks; i++) {
		ct_uprobes_destroy(c->links[i].on);
		c->links[i].on = NULL;
	}
}

void ct_calls_free_links(struct ct_calls *c)
{
	for (size_t i = 0; i < c->nlinks; i++)
		free_link(&c->links[i]);
	free(c->links);
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

void ct_calls_pause(struct ct_calls *c)
{
	if (c->paused || c->stopped)
		return;
	c->paused = true;
	__atomic_store_n(&c->skel->bss->on, 0, __ATOMIC_SEQ_CST);
	ct_calls_detach(c);
}

int ct_calls_resume(struct ct_calls *c, struct ct_error *err)
{
	if (!c->paused || c->stopped)
		return 0;
	for (size_t i = 0; i < c->nlinks; i++) {
		struct call_link *l = &c->links[i];

		l->on = ct_uprobes_create(l->prog, &l->spec, err);
		if (!l->on && !is_gone(l->pid)) {
			ct_calls_detach(c);
			return -1;
		}
	}
	for (size_t i = 0; i < c->ninterp; i++) {
		struct interpreter *in = &c->interp[i];

		if (!is_gone(in->pid) && ct_calls_open_python(in, err) && !is_gone(in->pid)) {
			ct_calls_detach(c);
			return -1;
		}
	}
	/* What was open when it was paused may have ended since. */
	__atomic_store_n(&c->skel->bss->epoch, ++c->epoch, __ATOMIC_SEQ_CST);
	c->paused = false;
	return 0;
}

void ct_calls_go(struct ct_calls *c)
{
	__atomic_store_n(&c->skel->bss->on, 1, __ATOMIC_SEQ_CST);
}
