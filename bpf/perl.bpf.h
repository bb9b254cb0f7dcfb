/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Calls of Perl's subs: a part of calls.bpf.c, by the means of sdk.bpf.h and ruby.bpf.h.
 *
 * Operations of one sub after the other are run by the same C function. What is under way is on stacks of contexts, of
 * which nested interpreters' loops (sort, tie, DESTROY) have each their own: a call is as deep as its context there. */

/* Of 5.36 for threads: interpreter, PERL_SI, PERL_CONTEXT, CV, OP, COP, GV, HV, HEK. */
#define PERL_OP        0x08
#define PERL_STACKINFO 0xe0
#define SI_CONTEXTS    0x08
#define SI_INNERMOST   0x20
#define CONTEXT_SIZE   104
#define CONTEXT_CV     0x48
#define CONTEXT_MASK   0x0f
#define CONTEXT_SUB    9
#define CV_NAMED       0x8000
#define OP_NEXT        0x00
#define OP_RUN_BY      0x10
#define OP_FLAGS       0x22
#define OP_STACKED     0x40 /* of goto: not to a label */
#define COP_LINE       0x24
#define COP_FILE       0x30
#define GV_NAME        0x20
#define GV_STASH       0x28
#define HV_NAME        0x20
#define HV_NAME_COUNT  0x3c
#define HEK_LENGTH     4
#define HEK_TEXT       8
#define PERL_FIRST_OPS 8 /* of a sub, among which its first statement is looked for */

struct perl_cv {
	u64 stash, start, root, name, file, pad, outside;
	u32 sequence, flags;
};
#define CV_PARTS 0x20 /* where these are */

struct perl_place {
	u64 stack; /* struct stackinfo */
	u64 cv;    /* 0: the innermost context is none of a sub */
	u64 depth;
	s32 innermost;
};

static __always_inline u64 perl_depth(u64 stack, s32 context)
{
	return (stack >> 4 & 0x7fffffff) << 32 | (u32)(context + 1);
}

static __always_inline bool read_place(u64 perl, struct perl_place *p)
{
	u64 contexts;
	u8 type;

	p->stack = read64(perl + PERL_STACKINFO);
	if (!p->stack || bpf_probe_read_user(&p->innermost, sizeof(p->innermost), (void *)(p->stack + SI_INNERMOST)))
		return false;
	p->depth = perl_depth(p->stack, p->innermost);
	p->cv = 0;
	if (p->innermost < 0)
		return true;
	contexts = read64(p->stack + SI_CONTEXTS) + (u64)p->innermost * CONTEXT_SIZE;
	if (!bpf_probe_read_user(&type, 1, (void *)contexts) && (type & CONTEXT_MASK) == CONTEXT_SUB)
		p->cv = read64(contexts + CONTEXT_CV);
	return true;
}

/* A name in a table of names: how many bytes. */
static __always_inline u32 read_hek(u64 hek, char *to, u64 max, bool *cut)
{
	u32 bytes = 0;
	u64 len;

	if (!hek || bpf_probe_read_user(&bytes, sizeof(bytes), (void *)(hek + HEK_LENGTH)) || (s32)bytes <= 0)
		return 0;
	len = bytes;
	if (len > max) {
		*cut = true;
		len = max;
	}
	OPAQUE(len);
	if (len > max || bpf_probe_read_user(to, len, (void *)(hek + HEK_TEXT)))
		return 0;
	return len;
}

/* As intern(). Package::name. */
static __noinline u32 intern_perl(const struct ct_code_key *key)
{
	struct function_record *e = key ? reserve_function() : NULL;
	struct code code = {};
	bool cut = false;
	u32 at, len;
	u64 stash, name;
	s32 names = 0;

	if (!e)
		return 0;
	stash = read64(key->linetable);
	name = read64(stash + HV_NAME);
	if (name && !bpf_probe_read_user(&names, sizeof(names), (void *)(stash + HV_NAME_COUNT)) && names)
		name = read64(name + (names < 0 ? 8 : 0));
	at = read_hek(name, e->text, CT_CALL_NAME_MAX / 2, &cut);
	OPAQUE(at);
	if (at > CT_CALL_NAME_MAX / 2)
		at = 0;
	__builtin_memcpy(e->text + at, "::", 2);
	at += at ? 2 : 0;
	at += read_hek(key->qualname, e->text + at, CT_CALL_NAME_MAX / 2 - 2, &cut);
	OPAQUE(at);
	if (!at || at > CT_CALL_NAME_MAX) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		count(&stats.unreadable);
		return 0;
	}
	e->f.name_len = at;
	len = read_text(e->text + at, CT_CALL_FILE_MAX, key->filename, &cut);
	e->f.file_len = len;
	at += len;
	OPAQUE(at);
	if (at > CT_CALL_NAME_MAX + CT_CALL_FILE_MAX)
		at = 0;
	__builtin_memcpy(e->text + at, "perl", 4);
	e->f.flags = cut ? CT_FNF_CUT : 0;
	e->f.language = CT_LANGUAGE_NAMED;
	return tell_function(e, at + 4, key, &code);
}

struct perl_first {
	u64 op, nextstate, found;
};
static long first_one(u32 i, struct perl_first *f)
{
	if (!f->op)
		return 1;
	if (read64(f->op + OP_RUN_BY) == f->nextstate) {
		f->found = f->op;
		return 1;
	}
	f->op = read64(f->op + OP_NEXT);
	return 0;
}

static __always_inline void perl_enter(const struct ct_vm_probe *vm, const struct perl_place *p, u64 sp, u8 tail)
{
	struct open_call c = {.told = p->stack, .depth = p->depth, .tail = tail};
	struct ct_code_key key = {};
	struct perl_first first = {.nextstate = vm->nextstate};
	const struct code *known;
	struct perl_cv cv;

	if (bpf_probe_read_user(&cv, sizeof(cv), (void *)(read64(p->cv) + CV_PARTS))) {
		count(&stats.unreadable);
		return;
	}
	/* Closures are copies with the same operations. Where the sub begins is not kept, but its first statement is.
	 */
	key.code = cv.root;
	key.filename = cv.file;
	first.op = cv.start;
	bpf_loop(PERL_FIRST_OPS, first_one, &first, 0);
	if (first.found) {
		key.filename = read64(first.found + COP_FILE);
		bpf_probe_read_user(&key.line, sizeof(key.line), (void *)(first.found + COP_LINE));
	}
	key.qualname = cv.name;
	key.linetable = cv.stash;
	if (!(cv.flags & CV_NAMED)) {
		u64 gv = read64(cv.name);

		key.qualname = read64(gv + GV_NAME);
		key.linetable = read64(gv + GV_STASH);
	}
	key.tgid = vm->tgid;
	known = bpf_map_lookup_elem(&codes, &key);
	c.function = known ? known->id : intern_perl(&key);
	enter_told(&c, sp, 0);
}

static __noinline int perl_unwind(u64 stack, s32 context, u64 sp, u32 flags)
{
	struct ending e = {.now = bpf_ktime_get_ns(), .s = this_stack(0), .flags = flags};
	struct walk w = {.s = e.s, .least = perl_depth(stack, context) + 1};

	if (!e.s)
		return 0;
	walk(&w, sp);
	e.keep = w.keep;
	end_calls(&e);
	return 0;
}

static __noinline int perl_leave(const struct perl_place *p, u64 sp)
{
	struct call_stack *s = this_stack(0);
	u32 depth = s && p ? find_told(s, sp, p->stack, p->depth) : 0;

	return depth ? pop(s, depth, 0, 0) : 0;
}

SEC("uprobe")
int ct_perl(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), next, perl, caller, op;
	const struct ct_vm_probe *vm;
	struct perl_place p;
	u32 index = cookie;
	u8 flags = 0;

	if (!wanted() || !(vm = bpf_map_lookup_elem(&vms, &index)))
		return 0;
	perl = register_of(ctx, cookie >> 32 & 15);
	if (!read_place(perl, &p)) {
		count(&stats.unreadable);
		return 0;
	}
	switch (cookie >> 40) {
	case CT_PERL_ENTERS:
		if (p.cv)
			perl_enter(vm, &p, ctx->sp, 0);
		return 0;
	case CT_PERL_LEAVES: return perl_leave(&p, ctx->sp);
	case CT_PERL_UNWINDS:
		caller = read64(ctx->sp);
		return perl_unwind(p.stack, (s32)ctx->si, ctx->sp,
				   caller >= vm->die_from && caller < vm->die_end ? CT_LEFT_RAISED : 0);
	case CT_PERL_GOES:
		perl_unwind(p.stack, p.innermost, ctx->sp, 0);
		/* goto &sub: the context is the new one's, which begins. */
		op = read64(perl + PERL_OP);
		next = register_of(ctx, cookie >> 36 & 15);
		bpf_probe_read_user(&flags, 1, (void *)(op + OP_FLAGS));
		if ((flags & OP_STACKED) && p.cv && next == read64(read64(p.cv) + CV_PARTS + 8))
			perl_enter(vm, &p, ctx->sp, 1);
		return 0;
	default: return 0;
	}
}
