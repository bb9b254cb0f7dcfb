/* SPDX-License-Identifier: MIT
 * Values of the step database: built, checked, shown as text and as JSON.
 *
 * Random trees come back; bytes that make no sense are refused, whatever they are. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <jansson.h>

#include "tests/unit/stepdb_helpers.h"

static const char *name(void *arg, ct_u32 id, size_t *len)
{
	static const char *const names[] = {NULL, "int", "Point", "x", "y", "socket"};
	const char *found = id < 6 ? names[id] : NULL;

	(void)arg;
	*len = found ? strlen(found) : 0;
	return found;
}
static const struct ct_node_names names = {name, name, NULL};

/* The value so far as text; starts anew. */
static const char *text(struct ct_node_builder *b)
{
	static char out[512];

	cr_assert(not(b->failed));
	cr_assert(ct_node_check(b->data, b->len));
	cr_assert(lt(sz, ct_node_format(b->data, b->len, &names, out, sizeof(out)), sizeof(out)));
	ct_node_reset(b);
	return out;
}

/* Criterion's eq(str) does not take texts in pieces. */
static void same(const char *got, const char *want)
{
	cr_assert(strcmp(got, want) == 0, "got \"%s\", expected \"%s\"", got, want);
}

static void dict_of_list(struct ct_node_builder *b)
{
	ct_node_open(b, CT_NODE_DICT, NULL);
	ct_node_text(b, CT_NODE_STRING, "a'b\n\xc3\xa9\xff", 7, NULL);
	ct_node_open(b, CT_NODE_LIST, &(struct ct_node_info){.length = 100, .truncated = true});
	ct_node_int(b, -1, NULL);
	ct_node_float(b, 0.5, NULL);
	ct_node_close(b);
	ct_node_plain(b, CT_NODE_NULL, NULL);
	ct_node_open(b, CT_NODE_TUPLE, NULL);
	ct_node_plain(b, CT_NODE_TRUE, NULL);
	ct_node_close(b);
	ct_node_close(b);
}

Test(stepdb_node, scalars_as_text)
{
	struct ct_node_builder b = {0};

	ct_node_int(&b, INT64_MIN, NULL);
	same(text(&b), "-9223372036854775808");
	ct_node_float(&b, 0.1, NULL);
	same(text(&b), "0.1");
	ct_node_float(&b, 3, NULL);
	same(text(&b), "3.0");
	ct_node_float(&b, 1e300, NULL);
	same(text(&b), "1e+300");
	ct_node_text(&b, CT_NODE_BYTES, "a\0'\xff", 4, NULL);
	same(text(&b), "b'a\\x00\\'\\xff'");
	ct_node_text(&b, CT_NODE_STRING, "abc", 3, &(struct ct_node_info){.length = 9, .truncated = true});
	same(text(&b), "'abc'...");
	ct_node_text(&b, CT_NODE_NUMBER, "123456789012345678901234567890", 30, NULL);
	same(text(&b), "123456789012345678901234567890");
	ct_node_plain(&b, CT_NODE_REF, &(struct ct_node_info){.type = 5, .address = 0x7f00});
	same(text(&b), "<socket at 0x7f00>");
	ct_node_plain(&b, CT_NODE_UNSET, NULL);
	same(text(&b), "<unset>");
	ct_node_pointer(&b, 0xdead, NULL);
	same(text(&b), "0xdead");
	ct_node_free(&b);
}

Test(stepdb_node, containers_as_text)
{
	struct ct_node_builder b = {0};

	dict_of_list(&b);
	same(text(&b), "{'a\\'b\\n\xc3\xa9\\xff': [-1, 0.5, ... 98 more], None: (True,)}");
	ct_node_open(&b, CT_NODE_OBJECT, &(struct ct_node_info){.type = 2});
	ct_node_field(&b, 3);
	ct_node_int(&b, 1, NULL);
	ct_node_field(&b, 4);
	ct_node_int(&b, 2, NULL);
	ct_node_close(&b);
	same(text(&b), "Point(x=1, y=2)");
	ct_node_open(&b, CT_NODE_SET, NULL);
	ct_node_close(&b);
	same(text(&b), "{}");
	ct_node_free(&b);
}

Test(stepdb_node, json_is_json)
{
	struct ct_node_builder b = {0};
	char out[1024];
	json_t *v, *pair;

	dict_of_list(&b);
	ct_node_json(b.data, b.len, &names, out, sizeof(out));
	v = json_loads(out, 0, NULL);
	cr_assert(v != NULL, "%s", out);
	same(json_string_value(json_object_get(v, "tag")), "dict");
	pair = json_array_get(json_object_get(v, "value"), 0);
	cr_assert(eq(sz, json_array_size(pair), 2));
	same(json_string_value(json_object_get(json_array_get(pair, 0), "value")), "a'b\n\xc3\xa9\xef\xbf\xbd");
	cr_assert(eq(int, json_typeof(json_object_get(json_array_get(pair, 1), "truncated")), JSON_TRUE));
	cr_assert(eq(sz, json_array_size(json_object_get(v, "value")), 2));
	json_decref(v);
	ct_node_free(&b);
}

static void random_node(struct model *m, struct ct_node_builder *b, unsigned depth)
{
	struct ct_node_info info = {.type = (ct_u32)model_random(m, 9),
				    .address = model_random(m, 2) ? 0 : model_random(m, UINT64_MAX),
				    .length = model_random(m, 3) ? 0 : model_random(m, 1000),
				    .truncated = model_random(m, 4) == 0};
	enum ct_node_tag tag = CT_NODE_NULL + (unsigned)model_random(m, CT_NODE_OBJECT);
	char bytes[20];

	switch (tag) {
	case CT_NODE_INT: ct_node_int(b, (ct_s64)model_random(m, UINT64_MAX), &info); return;
	case CT_NODE_FLOAT: ct_node_float(b, (double)model_random(m, 1000000) / 7, &info); return;
	case CT_NODE_POINTER: ct_node_pointer(b, model_random(m, UINT64_MAX), &info); return;
	case CT_NODE_NUMBER:
	case CT_NODE_STRING:
	case CT_NODE_BYTES:
	case CT_NODE_TEXT:
		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)model_random(m, 256);
		ct_node_text(b, tag, bytes, model_random(m, sizeof(bytes)), &info);
		return;
	default: break;
	}
	if (tag < CT_NODE_LIST || depth > 6) {
		ct_node_plain(b, tag < CT_NODE_LIST ? tag : CT_NODE_REF, &info);
		return;
	}
	ct_node_open(b, tag, &info);
	for (ct_u64 i = model_random(m, 5); i; i--) {
		if (tag == CT_NODE_OBJECT)
			ct_node_field(b, (ct_u32)model_random(m, 9));
		if (tag == CT_NODE_DICT)
			random_node(m, b, depth + 1);
		random_node(m, b, depth + 1);
	}
	ct_node_close(b);
}

Test(stepdb_node, random_values_are_good_and_shown)
{
	struct model m = {.seed = 99};
	struct ct_node_builder b = {0};

	for (unsigned i = 0; i < 2000; i++) {
		char *out, *json;
		size_t len;
		json_t *v;

		ct_node_reset(&b);
		random_node(&m, &b, 0);
		cr_assert(not(b.failed));
		cr_assert(ct_node_check(b.data, b.len));
		len = ct_node_format(b.data, b.len, &names, NULL, 0);
		out = malloc(len + 1);
		cr_assert(eq(sz, ct_node_format(b.data, b.len, &names, out, len + 1), len));
		cr_assert(eq(sz, strlen(out), len));
		len = ct_node_json(b.data, b.len, &names, NULL, 0);
		json = malloc(len + 1);
		ct_node_json(b.data, b.len, &names, json, len + 1);
		v = json_loads(json, JSON_ALLOW_NUL, NULL);
		cr_assert(v != NULL, "%s", json);
		json_decref(v);
		free(out);
		free(json);
		/* Cut anywhere it is none. */
		for (size_t cut = 0; cut < b.len; cut++)
			cr_assert(not(ct_node_check(b.data, cut)));
	}
	ct_node_free(&b);
}

Test(stepdb_node, random_bytes_do_no_harm)
{
	struct model m = {.seed = 123};
	char out[64];

	for (unsigned i = 0; i < 200000; i++) {
		ct_u8 bytes[24];
		size_t len = model_random(&m, sizeof(bytes));

		for (size_t k = 0; k < len; k++)
			bytes[k] = (ct_u8)model_random(&m, model_random(&m, 2) ? 256 : 24);
		if (!ct_node_check(bytes, len))
			continue;
		ct_node_format(bytes, len, &names, out, sizeof(out));
		ct_node_json(bytes, len, &names, out, sizeof(out));
	}
}

Test(stepdb_node, depth_and_size_have_limits)
{
	struct ct_node_builder b = {0};
	ct_u8 small[8];
	struct ct_node_builder fixed = {.data = small, .cap = sizeof(small), .fixed = true};

	for (unsigned i = 0; i <= CT_NODE_DEPTH; i++)
		ct_node_open(&b, CT_NODE_LIST, NULL);
	for (unsigned i = 0; i <= CT_NODE_DEPTH; i++)
		ct_node_close(&b);
	cr_assert(not(ct_node_check(b.data, b.len)));
	cr_assert(ct_node_check(b.data + 2, b.len - 3));
	ct_node_reset(&b);
	for (unsigned i = 0; i < 300 && !b.failed; i++)
		ct_node_text(&b, CT_NODE_STRING, "", 0, NULL),
			ct_node_text(&b, CT_NODE_BYTES, (char[4096]){0}, 4096, NULL);
	cr_assert(b.failed);
	ct_node_text(&fixed, CT_NODE_STRING, "0123456789", 10, NULL);
	cr_assert(fixed.failed);
	ct_node_free(&b);
}
