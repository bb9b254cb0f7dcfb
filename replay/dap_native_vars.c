/* SPDX-License-Identifier: MIT
 * Native code: scopes, variables with their parts, registers, expressions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_native.h"

#define SHOWN    1000 /* bytes of a value */
#define REFS_MAX 1000000
#define MOST     2000 /* children in one answer */

static const char *const registers[CT_DW_REGS] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
						  "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};

/* Takes the expression. 0: no memory. */
static ct_u64 add_ref(struct dap_native *d, const struct native_ref *ref)
{
	if (d->nrefs == d->ref_cap) {
		size_t cap = d->ref_cap ? 2 * d->ref_cap : 64;
		struct native_ref *more = cap <= REFS_MAX ? realloc(d->ref, cap * sizeof(*more)) : NULL;

		if (!more) {
			free(ref->expression);
			return 0;
		}
		d->ref = more;
		d->ref_cap = cap;
	}
	d->ref[d->nrefs++] = *ref;
	return d->nrefs;
}

static struct ct_dwarf_place place_of(struct dap_native *d, size_t stack, size_t frame)
{
	return (struct ct_dwarf_place){.d = d->dw, .mem = &d->mem, .stack = &d->stack[stack].s, .frame = frame};
}

/* A value as the protocol has it. `expression` is malloc'ed, and taken. */
static json_t *value_json(struct dap_native *d, size_t stack, size_t frame, const char *key, const char *name,
			  const struct ct_dwarf_value *v, char *expression)
{
	const struct ct_dwarf_place p = place_of(d, stack, frame);
	char text[SHOWN], type[256], at[32];
	struct ct_dwarf_number number;
	bool indexed;
	const ct_u64 children = ct_dwarf_children(&p, v, &indexed);
	ct_u64 ref = 0;
	json_t *o;

	ct_dwarf_text(&p, v, text, sizeof(text));
	ct_dwarf_type_name(v, type, sizeof(type));
	o = json_pack("{s:o, s:o}", key, dap_text(text, strlen(text)), "type", dap_text(type, strlen(type)));
	if (o && name)
		json_object_set_new(o, "name", dap_text(name, strlen(name)));
	if (o && expression)
		json_object_set_new(o, "evaluateName", dap_text(expression, strlen(expression)));
	if (o && children && indexed)
		json_object_set_new(o, "indexedVariables", json_integer((json_int_t)children));
	else if (o && children)
		json_object_set_new(o, "namedVariables", json_integer((json_int_t)children));
	if (o && !ct_dwarf_number(&p, v, &number, NULL) && number.cls == CT_DWARF_POINTER)
		snprintf(at, sizeof(at), "%#llx", (unsigned long long)number.u);
	else
		snprintf(at, sizeof(at), "%#llx", (unsigned long long)v->addr);
	if (o && (v->where == CT_DWARF_IN_MEMORY || at[2]))
		json_object_set_new(o, "memoryReference", json_string(at));
	if (children)
		ref = add_ref(d, &(struct native_ref){.kind = NATIVE_VALUE,
						      .stack = stack,
						      .frame = frame,
						      .value = *v,
						      .expression = expression});
	else
		free(expression);
	json_object_set_new(o, "variablesReference", json_integer((json_int_t)ref));
	return o;
}

static size_t stack_index(const struct dap_native *d, const struct ct_dwarf_place *p)
{
	size_t i = 0;

	while (i < d->nstacks && &d->stack[i].s != p->stack)
		i++;
	return i;
}

json_t *dap_native_scopes(struct dap_debuggee *base, ct_u64 frame, struct ct_error *err)
{
	static const struct {
		const char *name, *hint;
		enum native_ref_kind kind;
		bool expensive;
	} scopes[] = {{"Locals", "locals", NATIVE_LOCALS, false},
		      {"Globals of this file", "globals", NATIVE_STATICS, true},
		      {"Registers", "registers", NATIVE_REGISTERS, false}};
	struct dap_native *d = dap_native_of(base);
	struct ct_dwarf_place place;
	json_t *list;

	if (native_frame(d, frame, &place, err))
		return NULL;
	list = json_array();
	for (size_t i = 0; i < sizeof(scopes) / sizeof(*scopes); i++) {
		const struct native_ref ref = {
			.kind = scopes[i].kind, .stack = stack_index(d, &place), .frame = place.frame};

		if (scopes[i].kind != NATIVE_REGISTERS && !place.stack->frame[place.frame].has_scope)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:b}", "name", scopes[i].name,
						      "presentationHint", scopes[i].hint, "variablesReference",
						      (json_int_t)add_ref(d, &ref), "expensive", scopes[i].expensive));
	}
	return list;
}

struct list {
	struct dap_native *d;
	size_t stack, frame;
	json_t *json;
};

static void add_variable(void *ctx, const char *name, const struct ct_dwarf_value *v)
{
	struct list *l = ctx;

	if (json_array_size(l->json) < MOST)
		json_array_append_new(l->json, value_json(l->d, l->stack, l->frame, "value", name, v, strdup(name)));
}

static void add_registers(struct list *l)
{
	const struct ct_dwarf_frame *f = &l->d->stack[l->stack].s.frame[l->frame];
	char text[80], name[16];

	for (unsigned i = 0; i < CT_DW_REGS; i++) {
		if (!(f->regs.known >> i & 1))
			continue;
		snprintf(text, sizeof(text), "%#llx", (unsigned long long)f->regs.r[i]);
		snprintf(name, sizeof(name), "$%s", registers[i]);
		json_array_append_new(l->json, json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", registers[i], "value",
							 text, "evaluateName", name, "memoryReference", text,
							 "variablesReference", 0));
	}
	for (unsigned i = 0; f->regs.has_xmm && i < 16; i++) {
		ct_u64 half[2];

		memcpy(half, f->regs.xmm[i], sizeof(half));
		snprintf(name, sizeof(name), "xmm%u", i);
		snprintf(text, sizeof(text), "0x%016llx%016llx", (unsigned long long)half[1],
			 (unsigned long long)half[0]);
		json_array_append_new(
			l->json, json_pack("{s:s, s:s, s:i}", "name", name, "value", text, "variablesReference", 0));
	}
}

/* The expression of a part. */
static char *part_expression(const char *of, const struct ct_dwarf_child *c, bool indexed)
{
	char *text = NULL;
	const bool plain = of && !strpbrk(of, "*&-+/ ");

	if (!of || c->base)
		return of && c->base ? strdup(of) : NULL;
	if (asprintf(&text,
		     indexed                     ? (plain ? "%s%s" : "(%s)%s")
		     : strcmp(c->name, "*") == 0 ? (plain ? "*%s" : "*(%s)")
						 : (plain ? "%s.%s" : "(%s).%s"),
		     of, c->name) < 0)
		return NULL;
	return text;
}

/* A copy of a reference: the list may grow while it is used. */
static int get_ref(struct dap_native *d, ct_u64 reference, struct native_ref *ref, struct ct_error *err)
{
	if (!reference || reference > d->nrefs)
		return ct_fail(err, CT_EXIT_USAGE, "there are no variables %llu: the program has moved on",
			       (unsigned long long)reference);
	*ref = d->ref[reference - 1];
	if (ref->stack >= d->nstacks || ref->frame >= d->stack[ref->stack].s.n)
		return ct_fail(err, CT_EXIT_USAGE, "the frame is not there any more");
	return 0;
}

json_t *dap_native_variables(struct dap_debuggee *base, ct_u64 reference, size_t start, size_t count,
			     struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	struct ct_dwarf_place place;
	struct native_ref ref;
	struct list l = {.d = d};
	bool indexed = false;
	ct_u64 n;

	if (get_ref(d, reference, &ref, err))
		return NULL;
	l.stack = ref.stack;
	l.frame = ref.frame;
	l.json = json_array();
	place = place_of(d, ref.stack, ref.frame);
	switch (ref.kind) {
	case NATIVE_LOCALS:
		ct_dwarf_variables(&place, CT_DWARF_ARGS, add_variable, &l, err);
		ct_dwarf_variables(&place, CT_DWARF_LOCALS, add_variable, &l, err);
		return l.json;
	case NATIVE_STATICS: ct_dwarf_variables(&place, CT_DWARF_STATICS, add_variable, &l, err); return l.json;
	case NATIVE_REGISTERS: add_registers(&l); return l.json;
	case NATIVE_VALUE: break;
	}
	n = ct_dwarf_children(&place, &ref.value, &indexed);
	for (ct_u64 i = indexed ? start : 0; i < n && (!count || i - start < count); i++) {
		struct ct_dwarf_child child;

		if (json_array_size(l.json) == MOST) {
			json_array_append_new(l.json, json_pack("{s:s, s:o, s:i}", "name", "...", "value",
								json_sprintf("%llu more", (unsigned long long)(n - i)),
								"variablesReference", 0));
			break;
		}
		if (!ct_dwarf_child(&place, &ref.value, i, &child))
			break;
		json_array_append_new(l.json, value_json(d, ref.stack, ref.frame, "value", child.name, &child.value,
							 part_expression(ref.expression, &child, indexed)));
	}
	return l.json;
}

json_t *dap_native_evaluate(struct dap_debuggee *base, ct_u64 frame, const char *text, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	struct ct_dwarf_place place;
	struct ct_dwarf_value v;

	if (native_frame(d, frame, &place, err) || ct_dwarf_eval(&place, text, &v, err))
		return NULL;
	return value_json(d, stack_index(d, &place), place.frame, "result", NULL, &v, strdup(text));
}

struct search {
	const char *name;
	struct ct_dwarf_value *v;
	bool found;
};

static void match(void *ctx, const char *name, const struct ct_dwarf_value *v)
{
	struct search *s = ctx;

	if (!s->found && !strcmp(name, s->name)) {
		s->found = true;
		*s->v = *v;
	}
}

int native_named(struct dap_native *d, ct_u64 reference, ct_u64 frame, const char *name, struct ct_dwarf_place *place,
		 struct ct_dwarf_value *v, char **expression, struct ct_error *err)
{
	struct search s = {.name = name, .v = v};
	struct native_ref ref;
	bool indexed = false;

	if (!reference) {
		*expression = strdup(name);
		return native_frame(d, frame, place, err) || ct_dwarf_eval(place, name, v, err)
			       ? (free(*expression), -1)
			       : 0;
	}
	if (get_ref(d, reference, &ref, err))
		return -1;
	*place = place_of(d, ref.stack, ref.frame);
	if (ref.kind == NATIVE_LOCALS) {
		ct_dwarf_variables(place, CT_DWARF_ARGS, match, &s, NULL);
		ct_dwarf_variables(place, CT_DWARF_LOCALS, match, &s, NULL);
	} else if (ref.kind == NATIVE_STATICS) {
		ct_dwarf_variables(place, CT_DWARF_STATICS, match, &s, NULL);
	} else if (ref.kind == NATIVE_VALUE) {
		const ct_u64 n = ct_dwarf_children(place, &ref.value, &indexed);
		struct ct_dwarf_child child;

		for (ct_u64 i = 0; i < n && i < 1000000 && ct_dwarf_child(place, &ref.value, i, &child); i++)
			if (!strcmp(child.name, name)) {
				*v = child.value;
				*expression = part_expression(ref.expression, &child, indexed);
				if (!*expression)
					*expression = strdup(name);
				return *expression ? 0 : native_no_memory(err);
			}
	}
	if (!s.found)
		return ct_fail(err, CT_EXIT_FAILED, "'%.80s' cannot be watched", name);
	*expression = strdup(name);
	return *expression ? 0 : native_no_memory(err);
}
