// SPDX-License-Identifier: MIT
/* TOML 1.0: tables, arrays of tables, dotted and quoted keys, inline tables, all kinds of strings and numbers. The text
 * is not trusted. A table remembers in members that no key can be called which lines its keys are in. */
#include "user/toml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES    "\001"
#define EXPLICIT "\002" /* it has had a header of its own */
#define DEEP     32
#define TOKEN    128

struct toml {
	const char *at, *end, *name;
	unsigned line;
	struct ct_error *err;
};
/* Grows as it is needed. */
struct text {
	char *data;
	size_t len, room;
};

__attribute__((format(printf, 2, 3))) static int bad(const struct toml *t, const char *fmt, ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return ct_fail(t->err, CT_EXIT_USAGE, "%s:%u: %s", t->name, t->line, why);
}

static int put(struct toml *t, struct text *s, char c)
{
	if (s->len + 1 >= s->room) {
		size_t room = 2 * s->room + 64;
		char *more = realloc(s->data, room);

		if (!more)
			return bad(t, "out of memory");
		s->data = more;
		s->room = room;
	}
	s->data[s->len++] = c;
	s->data[s->len] = 0;
	return 0;
}

/* The character here, 0 at the end. */
static char peek(const struct toml *t, size_t ahead)
{
	return (size_t)(t->end - t->at) > ahead ? t->at[ahead] : 0;
}

static void skip_blank(struct toml *t)
{
	while (peek(t, 0) == ' ' || peek(t, 0) == '\t')
		t->at++;
}

/* Blanks, comments and ends of lines. */
static void skip_lines(struct toml *t)
{
	for (;; t->at++) {
		skip_blank(t);
		if (peek(t, 0) == '#')
			while (t->at < t->end && *t->at != '\n')
				t->at++;
		if (peek(t, 0) == '\n')
			t->line++;
		else if (peek(t, 0) != '\r' || peek(t, 1) != '\n')
			return;
	}
}

/* ---- strings ------------------------------------------------------------------------------------------- */

static int put_utf8(struct toml *t, struct text *s, unsigned long c)
{
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return bad(t, "an escape that is no character");
	if (c < 0x80)
		return put(t, s, (char)c);
	for (int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3, i = more; i >= 0; i--) {
		unsigned long bits = c >> (6 * i) & (i == more ? 0x3f >> more : 0x3f);

		if (put(t, s, (char)((i == more ? 0xff00 >> (more + 1) & 0xff : 0x80) | bits)))
			return -1;
	}
	return 0;
}

static int escape(struct toml *t, struct text *s, bool lines)
{
	static const char from[] = "\"\\bfnrte", to[] = "\"\\\b\f\n\r\t\033";
	char c = peek(t, 0);
	const char *known = c ? strchr(from, c) : NULL;

	if (known) {
		t->at++;
		return put(t, s, to[known - from]);
	}
	if (c == 'u' || c == 'U') {
		size_t digits = c == 'u' ? 4 : 8, i = 0;
		char hex[9] = "";

		for (t->at++; i < digits && peek(t, i) && strchr("0123456789abcdefABCDEF", peek(t, i)); i++)
			hex[i] = t->at[i];
		if (i < digits)
			return bad(t, "an escape of too few digits");
		t->at += digits;
		return put_utf8(t, s, strtoul(hex, NULL, 16));
	}
	/* At the end of a line: it goes on with the next character that is none of these. */
	for (const char *p = t->at; lines && p < t->end && strchr(" \t\r\n", *p) && *p; p++)
		if (*p == '\n') {
			for (; t->at < t->end && *t->at && strchr(" \t\r\n", *t->at); t->at++)
				t->line += *t->at == '\n';
			return 0;
		}
	return bad(t, "an escape that is none");
}

/* It may be empty. */
static int finish(struct toml *t, struct text *s)
{
	if (s->len)
		return 0;
	if (put(t, s, 0))
		return -1;
	s->len = 0;
	return 0;
}

static int read_string(struct toml *t, struct text *s)
{
	const char quote = *t->at++;
	const bool lines = peek(t, 0) == quote && peek(t, 1) == quote;

	s->len = 0;
	if (lines) {
		t->at += 2;
		t->at += peek(t, 0) == '\r' && peek(t, 1) == '\n';
		if (peek(t, 0) == '\n') {
			t->line++;
			t->at++;
		}
	}
	while (t->at < t->end) {
		char c = *t->at++;
		size_t run = 1;

		if (c == quote && !lines)
			return finish(t, s);
		while (c == quote && peek(t, run - 1) == quote)
			run++;
		if (run > 5)
			return bad(t, "too many quotes");
		/* Up to two may stand before the three that end it. */
		if (c == quote) {
			for (size_t i = 0; i < (run < 3 ? run : run - 3); i++)
				if (put(t, s, quote))
					return -1;
			t->at += run - 1;
			if (run >= 3)
				return finish(t, s);
			continue;
		}
		if (c == '\n' && !lines)
			break;
		t->line += c == '\n';
		if ((unsigned char)c < ' ' && c != '\t' && c != '\n' && !(c == '\r' && peek(t, 0) == '\n'))
			return bad(t, "a control character in a string");
		if (c == '\\' && quote == '"' ? escape(t, s, lines) : put(t, s, c))
			return -1;
	}
	return bad(t, "a string without an end");
}

/* ---- values -------------------------------------------------------------------------------------------- */

static json_t *read_value(struct toml *t, unsigned deep);
static int key_value(struct toml *t, json_t *table, unsigned deep);

static json_t *new_table(const struct toml *t)
{
	return json_pack("{s:{s:i}}", LINES, LINES, (int)t->line);
}

static bool is_time(const char *s)
{
	size_t digits = strspn(s, "0123456789");

	return (digits == 4 && s[4] == '-') || (digits == 2 && s[2] == ':');
}

static json_t *number(struct toml *t, const char *token)
{
	char digits[TOKEN], *end;
	size_t n = 0;
	const char *body = token + (*token == '+' || *token == '-');
	int base = 10;
	long long i;
	double d;

	if (!strcmp(body, "inf") || !strcmp(body, "nan"))
		return json_null();
	if (*body == '0' && body[1] && strchr("xob", body[1])) {
		base = body[1] == 'x' ? 16 : body[1] == 'o' ? 8 : 2;
		body += 2;
	}
	if (*token == '-')
		digits[n++] = '-';
	for (; *body; body++)
		if (*body != '_')
			digits[n++] = *body;
	digits[n] = 0;
	errno = 0;
	i = strtoll(digits, &end, base);
	if (n && !*end && errno == ERANGE) {
		bad(t, "the number %.60s is too large", token);
		return NULL;
	}
	if (n && !*end)
		return json_integer(i);
	d = strspn(digits, "0123456789eE+-.") == n ? strtod(digits, &end) : 0;
	if (n && !*end && d < 1e300 && d > -1e300)
		return json_real(d);
	bad(t, "'%.60s' is no value; strings have quotes", token);
	return NULL;
}

static json_t *read_scalar(struct toml *t)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._:";
	char token[TOKEN];
	size_t n = 0;

	while (peek(t, n) && strchr(chars, peek(t, n)) && n < TOKEN - 1)
		n++;
	/* A date and a time may have a blank between. */
	if (n == 10 && t->at[4] == '-' && peek(t, n) == ' ' && peek(t, n + 3) == ':')
		for (n++; peek(t, n) && strchr(chars, peek(t, n)) && n < TOKEN - 1;)
			n++;
	memcpy(token, t->at, n);
	token[n] = 0;
	if (!n || n == TOKEN - 1) {
		bad(t, "no value");
		return NULL;
	}
	t->at += n;
	if (!strcmp(token, "true") || !strcmp(token, "false"))
		return json_boolean(*token == 't');
	return is_time(token) ? json_string(token) : number(t, token);
}

/* Behind one value of several. 1: another one may come. */
static int behind_value(struct toml *t, char end, const char *what)
{
	const bool comma = peek(t, 0) == ',';

	t->at += comma;
	return comma || peek(t, 0) == end ? comma : bad(t, "%s without an end", what);
}

static json_t *read_array(struct toml *t, unsigned deep)
{
	json_t *array = json_array();

	for (t->at++, skip_lines(t); array && peek(t, 0) != ']'; skip_lines(t)) {
		json_t *v = read_value(t, deep);

		if (!v || json_array_append_new(array, v)) {
			json_decref(array);
			return NULL;
		}
		skip_lines(t);
		if (behind_value(t, ']', "an array") < 0) {
			json_decref(array);
			return NULL;
		}
	}
	t->at++;
	return array;
}

static json_t *read_inline(struct toml *t, unsigned deep)
{
	json_t *table = new_table(t);
	int comma = 0;

	for (t->at++, skip_blank(t); table && (comma || peek(t, 0) != '}'); skip_blank(t)) {
		comma = key_value(t, table, deep);
		if (!comma) {
			skip_blank(t);
			comma = behind_value(t, '}', "an inline table");
		}
		if (comma < 0) {
			json_decref(table);
			return NULL;
		}
	}
	t->at++;
	return table;
}

static json_t *read_value(struct toml *t, unsigned deep)
{
	struct text s = {0};
	json_t *v = NULL;

	if (deep > DEEP) {
		bad(t, "too many tables or arrays within one another");
		return NULL;
	}
	if (peek(t, 0) == '[')
		return read_array(t, deep + 1);
	if (peek(t, 0) == '{')
		return read_inline(t, deep + 1);
	if (peek(t, 0) != '"' && peek(t, 0) != '\'')
		return read_scalar(t);
	if (!read_string(t, &s) && !(v = json_stringn(s.data, s.len)))
		bad(t, "a string that is not UTF-8");
	free(s.data);
	return v;
}

/* ---- keys and tables ----------------------------------------------------------------------------------- */

static int read_key(struct toml *t, struct text *key)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	key->len = 0;
	skip_blank(t);
	if (peek(t, 0) == '"' || peek(t, 0) == '\'') {
		if (read_string(t, key))
			return -1;
		for (size_t i = 0; i < key->len; i++)
			if ((unsigned char)key->data[i] < ' ')
				return bad(t, "a key with a control character");
	} else {
		while (peek(t, 0) && strchr(chars, peek(t, 0)))
			if (put(t, key, *t->at++))
				return -1;
		if (!key->len)
			return bad(t, "neither a table nor KEY = VALUE");
	}
	skip_blank(t);
	return 0;
}

static int add(struct toml *t, json_t *table, const char *key, json_t *value)
{
	if (!value)
		return t->err->msg[0] ? -1 : bad(t, "out of memory");
	if (json_object_get(table, key)) {
		json_decref(value);
		return bad(t, "'%.60s' is there twice", key);
	}
	if (json_object_set_new(table, key, value)) /* not UTF-8 */
		return bad(t, "a key that is not UTF-8");
	json_object_set_new(json_object_get(table, LINES), key, json_integer(t->line));
	return 0;
}

/* The table of that name in this one, made if there is none; of an array of tables the last. */
static json_t *enter(struct toml *t, json_t *table, const char *key)
{
	json_t *in = json_object_get(table, key);

	if (!in && !add(t, table, key, new_table(t)))
		in = json_object_get(table, key);
	if (json_is_array(in))
		in = json_array_get(in, json_array_size(in) - 1);
	if (in && !json_is_object(in)) {
		bad(t, "'%.60s' is no table", key);
		in = NULL;
	}
	return in;
}

/* KEY or KEY.KEY...: all but the last are tables, of which the innermost is in *table. */
static int read_path(struct toml *t, json_t **table, struct text *key)
{
	for (unsigned n = 0; !read_key(t, key); n++) {
		if (peek(t, 0) != '.')
			return 0;
		t->at++;
		if (n == DEEP)
			return bad(t, "too many tables within one another");
		*table = enter(t, *table, key->data);
		if (!*table)
			return -1;
	}
	return -1;
}

static int key_value(struct toml *t, json_t *table, unsigned deep)
{
	struct text key = {0};
	int ret = read_path(t, &table, &key);

	if (!ret && peek(t, 0) != '=')
		ret = bad(t, "neither a table nor KEY = VALUE");
	if (!ret) {
		t->at++;
		skip_blank(t);
		ret = add(t, table, key.data, read_value(t, deep));
	}
	free(key.data);
	return ret;
}

/* "[name]" or "[[name]]": what follows is in that table. */
static int header(struct toml *t, json_t **table)
{
	const bool array = peek(t, 1) == '[';
	struct text key = {0};
	json_t *in;
	int ret;

	t->at += 1 + array;
	ret = read_path(t, table, &key);
	if (!ret && (peek(t, 0) != ']' || (array && peek(t, 1) != ']')))
		ret = bad(t, "a table's name without its end");
	if (!ret && array) {
		in = json_object_get(*table, key.data);
		if (!in && !(ret = add(t, *table, key.data, json_array())))
			in = json_object_get(*table, key.data);
		if (!ret && (!json_is_array(in) || json_array_append_new(in, new_table(t))))
			ret = bad(t, "'%.60s' is no array of tables", key.data);
	} else if (!ret && json_is_array(json_object_get(*table, key.data))) {
		ret = bad(t, "'%.60s' is an array: [[%.60s]]", key.data, key.data);
	}
	if (!ret) {
		*table = enter(t, *table, key.data);
		ret = *table ? 0 : -1;
	}
	if (!ret && !array && json_object_get(*table, EXPLICIT))
		ret = bad(t, "the table '%.60s' is there twice", key.data);
	if (!ret)
		json_object_set_new(*table, EXPLICIT, json_true());
	t->at += ret ? 0 : 1 + array;
	free(key.data);
	return ret;
}

json_t *ct_toml_parse(const char *text, size_t len, const char *name, struct ct_error *err)
{
	struct toml t = {.at = text, .end = text + len, .name = name, .line = 1, .err = err};
	json_t *root = new_table(&t), *table = root;
	int ret = root ? 0 : ct_fail_memory(err);

	err->msg[0] = 0;
	if (memchr(text, 0, len))
		ret = bad(&t, "a byte 0: this is no text");
	for (skip_lines(&t); !ret && t.at < t.end; skip_lines(&t)) {
		if (*t.at == '[') {
			table = root;
			ret = header(&t, &table);
		} else {
			ret = key_value(&t, table, 0);
		}
		skip_blank(&t);
		if (peek(&t, 0) == '\r')
			t.at++;
		if (!ret && t.at < t.end && *t.at != '\n' && *t.at != '#')
			ret = bad(&t, "more behind the value");
	}
	if (!ret)
		return root;
	json_decref(root);
	return NULL;
}

unsigned ct_toml_line(const json_t *table, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(json_object_get(table, LINES), key ? key : LINES));
}

int ct_toml_is_own(const char *key)
{
	return *key == LINES[0] || *key == EXPLICIT[0];
}
