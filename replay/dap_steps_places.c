/* SPDX-License-Identifier: MIT
 * What breakpoints stand for in a step database: locations of lines and functions, variables, exceptions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_steps.h"

static void free_places(void *data)
{
	struct dap_places *p = data;

	free(p->keys);
	free(p->path);
	free(p);
}

int dap_find_variables(struct dap_steps *d, const char *name, size_t len, ct_u32 function, unsigned kinds, ct_u32 **ids,
		       size_t *n)
{
	ct_u32 all = ct_stepdb_names(d->db, CT_VARIABLES);

	*n = 0;
	*ids = malloc(((size_t)all + 1) * sizeof(**ids));
	if (!*ids)
		return -1;
	for (ct_u32 id = 1; id <= all; id++) {
		const ct_u64 *v = ct_stepdb_name(d->db, CT_VARIABLES, id)->v;
		const struct ct_name *text = ct_stepdb_name(d->db, CT_STRINGS, v[CT_VAR_NAME]);

		if (v[CT_VAR_KIND] < 32 && (kinds >> v[CT_VAR_KIND] & 1) &&
		    (!function || v[CT_VAR_FUNCTION] == function) &&
		    (!name || (text && text->len == len && memcmp(text->text, name, len) == 0)))
			(*ids)[(*n)++] = id;
	}
	return 0;
}

static bool is_one_of(ct_u64 id, const ct_u32 *ids, int n)
{
	for (int i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Locations whose `column` is one of the ids; of a line, if it is not 0. *near: the next line behind it that was run.
 */
static int find_locations(struct dap_steps *d, struct dap_places *p, unsigned column, const ct_u32 *ids, int nids,
			  ct_u32 line, ct_u64 *near)
{
	ct_u32 all = ct_stepdb_names(d->db, CT_LOCATIONS);

	p->keys = malloc(((size_t)all + 1) * sizeof(*p->keys));
	if (!p->keys)
		return -1;
	for (ct_u32 id = 1; id <= all; id++) {
		const ct_u64 *v = ct_stepdb_name(d->db, CT_LOCATIONS, id)->v;

		if (!is_one_of(v[column], ids, nids))
			continue;
		if (!line || v[CT_LOC_LINE] == line)
			p->keys[p->n++] = id;
		else if (v[CT_LOC_LINE] > line && (!*near || v[CT_LOC_LINE] < *near))
			*near = v[CT_LOC_LINE];
	}
	return 0;
}

static void say(struct dap_break *b, const char *text)
{
	snprintf(b->message, sizeof(b->message), "%s", text);
}

/* A line that was not run is not replaced by another one: nobody has asked to stop there. */
static int resolve_line(struct dap_steps *d, struct dap_break *b, struct dap_places *p, struct ct_error *err)
{
	ct_u32 *files = NULL;
	ct_u64 near = 0;
	int n = dap_find_files(d, b->path, &files, err);

	if (n > 0 && find_locations(d, p, CT_LOC_FILE, files, n, b->line, &near) < 0)
		n = dap_no_memory(err);
	free(files);
	b->verified = p->n > 0;
	if (n == 0)
		say(b, "no line of this file was run in the recording, or it was indexed without this file");
	else if (!p->n && near)
		snprintf(b->message, sizeof(b->message),
			 "this line was not run in the recording; the next one that was is %llu",
			 (unsigned long long)near);
	else if (!p->n)
		say(b, "this line was not run in the recording, nor any behind it");
	return n < 0 ? -1 : 0;
}

static int resolve_function(struct dap_steps *d, struct dap_break *b, struct dap_places *p, struct ct_error *err)
{
	ct_u32 *functions = NULL;
	ct_u64 near = 0;
	int n = ct_stepdb_find_functions(d->db, b->name, &functions, err);

	if (n > 0 && find_locations(d, p, CT_LOC_FUNCTION, functions, n, 0, &near) < 0)
		n = dap_no_memory(err);
	free(functions);
	b->verified = p->n > 0;
	if (!p->n)
		say(b, "no function of this name was run in the recording");
	return n < 0 ? -1 : 0;
}

static int resolve_exception(struct dap_steps *d, struct dap_break *b, struct dap_places *p, struct ct_error *err)
{
	p->uncaught = strcmp(b->name, "uncaught") == 0;
	if (!p->uncaught && strcmp(b->name, "raised") != 0) {
		say(b, "the filters for what an interpreter did are \"raised\" and \"uncaught\"");
		return 0;
	}
	if (dap_find_variables(d, NULL, 0, 0, DAP_KIND(CT_VALUE_EXCEPTION), &p->keys, &p->n) < 0)
		return dap_no_memory(err);
	b->verified = true;
	return 0;
}

/* "CALL/NAME/EXPRESSION" or "FUNCTION:NAME". */
static int resolve_data(struct dap_steps *d, struct dap_break *b, struct dap_places *p, struct ct_error *err)
{
	const char *name = b->name, *end;
	ct_u64 row[CT_CALL_NCOLS];
	ct_u32 *functions = NULL;
	int n = 0;

	if (name[0] >= '0' && name[0] <= '9') {
		char *slash;

		p->call = strtoull(name, &slash, 10);
		end = *slash == '/' ? strchr(slash + 1, '/') : NULL;
		if (end && ct_stepdb_call_row(d->db, p->call, row, NULL)) {
			if (dap_find_variables(d, slash + 1, (size_t)(end - slash - 1), (ct_u32)row[CT_CALL_FUNCTION],
					       DAP_VARIABLES, &p->keys, &p->n) < 0)
				return dap_no_memory(err);
			/* A plain name is all of the variable. */
			if (strncmp(end + 1, slash + 1, (size_t)(end - slash - 1)) != 0 || end[end - slash])
				p->path = strdup(end + 1);
		}
	} else if ((end = strrchr(name, ':'))) {
		char *function = strndup(name, (size_t)(end - name));
		ct_u32 *ids = NULL;
		size_t count;

		n = function ? ct_stepdb_find_functions(d->db, function, &functions, err) : dap_no_memory(err);
		for (int i = 0; i < n; i++) {
			ct_u32 *more;

			if (dap_find_variables(d, end + 1, strlen(end + 1), functions[i], DAP_VARIABLES, &ids, &count) <
				    0 ||
			    !(more = realloc(p->keys, (p->n + count + 1) * sizeof(*more)))) {
				n = dap_no_memory(err);
				break;
			}
			p->keys = more;
			if (count)
				memcpy(more + p->n, ids, count * sizeof(*ids));
			p->n += count;
			free(ids);
		}
		free(functions);
		free(function);
	}
	b->verified = p->n > 0;
	if (!p->n)
		say(b, "no value of this variable was recorded");
	return n < 0 ? -1 : 0;
}

int dap_steps_resolve(struct dap_debuggee *base, struct dap_break *b, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	struct dap_places *p = calloc(1, sizeof(*p));

	if (!p)
		return dap_no_memory(err);
	b->data = p;
	b->free_data = free_places;
	switch (b->kind) {
	case DAP_LINE: return resolve_line(d, b, p, err);
	case DAP_FUNCTION: return resolve_function(d, b, p, err);
	case DAP_EXCEPTION: return resolve_exception(d, b, p, err);
	case DAP_DATA: return resolve_data(d, b, p, err);
	case DAP_INSN: say(b, "a step database has no instructions: launch with \"mode\": \"native\""); return 0;
	}
	return 0;
}
