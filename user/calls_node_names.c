/* SPDX-License-Identifier: MIT
 * Which line a JavaScript function is at. V8 knows its place in the source; the lines are counted in that, as it lies
 * in memory. Meanwhile it may have been moved: a script says its number, so it is none or the right one. */
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "formats/v8_layout.h"
#include "replay/agents/python_read.h"
#include "replay/steps/steps.h"
#include "user/calls_vm.h"

#define SOURCE_MAX (256u << 20) /* bytes */

static ct_u64 word(int memfd, ct_u64 addr)
{
	ct_u64 v = 0;

	return ct_mem_read(memfd, addr, &v, 8) ? v : 0;
}

static unsigned type_of(int memfd, ct_u64 object)
{
	ct_u64 map = object & 1 ? word(memfd, object - 1) : 0;
	ct_u16 type = 0;

	return map && ct_mem_read(memfd, map + V8_MAP_TYPE, &type, 2) ? type : 0;
}

/* The characters, malloc'ed; NULL: they are not there, or not in a row. */
static unsigned char *read_source(int memfd, ct_u64 str, ct_u32 *length, unsigned *units)
{
	unsigned type = type_of(memfd, str);
	unsigned char *data;
	ct_u64 from;

	while ((type & V8_STRING_SHAPE) == V8_STRING_THIN ||
	       ((type & V8_STRING_SHAPE) == V8_STRING_CONS &&
		ct_mem_read(memfd, word(memfd, str + V8_STRING_SECOND) + V8_STRING_LENGTH, length, 4) && !*length)) {
		str = word(memfd, str + V8_STRING_FIRST);
		type = type_of(memfd, str);
		if ((type & V8_STRING_SHAPE) == V8_STRING_CONS) /* what one is the first part of is flat */
			return NULL;
	}
	if (!(str & 1) || type >= V8_TYPE_NO_STRING || !ct_mem_read(memfd, str + V8_STRING_LENGTH, length, 4))
		return NULL;
	from = (type & V8_STRING_SHAPE) == V8_STRING_EXTERNAL ? word(memfd, str + V8_STRING_SECOND)
							      : str + V8_STRING_FIRST;
	*units = type & V8_STRING_ONE_BYTE ? 1 : 2;
	if (((type & V8_STRING_SHAPE) && (type & V8_STRING_SHAPE) != V8_STRING_EXTERNAL) || *length > SOURCE_MAX / 2)
		return NULL;
	data = malloc((size_t)*length * *units + 1);
	if (data && *length && !ct_mem_read(memfd, from, data, (size_t)*length * *units)) {
		free(data);
		return NULL;
	}
	return data;
}

static unsigned at(const unsigned char *source, unsigned units, size_t i)
{
	return units == 1 ? source[i] : source[2 * i] | (unsigned)source[2 * i + 1] << 8;
}

/* Lines end with \n, \r, both, and two others that Unicode has for it. */
static bool ends_line(const unsigned char *source, unsigned units, ct_u32 length, size_t i)
{
	const unsigned c = at(source, units, i);

	return c == '\n' || c == 0x2028 || c == 0x2029 ||
	       (c == '\r' && (i + 1 == length || at(source, units, i + 1) != '\n'));
}

static bool is_script(const struct ct_node_names *n, const struct ct_node_name *f)
{
	return type_of(n->memfd, f->script) == V8_TYPE_SCRIPT &&
	       word(n->memfd, f->script + V8_SCRIPT_ID) >> 32 == f->id;
}

static bool read_lines(struct ct_node_names *n, const struct ct_node_name *f)
{
	unsigned char *source = NULL;
	ct_u32 length = 0, *more;
	unsigned units = 1;

	n->count = 0;
	n->script = 0;
	if (is_script(n, f))
		source = read_source(n->memfd, word(n->memfd, f->script + V8_SCRIPT_SOURCE), &length, &units);
	if (!source || !is_script(n, f) || f->start > length) {
		free(source);
		return false;
	}
	for (size_t i = 0; i < length; i++) {
		if (!ends_line(source, units, length, i))
			continue;
		if (!(n->count & (n->count - 1))) {
			more = reallocarray(n->ends, n->count ? 2 * n->count : 1, sizeof(*more));
			if (!more)
				break;
			n->ends = more;
		}
		n->ends[n->count++] = (ct_u32)i;
	}
	free(source);
	n->script = f->script;
	n->id = f->id;
	return true;
}

/* 0: it is not known. */
static ct_u32 line_of(struct ct_node_names *n, const struct ct_node_name *f)
{
	size_t low = 0, high;

	if (n->memfd < 0 || ((n->script != f->script || n->id != f->id) && !read_lines(n, f)))
		return 0;
	for (high = n->count; low < high;) {
		const size_t mid = (low + high) / 2;

		if (n->ends[mid] < f->start)
			low = mid + 1;
		else
			high = mid;
	}
	return (ct_u32)(low + 1 + (word(n->memfd, f->script + V8_SCRIPT_LINES) >> 32));
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Modules are known by URLs: those of files become paths. */
static size_t path_of_url(char *text, size_t len)
{
	size_t to = 0;

	if (len < 8 || memcmp(text, "file:///", 8))
		return len;
	for (size_t i = 7; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
			text[to++] = (char)(digit(text[i + 1]) << 4 | digit(text[i + 2]));
			i += 2;
		} else {
			text[to++] = text[i];
		}
	}
	return to;
}

const struct ct_event *ct_node_rewrite(struct ct_node_names *n, void *buf, const struct ct_event *ev)
{
	static const char anonymous[] = "(anonymous)";
	const struct ct_ev_function *g = ct_event_payload(ev);
	struct ct_event *out = buf;
	struct ct_ev_function *f = (struct ct_ev_function *)(out + 1);
	unsigned units = g->flags >> CT_FNF_UNITS_NAME & 3;
	char *to = (char *)(f + 1);
	const char *file, *name = ct_event_function(ev, &file);
	struct ct_node_name more;

	if (ev->size < sizeof(*ev) + sizeof(*g) + g->name_len + g->file_len + sizeof(more))
		return ev;
	memcpy(&more, file + g->file_len, sizeof(more));
	*out = *ev;
	*f = *g;
	if (g->name_len && units) {
		f->name_len = (ct_u16)ct_py_utf8((const unsigned char *)name, units, g->name_len / units, to);
	} else {
		f->name_len = sizeof(anonymous) - 1;
		memcpy(to, anonymous, sizeof(anonymous) - 1);
	}
	to += f->name_len;
	units = g->flags >> CT_FNF_UNITS_FILE & 3;
	f->file_len = units ? (ct_u16)ct_py_utf8((const unsigned char *)file, units, g->file_len / units, to) : 0;
	f->file_len = (ct_u16)path_of_url(to, f->file_len);
	memcpy(to + f->file_len, "javascript", 10);
	f->line = line_of(n, &more);
	f->flags &= (ct_u16)~CT_FNF_UNITS;
	out->size = (ct_u32)(sizeof(*out) + sizeof(*f) + f->name_len + f->file_len + 10);
	return out;
}
