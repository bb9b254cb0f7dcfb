/* SPDX-License-Identifier: MIT
 * Reads trace-filter files. Of TOML there is what these need: tables, arrays of tables, strings, numbers, true, false,
 * arrays of these. */
#include "user/call_filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20)

enum table { META, SCOPE, RULE, VALUE_PATTERN, NONE };

struct reader {
	const char *path, *at;
	unsigned line;
	enum table table;
	struct ct_call_filter *f;
	unsigned first;           /* rule that the table's selector has made; as many as there are now: none yet */
	struct ct_call_rule said; /* by the table so far */
	struct ct_error *err;
};

static int bad(const struct reader *r, const char *why, const char *what)
{
	return ct_fail(r->err, CT_EXIT_USAGE, "%s:%u: %s%s%s%s", r->path, r->line, why, what ? " '" : "",
		       what ? what : "", what ? "'" : "");
}

/* ---- TOML ---------------------------------------------------------------------------------------------- */

static void skip_space(struct reader *r, bool lines)
{
	for (;; r->at++) {
		if (*r->at == '#')
			r->at += strcspn(r->at, "\n");
		if (*r->at == '\n' && lines)
			r->line++;
		else if (*r->at != ' ' && *r->at != '\t' && *r->at != '\r')
			return;
	}
}

/* A string of one line, into out. */
static int read_string(struct reader *r, char *out, size_t size)
{
	const char quote = *r->at++;
	size_t n = 0;

	if (r->at[0] == quote && r->at[1] == quote)
		return bad(r, "strings of several lines are not understood here", NULL);
	for (; *r->at && *r->at != '\n' && *r->at != quote; r->at++) {
		char c = *r->at;

		if (c == '\\' && quote == '"') {
			static const char from[] = "\"\\bfnrt", to[] = "\"\\\b\f\n\r\t";
			const char *known = *++r->at ? strchr(from, *r->at) : NULL;

			if (!known)
				return bad(r, "an escape that is not understood here", NULL);
			c = to[known - from];
		}
		if (n + 1 == size)
			return bad(r, "a string that is too long", NULL);
		out[n++] = c;
	}
	if (*r->at++ != quote)
		return bad(r, "a string without an end", NULL);
	out[n] = 0;
	return 0;
}

/* A string is in `out`; of anything else there is its first character. */
static int read_value(struct reader *r, char *out, size_t size)
{
	if (*r->at == '"' || *r->at == '\'')
		return read_string(r, out, size);
	if (*r->at == '[') {
		for (r->at++, skip_space(r, true); *r->at != ']'; skip_space(r, true)) {
			if (!*r->at || *r->at == '[')
				return bad(r, "an array that is not understood here", NULL);
			if (read_value(r, out, size))
				return -1;
			skip_space(r, true);
			if (*r->at == ',')
				r->at++;
		}
		r->at++;
		strcpy(out, "[");
		return 0;
	}
	const size_t len = strspn(r->at, "abcdefghijklmnopqrstuvwxyz0123456789+-._:TZ");

	if (!len)
		return bad(r, "no value", NULL);
	out[0] = *r->at;
	out[1] = 0;
	r->at += len;
	return 0;
}

/* ---- what it says -------------------------------------------------------------------------------------- */

/* One of the words, from CT_RULE_YES on; the others count as the last of these two. */
static int word(struct reader *r, const char *key, const char *value, const char *const words[3], ct_u16 *says)
{
	char why[120];

	for (unsigned i = 0; i < 3 && words[i]; i++)
		if (!strcmp(value, words[i])) {
			*says = i ? CT_RULE_NO : CT_RULE_YES;
			return 0;
		}
	snprintf(why, sizeof(why), "%s is %s%s%s%s%s, not", key, words[0], words[2] ? ", " : " or ", words[1],
		 words[2] ? " or " : "", words[2] ? words[2] : "");
	return bad(r, why, value);
}

static int add_rule(struct reader *r, bool file, const char *format, const char *text)
{
	struct ct_call_rule *rule = &r->f->rule[r->f->nrules];
	int len;

	if (r->f->nrules == CT_CALL_RULES)
		return bad(r, "too many rules: 64 patterns are the limit", NULL);
	*rule = r->said;
	rule->file = file;
	len = snprintf(rule->pattern, sizeof(rule->pattern), format, text);
	if (len >= CT_CALL_PATTERN)
		return bad(r, "a pattern that is too long", NULL);
	rule->len = (ct_u16)len;
	r->f->nrules++;
	return 0;
}

/* A package is known by where its files are: "shop.orders" is shop/orders.py, or what is in shop/orders/. */
static int add_package(struct reader *r, char *name)
{
	size_t len = strlen(name);

	for (char *dot = name; (dot = strchr(dot, '.'));)
		*dot = '/';
	if (!strcmp(name, "*"))
		return add_rule(r, true, "%s", name);
	if (len > 2 && !strcmp(name + len - 2, "/*"))
		return add_rule(r, true, "*/%s", name);
	return add_rule(r, true, "*/%s.*", name) | add_rule(r, true, "*/%s/__init__.py", name);
}

static int selector(struct reader *r, char *value)
{
	char *kind = value, *how = strchr(value, ':'), *pattern = how ? strchr(how + 1, ':') : NULL;
	bool literal = false;

	if (!how)
		return bad(r, "a selector is KIND:PATTERN, not", value);
	*how++ = 0;
	if (pattern && pattern - how < 8) {
		*pattern = 0;
		literal = !strcmp(how, "literal");
		if (!strcmp(how, "regex"))
			return bad(r, "regular expressions cannot be looked for in the kernel; write it as", "glob");
		if (literal || !strcmp(how, "glob"))
			how = pattern + 1;
		else
			*pattern = ':';
	}
	if (!*how || strpbrk(how, literal ? "*?" : "[]{}"))
		return bad(r, "a pattern is of letters, * and ?, not", how);
	r->first = r->f->nrules;
	if (!strcmp(kind, "obj"))
		return add_rule(r, false, "%s", how);
	if (!strcmp(kind, "file"))
		return add_rule(r, true, *how == '/' || *how == '*' ? "%s" : "*/%s", how);
	if (!strcmp(kind, "pkg"))
		return add_package(r, how);
	return bad(r, "a rule is about pkg, file or obj, not", kind);
}

static int set(struct reader *r, const char *key, char *value)
{
	static const char *const exec[3] = {"trace", "skip", NULL}, *const values[3] = {"allow", "redact", "drop"};
	ct_u16 says = CT_RULE_NOTHING;
	int ret = 0;

	if (r->table == META || !strcmp(key, "reason"))
		return 0;
	if (r->table == SCOPE && !strcmp(key, "default_exec")) {
		ret = word(r, key, value, exec, &says);
		r->f->skip = says == CT_RULE_NO;
	} else if (r->table == SCOPE && !strcmp(key, "default_value_action")) {
		ret = word(r, key, value, values, &says);
		r->f->silent = says == CT_RULE_NO;
	} else if (r->table == RULE && !strcmp(key, "selector")) {
		return selector(r, value);
	} else if (r->table == RULE && !strcmp(key, "exec")) {
		ret = word(r, key, value, exec, &r->said.calls);
	} else if (r->table == RULE && !strcmp(key, "value_default")) {
		ret = word(r, key, value, values, &r->said.values);
	} else if (r->table == VALUE_PATTERN && !strcmp(key, "selector")) {
		return 0;
	} else if (r->table == VALUE_PATTERN && !strcmp(key, "action")) {
		/* Values are not looked at one by one: if some are to be hidden, all are. */
		ret = word(r, key, value, values, &says);
		if (says == CT_RULE_NO)
			r->said.values = CT_RULE_NO;
	} else {
		return bad(r, "a key that is not understood here:", key);
	}
	for (unsigned i = r->first; i < r->f->nrules; i++) {
		r->f->rule[i].calls = r->said.calls;
		r->f->rule[i].values = r->said.values;
	}
	return ret;
}

static int table(struct reader *r)
{
	static const struct {
		const char *name;
		enum table table;
	} known[] = {{"[meta]", META},
		     {"[scope]", SCOPE},
		     {"[[scope.rules]]", RULE},
		     {"[[scope.rules.value_patterns]]", VALUE_PATTERN}};
	size_t len = strcspn(r->at, " \t\r\n#");
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)(len < 63 ? len : 63), r->at);
	r->table = NONE;
	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(name, known[i].name))
			r->table = known[i].table;
	if (r->table == NONE)
		return bad(r, "a table that is not understood here:", name);
	if (r->table != VALUE_PATTERN) {
		r->first = r->f->nrules;
		memset(&r->said, 0, sizeof(r->said));
	}
	r->at += len;
	return 0;
}

static int key_value(struct reader *r)
{
	size_t len = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	char key[64], value[CT_CALL_PATTERN];

	snprintf(key, sizeof(key), "%.*s", (int)(len < 63 ? len : 63), r->at);
	r->at += len;
	skip_space(r, false);
	if (!len || *r->at++ != '=')
		return bad(r, "neither a table nor KEY = VALUE", NULL);
	skip_space(r, false);
	return read_value(r, value, sizeof(value)) ? -1 : set(r, key, value);
}

static int parse(struct reader *r)
{
	for (skip_space(r, true); *r->at; skip_space(r, true)) {
		if (*r->at == '[' ? table(r) : key_value(r))
			return -1;
		skip_space(r, false);
		if (*r->at && *r->at != '\n')
			return bad(r, "more behind the value", NULL);
	}
	return 0;
}

int ct_call_filter_read(const char *path, struct ct_call_filter *f, struct ct_error *err)
{
	struct reader r = {.path = path, .line = 1, .table = NONE, .f = f, .err = err};
	char *text = malloc(FILE_MAX + 1);
	FILE *in = fopen(path, "re");
	size_t len = 0;
	int ret;

	memset(f, 0, sizeof(*f));
	if (in && text)
		len = fread(text, 1, FILE_MAX + 1, in);
	if (!text)
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else if (!in || ferror(in))
		ret = ct_fail_errno(err, CT_EXIT_USAGE, "%s: cannot read the filter", path);
	else if (len > FILE_MAX || memchr(text, 0, len))
		ret = ct_fail(err, CT_EXIT_USAGE, "%s: this is no filter", path);
	else
		text[len] = 0, r.at = text, ret = parse(&r);
	if (in)
		fclose(in);
	free(text);
	return ret;
}

/* ---- native functions, which are decided about here ---------------------------------------------------- */

/* As glob_one of bpf/filter.bpf.h: fnmatch(3) knows more. */
static bool fits(const struct ct_call_rule *rule, const char *text)
{
	const char *p = rule->pattern, *star = NULL, *mark = NULL;

	for (;;) {
		if (*p == '*') {
			star = ++p;
			mark = text;
		} else if (!*text) {
			return !*p;
		} else if (*p && (*p == '?' || *p == *text)) {
			p++;
			text++;
		} else if (star) {
			p = star;
			text = ++mark;
		} else {
			return false;
		}
	}
}

bool ct_call_filter_skips(const struct ct_call_filter *f, const char *name, const char *file, const char *source,
			  bool *silent)
{
	bool skip = f->skip;

	*silent = f->silent;
	for (unsigned i = 0; i < f->nrules; i++) {
		const struct ct_call_rule *r = &f->rule[i];

		if (r->file ? !fits(r, file) && !(source && fits(r, source)) : !fits(r, name))
			continue;
		if (r->calls != CT_RULE_NOTHING)
			skip = r->calls == CT_RULE_NO;
		if (r->values != CT_RULE_NOTHING)
			*silent = r->values == CT_RULE_NO;
	}
	return skip;
}
