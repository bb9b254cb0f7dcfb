/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Which functions are left out, by rules about their names and files: a part of calls.bpf.c. It is decided once a
 * function, when it is met first, so before anything of it is told. */

/* Where a record of any length is put together: one for each thread, which other threads' probes do not interrupt. */
struct told_record {
	struct ct_event h;
	union {
		struct ct_ev_value v;
		struct ct_ev_message m;
	};
	char text[2 * CT_TOLD_NAME_MAX + CT_TOLD_DATA_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct told_record);
} told SEC(".maps");

static __always_inline struct told_record *get_record(void)
{
	struct told_record *e =
		bpf_task_storage_get(&told, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!e)
		count(&stats.no_room);
	return e;
}

/* A pattern on its way through a text, whose characters are of `unit` bytes each. */
struct globbing {
	const struct ct_call_rule *rule;
	const struct told_record *from;
	u32 at, len, unit; /* of the text, in from->text */
	u32 p, t;          /* so far */
	u32 star, mark;    /* behind the last *, and what that has taken; 0: there was none */
	bool fits;
};

#define GLOB_TEXT 1023 /* mask: more than all of a record's text */
static __always_inline u32 character(const struct globbing *g)
{
	u32 at = g->at + g->t * (g->unit ? g->unit : 1), c = (u8)g->from->text[at & GLOB_TEXT];

	/* Patterns are UTF-8, of which only ASCII has these numbers, too. */
	if (g->unit > 1 && g->from->text[(at + 1) & GLOB_TEXT])
		return 256;
	return g->unit && c > 127 ? 256 : c;
}

static long glob_one(u32 i, struct globbing *g)
{
	u32 want = g->p < g->rule->len ? (u8)g->rule->pattern[g->p & (CT_CALL_PATTERN - 1)] : 256;

	if (want == '*') {
		g->star = ++g->p;
		g->mark = g->t;
		return 0;
	}
	if (g->t >= g->len) {
		g->fits = g->p >= g->rule->len;
		return 1;
	}
	if (want != 256 && (want == '?' || want == character(g))) {
		g->p++;
		g->t++;
		return 0;
	}
	if (!g->star)
		return 1;
	g->p = g->star;
	g->t = ++g->mark;
	return 0;
}

struct deciding {
	const struct told_record *from;
	u32 name_len, file_len, units;
	u32 skip, silent;
};
static long rule_one(u32 i, struct deciding *d)
{
	const struct ct_call_rule *rule = bpf_map_lookup_elem(&rules, &i);
	struct globbing g = {.from = d->from};

	if (!rule || i >= nrules)
		return 1;
	g.rule = rule;
	g.at = rule->file ? d->name_len : 0;
	g.unit = d->units >> (rule->file ? CT_FNF_UNITS_FILE : CT_FNF_UNITS_NAME) & 7;
	g.len = (rule->file ? d->file_len : d->name_len) / (g.unit == 4 ? 4 : g.unit == 2 ? 2 : 1);
	bpf_loop(1 << 16, glob_one, &g, 0);
	if (!g.fits)
		return 0;
	if (rule->calls != CT_RULE_NOTHING)
		d->skip = rule->calls == CT_RULE_NO;
	if (rule->values != CT_RULE_NOTHING)
		d->silent = rule->values == CT_RULE_NO;
	return 0;
}

static __noinline u32 decide(u32 name_len, u32 file_len, u32 units)
{
	struct deciding d = {.from = get_record(),
			     .name_len = name_len,
			     .file_len = file_len,
			     .units = units,
			     .skip = skip_by_default,
			     .silent = silent_by_default};

	if (d.from)
		bpf_loop(CT_CALL_RULES, rule_one, &d, 0);
	return d.skip | d.silent << 1;
}

static __always_inline bool left_out(const struct function_record *e, struct code *code)
{
	struct told_record *copy;
	u32 said;

	if (!nrules && !skip_by_default && !silent_by_default)
		return false;
	copy = get_record();
	if (copy)
		__builtin_memcpy(copy->text, e->text, CT_CALL_NAME_MAX + CT_CALL_FILE_MAX);
	said = decide(e->f.name_len, e->f.file_len, e->f.flags);
	code->silent = said >> 1;
	return said & 1;
}
