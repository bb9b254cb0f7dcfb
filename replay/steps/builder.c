// SPDX-License-Identifier: MIT
/* What builders know: code, types and texts by the numbers that their agent has for them, files and functions by those
 * of the sink. */
#include "replay/steps/builder.h"

#include <stdlib.h>
#include <string.h>

#define NOT_TOLD ((ct_u32)-1)

bool ct_step_grow(void **list, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1)) /* room doubles at powers of two */
		return true;
	more = realloc(*list, (n ? n * 2 : 1) * size);
	if (more)
		*list = more;
	return more != NULL;
}

long ct_step_add_text(struct ct_step_texts *t, const char *text)
{
	for (size_t i = 0; i < t->count; i++)
		if (!strcmp(t->list[i], text))
			return (long)i;
	if (!GROW(t->list, t->count) || !(t->list[t->count] = strdup(text)))
		return -1;
	return (long)t->count++;
}

static void free_texts(struct ct_step_texts *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->list[i]);
	free(t->list);
}

void ct_step_code_deinit(struct ct_step_code *c)
{
	for (ct_u32 i = 0; c->variable && i < c->nvars; i++)
		free(c->variable[i]);
	free(c->variable);
	free(c->lines);
	free(c->file);
	free(c->name);
	memset(c, 0, sizeof(*c));
}

void ct_step_builder_init(struct ct_step_builder *b, const struct ct_step_sink *sink,
			  const struct ct_step_filter *filter)
{
	b->sink = *sink;
	b->filter = filter;
}

void ct_step_builder_deinit(struct ct_step_builder *b)
{
	ct_arena_free(&b->arena);
	for (size_t i = 0; i < b->ncode; i++)
		ct_step_code_deinit(&b->code[i].code);
	free(b->code);
	free_texts(&b->type);
	free_texts(&b->text);
	free_texts(&b->file);
}

long ct_step_add_code(struct ct_step_builder *b, struct ct_step_code *c, bool *wanted)
{
	struct ct_step_known_code *e;

	*wanted = !c->file || ct_step_wanted(b->filter, c->file, c->name);
	if (!GROW(b->code, b->ncode))
		return -1;
	e = &b->code[b->ncode];
	*e = (struct ct_step_known_code){.code = *c, .function = NOT_TOLD, .wanted = *wanted};
	memset(c, 0, sizeof(*c));
	return (long)b->ncode++;
}

bool ct_step_same_code(const struct ct_step_known_code *a, const struct ct_step_known_code *b)
{
	const char *file = a->code.file, *other = b->code.file;

	return a == b || (a->code.first_line == b->code.first_line && !strcmp(a->code.name, b->code.name) &&
			  (file && other ? !strcmp(file, other) : file == other));
}

int ct_step_function(struct ct_step_builder *b, struct ct_step_known_code *e, struct ct_error *err)
{
	const size_t files = b->file.count;
	long file = CT_STEP_NATIVE;

	if (e->function != NOT_TOLD)
		return 0;
	for (size_t i = 0; i < b->ncode; i++) /* the same, compiled again, or another part of it */
		if (b->code[i].function != NOT_TOLD && ct_step_same_code(&b->code[i], e)) {
			e->function = b->code[i].function;
			return 0;
		}
	if (e->code.file)
		file = ct_step_add_text(&b->file, e->code.file);
	if (file < 0)
		return ct_fail_memory(err);
	if ((size_t)file == files && b->sink.file && b->sink.file(b->sink.ctx, (ct_u32)file, e->code.file, err))
		return -1;
	e->function = b->nfunctions++;
	return b->sink.function
		       ? b->sink.function(b->sink.ctx, e->function, (ct_u32)file, e->code.name, e->code.first_line, err)
		       : 0;
}
