/* SPDX-License-Identifier: MIT OR GPL-2.0
 * What programs tell of themselves by the probes of ctbpf.h: a part of calls.bpf.c, on the stacks of calls there.
 *
 * The program says how deep a call is. Its calls stand among native ones, and end with the one they are in. */

/* Depths of C functions are addresses, negated; else the upper half says which of several stacks it is. */
static __always_inline bool same_stack(u64 a, u64 b)
{
	return b && (a >> 63 ? b >> 63 : a >> 32 == b >> 32);
}

#define RUBY_FRAME_ISEQ 16 /* in rb_control_frame_t */

/* Down a stack, from the innermost call on, to the first one that the program has told of and that is less deep. */
struct walk {
	struct call_stack *s;
	u64 least;
	u32 depth; /* still to be looked at */
	u32 keep;  /* calls that are open when none of those told of is as deep as `least` */
	u32 found; /* calls up to the one looked for, 0: there is none */
	u64 end;   /* 0, or of a stack of Ruby's frames, whose memory tells whether a call is still open */
};
/* The frame of this call has no other in its place. */
static __always_inline bool frame_is_there(u64 end, const struct open_call *c)
{
	return read64(end - (u32)c->depth + RUBY_FRAME_ISEQ) == c->told;
}
static long walk_one(u32 i, struct walk *w)
{
	const struct open_call *c;

	if (!w->depth)
		return 1;
	c = call_at(w->s, w->depth - 1);
	if (same_stack(w->least, c->depth)) {
		if (c->depth < w->least && (!w->end || frame_is_there(w->end, c))) {
			w->found = w->depth;
			return 1;
		}
		w->keep = w->depth - 1;
	}
	w->depth--;
	return 0;
}
static __always_inline void walk(struct walk *w, u64 sp)
{
	w->depth = w->keep = still_open(w->s, sp, 0);
	bpf_loop(CT_CALL_DEPTH, walk_one, w, 0);
}

/* The call of `function` at this depth, from 1 on; those above are gone. 0: it is none of those that are open. */
static __always_inline u32 find_told(struct call_stack *s, u64 sp, u64 function, u64 told_depth)
{
	struct walk w = {.s = s, .least = told_depth + 1};
	const struct open_call *c;

	walk(&w, sp);
	c = call_at(s, w.found - 1);
	if (!w.found || w.found > CT_CALL_DEPTH || c->depth != told_depth || c->told != function)
		return 0;
	cut(s, w.found);
	return w.found;
}

/* A string that ends in 0: how many bytes, less than max. */
static __always_inline u32 read_text(char *to, u32 max, u64 from, bool *cut)
{
	long got = from ? bpf_probe_read_user_str(to, max, (void *)from) : 0;
	u64 len = got > 0 ? got - 1 : 0;
	char more = 0;

	OPAQUE(len);
	if (len >= max)
		return 0;
	if (len == max - 1 && !bpf_probe_read_user(&more, 1, (void *)(from + max - 1)) && more)
		*cut = true;
	return len;
}

static __noinline u32 intern_told(const struct ct_code_key *key)
{
	struct function_record *e;
	struct code code = {};
	bool cut = false;
	u32 len, at;

	if (!key)
		return 0;
	e = reserve_function();
	if (!e)
		return 0;
	len = read_text(e->text, CT_CALL_NAME_MAX, key->qualname, &cut);
	if (!len) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		count(&stats.unreadable);
		return 0;
	}
	e->f.name_len = at = len;
	len = read_text(e->text + at, CT_CALL_FILE_MAX, key->filename, &cut);
	e->f.file_len = len;
	at += len;
	if (at > CT_CALL_NAME_MAX + CT_CALL_FILE_MAX)
		at = 0;
	len = read_text(e->text + at, CT_TOLD_LANGUAGE_MAX, key->linetable, &cut);
	e->f.flags = cut ? CT_FNF_CUT : 0;
	e->f.language = CT_LANGUAGE_NAMED;
	return tell_function(e, at + len, key, &code);
}

static __always_inline u32 id_of(u64 function, u8 *silent)
{
	struct ct_told_function f;
	struct ct_code_key key = {};
	const struct code *known;

	if (bpf_probe_read_user(&f, sizeof(f), (void *)function)) {
		count(&stats.unreadable);
		return 0;
	}
	key.code = function;
	key.filename = f.file;
	key.qualname = f.name;
	key.linetable = f.language;
	key.line = f.line;
	key.tgid = bpf_get_current_pid_tgid() >> 32;
	known = bpf_map_lookup_elem(&codes, &key);
	if (!known) {
		u32 id = intern_told(&key);

		known = bpf_map_lookup_elem(&codes, &key);
		*silent = known ? known->silent : nrules || silent_by_default;
		return id;
	}
	*silent = known->silent;
	return known->id;
}

/* Where a call with no C function of its own has been entered: it ends with the native call around it, if there is one,
 * whose stack pointer is a multiple of 8. */
static __always_inline u64 within(struct call_stack *s, u32 depth)
{
	u64 sp = ~7ull;

	if (depth && depth <= CT_CALL_DEPTH)
		sp = call_at(s, depth - 1)->sp;
	return sp - !(sp & 7);
}

/* A call of c->function, as deep as c->depth says; `end` as in struct walk. */
static __always_inline int enter_told(struct open_call *c, u64 sp, u64 end)
{
	struct walk w = {.least = c->depth, .end = end};
	struct call_stack *s;
	u32 depth;

	if (!c->function)
		return 0;
	w.s = s = this_stack(BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!s) {
		count(&stats.no_room);
		return 0;
	}
	walk(&w, sp);
	depth = w.keep;
	c->sp = within(s, depth);
	push(s, depth, c, NULL);
	return 0;
}

SEC("uprobe")
int ct_told_entry(struct pt_regs *ctx)
{
	struct open_call c = {.told = ctx->di, .depth = ctx->si};

	if (!wanted() || !c.depth)
		return 0;
	c.function = id_of(c.told, &c.silent);
	return enter_told(&c, ctx->sp, 0);
}

SEC("uprobe")
int ct_told_exit(struct pt_regs *ctx)
{
	struct call_stack *s;
	u32 depth;

	if (!wanted() || !(s = this_stack(0)))
		return 0;
	depth = find_told(s, ctx->sp, ctx->di, ctx->si);
	if (depth)
		pop(s, depth, ctx->dx & 1 ? CT_LEFT_RAISED : 0, 0);
	return 0;
}

/* The call that lines or a value belong to; what belongs to none is counted. */
static __always_inline u32 owner(u64 sp, u64 function, u64 told_depth, u32 *id, u8 *silent)
{
	struct call_stack *s = this_stack(0);
	u32 depth = s ? find_told(s, sp, function, told_depth) : 0;

	if (!depth) {
		count(&stats.orphans);
		return 0;
	}
	*id = call_at(s, depth - 1)->function;
	*silent = call_at(s, depth - 1)->silent;
	return depth;
}

struct lines_record {
	struct ct_event h;
	struct ct_ev_lines l;
	u32 line[CT_TOLD_LINES];
};

SEC("uprobe")
int ct_told_lines(struct pt_regs *ctx)
{
	const struct ct_told_lines *from = (void *)ctx->di;
	struct { /* all before its lines */
		u64 function, depth;
		u32 count, first;
	} b;
	struct lines_record *e;
	u32 depth, id = 0;
	u64 seq, bytes;
	u8 silent;

	if (!wanted() || bpf_probe_read_user(&b, sizeof(b), from) || !b.count || b.count > CT_TOLD_LINES)
		return 0;
	depth = owner(ctx->sp, b.function, b.depth, &id, &silent);
	if (!depth)
		return 0;
	seq = next_seq();
	e = reserve(sizeof(*e));
	if (!e)
		return 0;
	bytes = b.count * 4;
	OPAQUE(bytes);
	if (bytes > sizeof(e->line) || bpf_probe_read_user(e->line, bytes, from->line))
		bytes = 0;
	fill(&e->h, sizeof(e->h) + sizeof(e->l) + bytes, CT_EV_LINES, seq, bpf_ktime_get_ns());
	e->l.function = id;
	e->l.depth = depth;
	e->l.count = bytes / 4;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Data behind `at` bytes of text: how many bytes are there. */
static __always_inline u32 read_data(char *text, u32 at, u64 from, u64 len)
{
	if (len > CT_TOLD_DATA_MAX)
		len = CT_TOLD_DATA_MAX;
	OPAQUE(len);
	if (at > 2 * CT_TOLD_NAME_MAX || len > CT_TOLD_DATA_MAX || !from ||
	    bpf_probe_read_user(text + at, len, (void *)from))
		return 0;
	return len;
}

static __always_inline void tell_record(struct told_record *e, u64 fixed, u64 len, u16 type)
{
	u64 size = sizeof(e->h) + fixed + len;

	OPAQUE(size);
	if (size > sizeof(*e))
		return;
	fill(&e->h, size, type, next_seq(), bpf_ktime_get_ns());
	if (bpf_ringbuf_output(&ring, e, size, BPF_RB_NO_WAKEUP))
		lost_one();
}

SEC("uprobe")
int ct_told_value(struct pt_regs *ctx)
{
	struct ct_told_value v;
	struct told_record *e;
	u32 depth, id = 0, at;
	bool cut = false;
	u8 silent = 0;

	if (!wanted())
		return 0;
	if (bpf_probe_read_user(&v, sizeof(v), (void *)ctx->di) || v.role >= CT_ROLES || v.kind >= CT_KINDS) {
		count(&stats.orphans);
		return 0;
	}
	depth = owner(ctx->sp, v.function, v.depth, &id, &silent);
	e = depth && !silent ? get_record() : NULL;
	if (!e)
		return 0;
	e->v.function = id;
	e->v.depth = depth;
	e->v.role = v.role;
	e->v.kind = v.kind;
	e->v.number = v.number;
	e->v.length = 0;
	e->v.data_len = 0;
	e->v.name_len = at = read_text(e->text, CT_TOLD_NAME_MAX, v.name, &cut);
	e->v.type_len = read_text(e->text + at, CT_TOLD_NAME_MAX, v.type, &cut);
	at += e->v.type_len;
	if (v.kind >= CT_KIND_STRING) {
		e->v.number = 0;
		e->v.length = v.len;
		e->v.data_len = read_data(e->text, at, v.data, v.len);
		at += e->v.data_len;
	}
	tell_record(e, sizeof(e->v), at, CT_EV_VALUE);
	return 0;
}

SEC("uprobe")
int ct_told_message(struct pt_regs *ctx)
{
	struct told_record *e;
	bool cut = false;
	char *text;
	u32 at;

	if (!wanted())
		return 0;
	e = get_record();
	if (!e)
		return 0;
	text = (char *)(&e->m + 1);
	e->m.direction = ctx->cx < CT_DIRECTIONS ? ctx->cx : CT_DIRECTION_NONE;
	e->m.length = ctx->dx;
	e->m.topic_len = at = read_text(text, CT_TOLD_NAME_MAX, ctx->di, &cut);
	e->m.data_len = read_data(text, at, ctx->si, ctx->dx);
	at += e->m.data_len;
	tell_record(e, sizeof(e->m), at, CT_EV_MESSAGE);
	return 0;
}
