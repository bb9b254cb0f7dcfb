/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Calls of PHP functions: a part of calls.bpf.c, by the means of sdk.bpf.h.
 *
 * Which call is around which one is told by the chain of frames that the interpreter keeps, C functions' own frames
 * among them; no C stack is asked, for fibers have each their own. An open call's `told` is its frame. */

#define PHP_USER_FUNCTION  2
#define PHP_EVAL_CODE      4
#define PHP_GENERATOR      (1u << 24) /* ZEND_ACC_GENERATOR of a function, ZEND_CALL_GENERATOR of a frame */
#define PHP_TRAMPOLINE     (1u << 18) /* ZEND_ACC_CALL_VIA_TRAMPOLINE: goes on to __call at once */
#define PHP_FRAME_PREVIOUS 48
#define PHP_CHAIN          64   /* frames that are looked at */
#define RUNS_GENERATOR     1ull /* in `told`, whose frames are at multiples of 16 */

/* zend_execute_data, zend_op_array, zend_class_entry, zend_string of 8.2: their beginnings, or parts. */
struct php_frame {
	u64 opline, call, result, function, self;
	u32 info, nargs;
	u64 previous;
};
struct php_function {
	u32 type, flags;
	u64 name, scope;
};
#define PHP_OPCODES       88
#define PHP_FILENAME      152
#define PHP_LINE          160
#define PHP_CLASS_NAME    8
#define PHP_STRING_LENGTH 16
#define PHP_STRING_DATA   24

/* From one frame on to those around it. */
struct php_chain {
	u64 frame, wanted;
	u32 found;
};
static long chain_one(u32 i, struct php_chain *c)
{
	if (!c->frame)
		return 1;
	if (c->frame == c->wanted) {
		c->found = 1;
		return 1;
	}
	c->frame = read64(c->frame + PHP_FRAME_PREVIOUS);
	return 0;
}
static __noinline u32 in_chain(u64 frame, u64 wanted)
{
	struct php_chain c = {.frame = frame, .wanted = wanted};

	bpf_loop(PHP_CHAIN, chain_one, &c, 0);
	return c.found;
}

/* Down a stack of calls. */
struct php_walk {
	struct call_stack *s;
	u64 frame;
	u32 depth, found;
};
static __always_inline bool is_php(const struct open_call *c)
{
	return c->told && !c->depth;
}
/* To the innermost call that `frame` is or is in: those above are gone. */
static long php_around(u32 i, struct php_walk *w)
{
	const struct open_call *c;

	if (!w->depth)
		return 1;
	c = call_at(w->s, w->depth - 1);
	if (!is_php(c) || in_chain(w->frame, c->told & ~RUNS_GENERATOR))
		return 1;
	w->depth--;
	return 0;
}
/* To the call of that very frame. */
static long php_same(u32 i, struct php_walk *w)
{
	const struct open_call *c;

	if (!w->depth)
		return 1;
	c = call_at(w->s, w->depth - 1);
	if (is_php(c) && (c->told & ~RUNS_GENERATOR) == w->frame) {
		w->found = w->depth;
		return 1;
	}
	w->depth--;
	return 0;
}

/* How many bytes of a zend_string. */
static __always_inline u32 read_php_str(u64 str, char *to, u64 max, bool *cut)
{
	u64 len;

	if (!str || bpf_probe_read_user(&len, sizeof(len), (void *)(str + PHP_STRING_LENGTH)))
		return 0;
	if (len > max) {
		*cut = true;
		len = max;
	}
	OPAQUE(len);
	if (len > max || bpf_probe_read_user(to, len, (void *)(str + PHP_STRING_DATA)))
		return 0;
	return len;
}

/* As intern(). Class::method; files and what is evaluated have no name. */
static __noinline u32 intern_php(const struct ct_code_key *key)
{
	struct function_record *e = key ? reserve_function() : NULL;
	struct code code = {};
	bool cut = false;
	u32 at = 0, len;

	if (!e)
		return 0;
	if (key->linetable && key->qualname) {
		/* A class without a name has its place behind a 0. */
		at = read_text(e->text, CT_CALL_NAME_MAX / 2, read64(key->linetable + PHP_CLASS_NAME) + PHP_STRING_DATA,
			       &cut);
		OPAQUE(at);
		if (at > CT_CALL_NAME_MAX / 2)
			at = 0;
		__builtin_memcpy(e->text + at, "::", 2);
		at += 2;
	}
	if (key->qualname) {
		at += read_php_str(key->qualname, e->text + at, CT_CALL_NAME_MAX / 2 - 2, &cut);
	} else {
		__builtin_memcpy(e->text, "{main}", 6);
		at = 6;
	}
	OPAQUE(at);
	if (!at || at > CT_CALL_NAME_MAX)
		at = 1;
	e->f.name_len = at;
	len = read_php_str(key->filename, e->text + at, CT_CALL_FILE_MAX, &cut);
	e->f.file_len = len;
	at += len;
	OPAQUE(at);
	if (at > CT_CALL_NAME_MAX + CT_CALL_FILE_MAX)
		at = 0;
	__builtin_memcpy(e->text + at, "php", 3);
	e->f.flags = cut ? CT_FNF_CUT : 0;
	e->f.language = CT_LANGUAGE_NAMED;
	return tell_function(e, at + 3, key, &code);
}

static __noinline int php_enter(const struct ct_vm_probe *vm, u64 at, u64 sp)
{
	struct open_call c = {.told = at};
	struct php_function f;
	struct php_frame frame;
	struct ct_code_key key = {};
	const struct code *known;
	struct php_walk w = {};

	if (!vm || !at || bpf_probe_read_user(&frame, sizeof(frame), (void *)at) ||
	    bpf_probe_read_user(&f, sizeof(f), (void *)frame.function)) {
		count(&stats.unreadable);
		return 0;
	}
	if (((u8)f.type != PHP_USER_FUNCTION && (u8)f.type != PHP_EVAL_CODE) || (f.flags & PHP_TRAMPOLINE))
		return 0;
	if (f.flags & PHP_GENERATOR) {
		/* Making the object that it is run by is no call. */
		if (!(frame.info & PHP_GENERATOR))
			return 0;
		c.told |= RUNS_GENERATOR;
	}
	/* Closures have copies of the function, with the same instructions. */
	key.code = read64(frame.function + PHP_OPCODES);
	key.filename = read64(frame.function + PHP_FILENAME);
	key.qualname = f.name;
	key.linetable = f.scope;
	key.line = read64(frame.function + PHP_LINE);
	key.tgid = vm->tgid;
	known = bpf_map_lookup_elem(&codes, &key);
	c.function = known ? known->id : intern_php(&key);
	if (!c.function)
		return 0;
	w.s = this_stack(BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!w.s) {
		count(&stats.no_room);
		return 0;
	}
	w.depth = still_open(w.s, sp, 0);
	w.frame = frame.previous;
	bpf_loop(CT_CALL_DEPTH, php_around, &w, 0);
	c.sp = within(w.s, w.depth);
	push(w.s, w.depth, &c, NULL);
	return 0;
}

static __always_inline u32 php_flags(const struct ct_vm_probe *vm)
{
	return read64(vm->exception) ? CT_LEFT_RAISED : 0;
}

static __noinline int php_leave(const struct ct_vm_probe *vm, u64 frame, u64 sp)
{
	struct php_walk w = {.s = this_stack(0), .frame = frame};

	if (!vm || !w.s)
		return 0;
	w.depth = still_open(w.s, sp, 0);
	bpf_loop(CT_CALL_DEPTH, php_same, &w, 0);
	if (!w.found || w.found > CT_CALL_DEPTH)
		return 0;
	cut(w.s, w.found);
	return pop(w.s, w.found, php_flags(vm), 0);
}

/* Generators go on and stop by themselves; one that has yielded is still the innermost frame. */
static __noinline int php_end(const struct ct_vm_probe *vm, u64 sp)
{
	struct call_stack *s = this_stack(0);
	u32 depth = s ? still_open(s, sp, 0) : 0;
	const struct open_call *c;
	u64 current, frame;

	if (!vm || !depth || depth > CT_CALL_DEPTH)
		return 0;
	c = call_at(s, depth - 1);
	if (!is_php(c) || !(c->told & RUNS_GENERATOR))
		return 0;
	frame = c->told & ~RUNS_GENERATOR;
	current = read64(vm->current);
	if (current != frame && in_chain(current, frame))
		return 0;
	cut(s, depth);
	return pop(s, depth, php_flags(vm), 0);
}

SEC("uprobe")
int ct_php(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	u32 index = cookie;
	const struct ct_vm_probe *vm;

	if (!wanted() || !(vm = bpf_map_lookup_elem(&vms, &index)))
		return 0;
	switch (cookie >> 40) {
	case CT_PHP_ENTERS: return php_enter(vm, read64(vm->current), ctx->sp);
	case CT_PHP_BEGINS: return php_enter(vm, ctx->di, ctx->sp);
	case CT_PHP_LEAVES: return php_leave(vm, register_of(ctx, cookie >> 32 & 15), ctx->sp);
	case CT_PHP_ENDS: return php_end(vm, ctx->sp);
	default: return 0;
	}
}
