/* SPDX-License-Identifier: MIT
 * Breakpoints as a client sets them: from the arrays of its requests to a list. Where they are is the debuggee's. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap.h"

#define BREAKS_MAX 4096 /* of one request */
#define TEXT_MAX   8192 /* bytes of a condition and the like */

bool dap_hits_match(const struct dap_hits *hits, ct_u64 number)
{
	switch (hits->op) {
	case '=': return number == hits->n;
	case '<': return number < hits->n;
	case '>': return number > hits->n;
	case 'l': return number <= hits->n;
	case 'g': return number >= hits->n;
	case '%': return number % hits->n == 0;
	default: return true;
	}
}

static bool parse_hits(const char *text, struct dap_hits *hits)
{
	static const struct {
		const char *token;
		char op;
	} ops[] = {{"==", '='}, {"=", '='}, {"<=", 'l'}, {">=", 'g'}, {"<", '<'}, {">", '>'}, {"%", '%'}};
	char *end;

	hits->op = '=';
	while (isspace((unsigned char)*text))
		text++;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strncmp(text, ops[i].token, strlen(ops[i].token)) == 0) {
			hits->op = ops[i].op;
			text += strlen(ops[i].token);
			break;
		}
	while (isspace((unsigned char)*text))
		text++;
	if (!isdigit((unsigned char)*text))
		return false;
	hits->n = strtoull(text, &end, 10);
	while (isspace((unsigned char)*end))
		end++;
	return !*end && hits->n;
}

static void free_break(struct dap_break *b)
{
	if (b->free_data)
		b->free_data(b->data);
	free(b->path);
	free(b->name);
	free(b->condition);
	free(b->log);
	free(b->access);
	free(b);
}

void dap_breaks_free(struct dap_break **all)
{
	while (*all) {
		struct dap_break *b = *all;

		*all = b->next;
		free_break(b);
	}
}

/* A copy of a text that is not empty; false if there is no memory for it. */
static bool copy(const json_t *from, const char *key, char **to)
{
	const char *text = json_string_value(json_object_get(from, key));

	if (text && *text && strlen(text) <= TEXT_MAX)
		return (*to = strdup(text)) != NULL;
	return true;
}

static struct dap_break *make(enum dap_break_kind kind, const char *path, const json_t *from)
{
	static const char *const names[] = {"", "name", "filterId", "dataId", "instructionReference"};
	const char *hits = json_string_value(json_object_get(from, "hitCondition"));
	json_int_t line = json_integer_value(json_object_get(from, "line"));
	struct dap_break *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->kind = kind;
	b->line = line > 0 && line < INT32_MAX ? (ct_u32)line : 0;
	b->offset = json_integer_value(json_object_get(from, "offset"));
	b->path = path ? strdup(path) : NULL;
	if ((path && !b->path) || !copy(from, names[kind], &b->name) || !copy(from, "condition", &b->condition) ||
	    !copy(from, "logMessage", &b->log) || !copy(from, "accessType", &b->access)) {
		free_break(b);
		return NULL;
	}
	if (kind == DAP_LINE ? !b->line : !b->name) {
		b->broken = true;
		snprintf(b->message, sizeof(b->message), "the request does not say where");
	}
	if (hits && *hits && !parse_hits(hits, &b->hits)) {
		b->broken = true;
		snprintf(b->message, sizeof(b->message),
			 "hit condition '%.60s': write a number, or ==, <, <=, >, >= or %% and a number", hits);
	}
	return b;
}

int dap_breaks_replace(struct dap_break **all, int *next_id, enum dap_break_kind kind, const char *path,
		       const json_t *list, struct ct_error *err)
{
	struct dap_break **at = all;
	size_t n = json_array_size(list);

	if (n > BREAKS_MAX)
		return ct_fail(err, CT_EXIT_USAGE, "%zu breakpoints; %d are possible", n, BREAKS_MAX);
	while (*at) {
		struct dap_break *b = *at;

		if (b->kind != kind || (path && strcmp(b->path, path) != 0)) {
			at = &b->next;
			continue;
		}
		*at = b->next;
		free_break(b);
	}
	for (size_t i = 0; i < n; i++) {
		*at = make(kind, path, json_array_get(list, i));
		if (!*at)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		(*at)->id = (*next_id)++;
		at = &(*at)->next;
	}
	return 0;
}
