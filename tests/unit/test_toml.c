/* SPDX-License-Identifier: MIT
 * TOML: every kind of value and table, and what is wrong with a line number. */
#include <criterion/criterion.h>
#include <string.h>

#include "user/toml.h"

static json_t *parse(const char *text)
{
	struct ct_error err;
	json_t *root = ct_toml_parse(text, strlen(text), "t", &err);

	cr_assert(root, "%s: %s", text, err.msg);
	return root;
}

static void is(const char *text, const char *key, const char *json)
{
	json_t *root = parse(text), *want = json_loads(json, JSON_DECODE_ANY, NULL);

	cr_assert(want);
	cr_expect(json_equal(json_object_get(root, key), want), "%s: %s", text,
		  json_dumps(json_object_get(root, key), JSON_ENCODE_ANY));
	json_decref(want);
	json_decref(root);
}

static void wrong(const char *text, const char *why)
{
	struct ct_error err;
	json_t *root = ct_toml_parse(text, strlen(text), "t", &err);

	cr_expect_null(root, "%s", text);
	cr_expect(strstr(err.msg, why), "%s: %s", text, err.msg);
	json_decref(root);
}

Test(toml, values)
{
	is("a = 1", "a", "1");
	is("a = -1_000", "a", "-1000");
	is("a = 0xfF", "a", "255");
	is("a = 0b101 # five", "a", "5");
	is("a = 1.5e2", "a", "150.0");
	is("a = +inf", "a", "null");
	is("a = true\r\n", "a", "true");
	is("a = 1979-05-27 07:32:00Z", "a", "\"1979-05-27 07:32:00Z\"");
	is("a = 07:32:00", "a", "\"07:32:00\"");
	is("a = [ 1, [2, 3], # two\n ]", "a", "[1, [2, 3]]");
	is("a = []", "a", "[]");
}

Test(toml, strings)
{
	is("a = \"\"", "a", "\"\"");
	is("a = 'c:\\x'", "a", "\"c:\\\\x\"");
	is("a = \"t\\t\\u00e4\\U0001F600\"", "a", "\"t\\t\\u00e4\\ud83d\\ude00\"");
	is("a = \"\"\"\nx\ny\"\"\"", "a", "\"x\\ny\"");
	is("a = \"\"\"x\\\n   y\"\"\"", "a", "\"xy\"");
	is("a = '''it's ''two'' ''''", "a", "\"it's ''two'' '\"");
	is("a = \"\"\"\"\"\"", "a", "\"\"");
	is("\"a b\" = 'x'", "a b", "\"x\"");
}

Test(toml, tables)
{
	json_t *root = parse(
		"x.y = 1\n[t]\na = { b = 2, c.d = 3 }\n[[r]]\nn = 1\n[[r.s]]\nm = 1\n[[ r . s ]]\n[[r]]\nn = 2\n");
	json_t *r = json_object_get(root, "r");

	cr_expect_eq(json_integer_value(json_object_get(json_object_get(root, "x"), "y")), 1);
	cr_expect_eq(json_array_size(r), 2);
	cr_expect_eq(json_array_size(json_object_get(json_array_get(r, 0), "s")), 2);
	cr_expect_eq(json_integer_value(json_object_get(json_array_get(r, 1), "n")), 2);
	cr_expect_eq(ct_toml_line(json_array_get(r, 1), "n"), 10);
	cr_expect_eq(ct_toml_line(json_object_get(root, "t"), "a"), 3);
	json_decref(root);
}

Test(toml, what_is_wrong_is_said_with_its_line)
{
	wrong("a = 1\na = 2", "t:2: 'a' is there twice");
	wrong("[a]\n[a]", "t:2: the table 'a' is there twice");
	wrong("a = 1\n[a.b]", "t:2: 'a' is no table");
	wrong("\na = \"x", "t:2: a string without an end");
	wrong("a = [1", "an array without an end");
	wrong("a = { b = 1", "an inline table without an end");
	wrong("a = x", "'x' is no value");
	wrong("a = 9223372036854775808", "the number 9223372036854775808 is too large");
	wrong("a = -0x8000000000000001", "is too large");
	wrong("a", "neither a table");
	wrong("a = 1 b = 2", "more behind the value");
	wrong("a = \"\\q\"", "an escape that is none");
	wrong("a = \"\\ud800\"", "no character");
	wrong("a = '\xff'", "not UTF-8");
	wrong("[a", "without its end");
}
