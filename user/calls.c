/* SPDX-License-Identifier: MIT
 * Live calls: chooses probe sites, loads the programs, attaches and detaches thousands of probes at once. */
#include "user/calls.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "replay/agents/python_read.h"
#include "user/attach/insn_image.h"
#include "user/call_files.h"
#include "user/calls_priv.h"
#include "record.skel.h"

#define PERF_MAX 300

/* ---- loading ------------------------------------------------------------------------------------------- */

/* Linux 6.6 to 6.9 run a program that is confined to a process in its first thread alone. */
static bool confines_to_thread(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 && major == 6 && minor >= 6 && minor < 10;
}

static int share(struct bpf_map *map, const struct bpf_map *with, struct ct_error *err)
{
	if (!bpf_map__reuse_fd(map, bpf_map__fd(with)))
		return 0;
	return ct_fail_errno(err, CT_EXIT_FAILED, "cannot share the BPF map %s", bpf_map__name(map));
}

/* The kernel looks at every program that is loaded, for milliseconds each: only those that may be attached are. */
static void choose_programs(struct ct_calls *c)
{
	const struct ct_calls_opts *o = c->o;
	struct calls_bpf *s = c->skel;
	const struct {
		struct bpf_program *prog;
		bool wanted;
	} choice[] = {{s->progs.ct_call_session, o->nfunctions && c->session},
		      {s->progs.ct_call_enter, o->nfunctions > 0 || o->max_overhead > 0}, /* also: see calls_govern.c */
		      {s->progs.ct_call_leave, o->nfunctions > 0 || o->max_overhead > 0},
		      {s->progs.ct_python_session, o->python && c->session},
		      {s->progs.ct_python_enter, o->python && !c->session},
		      {s->progs.ct_python_leave, o->python && !c->session},
		      {s->progs.ct_ruby, o->ruby},
		      {s->progs.ct_php, o->vm[CT_VM_PHP]},
		      {s->progs.ct_perl, o->vm[CT_VM_PERL]},
		      {s->progs.ct_lua, o->vm[CT_VM_LUA]},
		      {s->progs.ct_node, o->vm[CT_VM_NODE]},
		      {s->progs.ct_told_entry, o->told},
		      {s->progs.ct_told_exit, o->told},
		      {s->progs.ct_told_lines, o->told},
		      {s->progs.ct_told_value, o->told},
		      {s->progs.ct_told_message, o->told}};

	for (size_t i = 0; i < sizeof(choice) / sizeof(*choice); i++)
		bpf_program__set_autoload(choice[i].prog, choice[i].wanted);
}

static int load(struct ct_calls *c, struct ct_probes *probes, struct ct_error *err)
{
	struct calls_bpf *skel = c->skel = calls_bpf__open();
	struct record_bpf *rec = probes->skel;
	struct bpf_program *prog;

	if (!skel)
		return ct_fail_errno(err, CT_EXIT_MISSING, "cannot open the BPF programs for calls");
	skel->rodata->seq_at = (ct_u32)((char *)&rec->bss->counters.seq - (char *)rec->bss);
	skel->rodata->lost_at = (ct_u32)((char *)&rec->bss->counters.lost - (char *)rec->bss);
	skel->rodata->max_depth = c->o->depth;
	skel->rodata->min_ns = c->o->min_ns;
	skel->rodata->max_rate = c->o->max_rate;
	skel->rodata->only_tid = (ct_u32)c->o->tid;
	skel->rodata->any_process = c->threads_only;
	if (c->o->filter) {
		skel->rodata->nrules = c->o->filter->nrules;
		skel->rodata->skip_by_default = c->o->filter->skip;
		skel->rodata->silent_by_default = c->o->filter->silent;
	}
	if (share(skel->maps.ring, rec->maps.ring, err) || share(skel->maps.shared, rec->maps.bss, err) ||
	    share(skel->maps.procs, rec->maps.procs, err))
		return -1;
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_expected_attach_type(prog, ct_uprobe_attach_type(c->multi));
	bpf_program__set_expected_attach_type(skel->progs.ct_call_session, CT_UPROBE_SESSION_TYPE);
	bpf_program__set_expected_attach_type(skel->progs.ct_python_session, CT_UPROBE_SESSION_TYPE);
	choose_programs(c);
	if (calls_bpf__load(skel))
		return ct_fail_errno(err, CT_EXIT_MISSING,
				     "the kernel refuses the BPF programs for calls (-v shows the verifier's words)");
	for (ct_u32 i = 0; c->o->filter && i < c->o->filter->nrules; i++)
		if (bpf_map_update_elem(bpf_map__fd(skel->maps.rules), &i, &c->o->filter->rule[i], BPF_ANY))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot give the rules of the filter to the kernel");
	return 0;
}

struct ct_calls *ct_calls_create(const struct ct_calls_opts *o, struct ct_probes *probes, struct ct_error *err)
{
	struct ct_calls *c = calloc(1, sizeof(*c));

	if (!c) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	c->o = o;
	c->probes = probes;
	c->multi = probes->uprobe_multi;
	c->session = c->multi && ct_uprobe_session_supported();
	c->threads_only = c->multi && confines_to_thread();
	if (!load(c, probes, err))
		return c;
	ct_calls_destroy(c);
	return NULL;
}

/* ---- attaching ----------------------------------------------------------------------------------------- */

int ct_calls_place(struct places *p, ct_u64 offset, ct_u64 cookie)
{
	if (ct_image_grow(&p->offset, &p->cap, p->n, sizeof(*p->offset)) ||
	    ct_image_grow(&p->cookie, &p->cookie_cap, p->n, sizeof(*p->cookie)))
		return -1;
	p->offset[p->n] = offset;
	p->cookie[p->n++] = cookie;
	return 0;
}

void ct_calls_free_places(struct places *p)
{
	free(p->offset);
	free(p->cookie);
}

int ct_calls_probe(struct ct_calls *c, const struct bpf_program *prog, pid_t pid, const char *path,
		   const struct places *p, size_t first, size_t n, unsigned flags, struct ct_error *err)
{
	struct ct_uprobe_spec spec = {.path = path,
				      .offsets = p->offset + first,
				      .cookies = p->cookie + first,
				      .ref_ctrs = p->semaphore ? p->semaphore + first : NULL,
				      .n = n,
				      .pid = c->threads_only ? 0 : pid,
				      .flags = flags | (c->multi ? CT_UPROBE_MULTI : CT_UPROBE_PERF)};

	size_t half = n / 2;

	if (!n)
		return 0;
	if (!c->multi && n > PERF_MAX)
		return ct_fail(err, CT_EXIT_MISSING,
			       "this kernel takes a tenth of a second to take away a probe, for want of uprobe_multi "
			       "(Linux 6.6): not more than %d at a time; %zu are asked for",
			       PERF_MAX, n);
	if (!ct_calls_link(c, bpf_program__fd(prog), pid, &spec, err))
		return 0;
	/* There are instructions that the kernel does not probe: all others are. */
	if (n > 1)
		return ct_calls_probe(c, prog, pid, path, p, first, half, flags, err) &
		       ct_calls_probe(c, prog, pid, path, p, first + half, n - half, flags, err);
	if (!c->stats.unprobed++)
		snprintf(c->stats.unprobed_name, sizeof(c->stats.unprobed_name), "%.140s", err->msg);
	return -1;
}

int ct_calls_probe_pairs(struct ct_calls *c, pid_t pid, const char *path, const struct places *p, bool python,
			 struct ct_error *err)
{
	const struct calls_bpf *s = c->skel;

	if (c->session)
		return ct_calls_probe(c, python ? s->progs.ct_python_session : s->progs.ct_call_session, pid, path, p,
				      0, p->n, CT_UPROBE_SESSION, err);
	if (ct_calls_probe(c, python ? s->progs.ct_python_leave : s->progs.ct_call_leave, pid, path, p, 0, p->n,
			   CT_UPROBE_RETURN, err))
		return -1;
	return ct_calls_probe(c, python ? s->progs.ct_python_enter : s->progs.ct_call_enter, pid, path, p, 0, p->n, 0,
			      err);
}

/* ---- interpreters -------------------------------------------------------------------------------------- */

/* One more of an interpreter's kind; what is found is `ret` as of ct_python_target. 1: go on. */
static int found(struct ct_calls *c, pid_t pid, int ret, const char *what, struct ct_error *err)
{
	if (ret < 0 && c->o->any) { /* there may be something else */
		snprintf(c->stats.part, sizeof(c->stats.part), "%.399s", err->msg);
		return 0;
	}
	if (ret || c->o->any)
		return ret;
	return ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d runs no interpreter of %s", pid, what);
}

/* Their probes find it in this map. */
static int map_interpreter(const struct bpf_map *map, ct_u32 index, const void *probe, struct ct_error *err)
{
	if (bpf_map_update_elem(bpf_map__fd(map), &index, probe, BPF_ANY))
		return ct_fail(err, CT_EXIT_FAILED, "more than %d processes with an interpreter", CT_CALL_PYTHONS);
	return 0;
}

static void name_interpreter(struct ct_calls *c, const char *format, ...)
{
	size_t len = strlen(c->stats.interpreters);
	va_list ap;

	if (len)
		len += (size_t)snprintf(c->stats.interpreters + len, sizeof(c->stats.interpreters) - len, ", ");
	if (len >= sizeof(c->stats.interpreters))
		return;
	va_start(ap, format);
	vsnprintf(c->stats.interpreters + len, sizeof(c->stats.interpreters) - len, format, ap);
	va_end(ap);
}

/* Only names are read there. */
static int open_memory(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int attach_python(struct ct_calls *c, pid_t pid, struct ct_error *err)
{
	struct interpreter *more = reallocarray(c->interp, c->ninterp + 1, sizeof(*more)), *in;
	ct_u32 index = (ct_u32)c->ninterp;
	struct places at = {0};
	int ret;

	if (!more)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	c->interp = more;
	in = &more[c->ninterp];
	memset(in, 0, sizeof(*in));
	in->pid = pid;
	in->fd = -1;
	ret = found(c, pid, ct_python_target(pid, &in->t, err), "Python whose calls can be seen (CPython 3.8 to 3.14)",
		    err);
	if (ret <= 0)
		return ret;
	c->ninterp++;
	if (map_interpreter(c->skel->maps.pythons, index, &in->t.probe, err))
		return -1;
	ret = ct_calls_place(&at, in->t.offset, index) ? ct_fail(err, CT_EXIT_FAILED, "out of memory")
						       : ct_calls_probe_pairs(c, pid, in->t.path, &at, true, err);
	ct_calls_free_places(&at);
	if (ret || ct_calls_open_python(in, err))
		return -1;
	name_interpreter(c, "Python %u.%u.%u", in->t.version >> 24, in->t.version >> 16 & 255,
			 in->t.version >> 8 & 255);
	return 0;
}

static int attach_ruby(struct ct_calls *c, pid_t pid, struct ct_error *err)
{
	struct ct_ruby_target *more = reallocarray(c->ruby, c->nruby + 1, sizeof(*more)), *t;
	ct_u32 index = (ct_u32)c->nruby;
	struct places at = {0};
	int ret;

	if (!more)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	c->ruby = more;
	t = &more[c->nruby];
	ret = found(c, pid, ct_ruby_target(pid, t, err), "Ruby whose calls can be seen (3.1, 3.3)", err);
	if (ret <= 0)
		return ret;
	c->nruby++;
	if (map_interpreter(c->skel->maps.rubies, index, &t->probe, err))
		return -1;
	t->reader.memfd = open_memory(pid); /* without it, methods are told of without their classes */
	ret = 0;
	for (unsigned i = 0; i < t->nsites && !ret; i++)
		ret = ct_calls_place(&at, t->site[i].offset,
				     CT_RUBY_COOKIE(index, t->site[i].what, t->site[i].ec, t->site[i].compared));
	ret = ret < 0 ? ct_fail(err, CT_EXIT_FAILED, "out of memory")
		      : ct_calls_probe(c, c->skel->progs.ct_ruby, pid, t->path, &at, 0, at.n, 0, err);
	ct_calls_free_places(&at);
	if (!ret)
		name_interpreter(c, "Ruby %u.%u", t->major, t->minor);
	return ret;
}

/* Names of Lua's functions are found by the recorder, when the kernel has decided. */
static int check_lua_filter(const struct ct_calls *c, struct ct_error *err)
{
	for (ct_u32 i = 0; c->o->filter && i < c->o->filter->nrules; i++)
		if (!c->o->filter->rule[i].file)
			return ct_fail(err, CT_EXIT_FAILED,
				       "%s: a rule about names (obj) cannot be followed for Lua, whose functions have "
				       "none in the kernel: use file or pkg",
				       c->o->filter_path);
	return 0;
}

static int attach_vm(struct ct_calls *c, enum ct_vm vm, pid_t pid, struct ct_error *err)
{
	const struct bpf_program *const prog[CT_VMS] = {[CT_VM_PHP] = c->skel->progs.ct_php,
							[CT_VM_PERL] = c->skel->progs.ct_perl,
							[CT_VM_LUA] = c->skel->progs.ct_lua,
							[CT_VM_NODE] = c->skel->progs.ct_node};
	const struct ct_vm_kind *kind = &ct_vm_kinds[vm];
	struct ct_vm_target t;
	struct places at = {0};
	char what[64];
	int ret;

	snprintf(what, sizeof(what), "%s whose calls can be seen (%s)", kind->name, kind->versions);
	ret = found(c, pid, ct_vm_target(vm, pid, &t, err), what, err);
	if (ret <= 0)
		return ret;
	if (vm == CT_VM_LUA && check_lua_filter(c, err))
		return -1;
	if (map_interpreter(c->skel->maps.vms, c->nvms, &t.probe, err))
		return -1;
	ret = 0;
	for (unsigned i = 0; i < t.nsites && !ret; i++)
		ret = ct_calls_place(&at, t.site[i].offset,
				     CT_VM_COOKIE(c->nvms, t.site[i].what, t.site[i].reg, t.site[i].reg2));
	ret = ret < 0 ? ct_fail(err, CT_EXIT_FAILED, "out of memory")
		      : ct_calls_probe(c, prog[vm], pid, t.path, &at, 0, at.n, 0, err);
	ct_calls_free_places(&at);
	c->nvms++;
	if (vm == CT_VM_LUA) {
		c->lua[c->nlua].pid = pid;
		c->lua[c->nlua++].memfd = open_memory(pid);
	} else if (vm == CT_VM_NODE) {
		c->node[c->nnode].pid = pid;
		c->node[c->nnode++].names.memfd = open_memory(pid);
	}
	if (t.part)
		snprintf(c->stats.part, sizeof(c->stats.part), "%s", t.part);
	if (!ret)
		name_interpreter(c, "%s %s", kind->name, t.version);
	return ret;
}

/* ---- what programs tell -------------------------------------------------------------------------------- */

struct told {
	struct ct_calls *c;
	pid_t pid;
};

static int attach_told_file(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	const struct told *t = ctx;
	const struct calls_bpf *s = t->c->skel;
	const struct bpf_program *const progs[CT_TOLD_PROBES] = {s->progs.ct_told_entry, s->progs.ct_told_exit,
								 s->progs.ct_told_lines, s->progs.ct_told_value,
								 s->progs.ct_told_message};
	int fd = open(file->path, O_RDONLY | O_CLOEXEC), ret = 0, found;
	struct ct_told_sites sites;
	ct_u64 cookie = 0;

	if (fd < 0) /* unmapped a moment ago */
		return 0;
	found = ct_told_find(fd, &sites);
	close(fd);
	if (!found)
		return 0;
	/* Leaving first, as with native functions. Of calls that are told of late, or not, there is nothing more. */
	for (int i = CT_TOLD_PROBES - 1; i >= 0 && !ret; i--) {
		const struct places at = {
			.offset = &sites.offset[i], .cookie = &cookie, .semaphore = &sites.semaphore[i]};

		if (sites.offset[i] && !(t->c->o->min_ns && (i == CT_TOLD_LINES_RUN || i == CT_TOLD_VALUE)))
			ret = ct_calls_probe(t->c, progs[i], t->pid, file->path, &at, 0, 1, 0, err);
	}
	t->c->stats.told++;
	return ret;
}

static int attach_told(struct ct_calls *c, pid_t pid, struct ct_error *err)
{
	struct told t = {c, pid};

	return ct_each_exec_file(pid, attach_told_file, &t, err);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

int ct_calls_attach(struct ct_calls *c, pid_t pid, ct_calls_tell *tell_it, void *ctx, struct ct_error *err)
{
	struct timespec a, b;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &a);
	if (c->o->nfunctions)
		ret = ct_calls_attach_native(c, pid, tell_it, ctx, err);
	if (!ret && c->o->told)
		ret = attach_told(c, pid, err);
	if (!ret && c->o->python)
		ret = attach_python(c, pid, err);
	if (!ret && c->o->ruby)
		ret = attach_ruby(c, pid, err);
	for (unsigned vm = 0; vm < CT_VMS && !ret; vm++)
		if (c->o->vm[vm])
			ret = attach_vm(c, vm, pid, err);
	if (!ret && c->o->told && !c->o->nfunctions && !c->stats.interpreters[0] && !c->stats.told)
		ret = c->stats.part[0] ? ct_fail(err, CT_EXIT_FAILED, "%s", c->stats.part)
				       : ct_fail(err, CT_EXIT_NOT_ATTACHED,
						 c->o->any ? "process %d runs no interpreter whose calls can be seen "
							     "(CPython 3.8 to "
							     "3.14, Ruby 3.1 and 3.3, PHP 8.2, "
							     "Perl 5.36, Lua 5.4.4, Node.js 20), nor does it tell of "
							     "itself (ctbpf.h)"
							   : "process %d does not tell of itself: nothing in it was "
							     "made with ctbpf.h",
						 pid);
	clock_gettime(CLOCK_MONOTONIC, &b);
	c->stats.attach_ms += (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
	return ret;
}

void ct_calls_start(struct ct_calls *c)
{
	c->skel->data->next_id = c->nfunctions + 1;
	ct_calls_go(c);
}

void ct_calls_stop(struct ct_calls *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	if (c->skel && c->skel->bss)
		__atomic_store_n(&c->skel->bss->on, 0, __ATOMIC_SEQ_CST);
	ct_calls_detach(c);
}

void ct_calls_stats(const struct ct_calls *c, struct ct_calls_stats *stats)
{
	*stats = c->stats;
}

const struct ct_call_counters *ct_calls_counters(const struct ct_calls *c)
{
	return &c->skel->bss->stats;
}

void ct_calls_destroy(struct ct_calls *c)
{
	if (!c)
		return;
	ct_calls_stop(c);
	ct_calls_free_links(c);
	calls_bpf__destroy(c->skel);
	free(c->interp);
	for (size_t i = 0; i < c->nruby; i++)
		if (c->ruby[i].reader.memfd >= 0)
			close(c->ruby[i].reader.memfd);
	for (size_t i = 0; i < c->nlua; i++)
		if (c->lua[i].memfd >= 0)
			close(c->lua[i].memfd);
	for (size_t i = 0; i < c->nnode; i++) {
		if (c->node[i].names.memfd >= 0)
			close(c->node[i].names.memfd);
		free(c->node[i].names.ends);
	}
	free(c->ruby);
	free(c);
}

const struct ct_event *ct_calls_rewrite(struct ct_calls *c, void *buf, const struct ct_event *ev)
{
	const struct ct_ev_function *f = ct_event_payload(ev);
	const char *file, *name;
	struct ct_event *out = buf;
	struct ct_ev_function *g = (struct ct_ev_function *)(out + 1);
	unsigned units;
	char *to = (char *)(g + 1);

	if (ev->type != CT_EV_FUNCTION || !(f->flags & CT_FNF_UNITS) ||
	    (size_t)f->name_len + f->file_len > CT_CALL_NAME_MAX + CT_CALL_FILE_MAX)
		return ev;
	if ((f->flags & CT_FNF_NODE) == CT_FNF_NODE) {
		struct ct_node_names none = {.memfd = -1};
		size_t i = 0;

		while (i < c->nnode && c->node[i].pid != (pid_t)ev->pid)
			i++;
		return ct_node_rewrite(i < c->nnode ? &c->node[i].names : &none, buf, ev);
	}
	if (f->flags & CT_FNF_LUA) {
		size_t i = 0;

		while (i < c->nlua && c->lua[i].pid != (pid_t)ev->pid)
			i++;
		return ct_lua_rewrite(i < c->nlua ? c->lua[i].memfd : -1, buf, ev);
	}
	if (f->flags & CT_FNF_RUBY) {
		size_t i = 0;

		while (i < c->nruby && c->ruby[i].pid != (pid_t)ev->pid)
			i++;
		return ct_ruby_rewrite(i < c->nruby ? &c->ruby[i] : NULL, buf, ev);
	}
	name = ct_event_function(ev, &file);
	*out = *ev;
	*g = *f;
	units = f->flags >> CT_FNF_UNITS_NAME & 15;
	g->name_len = (ct_u16)ct_py_utf8((const unsigned char *)name, units ? units : 1,
					 f->name_len / (units ? units : 1), to);
	units = f->flags >> CT_FNF_UNITS_FILE & 15;
	g->file_len = (ct_u16)ct_py_utf8((const unsigned char *)file, units ? units : 1,
					 f->file_len / (units ? units : 1), to + g->name_len);
	g->flags &= (ct_u16)~CT_FNF_UNITS;
	out->size = (ct_u32)(sizeof(*out) + sizeof(*g) + g->name_len + g->file_len);
	return out;
}
