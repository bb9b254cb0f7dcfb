/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Calls of Ruby functions: a part of calls.bpf.c, on the stacks of calls there, by the means of sdk.bpf.h.
 *
 * The interpreter runs a method that another one calls in the same C function. Its control frames lie on a stack of the
 * thread's or fiber's own, one below the other: how far below the stack's end is how deep a call is. */

#define T_STRING      0x05
#define T_ARRAY       0x07
#define T_IMEMO       0x1a
#define T_MASK        0x1f
#define FL_USER1      (1u << 13) /* strings: elsewhere; arrays: embedded */
#define FRAME_BMETHOD 0x40
#define ENV_LOCAL     0x2 /* of a method, not of a block */
#define IMEMO(flags)  ((flags) >> 12 & 15)
#define IMEMO_SVAR    2 /* what else would be in its place is its second word */
#define IMEMO_MENT    6

/* enum iseq_type */
enum { ISEQ_METHOD = 1, ISEQ_BLOCK, ISEQ_RESCUE = 4, ISEQ_ENSURE };

/* The beginnings of rb_execution_context_t, rb_control_frame_t, rb_iseq_constant_body: the same in 3.1 and 3.3. */
struct ruby_context {
	u64 stack, size, cfp;
};
struct ruby_frame { /* from its third word on */
	u64 iseq, self, ep;
};
struct ruby_body { /* its location, at the ninth word */
	u64 path, base_label, label, line;
};
#define LOCATION 64
struct ruby_env { /* the three words up to where ep leads */
	u64 method, outer, flags;
};

/* What is looked at in a probe: one for each thread, for want of room on the stack. */
struct ruby {
	struct ruby_context ec;
	struct ruby_frame frame;
	struct ruby_body body;
	u64 depth, end; /* end: of the stack */
	u32 type;       /* enum iseq_type */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ruby);
} looked_at SEC(".maps");

static __always_inline u64 register_of(const struct pt_regs *ctx, u32 n)
{
	u64 v;

	/* The context is read at constant offsets alone: branches must stay branches. */
#define REGISTER(i, name)                                                                                              \
	case i:                                                                                                        \
		v = ctx->name;                                                                                         \
		barrier_var(v);                                                                                        \
		return v;
	switch (n) {
		REGISTER(0, ax)
		REGISTER(1, cx)
		REGISTER(2, dx)
		REGISTER(3, bx)
		REGISTER(5, bp)
		REGISTER(6, si)
		REGISTER(7, di)
		REGISTER(8, r8)
		REGISTER(9, r9)
		REGISTER(10, r10)
		REGISTER(11, r11)
		REGISTER(12, r12)
		REGISTER(13, r13)
		REGISTER(14, r14)
		REGISTER(15, r15)
	default: return 0;
	}
#undef REGISTER
}

/* The frame at ec.cfp, or the one so many bytes below it. false: unreadable, or not Ruby's. */
static __always_inline bool read_ruby(struct ruby *r, u64 ec, u64 below)
{
	u64 cfp;

	if (bpf_probe_read_user(&r->ec, sizeof(r->ec), (void *)ec))
		return false;
	cfp = r->ec.cfp - below;
	if (bpf_probe_read_user(&r->frame, sizeof(r->frame), (void *)(cfp + RUBY_FRAME_ISEQ)) || !r->frame.iseq)
		return false;
	/* Which stack it is, in the upper half: see same_stack. */
	r->end = r->ec.stack + r->ec.size * 8;
	r->depth = (ec >> 4 & 0x7fffffff) << 32 | (u32)(r->end - cfp);
	return true;
}

static __always_inline bool read_body(struct ruby *r)
{
	u64 body = read64(r->frame.iseq + 16);

	return !bpf_probe_read_user(&r->type, sizeof(r->type), (void *)body) &&
	       !bpf_probe_read_user(&r->body, sizeof(r->body), (void *)(body + LOCATION));
}

/* A string's bytes: how many. 0: it has none, or it is no string. */
static __always_inline u32 read_ruby_str(const struct ct_ruby_probe *rb, u64 str, char *to, u64 max, bool *cut)
{
	u64 h[4], len, from = str + rb->str_embed; /* flags, class, length, data */

	if (bpf_probe_read_user(h, sizeof(h), (void *)str) || (h[0] & T_MASK) != T_STRING)
		return 0;
	len = h[2];
	if (h[0] & FL_USER1)
		from = h[3];
	else if (rb->str_embed_len)
		len = h[0] >> 14 & 31;
	if (len > max) {
		*cut = true;
		len = max;
	}
	OPAQUE(len);
	if (len > max || bpf_probe_read_user(to, len, (void *)from))
		return 0;
	return len;
}

/* The method that an environment belongs to, as rb_vm_frame_method_entry finds it; 0: none. */
static __noinline u64 method_of(u64 ep)
{
	for (u32 i = 0; i < 16; i++) {
		struct ruby_env env;
		u64 flags;

		if (bpf_probe_read_user(&env, sizeof(env), (void *)(ep - 16)))
			return 0;
		flags = env.method ? read64(env.method) : 0;
		if ((flags & T_MASK) == T_IMEMO && IMEMO(flags) == IMEMO_SVAR) {
			env.method = read64(env.method + 8);
			flags = env.method ? read64(env.method) : 0;
		}
		if ((flags & T_MASK) == T_IMEMO && IMEMO(flags) == IMEMO_MENT)
			return env.method;
		if (env.flags & ENV_LOCAL)
			return 0;
		ep = env.outer & ~3ull;
	}
	return 0;
}

/* As intern(); `ep` is that of the frame, its lowest bit says that it is a method made of a block. */
static __noinline u32 intern_ruby(u32 index, const struct ct_code_key *key, u64 ep, u64 base, u32 type)
{
	struct ct_ruby_probe *rb = key ? bpf_map_lookup_elem(&rubies, &index) : NULL;
	struct function_record *e;
	struct ct_ruby_name name;
	struct code code = {};
	bool cut = false;
	u64 path[2];
	u32 at, len;

	if (!rb)
		return 0;
	e = reserve_function();
	if (!e)
		return 0;
	at = read_ruby_str(rb, key->qualname, e->text, CT_CALL_NAME_MAX, &cut);
	if (!at || at > CT_CALL_NAME_MAX) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		count(&stats.unreadable);
		return 0;
	}
	e->f.name_len = at;
	/* One string; or two in an array, the second one the file's real path, if there is one. */
	len = 0;
	if ((read64(key->filename) & T_MASK) == T_ARRAY &&
	    !bpf_probe_read_user(path, sizeof(path), (void *)(key->filename + 16))) {
		len = read_ruby_str(rb, path[1], e->text + at, CT_CALL_FILE_MAX, &cut);
		if (!len)
			len = read_ruby_str(rb, path[0], e->text + at, CT_CALL_FILE_MAX, &cut);
	} else {
		len = read_ruby_str(rb, key->filename, e->text + at, CT_CALL_FILE_MAX, &cut);
	}
	e->f.file_len = len;
	at += len;
	name.base = base;
	name.type = type;
	name.bmethod = ep & 1;
	name.method = type == ISEQ_METHOD || type == ISEQ_BLOCK ? method_of(ep & ~1ull) : 0;
	OPAQUE(at);
	if (at > CT_CALL_NAME_MAX + CT_CALL_FILE_MAX)
		at = 0;
	__builtin_memcpy(e->text + at, &name, sizeof(name));
	e->f.flags = CT_FNF_RUBY | (cut ? CT_FNF_CUT : 0);
	e->f.language = CT_LANGUAGE_NAMED;
	return tell_function(e, at + sizeof(name), key, &code);
}

static __always_inline int ruby_enter(struct ruby *r, const struct ct_ruby_probe *rb, u32 index, u64 sp)
{
	struct ct_code_key key = {.code = r->frame.iseq, .filename = r->body.path, .qualname = r->body.label};
	struct open_call c = {.told = r->frame.iseq, .depth = r->depth};
	const struct code *known;
	struct ruby_env env;
	u32 type = r->type;
	u64 ep = r->frame.ep;

	if (type == ISEQ_RESCUE || type == ISEQ_ENSURE) /* part of what is around it */
		return 0;
	key.line = rb->line_tagged ? r->body.line >> 1 : r->body.line;
	key.tgid = rb->tgid;
	/* One definition may run for several classes, and makes a method of each. */
	if ((type == ISEQ_METHOD || type == ISEQ_BLOCK) && !bpf_probe_read_user(&env, sizeof(env), (void *)(ep - 16))) {
		if (type == ISEQ_BLOCK && (env.flags & FRAME_BMETHOD))
			ep |= 1;
		if (type == ISEQ_METHOD || (ep & 1))
			key.linetable = read64(env.method + 32); /* owner */
	}
	known = bpf_map_lookup_elem(&codes, &key);
	c.function = known ? known->id : intern_ruby(index, &key, ep, r->body.base_label, type);
	return enter_told(&c, sp, r->end);
}

struct ending {
	struct call_stack *s;
	u64 now;
	u32 keep, flags;
};
static long end_one(u32 i, struct ending *e)
{
	u32 depth = e->s->depth;

	if (depth <= e->keep || depth > CT_CALL_DEPTH)
		return 1;
	tell_return(call_at(e->s, depth - 1), depth, e->flags, 0, e->now);
	cut(e->s, depth - 1);
	return 0;
}
/* All but the outermost e->keep have ended. */
static __always_inline void end_calls(struct ending *e)
{
	if (min_ns)
		cut(e->s, e->keep < e->s->depth ? e->keep : e->s->depth);
	else
		bpf_loop(CT_CALL_DEPTH, end_one, e, 0);
}

/* The frame goes on: calls below it have ended, by an exception that it rescues, or by break, throw, return. */
static __noinline int ruby_resume(struct ruby *r, u64 sp)
{
	struct ending e = {.now = bpf_ktime_get_ns(), .s = this_stack(0)};
	struct walk w = {.s = e.s, .least = r->depth + 1, .end = r->end};
	u32 type = r->type;
	u64 error;

	if (!e.s)
		return 0;
	walk(&w, sp);
	e.keep = w.keep;
	/* The one variable of these has the exception, or else what is thrown. */
	if (type == ISEQ_RESCUE || type == ISEQ_ENSURE) {
		error = read64(r->frame.ep - 24);
		if (error && !(error & 7) && (read64(error) & T_MASK) != T_IMEMO)
			e.flags = CT_LEFT_RAISED;
	}
	end_calls(&e);
	return 0;
}

static __noinline int ruby_leave(struct ruby *r, u64 sp)
{
	struct call_stack *s = this_stack(0);
	u32 depth = s ? find_told(s, sp, r->frame.iseq, r->depth) : 0;

	return depth ? pop(s, depth, 0, 0) : 0;
}

SEC("uprobe")
int ct_ruby(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	u32 index = cookie, what = cookie >> 40 & 7;
	struct ct_ruby_probe *rb;
	struct ruby *r;

	if (!wanted() || !(rb = bpf_map_lookup_elem(&rubies, &index)))
		return 0;
	if (what == CT_RUBY_MAY && register_of(ctx, cookie >> 36 & 15) != rb->undef)
		return 0;
	r = bpf_task_storage_get(&looked_at, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!r) {
		count(&stats.no_room);
		return 0;
	}
	if (!read_ruby(r, register_of(ctx, cookie >> 32 & 15), what == CT_RUBY_LEAVES ? rb->cfp_size : 0))
		return 0;
	if (what == CT_RUBY_DIFFERS && register_of(ctx, cookie >> 36 & 15) == r->ec.cfp)
		return 0;
	if (what == CT_RUBY_LEAVES)
		return ruby_leave(r, ctx->sp);
	if (!read_body(r)) {
		count(&stats.unreadable);
		return 0;
	}
	return what == CT_RUBY_RESUMES ? ruby_resume(r, ctx->sp) : ruby_enter(r, rb, index, ctx->sp);
}
