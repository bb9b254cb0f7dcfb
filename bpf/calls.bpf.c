// SPDX-License-Identifier: MIT OR GPL-2.0
/* Function entry and exit in processes that run, by uprobes. An object of its own, loaded when calls are asked for; it
 * writes to the recording programs' ring and takes its numbers from their counter.
 *
 * A thread's open calls are kept with the stack pointer each was entered with. Whatever is entered or left with a
 * higher one shows that those below are gone: that pairs entries and exits across exceptions and longjmp(3). */
#include "uprobes.bpf.h"
#include <bpf/bpf_tracing.h>

#include "formats/call_probe.h"
#include "formats/probe.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before loading. */
const volatile ct_u32 seq_at = 0, lost_at = 0; /* where the numbers are in `shared` */
const volatile ct_u32 max_depth = 0;           /* 0: any */
const volatile ct_u32 only_tid = 0;            /* 0: any */
const volatile ct_u32 any_process = 0;         /* probes are hit in others, too: look in `procs` */
const volatile ct_u64 min_ns = 0;
const volatile ct_u64 max_rate = 0; /* calls a second of one thread; 0: any */
const volatile ct_u32 nrules = 0;
const volatile ct_u32 skip_by_default = 0, silent_by_default = 0; /* what no rule speaks of */

/* Changed while running. */
volatile ct_u32 on = 0;
volatile ct_u32 epoch = 0; /* another one: what was open before it is no more known */
ct_u32 next_id = 1;        /* of a function found by the programs */
struct ct_call_counters stats = {};

/* The recording programs' ring and global variables. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_MAX_PROCS);
	__type(key, u32);
	__type(value, struct ct_proc);
} procs SEC(".maps");

struct open_call {
	u64 sp;
	u64 since_ns;
	u64 told, depth; /* what the program itself has said, see sdk.bpf.h; 0: nothing */
	u32 function;
	u16 nargs;
	u8 tail;   /* entered by a jump from the call that was here before */
	u8 silent; /* its values are not told */
};
struct call_stack {
	u64 mm; /* an execve makes another stack */
	u32 epoch;
	u32 depth;
	u32 told;          /* so many, from the outermost on, are in the log */
	u64 second, count; /* for max_rate */
	struct open_call call[CT_CALL_DEPTH];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call_stack);
} stacks SEC(".maps");

/* Arguments of calls that are told of later, with min_ns. */
struct call_args {
	u64 arg[CT_CALL_DEPTH][CT_CALL_NARGS];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call_args);
} kept_args SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CT_CALL_PYTHONS);
	__type(key, u32);
	__type(value, struct ct_python_probe);
} pythons SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CT_CALL_PYTHONS);
	__type(key, u32);
	__type(value, struct ct_ruby_probe);
} rubies SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CT_CALL_PYTHONS);
	__type(key, u32);
	__type(value, struct ct_vm_probe);
} vms SEC(".maps");
struct code {
	u32 id;        /* 0: not told of */
	u16 generator; /* or coroutine */
	u16 silent;    /* its values are not told */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_CALL_CODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ct_code_key);
	__type(value, struct code);
} codes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CT_CALL_RULES);
	__type(key, u32);
	__type(value, struct ct_call_rule);
} rules SEC(".maps");

extern bool bpf_session_is_return(void) __ksym __weak;

/* ---- records ------------------------------------------------------------------------------------------- */

struct call_record {
	struct ct_event h;
	struct ct_ev_call c;
	u64 arg[CT_CALL_NARGS];
};
struct return_record {
	struct ct_event h;
	struct ct_ev_return r;
};
struct function_record {
	struct ct_event h;
	struct ct_ev_function f;
	char text[CT_CALL_NAME_MAX + CT_CALL_FILE_MAX + CT_TOLD_LANGUAGE_MAX];
};

static __always_inline void count(u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* Next sequence number, of all programs; taken before the reservation, so that a full ring leaves a hole. */
static __always_inline u64 next_seq(void)
{
	u32 zero = 0;
	char *globals = bpf_map_lookup_elem(&shared, &zero);

	return globals ? __sync_fetch_and_add((u64 *)(globals + seq_at), 1) + 1 : 0;
}
static __always_inline void lost_one(void)
{
	u32 zero = 0;
	char *globals = bpf_map_lookup_elem(&shared, &zero);

	if (globals)
		count((u64 *)(globals + lost_at));
}

static __always_inline void *reserve(const u64 size)
{
	void *record = bpf_ringbuf_reserve(&ring, size, 0);

	if (!record)
		lost_one();
	return record;
}

static __always_inline void fill(struct ct_event *h, u32 size, u16 type, u64 seq, u64 now)
{
	u64 id = bpf_get_current_pid_tgid();

	h->size = size;
	h->type = type;
	h->flags = 0;
	h->seq = seq;
	h->time_ns = now;
	h->tid = (u32)id;
	h->pid = id >> 32;
}

/* `arg` NULL: without arguments. */
static __always_inline void tell_call(const struct open_call *c, u32 depth, const u64 *arg, u64 now)
{
	u64 seq = next_seq();
	struct call_record *e;

	e = arg ? reserve(sizeof(*e)) : reserve(sizeof(*e) - sizeof(e->arg));
	if (!e)
		return;
	fill(&e->h, sizeof(e->h) + sizeof(e->c) + (arg ? c->nargs * 8 : 0), CT_EV_CALL, seq, now);
	e->c.function = c->function;
	e->c.depth = depth;
	e->c.nargs = arg ? c->nargs : 0;
	e->c.flags = c->tail ? CT_ENTERED_TAIL : 0;
	e->c.entered_ns = c->since_ns;
	if (arg)
		for (u32 i = 0; i < CT_CALL_NARGS; i++)
			e->arg[i] = arg[i];
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	count(&stats.calls);
}

static __always_inline u64 read64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

/* ---- a thread's stack ---------------------------------------------------------------------------------- */

/* The call that has `depth` others around it. The compiler would leave the mask out where it can tell the bounds
 * itself, and 6.1's verifier cannot follow it there. */
static __always_inline struct open_call *call_at(struct call_stack *s, u32 depth)
{
	barrier_var(depth);
	return &s->call[depth & (CT_CALL_DEPTH - 1)];
}

/* How many of the calls are still open when the stack pointer is `sp`: those that were entered with a higher one, or
 * with `same` of 1 with this very one. */
static __always_inline u32 still_open(struct call_stack *s, u64 sp, u32 same)
{
	u32 depth = s->depth;

	for (u32 i = 0; i < CT_CALL_DEPTH; i++) {
		if (!depth || call_at(s, depth - 1)->sp + same > sp)
			break;
		depth--;
	}
	return depth;
}

/* Whether calls of this thread are asked for. */
static __always_inline bool wanted(void)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32;

	return on && (!only_tid || only_tid == (u32)id) && (!any_process || bpf_map_lookup_elem(&procs, &tgid));
}

static __always_inline struct call_stack *this_stack(u64 create)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call_stack *s = bpf_task_storage_get(&stacks, task, 0, create);
	u64 mm = (u64)task->mm;

	if (s && (s->mm != mm || s->epoch != epoch)) {
		s->mm = mm;
		s->epoch = epoch;
		s->depth = s->told = 0;
	}
	return s;
}

/* Those above are gone. */
static __always_inline void cut(struct call_stack *s, u32 depth)
{
	s->depth = depth;
	if (s->told > depth)
		s->told = depth;
}

/* A call with `depth` others around it. 0: it is on the stack; 1: it is not, nor will be told of. `arg` NULL: it has
 * none. */
static __always_inline int push(struct call_stack *s, u32 depth, const struct open_call *call, const u64 *arg)
{
	u64 now = bpf_ktime_get_ns();
	struct open_call *c;

	cut(s, depth);
	if (max_depth && depth >= max_depth)
		return 1;
	if (depth >= CT_CALL_DEPTH) {
		count(&stats.too_deep);
		return 1;
	}
	if (max_rate) {
		if (now - s->second >= 1000000000ull) {
			s->second = now;
			s->count = 0;
		}
		if (++s->count > max_rate) {
			count(&stats.rate);
			return 1;
		}
	}
	c = call_at(s, depth);
	*c = *call;
	c->since_ns = now;
	s->depth = depth + 1;
	if (!min_ns) {
		tell_call(c, depth + 1, arg, now);
	} else if (arg) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct call_args *kept = bpf_task_storage_get(&kept_args, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

		if (kept)
			__builtin_memcpy(kept->arg[depth & (CT_CALL_DEPTH - 1)], arg, CT_CALL_NARGS * 8);
		else
			c->nargs = 0;
	}
	return 0;
}

static __always_inline int enter(u32 function, u64 sp, const u64 *arg, u32 nargs)
{
	struct open_call c = {.sp = sp, .function = function, .nargs = nargs};
	struct call_stack *s = this_stack(BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 depth;

	if (!s) {
		count(&stats.no_room);
		return 1;
	}
	depth = still_open(s, sp, 0);
	/* The same stack pointer once more: from a jump, if the return address is still the one that the kernel has put
	 * there for the other; else the other ended unseen, and its caller has made another call. */
	c.tail = depth < s->depth && call_at(s, depth)->sp == sp && in_uprobes_page(read64(sp));
	return push(s, depth, &c, arg);
}

struct telling {
	u64 now;
	u32 depth;
};
static long tell_one(u32 i, struct telling *t)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call_stack *s = bpf_task_storage_get(&stacks, task, 0, 0);
	struct call_args *kept;
	u32 at;

	if (!s || s->told >= t->depth)
		return 1;
	at = s->told++ & (CT_CALL_DEPTH - 1);
	kept = s->call[at].nargs ? bpf_task_storage_get(&kept_args, task, 0, 0) : NULL;
	if (kept)
		tell_call(&s->call[at], at + 1, kept->arg[at], t->now);
	else
		tell_call(&s->call[at], at + 1, NULL, t->now);
	return 0;
}

static __always_inline void tell_return(const struct open_call *c, u32 depth, u32 flags, u64 value, u64 now)
{
	u64 seq = next_seq();
	struct return_record *e = reserve(sizeof(*e));

	if (!e)
		return;
	fill(&e->h, sizeof(*e), CT_EV_RETURN, seq, now);
	e->r.function = c->function;
	e->r.depth = depth;
	e->r.flags = flags;
	e->r.value = flags & CT_LEFT_VALUE ? value : 0;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

/* The call with `depth` - 1 others around it ends. */
static __always_inline int pop(struct call_stack *s, u32 depth, u32 flags, u64 value)
{
	const struct open_call *c = call_at(s, depth - 1);
	u64 now = bpf_ktime_get_ns();

	s->depth = depth - 1;
	if (min_ns) {
		struct telling t = {.now = now, .depth = depth};

		/* Calls around it have taken as long. */
		if (s->told < depth) {
			if (now - c->since_ns < min_ns)
				return 0;
			bpf_loop(CT_CALL_DEPTH, tell_one, &t, 0);
		}
		s->told = depth - 1;
	}
	tell_return(c, depth, flags, value, now);
	return 0;
}

/* The call entered with the stack pointer `sp` ends. */
static __always_inline int leave(u64 sp, u32 flags, u64 value)
{
	struct call_stack *s = this_stack(0);
	u32 depth;

	if (!s)
		return 0;
	depth = still_open(s, sp, 1);
	cut(s, depth);
	/* No such call: it was entered before probes were on, or was left out, or has jumped to another one that has
	 * returned for it. */
	if (!depth || call_at(s, depth - 1)->sp != sp)
		return 0;
	return pop(s, depth, flags, value);
}

#include "native.bpf.h"

/* ---- CPython ------------------------------------------------------------------------------------------- */

/* What the verifier has to see compared, and the compiler would not compare again. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

/* A str's characters as they lie there: how many bytes, and in *units of how many bytes each, 0 if it is ASCII.
 * 0: unreadable. */
static __always_inline u32 read_str(const struct ct_python_probe *py, u64 str, char *to, u64 max, u32 *units, bool *cut)
{
	u64 len = read64(str + 16);
	u32 state = 0, unit;

	bpf_probe_read_user(&state, sizeof(state), (void *)(str + 32));
	unit = state >> 2 & 7;
	if (!(state >> 5 & 1) || (unit != 1 && unit != 2 && unit != 4)) /* not compact: none of today's */
		return 0;
	len *= unit;
	if (len > max) {
		*cut = true;
		len = max;
	}
	str += state >> 6 & 1 ? py->str_ascii : py->str_compact;
	OPAQUE(len);
	if (len > max || bpf_probe_read_user(to, len, (void *)str))
		return 0;
	*units = state >> 6 & 1 ? 0 : unit;
	return len;
}

#define CO_GENERATORS 0x2a0 /* CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR */

/* Of a code object: neighbours in all versions, as far as there are such. */
struct code_names {
	u64 filename, name, qualname, linetable;
};

static __always_inline struct function_record *reserve_function(void)
{
	struct function_record *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		next_seq();
		lost_one();
	}
	return e;
}

#include "filter.bpf.h"

/* The record has `text` bytes of text. */
static __always_inline u32 tell_function(struct function_record *e, u32 text, const struct ct_code_key *key,
					 struct code *code)
{
	u32 id;
	u64 seq;

	if (left_out(e, code)) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		bpf_map_update_elem(&codes, key, code, BPF_ANY);
		return 0;
	}
	id = code->id = __sync_fetch_and_add(&next_id, 1);
	seq = next_seq();
	e->f.id = id;
	e->f.line = key->line;
	e->f.addr = 0;
	fill(&e->h, sizeof(e->h) + sizeof(e->f) + text, CT_EV_FUNCTION, seq, bpf_ktime_get_ns());
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	bpf_map_update_elem(&codes, key, code, BPF_ANY); /* if there is no room, it is told again */
	return id;
}

/* A function that has not been seen before: told once. Its number, or 0: it cannot be told of, which is counted. */
static __noinline u32 intern(u32 index, const struct ct_code_key *key, u32 generator)
{
	struct code code = {.generator = generator};
	struct ct_python_probe *py;
	struct function_record *e;
	u32 len, units = 0;
	bool cut = false;

	py = key ? bpf_map_lookup_elem(&pythons, &index) : NULL;
	if (!py)
		return 0;
	e = reserve_function();
	if (!e)
		return 0;
	len = read_str(py, key->qualname, e->text, CT_CALL_NAME_MAX, &units, &cut);
	if (!len || len > CT_CALL_NAME_MAX) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		count(&stats.unreadable);
		return 0;
	}
	e->f.name_len = len;
	e->f.flags = units << CT_FNF_UNITS_NAME;
	units = 0;
	len = read_str(py, key->filename, e->text + len, CT_CALL_FILE_MAX, &units, &cut);
	e->f.file_len = len;
	e->f.flags |= units << CT_FNF_UNITS_FILE | (cut ? CT_FNF_CUT : 0);
	e->f.language = CT_LANGUAGE_PYTHON;
	return tell_function(e, e->f.name_len + e->f.file_len, key, &code);
}

/* On entry of _PyEval_EvalFrameDefault, which every Python function's frame goes through. */
static __always_inline int python_enter(struct pt_regs *ctx)
{
	u32 index = bpf_get_attach_cookie(ctx), generator = 0, id;
	struct ct_python_probe *py = bpf_map_lookup_elem(&pythons, &index);
	struct code_names names;
	struct code *known;
	struct ct_code_key key = {};
	u64 code, frame = ctx->si, first = ctx->di;
	u8 owner = 1;

	if (!py)
		return 1;
	OPAQUE(first); /* no choice of an address in ctx */
	if (py->old == CT_PYTHON_FIRST)
		frame = first;
	code = read64(frame + py->f_code) & ~(u64)py->mask;
	if (bpf_probe_read_user(&names, sizeof(names), (void *)(code + py->names)) ||
	    bpf_probe_read_user(&key.line, 4, (void *)(code + py->firstlineno))) {
		count(&stats.unreadable);
		return 1;
	}
	if (py->old) {
		names.linetable = names.qualname;
		names.qualname = names.name;
	}
	key.code = code;
	key.filename = names.filename;
	key.qualname = names.qualname;
	key.linetable = names.linetable;
	key.tgid = py->tgid;
	known = bpf_map_lookup_elem(&codes, &key);
	if (known) {
		generator = known->generator;
	} else {
		bpf_probe_read_user(&generator, sizeof(generator), (void *)(code + py->flags));
		generator &= CO_GENERATORS;
	}
	/* Its object is made by running its code up to the first instruction: nobody calls that a call. */
	if (generator && py->f_owner && !bpf_probe_read_user(&owner, 1, (void *)(frame + py->f_owner)) && !owner)
		return 1;
	id = known ? known->id : intern(index, &key, generator);
	return id ? enter(id, ctx->sp, NULL, 0) : 1;
}

static __always_inline int python_leave(struct pt_regs *ctx)
{
	return leave(ctx->sp - 8, ctx->ax ? 0 : CT_LEFT_RAISED, 0);
}

SEC("uprobe")
int ct_python_enter(struct pt_regs *ctx)
{
	return wanted() ? python_enter(ctx) : 1;
}

SEC("uprobe")
int ct_python_leave(struct pt_regs *ctx)
{
	return wanted() ? python_leave(ctx) : 0;
}

SEC("uprobe")
int ct_python_session(struct pt_regs *ctx)
{
	if (!wanted())
		return 1;
	return bpf_session_is_return() ? python_leave(ctx) : python_enter(ctx);
}

#include "sdk.bpf.h"
/* ... which this one builds on */
#include "ruby.bpf.h"
#include "php.bpf.h"
#include "perl.bpf.h"
#include "lua.bpf.h"
#include "node.bpf.h"
