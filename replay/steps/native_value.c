// SPDX-License-Identifier: MIT
/* Native variables to values of steps: read by location expressions, as deep and as much as is asked for; told of when
 * they are others than before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "replay/steps/native_priv.h"

#define TYPE_LEN 256
#define RESULTS  16 /* of one call, as functions of Go have */
#define PAGE     4096

struct reader {
	struct ct_native *n;
	const struct ct_dwarf_place *p;
	bool failed; /* out of memory */
};

static void *room(struct reader *r, size_t size)
{
	void *at = ct_arena_alloc(&r->n->arena, size ? size : 1);

	r->failed |= !at;
	return at;
}

static const char *copy_text(struct reader *r, const char *text, size_t len)
{
	char *copy = room(r, len + 1);

	if (!copy)
		return "";
	memcpy(copy, text, len);
	copy[len] = 0;
	return copy;
}

static void set_text(struct reader *r, struct ct_value *v, enum ct_value_tag tag, const char *text, size_t len)
{
	v->tag = (unsigned char)tag;
	v->text.data = copy_text(r, text, len);
	v->text.len = v->length = len;
}

/* Characters at an address, to their NUL or `most`. False: they cannot be read. */
static bool read_text(struct reader *r, ct_u64 addr, ct_u64 most, struct ct_value *v)
{
	const size_t limit = r->n->limits.bytes, want = most <= limit ? (size_t)most : limit + 1;
	char *text = room(r, want + 1);
	size_t len = 0;

	if (!text)
		return false;
	/* One more, to see whether it ends; what is behind it need not be there. */
	while (len < want) {
		const size_t page = PAGE - (addr + len) % PAGE, part = page < want - len ? page : want - len;
		const char *end;

		if (!r->p->mem->read(r->p->mem->ctx, addr + len, text + len, part))
			return false;
		end = memchr(text + len, 0, part);
		if (end) {
			len = (size_t)(end - text);
			break;
		}
		len += part;
	}
	v->tag = CT_VALUE_STRING;
	v->text.data = text;
	v->text.len = v->length = len;
	if (len > limit) {
		v->text.len = limit;
		v->flags |= CT_VALUE_TRUNCATED;
	}
	return true;
}

static void fill(struct reader *r, const struct ct_dwarf_value *from, unsigned depth, struct ct_value *v);

static void fill_children(struct reader *r, const struct ct_dwarf_value *from, unsigned depth, struct ct_value *v)
{
	struct ct_dwarf_child child;
	bool indexed;
	const ct_u64 count = ct_dwarf_children(r->p, from, &indexed);
	const size_t most = count < r->n->limits.items ? (size_t)count : r->n->limits.items, each = indexed ? 1 : 2;

	v->tag = indexed ? CT_VALUE_SEQUENCE : CT_VALUE_STRUCT;
	v->length = count;
	v->child.count = 0;
	if (!depth || !(v->child.list = room(r, most * each * sizeof(*v->child.list)))) {
		v->flags |= CT_VALUE_TRUNCATED;
		return;
	}
	if (most < count)
		v->flags |= CT_VALUE_TRUNCATED;
	for (size_t i = 0; i < most && ct_dwarf_child(r->p, from, i, &child); i++) {
		struct ct_value *to = &v->child.list[v->child.count];

		memset(to, 0, each * sizeof(*to));
		if (!indexed) {
			to->type = "";
			set_text(r, to, CT_VALUE_STRING, child.name, strlen(child.name));
			to++;
		}
		fill(r, &child.value, depth - 1, to);
		v->child.count += each;
	}
}

/* As texts and sequences of other languages, not as what they are made of. */
static bool fill_content(struct reader *r, const struct ct_dwarf_value *from, unsigned depth, struct ct_value *v)
{
	struct native_content c;
	size_t most;
	ct_u8 byte;

	if (!ct_native_content(r->p, from, &c))
		return false;
	/* What is not there is not what it says. */
	if (c.count && !r->p->mem->read(r->p->mem->ctx, c.addr, &byte, 1))
		return false;
	if (c.text) {
		const size_t limit = r->n->limits.bytes, len = c.count < limit ? (size_t)c.count : limit;
		char *text = room(r, len);

		if (!text || (len && !r->p->mem->read(r->p->mem->ctx, c.addr, text, len)))
			return false;
		v->tag = CT_VALUE_STRING;
		v->text.data = text;
		v->text.len = len;
		v->length = c.count;
		v->flags |= len < c.count ? CT_VALUE_TRUNCATED : 0;
		return true;
	}
	most = c.count < r->n->limits.items ? (size_t)c.count : r->n->limits.items;
	v->tag = CT_VALUE_SEQUENCE;
	v->length = c.count;
	v->child.count = 0;
	v->child.list = depth ? room(r, most * sizeof(*v->child.list)) : NULL;
	if (!v->child.list || most < c.count)
		v->flags |= c.count ? CT_VALUE_TRUNCATED : 0;
	for (; v->child.list && v->child.count < most; v->child.count++, c.element.addr += c.size)
		fill(r, &c.element, depth - 1, &v->child.list[v->child.count]);
	return true;
}

static void fill_pointer(struct reader *r, const struct ct_dwarf_value *from, unsigned depth, struct ct_value *v)
{
	struct ct_dwarf_number number;
	struct ct_dwarf_child child;
	char text[TYPE_LEN];
	bool indexed;

	if (ct_dwarf_number(r->p, from, &number, NULL))
		return;
	v->address = number.u;
	if (!number.u) {
		v->tag = CT_VALUE_NONE;
		return;
	}
	ct_dwarf_name_address(r->p->d, number.u, text, sizeof(text));
	if (!ct_dwarf_children(r->p, from, &indexed)) {
		if (*text && !strchr(text, '+'))
			set_text(r, v, CT_VALUE_FUNCTION, text, strlen(text));
		return;
	}
	if (!ct_dwarf_child(r->p, from, 0, &child))
		return;
	if (!strcmp(child.name, "*") && ct_dwarf_shape(&child.value) == CT_DWARF_IS_CHARACTER) {
		if (!read_text(r, number.u, UINT64_MAX, v))
			v->tag = CT_VALUE_RAW;
		return;
	}
	if (!ct_dwarf_dereference(r->p, from, &child.value, NULL) && fill_content(r, &child.value, depth, v))
		return;
	/* What it points to counts as what is in it. */
	if (depth)
		fill_children(r, from, depth, v);
}

static void fill_plain(struct reader *r, const struct ct_dwarf_value *from, struct ct_value *v)
{
	struct ct_dwarf_number number;
	char text[TYPE_LEN];

	ct_dwarf_text(r->p, from, text, sizeof(text));
	set_text(r, v, CT_VALUE_TEXT, text, strlen(text));
	if (ct_dwarf_number(r->p, from, &number, NULL))
		return;
	switch (ct_dwarf_shape(from)) {
	case CT_DWARF_IS_BOOL:
		v->tag = CT_VALUE_BOOL;
		v->i = number.u != 0;
		break;
	case CT_DWARF_IS_REAL:
		v->tag = CT_VALUE_FLOAT;
		v->f[0] = number.f;
		break;
	case CT_DWARF_IS_INTEGER:
	case CT_DWARF_IS_CHARACTER:
		if (number.cls == CT_DWARF_UNSIGNED && number.u > INT64_MAX) {
			snprintf(text, sizeof(text), "%llu", (unsigned long long)number.u);
			set_text(r, v, CT_VALUE_BIGINT, text, strlen(text));
			break;
		}
		v->tag = CT_VALUE_INT;
		v->i = (ct_s64)number.u;
		break;
	default: break;
	}
}

static void fill(struct reader *r, const struct ct_dwarf_value *from, unsigned depth, struct ct_value *v)
{
	char type[TYPE_LEN];
	struct ct_dwarf_child child;
	bool indexed;
	ct_u64 count;

	ct_dwarf_type_name(from, type, sizeof(type));
	*v = (struct ct_value){.tag = CT_VALUE_RAW, .type = copy_text(r, type, strlen(type))};
	if (from->where == CT_DWARF_NOWHERE)
		return;
	switch (ct_dwarf_shape(from)) {
	case CT_DWARF_IS_POINTER: fill_pointer(r, from, depth, v); return;
	case CT_DWARF_IS_REFERENCE:
		if (!ct_dwarf_dereference(r->p, from, &child.value, NULL))
			fill(r, &child.value, depth, v);
		return;
	case CT_DWARF_IS_ARRAY:
		count = ct_dwarf_children(r->p, from, &indexed);
		if (count && from->where == CT_DWARF_IN_MEMORY && ct_dwarf_child(r->p, from, 0, &child) &&
		    ct_dwarf_shape(&child.value) == CT_DWARF_IS_CHARACTER && read_text(r, from->addr, count, v))
			return;
		/* fall through */
	case CT_DWARF_IS_OBJECT:
		if (from->where == CT_DWARF_IN_MEMORY)
			v->address = from->addr;
		if (!fill_content(r, from, depth, v))
			fill_children(r, from, depth, v);
		return;
	default: fill_plain(r, from, v);
	}
}

/* ---- changes ---- */

static void hash_value(XXH3_state_t *h, const struct ct_value *v)
{
	XXH3_64bits_update(h, &v->tag, 1);
	XXH3_64bits_update(h, &v->address, sizeof(v->address));
	XXH3_64bits_update(h, &v->length, sizeof(v->length));
	switch ((enum ct_value_tag)v->tag) {
	case CT_VALUE_NONE:
	case CT_VALUE_RAW: break;
	case CT_VALUE_BOOL:
	case CT_VALUE_INT: XXH3_64bits_update(h, &v->i, sizeof(v->i)); break;
	case CT_VALUE_FLOAT: XXH3_64bits_update(h, &v->f[0], sizeof(v->f[0])); break;
	case CT_VALUE_SEQUENCE:
	case CT_VALUE_STRUCT:
		for (size_t i = 0; i < v->child.count; i++)
			hash_value(h, &v->child.list[i]);
		break;
	default: XXH3_64bits_update(h, v->text.data, v->text.len);
	}
}

struct telling {
	struct reader r;
	XXH3_state_t *hash;
	struct native_thread *t;
	struct native_frame *f;
	bool argument, nim;
	struct ct_error *err;
	int ret;
};

static struct native_variable *variable(struct native_frame *f, const char *name, bool *fresh)
{
	struct native_variable *more;

	*fresh = false;
	for (size_t i = 0; i < f->nvars; i++)
		if (!strcmp(f->var[i].name, name))
			return &f->var[i];
	*fresh = true;
	more = realloc(f->var, (f->nvars + 1) * sizeof(*more));
	if (!more)
		return NULL;
	f->var = more;
	more[f->nvars] = (struct native_variable){.name = strdup(name)};
	return more[f->nvars].name ? &more[f->nvars++] : NULL;
}

static void tell_variable(void *ctx, const char *name, const struct ct_dwarf_value *from)
{
	struct telling *c = ctx;
	struct ct_native *n = c->r.n;
	struct ct_error *err = c->err;
	struct native_variable *var;
	struct ct_value v;
	ct_u64 hash;
	bool fresh;

	/* Nim's compiler has variables of its own; no name of a person's ends so. */
	if (c->ret || (c->nim && *name && name[strlen(name) - 1] == '_'))
		return;
	/* Where it is not known now it is what it was. */
	if (from->where == CT_DWARF_NOWHERE) {
		for (size_t i = 0; i < c->f->nvars; i++)
			if (!strcmp(c->f->var[i].name, name))
				c->f->var[i].seen = n->stamp;
		return;
	}
	var = variable(c->f, name, &fresh);
	if (!var) {
		c->ret = ct_fail_memory(err);
		return;
	}
	if (var->seen == n->stamp) /* of an outer block */
		return;
	var->seen = n->stamp;
	fill(&c->r, from, n->limits.depth, &v);
	XXH3_64bits_reset(c->hash);
	hash_value(c->hash, &v);
	hash = XXH3_64bits_digest(c->hash);
	if (c->r.failed)
		c->ret = ct_fail_memory(err);
	else if (fresh || hash != var->hash)
		c->ret = c->argument ? NATIVE_TELL(argument, c->t->tid, name, &v)
				     : NATIVE_TELL(value, c->t->tid, name, &v);
	var->hash = hash;
}

int ct_native_variables(struct ct_native *n, struct native_thread *t, struct native_frame *f,
			const struct ct_dwarf_place *p, struct ct_error *err)
{
	const char *language = n->function[f->function].language;
	struct telling c = {
		.r = {.n = n, .p = p}, .t = t, .f = f, .nim = language && !strcmp(language, "nim"), .err = err};
	size_t kept = 0;

	if (!n->limits.values)
		return 0;
	c.hash = XXH3_createState();
	if (!c.hash)
		return ct_fail_memory(err);
	ct_arena_reset(&n->arena);
	n->stamp++;
	/* Locals hide arguments, but arguments are told of first. */
	c.argument = !f->begun;
	if (c.argument)
		ct_dwarf_variables(p, CT_DWARF_ARGS, tell_variable, &c, err);
	c.argument = false;
	ct_dwarf_variables(p, CT_DWARF_LOCALS, tell_variable, &c, err);
	ct_dwarf_variables(p, CT_DWARF_ARGS, tell_variable, &c, err);
	f->begun = true;
	for (size_t i = 0; i < f->nvars; i++) {
		struct native_variable *var = &f->var[i];

		if (var->seen == n->stamp) {
			f->var[kept++] = *var;
			continue;
		}
		if (!c.ret) /* its block has ended */
			c.ret = NATIVE_TELL(value, t->tid, var->name, NULL);
		free(var->name);
	}
	f->nvars = kept;
	XXH3_freeState(c.hash);
	return c.ret;
}

const struct ct_value *ct_native_returned(struct ct_native *n, const struct ct_dwarf_function *f,
					  const struct ct_dwarf_place *p)
{
	struct reader r = {.n = n, .p = p};
	struct ct_dwarf_value from[RESULTS];
	struct ct_value *v, *list;
	const bool go = ct_dwarf_is_go(f);
	unsigned count;

	if (!n->limits.values)
		return NULL;
	count = go ? ct_dwarf_go_results(p, f, from, RESULTS) : ct_dwarf_returned(p, f, from);
	if (!count || (count == 1 && from[0].where == CT_DWARF_NOWHERE))
		return NULL;
	ct_arena_reset(&n->arena);
	v = room(&r, sizeof(*v));
	list = count > 1 ? room(&r, count * sizeof(*list)) : v;
	for (unsigned i = 0; i < count && !r.failed; i++)
		fill(&r, &from[i], n->limits.depth, &list[i]);
	if (count > 1 && !r.failed)
		*v = (struct ct_value){.tag = CT_VALUE_TUPLE, .length = count, .child = {list, count}};
	return r.failed ? NULL : v;
}
