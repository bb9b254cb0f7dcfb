// SPDX-License-Identifier: MIT
/* Reading CPython's code objects from outside, 3.8 to 3.10: variables are in three tuples, instructions in an object
 * of their own, lines in a table of pairs. What is read may be anything: every length is bounded. */
#include <stdlib.h>
#include <string.h>

#include "replay/agents/python_read.h"
#include "replay/steps/steps.h"

#define BYTES_MAX (1u << 23)
#define NAMES_MAX 65536

/* The contents of a bytes object, malloc'ed. */
static unsigned char *read_bytes(int memfd, const struct ct_python_layout *l, ct_u64 o, size_t *len)
{
	ct_u64 n = 0;
	unsigned char *data;

	if (!o || !ct_mem_read(memfd, o + 16, &n, 8) || n > BYTES_MAX || !(data = malloc(n + 1)))
		return NULL;
	if (n && !ct_mem_read(memfd, o + l->off.bytes_data, data, n)) {
		free(data);
		return NULL;
	}
	*len = n;
	return data;
}

static bool add_names(int memfd, const struct ct_python_layout *l, ct_u64 tuple, struct ct_step_code *c)
{
	char **more;
	ct_u64 n = 0, o;

	if (!ct_mem_read(memfd, tuple + 16, &n, 8) || n > NAMES_MAX)
		return false;
	more = realloc(c->variable, (c->nvars + n + 1) * sizeof(*more));
	if (!more)
		return false;
	c->variable = more;
	for (ct_u64 i = 0; i < n; i++) {
		if (!ct_mem_read(memfd, tuple + l->off.tuple_items + 8 * i, &o, 8))
			return false;
		c->variable[c->nvars++] = ct_py_read_str(memfd, l, o);
	}
	return true;
}

int ct_py_read_old_code(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_code *out)
{
	struct ct_step_code *c = &out->code;
	ct_u32 head[7];  /* argcount, posonlyargcount, kwonlyargcount, nlocals, stacksize, flags, firstlineno */
	ct_u64 word[10]; /* code, consts, names, varnames, freevars, cellvars, cell2arg, filename, name, lines */
	unsigned char *table;
	size_t len;

	if (!ct_mem_read(memfd, addr + l->co_argcount, head, sizeof(head)) ||
	    !ct_mem_read(memfd, addr + l->off.co_code, word, sizeof(word)) ||
	    !ct_mem_read(memfd, word[0] + 16, &len, 8) || len > BYTES_MAX)
		return -1;
	c->count = (ct_u32)(len / 2);
	c->first_line = head[6];
	out->module = !(head[5] & 1);
	c->nargs = head[0] + head[2] + !!(head[5] & 4) + !!(head[5] & 8);
	c->file = ct_py_read_str(memfd, l, word[7]);
	c->name = ct_py_read_str(memfd, l, word[8]);
	if (!c->file || !c->name || !add_names(memfd, l, word[3], c))
		return -1;
	out->cells = c->nvars;
	if (!add_names(memfd, l, word[5], c) || !add_names(memfd, l, word[4], c))
		return -1;
	c->lines = malloc((c->count + 1) * (sizeof(*c->lines) + 1));
	table = c->lines ? read_bytes(memfd, l, word[9], &len) : NULL;
	if (!table)
		return -1;
	ct_python_old_lines(table, len, (int)c->first_line, c->lines, c->count,
			    l->off.line_starts ? (unsigned char *)(c->lines + c->count) : NULL);
	free(table);
	return 0;
}
