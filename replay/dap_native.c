/* SPDX-License-Identifier: MIT
 * A debuggee that is a replay of native code: opening it, its threads, their stacks, where it stands. */
#include "replay/dap_native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "formats/snapshot.h"
#include "replay/process_modules.h"

#define FRAME_BITS 20
#define VDSO_MAX   (1u << 20)

int native_no_memory(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

void native_say(struct dap_native *d, const char *text)
{
	d->host->output(d->host->ctx, "console", text, strlen(text), NULL);
}

static bool read_memory(void *ctx, ct_u64 addr, void *buf, size_t len)
{
	struct dap_native *d = ctx;

	return !ct_session_read(ct_timeline_session(d->tl), d->pid, addr, buf, len, NULL);
}

static bool interrupted(void *ctx)
{
	struct dap_native *d = ctx;

	return d->host->interrupted(d->host->ctx);
}

/* ---- stacks ---- */

void native_moved(struct dap_native *d)
{
	for (size_t i = 0; i < d->nstacks; i++)
		ct_dwarf_stack_free(&d->stack[i].s);
	for (size_t i = 0; i < d->nrefs; i++)
		free(d->ref[i].expression);
	d->nstacks = d->nrefs = 0;
}

int native_regs(struct dap_native *d, ct_u32 tid, struct ct_dwarf_regs *regs, struct ct_error *err)
{
	struct ct_session *s = ct_timeline_session(d->tl);
	static __thread ct_u8 xsave[CT_XSAVE_MAX];
	struct ct_regs general;
	ssize_t len;

	if (ct_session_regs(s, tid, &general, err))
		return -1;
	len = ct_session_xsave(s, tid, xsave, NULL);
	ct_dwarf_regs_from(regs, &general, xsave, len > 0 ? (size_t)len : 0);
	return 0;
}

struct native_stack *native_stack(struct dap_native *d, ct_u32 tid, struct ct_error *err)
{
	struct native_stack *more;
	struct ct_dwarf_regs regs;

	tid = tid ? tid : d->tid;
	for (size_t i = 0; i < d->nstacks; i++)
		if (d->stack[i].tid == tid)
			return &d->stack[i];
	more = realloc(d->stack, (d->nstacks + 1) * sizeof(*more));
	if (!more) {
		native_no_memory(err);
		return NULL;
	}
	d->stack = more;
	more += d->nstacks;
	more->tid = tid;
	if (native_regs(d, tid, &regs, err) || ct_dwarf_unwind(d->dw, &regs, &d->mem, NATIVE_FRAMES, &more->s, err))
		return NULL;
	d->nstacks++;
	return more;
}

int native_frame(struct dap_native *d, ct_u64 id, struct ct_dwarf_place *place, struct ct_error *err)
{
	const struct native_stack *s = NULL;
	size_t frame = 0;

	if (!id) {
		s = native_stack(d, 0, err);
		if (!s)
			return -1;
	} else if (id >> FRAME_BITS < d->nstacks) {
		s = &d->stack[id >> FRAME_BITS];
		frame = (size_t)(id & ((1u << FRAME_BITS) - 1)) - 1;
	}
	if (!s || frame >= s->s.n)
		return ct_fail(err, CT_EXIT_USAGE, "there is no frame %llu: the program has moved on",
			       (unsigned long long)id);
	*place = (struct ct_dwarf_place){.d = d->dw, .mem = &d->mem, .stack = &s->s, .frame = frame};
	return 0;
}

static json_t *frame_json(struct dap_native *d, const struct native_stack *s, size_t i)
{
	const struct ct_dwarf_frame *f = &s->s.frame[i];
	const ct_u64 id = (ct_u64)(s - d->stack) << FRAME_BITS | (i + 1);
	char name[600], at[32];
	json_t *o, *source;

	if (f->name)
		snprintf(name, sizeof(name), "%s%s%s", f->name, f->inlined ? " (inlined)" : "",
			 f->guessed && i ? " (guessed)" : "");
	else if (f->signal)
		snprintf(name, sizeof(name), "<signal handler called>");
	else
		ct_dwarf_name_address(d->dw, f->pc, name, sizeof(name));
	snprintf(at, sizeof(at), "%#llx", (unsigned long long)f->pc);
	o = json_pack("{s:I, s:o, s:i, s:i, s:s}", "id", (json_int_t)id, "name",
		      dap_text(*name ? name : at, strlen(*name ? name : at)), "line",
		      f->has_line ? (int)f->line.line : 0, "column", f->has_line ? (int)f->line.column : 0,
		      "instructionPointerReference", at);
	source = f->has_line ? native_source(d, f->line.file) : NULL;
	if (o && source)
		json_object_set(o, "source", source);
	else if (o)
		json_object_set_new(o, "presentationHint", json_string("subtle"));
	json_decref(source);
	return o;
}

static json_t *stack_trace(struct dap_debuggee *base, ct_u32 thread, size_t start, size_t levels, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	const struct native_stack *s = native_stack(d, thread, err);
	json_t *list = s ? json_array() : NULL;

	for (size_t i = start; s && i < s->s.n && (!levels || i - start < levels); i++)
		json_array_append_new(list, frame_json(d, s, i));
	if (s && !s->s.whole && s->s.why[0] && (!levels || start + levels > s->s.n))
		json_array_append_new(list, json_pack("{s:i, s:o, s:i, s:i, s:s}", "id", 0, "name",
						      dap_text(s->s.why, strlen(s->s.why)), "line", 0, "column", 0,
						      "presentationHint", "label"));
	return s ? json_pack("{s:o, s:I}", "stackFrames", list, "totalFrames", (json_int_t)s->s.n) : NULL;
}

/* ---- threads, position ---- */

static json_t *threads(struct dap_debuggee *base, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	struct ct_session_thread *threads;
	json_t *list = json_array();
	size_t n;

	if (ct_session_threads(ct_timeline_session(d->tl), &threads, &n, err)) {
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		char name[64];

		if (threads[i].pid != d->pid)
			continue;
		snprintf(name, sizeof(name), "%s %u%s", threads[i].comm, threads[i].tid,
			 threads[i].nr >= 0 ? " (in a system call)" : "");
		json_array_append_new(
			list, json_pack("{s:i, s:o}", "id", (int)threads[i].tid, "name", dap_text(name, strlen(name))));
	}
	free(threads);
	return list;
}

static json_t *when(struct dap_debuggee *base, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	char position[CT_MOMENT_TEXT], text[CT_MOMENT_TEXT + 80];
	ct_u64 begin, end;
	struct ct_moment now;

	if (ct_timeline_now(d->tl, &now, err) || ct_timeline_now_text(d->tl, position, err))
		return NULL;
	ct_timeline_range(d->tl, &begin, &end);
	snprintf(text, sizeof(text), "%s of events %llu to %llu", position, (unsigned long long)begin,
		 (unsigned long long)end - 1);
	return json_pack("{s:s, s:s, s:I, s:i}", "text", text, "position", position, "event", (json_int_t)now.next,
			 "threadId", (int)d->tid);
}

static json_t *exception(struct dap_debuggee *base, ct_u32 thread, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	struct ct_dwarf_function f;
	const char *name;

	if (d->last.why == CT_ARRIVED_BREAK && ct_dwarf_function_at(d->dw, d->last.stop.addr, &f) && f.name)
		return json_pack("{s:s, s:s, s:s}", "exceptionId", f.name, "description",
				 "an exception is thrown, or a panic begins", "breakMode", "always");
	if (d->last.why != CT_ARRIVED_SIGNAL || (thread && thread != d->last.tid)) {
		ct_fail(err, CT_EXIT_USAGE, "no signal has stopped this thread");
		return NULL;
	}
	name = sigabbrev_np(d->last.number);
	return json_pack("{s:o, s:s, s:s}", "exceptionId", json_sprintf("SIG%s", name ? name : "?"), "description",
			 strsignal(d->last.number), "breakMode", "always");
}

/* ---- life ---- */

static void destroy(struct dap_debuggee *base)
{
	struct dap_native *d = dap_native_of(base);

	native_moved(d);
	for (size_t i = 0; i < d->ntargets; i++)
		free(d->target[i]);
	free(d->target);
	free(d->stack);
	free(d->ref);
	free(d->files);
	ct_dwarf_destroy(d->dw);
	ct_timeline_destroy(d->tl);
	if (d->rec)
		ct_recording_close(d->rec);
	free(d);
}

static const struct dap_debuggee_ops ops = {
	.destroy = destroy,
	.move = dap_native_move,
	.seek = dap_native_seek,
	.when = when,
	.threads = threads,
	.stack = stack_trace,
	.scopes = dap_native_scopes,
	.variables = dap_native_variables,
	.evaluate = dap_native_evaluate,
	.exception = exception,
	.resolve = dap_native_resolve,
	.data_info = dap_native_data_info,
	.lines = dap_native_lines,
	.targets = dap_native_targets,
	.go = dap_native_go,
	.sources = dap_native_sources,
	.source = dap_native_content,
	.disassemble = dap_native_disassemble,
	.memory = dap_native_memory,
};

/* The kernel's own code in the process, which calls and signals go through. */
static void add_vdso(struct dap_native *d)
{
	struct ct_snapshot_reader *snap =
		ct_snapshot_open(ct_recording_dirfd(d->rec), ct_timeline_snapshot(d->tl), NULL);

	for (ct_u32 i = 0; snap && i < ct_snapshot_get(snap)->nprocs; i++) {
		const struct ct_snap_proc *p = &ct_snapshot_get(snap)->procs[i];

		for (ct_u32 k = 0; p->pid == d->pid && k < p->nmaps; k++) {
			const struct ct_snap_map *m = &p->maps[k];
			const size_t len = (size_t)(m->end - m->start);
			void *image = (m->flags & CT_MAPF_VDSO) && len <= VDSO_MAX ? malloc(len) : NULL;

			if (image && read_memory(d, m->start, image, len))
				ct_dwarf_add_image(d->dw, "[vdso]", image, len, m->start);
			free(image);
		}
	}
	ct_snapshot_reader_close(snap);
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool add_file(void *ctx, const char *file)
{
	struct dap_native *d = ctx;
	const char **more = d->nfiles & (d->nfiles - 1)
				    ? d->files
				    : realloc(d->files, (d->nfiles ? 2 * d->nfiles : 1) * sizeof(*more));

	if (!more)
		return false;
	d->files = more;
	d->files[d->nfiles++] = file;
	return true;
}

static void list_files(struct dap_native *d)
{
	size_t n = 0;

	ct_dwarf_files(d->dw, add_file, d);
	if (d->nfiles)
		qsort(d->files, d->nfiles, sizeof(*d->files), compare_files);
	for (size_t i = 0; i < d->nfiles; i++)
		if (!n || d->files[n - 1] != d->files[i])
			d->files[n++] = d->files[i];
	d->nfiles = n;
}

struct dap_debuggee *dap_native_open(const char *recording, ct_u32 pid, const struct dap_host *host,
				     struct ct_error *err)
{
	const struct ct_timeline_opts opts = {.pid = pid};
	struct dap_native *d = calloc(1, sizeof(*d));
	struct rlimit files;

	if (!d) {
		native_no_memory(err);
		return NULL;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) { /* each process of each checkpoint has one */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	d->base.ops = &ops;
	d->host = host;
	d->mem = (struct ct_dwarf_memory){read_memory, d};
	d->rec = ct_recording_open(recording, err);
	d->tl = d->rec ? ct_timeline_create(d->rec, &opts, err) : NULL;
	d->dw = d->tl ? ct_dwarf_create(err) : NULL;
	if (!d->dw) {
		destroy(&d->base);
		return NULL;
	}
	d->pid = ct_timeline_pid(d->tl);
	d->tid = ct_session_current(ct_timeline_session(d->tl));
	if (ct_process_modules(d->dw, d->rec, ct_timeline_snapshot(d->tl), d->pid, err)) {
		destroy(&d->base);
		return NULL;
	}
	add_vdso(d);
	list_files(d);
	ct_timeline_range(d->tl, &d->told, &(ct_u64){0});
	ct_timeline_set_interrupt(d->tl, interrupted, d);
	if (!d->nfiles)
		native_say(d, "ctbpf: no debug information was found: there are functions and instructions, but "
			      "neither lines "
			      "nor variables. Compile with -g, or install the program's debug package.\n");
	return &d->base;
}
