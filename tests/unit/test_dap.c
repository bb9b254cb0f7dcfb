/* SPDX-License-Identifier: MIT
 * The Debug Adapter Protocol's server: messages, expressions, hit conditions, and places in a small database.
 *
 * Whole sessions are in tests/e2e/62*. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <jansson.h>

#include "replay/dap.h"
#include "replay/dap_expr.h"
#include "tests/unit/stepdb_helpers.h"

static void same(const char *got, const char *want)
{
	cr_assert(got && strcmp(got, want) == 0, "got \"%s\", expected \"%s\"", got ? got : "(null)", want);
}

/* ---- Messages ---- */

/* Reads all messages of a text; returns how many, or -1 with the error's text in `why`. */
static int read_all(const char *text, size_t len, char *why)
{
	char name[] = "/tmp/ctbpf-dap-XXXXXX";
	int fd = mkstemp(name), n = 0, got;
	struct dap_reader r = {.fd = fd};
	struct ct_error err = {0};
	json_t *m;

	unlink(name);
	must(write(fd, text, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0, "write");
	while ((got = dap_read(&r, true, &m, &err)) == 1) {
		n += m != NULL;
		json_decref(m);
	}
	dap_reader_deinit(&r);
	close(fd);
	strcpy(why, err.msg);
	return got < 0 ? -1 : n;
}

Test(dap, messages)
{
	static const struct {
		const char *text;
		int count;
		const char *why;
	} cases[] = {
		{"Content-Length: 2\r\n\r\n{}Content-Length: 2\r\n\r\n[]", 2, ""},
		{"content-length:2\r\nX: y\r\n\r\n{}", 1, ""},
		{"Content-Length: 3\r\n\r\n{x}Content-Length: 2\r\n\r\n{}", 1, ""},
		{"", 0, ""},
		{"Content-Length: 0\r\n\r\n", 0, ""},
		{"Content-Length: 5\r\n\r\n{}", -1, "in the middle"},
		{"Content-Length: 2\r\n", -1, "in the middle"},
		{"X: y\r\n\r\n{}", -1, "without Content-Length"},
		{"Content-Length: -2\r\n\r\n{}", -1, "no number"},
		{"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", -1, "no number"},
		{"Content-Length: 4194305\r\n\r\n{}", -1, "more than"},
		{"Content-Length: 99999999999999999999999\r\n\r\n{}", -1, "more than"},
	};
	char why[1024], big[6000];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = read_all(cases[i].text, strlen(cases[i].text), why);

		cr_assert(n == cases[i].count && strstr(why, cases[i].why), "%s: %d, %s", cases[i].text, n, why);
	}
	memset(big, 'x', sizeof(big));
	cr_assert(eq(int, read_all(big, sizeof(big), why), -1));
	cr_assert(strstr(why, "no end") != NULL, "%s", why);
}

Test(dap, text_of_any_bytes)
{
	json_t *t = dap_text("a\xff\xe2\x82\xac\0b", 7);

	same(json_string_value(t), "a\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd"
				   "b");
	json_decref(t);
}

/* ---- Breakpoints ---- */

Test(dap, hit_conditions)
{
	static const struct {
		const char *text;
		unsigned hits; /* bit per number from 1 to 8 */
	} cases[] = {{"3", 0x04},   {"== 3", 0x04}, {">5", 0xe0},  {">= 5", 0xf0},
		     {"< 3", 0x03}, {"<=3", 0x07},  {"% 4", 0x88}, {" 2 ", 0x02}};
	static const char *const bad[] = {"x", "> ", "3 4", "0", "%0", "-1"};
	struct dap_break *all = NULL;
	struct ct_error err;
	int id = 1;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *list = json_pack("[{s:i, s:s}]", "line", 7, "hitCondition", cases[i].text);
		unsigned hits = 0;

		cr_assert(dap_breaks_replace(&all, &id, DAP_LINE, "a.py", list, &err) == 0);
		for (unsigned n = 1; n <= 8; n++)
			hits |= dap_hits_match(&all->hits, n) << (n - 1);
		cr_assert(all->broken == false && hits == cases[i].hits, "%s: %#x", cases[i].text, hits);
		json_decref(list);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *list = json_pack("[{s:i, s:s}]", "line", 7, "hitCondition", bad[i]);

		cr_assert(dap_breaks_replace(&all, &id, DAP_LINE, "a.py", list, &err) == 0);
		cr_assert(all->broken, "%s", bad[i]);
		json_decref(list);
	}
	dap_breaks_free(&all);
}

Test(dap, breakpoints_replace_their_own_kind)
{
	struct dap_break *all = NULL;
	struct ct_error err;
	json_t *lines = json_pack("[{s:i}, {s:i}, {s:s}]", "line", 1, "line", 2, "line", "x"), *none = json_array(),
	       *f = json_pack("[{s:s}]", "name", "f");
	int id = 1, n = 0;

	cr_assert(dap_breaks_replace(&all, &id, DAP_LINE, "a.py", lines, &err) == 0);
	cr_assert(dap_breaks_replace(&all, &id, DAP_LINE, "b.py", lines, &err) == 0);
	cr_assert(dap_breaks_replace(&all, &id, DAP_FUNCTION, NULL, f, &err) == 0);
	cr_assert(dap_breaks_replace(&all, &id, DAP_LINE, "a.py", none, &err) == 0);
	for (struct dap_break *b = all; b; b = b->next, n++)
		cr_assert(b->kind == DAP_FUNCTION || (strcmp(b->path, "b.py") == 0 && b->broken == !b->line));
	cr_assert(eq(int, n, 4));
	dap_breaks_free(&all);
	json_decref(lines);
	json_decref(none);
	json_decref(f);
}

/* ---- Expressions ---- */

static struct ct_node_builder value;
static const char *const strings[] = {"", "x", "items", "name", "balance"};

static const char *string_of(void *arg, ct_u32 id, size_t *len)
{
	(void)arg;
	*len = id < 5 ? strlen(strings[id]) : 0;
	return id < 5 ? strings[id] : NULL;
}
static const char *type_of(void *arg, ct_u32 id, size_t *len)
{
	(void)arg;
	*len = id == 1 ? 7 : 0;
	return id == 1 ? "Account" : NULL;
}

/* a: an object with items, a dictionary, a cut text; i: 7; s.f: by a name of its own. */
static int lookup(void *arg, const char *name, size_t len, const ct_u8 **node, size_t *n, struct ct_error *err)
{
	const struct ct_node_info cut = {.length = 5, .truncated = true}, object = {.type = 1, .address = 64};
	struct ct_node_builder *b = arg;

	(void)err;
	ct_node_reset(b);
	if (len == 1 && name[0] == 'i') {
		ct_node_int(b, 7, NULL);
	} else if (len == 3 && memcmp(name, "s.f", 3) == 0) {
		ct_node_float(b, 2.5, NULL);
	} else if (len == 3 && memcmp(name, "@iv", 3) == 0) {
		ct_node_text(b, CT_NODE_NUMBER, "123456789012345678901234567890", 30, NULL);
	} else if (len == 1 && name[0] == 'a') {
		ct_node_open(b, CT_NODE_OBJECT, &object);
		ct_node_field(b, 2);
		ct_node_open(b, CT_NODE_LIST, &cut);
		ct_node_int(b, 10, NULL);
		ct_node_int(b, 20, NULL);
		ct_node_close(b);
		ct_node_field(b, 3);
		ct_node_text(b, CT_NODE_STRING, "abc", 3, &cut);
		ct_node_field(b, 1);
		ct_node_open(b, CT_NODE_DICT, NULL);
		ct_node_text(b, CT_NODE_STRING, "k", 1, NULL);
		ct_node_plain(b, CT_NODE_NULL, NULL);
		ct_node_int(b, 3, NULL);
		ct_node_text(b, CT_NODE_STRING, "three", 5, NULL);
		ct_node_close(b);
		ct_node_close(b);
	} else {
		return 0;
	}
	*node = b->data;
	*n = b->len;
	return 1;
}

static const struct dap_scope scope = {lookup, &value, {type_of, string_of, NULL}};

/* The value as text, or the error's. */
static const char *ask(const char *text)
{
	static char out[2000];
	struct dap_result r;
	struct ct_error err = {0};
	size_t n;
	char *shown;

	if (dap_eval(text, &scope, &r, &err) < 0) {
		snprintf(out, sizeof(out), "! %s", err.msg);
		return out;
	}
	shown = dap_value_text(&r.value, &scope.names, &n);
	snprintf(out, sizeof(out), "%s", shown);
	free(shown);
	free(r.scratch);
	return out;
}

Test(dap, expressions)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{"i", "7"},
		{"i + 1 == 8", "True"},
		{"-i // 2", "-4"},
		{"-i % 3", "2"},
		{"i / 2", "3.5"},
		{"9223372036854775807 + 1", "9.223372036854776e+18"},
		{"1 < i < 8", "True"},
		{"1 < i < 7", "False"},
		{"not i == 7 or i > 3 and i < 5", "False"},
		{"!(i == 7) || i >= 7 && true", "True"},
		{"i == 7 or nothing", "True"},
		{"i != 7 and nothing.at[all]", "False"},
		{"a.items[1] * 2", "40"},
		{"a.items[-5]", "10"},
		{"len(a.items)", "5"},
		{"a.x['k'] is None", "True"},
		{"a.x[3] == \"three\"", "True"},
		{"a.x['k'] is not nil", "False"},
		{"a.name == 'abd'", "False"},
		{"a.name != 'ab'", "True"},
		{"a == a", "True"},
		{"a == 3", "False"},
		{"'\\x41\\n' == 'x41\\n'", "True"},
		{"s.f * 2", "5.0"},
		{"@iv", "123456789012345678901234567890"},
		{"@iv == @iv", "True"},
		{"@iv > 5", "True"},
		{"0x10", "16"},
		{"(1, 2)", "! ')' is missing"},
		{"a.items[2]", "! this item was not recorded"},
		{"a.items[5]", "! there is no such item"},
		{"a.items['k']", "! the index is no whole number"},
		{"a.x['z']", "! there is no such item"},
		{"a.name == 'abc'", "! only the first 3 bytes"},
		{"a.owner", "! the object has no attribute 'owner'"},
		{"i.y", "! no attributes of this value"},
		{"i < 'a'", "! these values have no order"},
		{"a.items == a.x", "! containers and objects cannot be compared"},
		{"i()", "! this is a recording"},
		{"a.items.pop(0)", "! this is a recording"},
		{"i = 3", "! nothing can be changed"},
		{"nothing", "! no value of 'nothing' is recorded here"},
		{"1 / 0", "! division by zero"},
		{"1 % (i - 7)", "! division by zero"},
		{"'abc", "! a text without an end"},
		{"", "! the expression ends too soon"},
		{"i i", "! this cannot be understood"},
		{"12ab", "! this is no number"},
		{"99999999999999999999", "! this number is too large"},
	};
	char deep[1000];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = ask(cases[i].text);
		size_t n = cases[i].value[0] == '!' ? strlen(cases[i].value) : strlen(got) + 1;

		cr_assert(strncmp(got, cases[i].value, n) == 0, "%s: got %s, expected %s", cases[i].text, got,
			  cases[i].value);
	}
	for (const char *p = "(-!"; *p; p++) {
		memset(deep, *p, sizeof(deep) - 1);
		deep[sizeof(deep) - 1] = 0;
		cr_assert(strstr(ask(deep), "too deep") != NULL, "%s", ask(deep));
	}
	ct_node_free(&value);
}

/* ---- Moments of a random program, against what was written ---- */

Test(dap, values_in_time)
{
	char *dir = scratch_dir();
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ct_error err = {0};
	struct ct_stepdb *db;
	struct model m;
	ct_u64 newest = 0, got;

	model_start(&m, ct_stepdb_create(fd, "rec.ctr", test_uuid, &err), 11);
	while (m.nvalues < 12000)
		model_act(&m);
	cr_assert(ct_stepdb_commit(m.w, NULL, 0, true, &err) == 0, "%s", err.msg);
	ct_stepdb_writer_close(m.w);
	db = ct_stepdb_open(fd, "rec.ctr", &err);
	cr_assert(db != NULL, "%s", err.msg);
	for (ct_u64 row = 1; row <= m.nvalues; row++) {
		newest = m.value[row].step > newest ? m.value[row].step : newest;
		if (row % 7)
			continue;
		cr_assert(ct_stepdb_value_step(db, row, &got, &err) == 0, "%s", err.msg);
		cr_assert(eq(u64, got, newest));
	}
	for (ct_u64 step = 1; step <= m.nsteps; step += 13) {
		ct_u64 row = 1;

		while (row <= m.nvalues && m.value[row].step < step)
			row++;
		/* What belongs to the line's call stands right behind the step. */
		while (row <= m.nvalues && m.value[row].step == step && m.value[row].call == m.step[step].call &&
		       m.value[row].kind != CT_VALUE_RETURN && m.value[row].kind != CT_VALUE_EXCEPTION)
			row++;
		cr_assert(ct_stepdb_values_at(db, step, &got, &err) == 0, "%s", err.msg);
		cr_assert(eq(u64, got, row));
	}
	ct_stepdb_close(db);
	model_free(&m);
	close(fd);
	scratch_remove(dir);
}
