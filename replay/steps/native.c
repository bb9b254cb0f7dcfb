// SPDX-License-Identifier: MIT
/* Native steps: a session is run from stop to stop; processes begin and end, and map other code. */
#include "replay/steps/native.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "formats/event_access.h"
#include "formats/snapshot.h"
#include "formats/syscalls.h"
#include "replay/steps/native_priv.h"
#include "replay/tracee.h"

#define MOST_FRAMES 4096 /* of a stack that was there before */

bool ct_native_asked(const struct ct_step_filter *filter)
{
	return filter->files.count || filter->functions.count;
}

struct ct_native *ct_native_create(struct ct_agents *agents, const struct ct_step_limits *limits,
				   const struct ct_step_filter *filter, struct ct_error *err)
{
	struct ct_native *n = calloc(1, sizeof(*n));

	if (n)
		n->sink = ct_agents_native(agents);
	if (!n || !n->sink) {
		free(n);
		ct_fail_memory(err);
		return NULL;
	}
	n->agents = agents;
	n->limits = *limits;
	n->filter = filter;
	return n;
}

void ct_native_destroy(struct ct_native *n)
{
	if (!n)
		return;
	ct_native_end(n);
	ct_native_free_threads(n);
	ct_native_free_code(n);
	ct_arena_free(&n->arena);
	free(n);
}

void ct_native_end(struct ct_native *n)
{
	if (!n)
		return;
	ct_native_free_images(n);
	n->s = NULL;
}

size_t ct_native_functions(const struct ct_native *n)
{
	return n->nfunctions;
}

int ct_native_run(struct ct_native *n, ct_u64 end, struct ct_error *err)
{
	for (;;) {
		const int ret = ct_session_run(n->s, end, err);
		const struct ct_stop *stop;
		ct_u32 tid;

		if (ret != 1 || !(stop = ct_session_stopped(n->s, &tid)))
			return ret;
		if (ct_native_stopped(n, tid, stop->addr, err))
			return -1;
		ct_session_pass_stop(n->s);
	}
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

bool ct_native_wants(const struct ct_native *n, const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);

	if (!n || !n->s || (ev->flags & CT_EVF_EVENTS_ONLY)) /* that one is not replayed */
		return false;
	switch (ev->type) {
	case CT_EV_FORK:
	case CT_EV_EXEC:
	case CT_EV_EXIT: return ct_native_image(n, ev->pid);
	case CT_EV_SNAPSHOT: return ((const struct ct_ev_snapshot *)ct_event_payload(ev))->kind == CT_SNAP_EXEC;
	case CT_EV_SYSCALL:
		return sc->ret >= 0 && ((sc->nr == SYS_mmap && (sc->args[2] & PROT_EXEC)) || sc->nr == SYS_munmap) &&
		       ct_native_image(n, ev->pid);
	}
	return false;
}

/* Calls that are going on in a thread already. */
static int attached(struct ct_native *n, ct_u32 tid, struct ct_error *err)
{
	struct native_thread *t = ct_native_known(n, tid, err);
	struct native_image *im = t ? ct_native_image(n, t->pid) : NULL;
	struct native_want want[MOST_FRAMES / 64];
	struct ct_dwarf_stack stack;
	struct ct_regs regs;
	int ret = 0;

	if (!im || !im->ncode)
		return t ? 0 : -1;
	ct_symbols_read_from(im->symbols, t->pid);
	if (ct_session_regs(n->s, tid, &regs, err) || ct_native_find_stack(n, t, regs.r[CT_RSP], err) ||
	    ct_symbols_unwind(im->symbols, tid, MOST_FRAMES, &stack, err))
		return -1;
	for (size_t i = stack.n; i-- > 0 && !ret;) {
		const struct ct_dwarf_frame *from = &stack.frame[i];
		const struct native_code *code;
		size_t count;

		if (from->inlined || !from->has_function || !from->cfa ||
		    !(code = ct_native_code(im, from->function.entry)) || from->pc == code->f.entry)
			continue;
		count = ct_native_wanted(code, ct_dwarf_scope_at(&code->scopes, from->lookup), want,
					 sizeof(want) / sizeof(*want));
		for (size_t k = 0; k < count && !ret; k++) {
			struct native_frame f = {.cfa = from->cfa,
						 .stack = t->high,
						 .function = want[k].function,
						 .entry = want[k].scope->entry,
						 .inlined = want[k].inlined,
						 .moved = true,
						 .ret = i + 1 < stack.n ? stack.frame[i + 1].pc : 0},
					    *pushed = ct_native_push(n, t, &f, CT_ENTER_ATTACHED, err);
			/* Those that are inlined stand before it. */
			size_t inlined = want[k].unwound, frame = i;

			for (int at = ct_dwarf_scope_at(&code->scopes, from->lookup); at > 0;
			     at = code->scopes.list[at].parent)
				frame--;
			frame += inlined;
			ret = pushed && frame <= i ? ct_native_variables(n, t, pushed,
									 &(struct ct_dwarf_place){
										 .d = ct_symbols_dwarf(im->symbols),
										 .mem = ct_symbols_memory(im->symbols),
										 .stack = &stack,
										 .frame = frame},
									 err)
						   : -1;
			if (pushed) {
				pushed->begun = true;
				pushed->line = stack.frame[frame].has_line ? stack.frame[frame].line.line : 0;
			}
		}
	}
	ct_dwarf_stack_free(&stack);
	return ret;
}

int ct_native_begin(struct ct_native *n, struct ct_session *s, struct ct_recording *rec, ct_u32 image,
		    struct ct_error *err)
{
	struct ct_session_thread *list = NULL;
	size_t count = 0;
	int ret;

	n->rec = rec;
	n->seq = 0;
	n->s = s;
	ct_native_free_threads(n);
	ct_session_stops_stay(s);
	if (ct_session_threads(s, &list, &count, err))
		return -1;
	ret = ct_native_moment(n, err);
	for (size_t i = 0; i < count && !ret; i++)
		if (!ct_native_image(n, list[i].pid))
			ret = ct_native_new_process(n, list[i].pid, image, err);
	for (size_t i = 0; i < count && !ret; i++)
		ret = attached(n, list[i].tid, err);
	free(list);
	return ret;
}

/* What they were in never returns, as after longjmp. `tid` 0: all threads of the process. */
static int calls_end(struct ct_native *n, ct_u32 pid, ct_u32 tid, const char *how, struct ct_error *err)
{
	const struct ct_value v = {.tag = CT_VALUE_RAW, .type = how};

	for (size_t i = 0; i < n->nthreads; i++) {
		struct native_thread *t = &n->thread[i];

		if (t->pid != pid || (tid && t->tid != tid) || !t->depth)
			continue;
		if (ct_native_moment(n, err))
			return -1;
		while (t->depth)
			if (ct_native_pop(n, t, CT_LEAVE_EXCEPTION, &v, err))
				return -1;
	}
	if (tid) /* its number may come again, in another process */
		ct_native_forget_thread(n, tid);
	return 0;
}

int ct_native_event(struct ct_native *n, const struct ct_event *ev, struct ct_error *err)
{
	const struct ct_ev_fork *fork = ct_event_payload(ev);
	const struct ct_ev_exit *exit = ct_event_payload(ev);
	const struct ct_ev_snapshot *snapshot = ct_event_payload(ev);

	switch (ev->type) {
	case CT_EV_EXIT:
		if (calls_end(n, ev->pid, ev->tid, "exit", err))
			return -1;
		if (exit->flags & CT_EXITF_GROUP)
			ct_native_forget(n, ev->pid);
		return 0;
	case CT_EV_EXEC:
		if (calls_end(n, ev->pid, 0, "exec", err))
			return -1;
		ct_native_forget(n, ev->pid);
		return 0;
	case CT_EV_SNAPSHOT: return ct_native_new_process(n, ev->pid, snapshot->id, err);
	case CT_EV_FORK:
		return fork->child_pid == ev->pid || !(fork->flags & CT_FORKF_FOLLOWED)
			       ? 0
			       : ct_native_forked(n, ev->pid, fork->child_pid, err);
	}
	return ct_native_remapped(n, ev->pid, err);
}
