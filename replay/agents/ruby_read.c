// SPDX-License-Identifier: MIT
/* Reading Ruby's objects from outside. What is read may be anything: every length is bounded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/agents/ruby.h"

#define STRING_MAX 4096
#define SIZE_MAX_  (1u << 22) /* words of one instruction sequence */
#define VARS_MAX   256
#define LEVELS     16

#define T_MASK   0x1f
#define T_CLASS  0x02
#define T_STRING 0x05
#define T_ARRAY  0x07
#define T_IMEMO  0x1a
#define T_ICLASS 0x1c
#define USER(n)  (1ull << (12 + (n)))
#define IMEMO(f) ((f) >> 12 & 15)
#define SVAR     2      /* imemo_svar: holds what else would be in its place */
#define MENT     6      /* imemo_ment: a method */
#define ID_UNIT  512    /* names are in arrays of so many pairs */
#define EV_ANY   0x31fu /* RUBY_EVENT_* that the agent tells of */

/* rb_callable_method_entry_t and rb_method_definition_t, the same in 3.1 and 3.3 */
#define ME_DEF          16
#define ME_OWNER        32
#define DEF_ORIGINAL_ID 32

/* enum iseq_type, the same in 3.1 and 3.3 */
enum { TOP, METHOD, BLOCK, CLASS, RESCUE, ENSURE, EVAL, MAIN, PLAIN };

static ct_u64 word(const struct ct_rb_reader *r, ct_u64 addr)
{
	ct_u64 v = 0;

	return addr && ct_mem_read(r->memfd, addr, &v, 8) ? v : 0;
}
static ct_u32 half(const struct ct_rb_reader *r, ct_u64 addr)
{
	ct_u32 v = 0;

	return addr && ct_mem_read(r->memfd, addr, &v, 4) ? v : 0;
}

static bool is_object(ct_u64 v)
{
	return v > 0x100 && !(v & 7);
}

char *ct_rb_string(const struct ct_rb_reader *r, ct_u64 v)
{
	ct_u64 flags = is_object(v) ? word(r, v) : 0, len, data;
	char *text;

	if ((flags & T_MASK) != T_STRING)
		return NULL;
	len = word(r, v + 16);
	if (flags & USER(1)) {
		data = word(r, v + 24);
	} else {
		data = v + r->layout->off.str_embed;
		len = r->layout->off.str_embed_len ? flags >> 14 & 31 : len;
	}
	if (len > STRING_MAX || !(text = malloc(len + 1)))
		return NULL;
	if (len && !ct_mem_read(r->memfd, data, text, len)) {
		free(text);
		return NULL;
	}
	text[len] = 0;
	return text;
}

static ct_u64 array_at(const struct ct_rb_reader *r, ct_u64 v, ct_u64 i)
{
	ct_u64 flags = is_object(v) ? word(r, v) : 0;

	if ((flags & T_MASK) != T_ARRAY)
		return 0;
	if (flags & USER(1))
		return i < (flags >> 15 & r->layout->off.array_embed_mask) ? word(r, v + 16 + 8 * i) : 0;
	return i < word(r, v + 16) ? word(r, word(r, v + 32) + 8 * i) : 0;
}
static ct_u64 array_len(const struct ct_rb_reader *r, ct_u64 v)
{
	ct_u64 flags = is_object(v) ? word(r, v) : 0;

	if ((flags & T_MASK) != T_ARRAY)
		return 0;
	return flags & USER(1) ? flags >> 15 & r->layout->off.array_embed_mask : word(r, v + 16);
}

static char *id_name(const struct ct_rb_reader *r, ct_u64 id)
{
	ct_u64 serial = id > r->layout->last_operator ? id >> 4 : id;
	ct_u64 part = array_at(r, word(r, r->symbols), serial / ID_UNIT);

	return ct_rb_string(r, array_at(r, part, serial % ID_UNIT * 2));
}

char *ct_rb_symbol(const struct ct_rb_reader *r, ct_u64 v)
{
	return (v & 0xff) == 0x0c ? id_name(r, v >> 8) : is_object(v) ? ct_rb_string(r, word(r, v + 24)) : NULL;
}

/* ---- classes ------------------------------------------------------------------------------------------------ */

static ct_u64 class_ext(const struct ct_rb_reader *r, ct_u64 klass)
{
	return r->layout->class_ext ? klass + r->layout->class_ext : word(r, klass + 24);
}

/* st_table: entries of hash, key, value; at most so many are looked at. */
struct entries {
	ct_u64 at, from, to;
};
static struct entries table(const struct ct_rb_reader *r, ct_u64 st)
{
	struct entries e = {word(r, st + 48), word(r, st + 32), word(r, st + 40)};

	if (!st || !e.at || e.to > 4096)
		e.from = e.to = 0;
	return e;
}

/* A variable of the class object itself. */
static ct_u64 class_variable(const struct ct_rb_reader *r, ct_u64 klass, const char *name)
{
	struct entries e = table(r, word(r, class_ext(r, klass) + r->layout->class_ivars));

	for (ct_u64 i = e.from; i < e.to; i++) {
		char *key = word(r, e.at + 24 * i) == ~(ct_u64)0 ? NULL : id_name(r, word(r, e.at + 24 * i + 8));
		bool same = key && !strcmp(key, name);

		free(key);
		if (same)
			return word(r, e.at + 24 * i + 16);
	}
	return 0;
}

static ct_u64 plain_class(const struct ct_rb_reader *r, ct_u64 klass)
{
	for (int i = 0; i < 64 && is_object(klass); i++) {
		ct_u64 flags = word(r, klass);

		if ((flags & T_MASK) == T_ICLASS)
			klass = word(r, klass + 8); /* what it includes */
		else if ((flags & T_MASK) == T_CLASS && (flags & USER(0)))
			klass = word(r, klass + 16); /* singleton: its superclass */
		else
			break;
	}
	return klass;
}

static char *class_path(const struct ct_rb_reader *r, ct_u64 klass)
{
	char *name;

	if (!r->layout->class_ivars)
		return ct_rb_string(r, word(r, class_ext(r, klass) + r->layout->class_path));
	name = ct_rb_string(r, class_variable(r, klass, "__classpath__"));
	return name ? name : ct_rb_string(r, class_variable(r, klass, "__tmp_classpath__"));
}

char *ct_rb_class_name(const struct ct_rb_reader *r, ct_u64 klass)
{
	char *name, buf[64];

	klass = plain_class(r, klass);
	name = is_object(klass) ? class_path(r, klass) : NULL;
	if (name)
		return name;
	snprintf(buf, sizeof(buf), "#<Class:%#llx>", (unsigned long long)klass);
	return strdup(buf);
}

/* What a singleton class is that of. */
static ct_u64 attached_to(const struct ct_rb_reader *r, ct_u64 singleton)
{
	return r->layout->class_ivars ? class_variable(r, singleton, "__attached__")
				      : word(r, class_ext(r, singleton) + r->layout->class_attached);
}

/* "Class#" or "Class." before the name of a method; "" for what is defined outside of classes. */
static char *method_prefix(const struct ct_rb_reader *r, ct_u64 owner)
{
	ct_u64 flags = is_object(owner) ? word(r, owner) : 0, attached;
	char *name, *out = NULL;
	const char *sep = "#";

	if ((flags & T_MASK) == T_ICLASS)
		owner = word(r, owner + 8), flags = word(r, owner);
	if ((flags & T_MASK) == T_CLASS && (flags & USER(0))) {
		attached = attached_to(r, owner);
		sep = ".";
		/* Of an object that is no class, only the class has a name. */
		if (is_object(attached) && ((word(r, attached) & T_MASK) & ~1ull) == T_CLASS)
			owner = attached;
		else
			owner = plain_class(r, owner);
	}
	name = is_object(owner) ? class_path(r, owner) : NULL;
	if (!name || (!strcmp(name, "Object") && *sep == '#')) {
		free(name);
		return strdup("");
	}
	if (asprintf(&out, "%s%s", name, sep) < 0)
		out = NULL;
	free(name);
	return out;
}

static void add_field(struct ct_rb_fields *f, ct_u64 index, char *name)
{
	/* An exception's backtrace is no value that somebody has given it. */
	if (f->n == CT_RB_FIELDS || !name || !strcmp(name, "bt") || !strcmp(name, "bt_locations")) {
		free(name);
		return;
	}
	f->field[f->n].index = index;
	f->field[f->n++].name = name;
}

/* Members of a Struct; else the instance variables that objects of the class have had so far. */
void ct_rb_read_fields(const struct ct_rb_reader *r, ct_u64 klass, struct ct_rb_fields *f)
{
	ct_u64 members = 0, k, ext;

	memset(f, 0, sizeof(*f));
	klass = plain_class(r, klass);
	for (k = klass; is_object(k) && !members; k = plain_class(r, word(r, k + 16))) {
		if (r->layout->class_ivars) {
			members = class_variable(r, k, "__members__");
		} else {
			ct_u64 list = word(r, class_ext(r, k) + r->layout->class_ivar_list), first = word(r, list);

			if (array_len(r, first) && (array_at(r, first, 0) & 0xff) == 0x0c)
				members = first;
		}
	}
	for (ct_u64 i = 0; members && i < array_len(r, members) && i < CT_RB_FIELDS; i++)
		add_field(f, i, ct_rb_symbol(r, array_at(r, members, i)));
	if (f->n || r->layout->off.object_ivars != 1)
		return;
	/* rb_classext_t.iv_index_tbl, at 0: ID to rb_iv_index_tbl_entry, whose first half word is the index */
	ext = class_ext(r, klass);
	if (word(r, ext)) {
		struct entries e = table(r, word(r, ext));

		f->count_at = word(r, ext) + 16;
		for (ct_u64 i = e.from; i < e.to; i++)
			if (word(r, e.at + 24 * i) != ~(ct_u64)0)
				add_field(f, half(r, word(r, e.at + 24 * i + 16)),
					  id_name(r, word(r, e.at + 24 * i + 8)));
	} else {
		f->count_at = ext; /* there may be one later */
	}
	f->count = word(r, f->count_at);
}

/* rb_shape_t: edge_name 8, next_iv_index 16, type 24, parent_id 28; each adds one variable to its parent's. */
void ct_rb_read_shape(const struct ct_rb_reader *r, ct_u64 number, struct ct_rb_fields *f)
{
	const ct_u64 list = word(r, word(r, r->shapes));

	memset(f, 0, sizeof(*f));
	for (int i = 0; i < 256; i++) {
		const ct_u64 shape = list + 40 * number;
		const unsigned type = half(r, shape + 24) & 0xff;

		if (!list || !type) /* SHAPE_ROOT */
			break;
		if (type == 1) /* SHAPE_IVAR */
			add_field(f, half(r, shape + 16) - 1, id_name(r, word(r, shape + 8)));
		number = half(r, shape + 28);
	}
	for (ct_u32 i = 0; i < f->n / 2; i++) { /* the first one first */
		const struct ct_rb_field last = f->field[f->n - 1 - i];

		f->field[f->n - 1 - i] = f->field[i];
		f->field[i] = last;
	}
}

void ct_rb_fields_deinit(struct ct_rb_fields *f)
{
	while (f->n)
		free(f->field[--f->n].name);
}

/* ---- instruction sequences ---------------------------------------------------------------------------------- */

ct_u64 ct_rb_body(const struct ct_rb_reader *r, ct_u64 iseq)
{
	ct_u64 flags = is_object(iseq) ? word(r, iseq) : 0;

	return (flags & T_MASK) == T_IMEMO && IMEMO(flags) == 7 ? word(r, iseq + 16) : 0;
}

/* How many of the marked positions are not behind this one: iseq.c's succ_index_lookup. The first 54 are counted in
 * numbers of seven bits, the others by blocks of 512 bits with the counts of their first parts. */
struct ranks {
	const struct ct_rb_reader *r;
	ct_u64 table, block_at;
	ct_u64 imm[6], block[10];
};
static unsigned rank(struct ranks *k, unsigned pos)
{
	unsigned bit, part, n;
	ct_u64 at;

	if (pos < 54)
		return (unsigned)(k->imm[pos / 9] >> (pos % 9 * 7) & 0x7f);
	at = k->table + (pos - 54) / 512 * sizeof(k->block);
	if (k->block_at != at) {
		memset(k->block, 0, sizeof(k->block));
		ct_mem_read(k->r->memfd, at, k->block, sizeof(k->block));
		k->block_at = at;
	}
	bit = (pos - 54) % 512;
	part = bit / 64;
	n = part ? (unsigned)(k->block[1] >> ((part - 1) * 9) & 0x1ff) : 0;
	return (unsigned)(ct_u32)k->block[0] + n +
	       (unsigned)__builtin_popcountll(k->block[2 + part] << (63 - bit % 64));
}

/* What instructions are marked with; insns_info: entries {line, node, events}, positions, how many, ranks. */
static bool read_slots(const struct ct_rb_reader *r, ct_u64 body, struct ct_rb_iseq *out)
{
	const ct_u64 info = body + r->layout->insns;
	const ct_u64 entries = word(r, info), positions = word(r, info + 8), succ = word(r, info + 24);
	const ct_u32 count = half(r, info + 16);
	struct ranks k = {.r = r, .block_at = 0};
	ct_u32(*entry)[3] = NULL, *pos = NULL, at = 0, next;
	bool ok = false;

	if (!count || count > out->size)
		return false;
	entry = calloc(count, sizeof(*entry));
	pos = calloc(count, sizeof(*pos));
	out->slots = calloc(out->size + 1, sizeof(*out->slots));
	if (!entry || !pos || !out->slots || !ct_mem_read(r->memfd, entries, entry, count * sizeof(*entry)))
		goto out;
	if (positions && !ct_mem_read(r->memfd, positions, pos, count * sizeof(*pos)))
		goto out;
	if (!positions && count > 1) {
		/* The table has as many of these words as there are positions below 54. */
		ct_u32 words = (out->size < 54 ? out->size + 8 : 54) / 9;

		if (!ct_mem_read(r->memfd, succ, k.imm, (words < 6 ? words : 6) * 8))
			goto out;
		k.table = succ + 48;
	}
	for (ct_u32 i = 0; i < out->size; i++) {
		if (count == 1) {
			at = 0;
		} else if (positions) {
			while (at + 1 < count && pos[at + 1] <= i)
				at++;
		} else {
			at = rank(&k, i);
			at = at ? at - 1 : 0;
			if (at >= count)
				at = count - 1;
		}
		out->slots[i].line = (ct_s32)entry[at][0];
		out->slots[i].events = entry[at][2];
	}
	next = out->size;
	for (ct_u32 i = out->size; i-- > 0;) {
		if (out->slots[i].events & EV_ANY)
			next = i;
		out->slots[i].next = next;
	}
	ok = true;
out:
	free(entry);
	free(pos);
	return ok;
}

static void add_vars(const struct ct_rb_reader *r, ct_u64 body, unsigned level, struct ct_rb_iseq *out)
{
	const ct_u32 size = half(r, body + r->layout->off.local_count);
	const ct_u64 ids = word(r, body + r->layout->off.locals);

	for (ct_u32 i = 0; i < size && i < VARS_MAX && out->code.nvars < VARS_MAX; i++) {
		out->vars[out->code.nvars] = (struct ct_rba_var){(ct_u16)level, (ct_u16)(size + 2 - i)};
		out->code.variable[out->code.nvars++] = id_name(r, word(r, ids + 8 * i));
	}
}

/* The method that a frame belongs to, as vm_insnhelper.c's rb_vm_frame_method_entry finds it; 0: none. */
static ct_u64 method_of(const struct ct_rb_reader *r, ct_u64 cfp)
{
	ct_u64 ep = word(r, cfp + 32);

	for (int i = 0; i < 64 && ep; i++) {
		ct_u64 me = word(r, ep - 16), flags = is_object(me) ? word(r, me) : 0;

		if ((flags & T_MASK) == T_IMEMO && IMEMO(flags) == SVAR && (word(r, ep) & 2))
			me = word(r, me + 8), flags = is_object(me) ? word(r, me) : 0;
		if ((flags & T_MASK) == T_IMEMO && IMEMO(flags) == MENT)
			return me;
		if (word(r, ep) & 2) /* VM_ENV_FLAG_LOCAL */
			return 0;
		ep = word(r, ep - 8) & ~(ct_u64)3;
	}
	return 0;
}

/* "block in work" becomes "block in Thing#work". */
static char *qualified(const struct ct_rb_reader *r, char *label, char *base, ct_u64 me, bool bmethod)
{
	size_t len = strlen(label), tail = base ? strlen(base) : 0;
	char *prefix, *id = NULL, *out = NULL;

	if (!me)
		return label;
	prefix = method_prefix(r, word(r, me + ME_OWNER));
	if (bmethod) /* define_method: the block has the method's name */
		id = id_name(r, word(r, me + 24));
	if (prefix && id) {
		if (asprintf(&out, "%s%s", prefix, id) < 0)
			out = NULL;
	} else if (prefix && tail && len >= tail && !strcmp(label + len - tail, base)) {
		if (asprintf(&out, "%.*s%s%s", (int)(len - tail), label, prefix, base) < 0)
			out = NULL;
	}
	free(prefix);
	free(id);
	if (!out)
		return label;
	free(label);
	return out;
}

char *ct_rb_method_name(const struct ct_rb_reader *r, ct_u64 me, bool *instruction)
{
	ct_u64 flags = is_object(me) ? word(r, me) : 0, owner, of = 0;
	char *prefix, *id, *out = NULL;

	if ((flags & T_MASK) == T_IMEMO && IMEMO(flags) == SVAR)
		me = word(r, me + 8);
	owner = word(r, me + ME_OWNER);
	flags = is_object(owner) ? word(r, owner) : 0;
	if ((flags & T_MASK) == T_CLASS && (flags & USER(0)))
		of = attached_to(r, owner);
	*instruction = is_object(of) && (word(r, of) & T_MASK) == T_ICLASS;
	prefix = method_prefix(r, owner);
	id = id_name(r, word(r, word(r, me + ME_DEF) + DEF_ORIGINAL_ID));
	if (prefix && id && asprintf(&out, "%s%s", prefix, id) < 0)
		out = NULL;
	free(prefix);
	free(id);
	return out;
}

char *ct_rb_function_name(const struct ct_rb_reader *r, char *label, ct_u64 base, ct_u64 me, bool bmethod,
			  unsigned type)
{
	char *text = ct_rb_string(r, base), *out;

	label = qualified(r, label, text, me, bmethod);
	free(text);
	if (type != EVAL)
		return label;
	/* It has the label of where it is evaluated. */
	if (asprintf(&out, "eval in %s", label) < 0)
		out = NULL;
	free(label);
	return out;
}

int ct_rb_read_iseq(const struct ct_rb_reader *r, ct_u64 iseq, ct_u64 cfp, struct ct_rb_iseq *out)
{
	const struct ct_ruby_layout *l = r->layout;
	ct_u64 body = ct_rb_body(r, iseq), level_body[LEVELS], loc, b, path, me, kind;
	unsigned levels = 0, type;

	memset(out, 0, sizeof(*out));
	if (!body)
		return -1;
	type = half(r, body);
	out->body = body;
	out->size = half(r, body + 4);
	out->encoded = word(r, body + 8);
	if (!out->size || out->size > SIZE_MAX_ || !read_slots(r, body, out))
		goto fail;
	for (b = body; b && levels < LEVELS; b = ct_rb_body(r, word(r, b + l->parent))) {
		level_body[levels++] = b;
		if (half(r, b) == METHOD || half(r, b) == CLASS || half(r, b) == TOP || half(r, b) == MAIN)
			break;
	}
	/* What rescues or ensures runs in the frame of what is around it. */
	while (out->level + 1 < levels &&
	       (half(r, level_body[out->level]) == RESCUE || half(r, level_body[out->level]) == ENSURE))
		out->level++;
	b = level_body[out->level];
	out->top = type == TOP || type == EVAL || type == MAIN;
	cfp += (ct_u64)out->level * l->off.cfp_size;
	kind = word(r, word(r, cfp + 32));
	out->code.ensure = type == ENSURE;
	out->method = half(r, b) == METHOD || (half(r, b) == BLOCK && (kind & 0x40)); /* VM_FRAME_FLAG_BMETHOD */
	out->vars = calloc(VARS_MAX, sizeof(*out->vars));
	out->code.variable = calloc(VARS_MAX, sizeof(char *));
	out->code.lines = calloc(out->size, sizeof(ct_s32));
	if (!out->vars || !out->code.variable || !out->code.lines)
		goto fail;
	for (unsigned i = out->level; i < levels; i++)
		add_vars(r, level_body[i], i, out);
	out->code.nargs = half(r, b + l->local_size);
	if (out->code.nargs > half(r, b + l->off.local_count))
		out->code.nargs = half(r, b + l->off.local_count);
	out->code.count = out->size;
	for (ct_u32 i = 0; i < out->size; i++)
		out->code.lines[i] = out->slots[i].line;
	loc = b + l->off.location;
	out->code.first_line =
		l->first_line_tagged ? (ct_u32)(word(r, b + l->first_line) >> 1) : half(r, b + l->first_line);
	path = word(r, loc);
	if (is_object(path) && (word(r, path) & T_MASK) == T_ARRAY) {
		out->code.file = ct_rb_string(r, array_at(r, path, 1));
		path = array_at(r, path, 0);
	}
	if (!out->code.file)
		out->code.file = ct_rb_string(r, path);
	out->code.name = ct_rb_string(r, word(r, loc + 16));
	me = half(r, b) == METHOD || half(r, b) == BLOCK ? method_of(r, cfp) : 0;
	if (out->code.name)
		out->code.name = ct_rb_function_name(r, out->code.name, word(r, loc + 8), me,
						     half(r, b) == BLOCK && (kind & 0x40), half(r, b));
	if (!out->code.file || !out->code.name)
		goto fail;
	return 0;
fail:
	ct_rb_iseq_deinit(out);
	return -1;
}

void ct_rb_iseq_deinit(struct ct_rb_iseq *s)
{
	free(s->slots);
	free(s->vars);
	ct_step_code_deinit(&s->code);
	s->slots = NULL;
	s->vars = NULL;
}
