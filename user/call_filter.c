/* SPDX-License-Identifier: MIT
 * What trace-filter files say. A selector is KIND:[glob:|regex:|literal:]PATTERN; all become regular expressions here,
 * and those that are simple enough rules of the kernel side, too. */
#include "user/call_filter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/toml.h"

#define FILE_MAX    (1u << 20)
#define RULES_MAX   1000
#define PATTERN_MAX 1024
#define MATCH_LIMIT 100000 /* steps; a pattern that needs more does not fit */

enum kind { OBJ, PATH, PKG, ARG, LOCAL, GLOBAL, RET, ATTR };
#define FUNCTION_KINDS (1u << OBJ | 1u << PATH | 1u << PKG)
#define VALUE_KINDS    (1u << ARG | 1u << LOCAL | 1u << GLOBAL | 1u << RET | 1u << ATTR)
static const char *const kind_names[] = {"obj", "file", "pkg", "arg", "local", "global", "ret", "attr"};

struct selector {
	enum kind kind;
	pcre2_code *regex;
	char *glob; /* of *, ? and letters alone, for the kernel; NULL: it is none */
};
struct value_pattern {
	struct selector selector;
	enum ct_value_action action;
};
struct ct_filter_rule {
	struct selector selector;
	enum ct_call_rule_says calls;
	enum ct_value_action values;
	struct value_pattern *pattern;
	size_t npatterns;
};

struct reader {
	const char *name;
	struct ct_call_filter *f;
	struct ct_error *err;
};

static int bad(const struct reader *r, const json_t *table, const char *key, const char *why, const char *what)
{
	return ct_fail(r->err, CT_EXIT_USAGE, "%s:%u: %.120s%s%.120s%s", r->name, ct_toml_line(table, key), why,
		       what ? " '" : "", what ? what : "", what ? "'" : "");
}

/* ---- patterns ------------------------------------------------------------------------------------------ */

/* A glob as a regular expression: * ? [a-z] [!a-z] {a,b}. `from` of 0: a literal. */
static void translate(const char *glob, bool literal, char *out, size_t size)
{
	size_t n = 0;
	unsigned braces = 0;

	for (; *glob && n + 8 < size; glob++) {
		const char *end = NULL;

		if (!literal && *glob == '*') {
			n += (size_t)snprintf(out + n, size - n, ".*");
		} else if (!literal && *glob == '?') {
			out[n++] = '.';
		} else if (!literal && *glob == '[' && glob[1] && (end = strchr(glob + 2, ']')) &&
			   (size_t)(end - glob) + n + 8 < size) {
			out[n++] = '[';
			if (glob[1] == '!')
				out[n++] = '^';
			for (glob += 1 + (glob[1] == '!'); glob < end; glob++) {
				if (strchr("\\[^", *glob))
					out[n++] = '\\';
				if (n + 8 < size)
					out[n++] = *glob;
			}
			out[n++] = ']';
		} else if (!literal && *glob == '{' && strchr(glob, '}')) {
			n += (size_t)snprintf(out + n, size - n, "(?:");
			braces++;
		} else if (braces && *glob == ',') {
			out[n++] = '|';
		} else if (braces && *glob == '}') {
			out[n++] = ')';
			braces--;
		} else {
			if (strchr("\\^$.[]|()?*+{}#-", *glob))
				out[n++] = '\\';
			out[n++] = *glob;
		}
	}
	while (braces-- && n + 2 < size)
		out[n++] = ')';
	out[n] = 0;
}

/* The part behind "KIND:", as a regular expression that has to fit somewhere. */
static int pattern(const struct reader *r, const json_t *table, struct selector *s, const char *text)
{
	const bool regex = !strncmp(text, "regex:", 6), literal = !strncmp(text, "literal:", 8);
	char glob[PATTERN_MAX], whole[2 * PATTERN_MAX + 16];
	const char *body = text + (regex ? 6 : literal ? 8 : !strncmp(text, "glob:", 5) ? 5 : 0), *before = "";
	PCRE2_UCHAR why[120];
	PCRE2_SIZE at;
	int code;

	if (!*body || strlen(body) >= PATTERN_MAX / 2)
		return bad(r, table, "selector", *body ? "a pattern that is too long" : "a selector without a pattern",
			   NULL);
	if (s->kind == PATH && !regex && *body != '/' && *body != '*')
		before = "(?:.*/)?";
	if (regex) {
		snprintf(whole, sizeof(whole), "%s", body);
	} else {
		translate(body, literal, glob, sizeof(glob));
		snprintf(whole, sizeof(whole), "^%s%s\\z", before, glob);
		if (literal ? !strpbrk(body, "*?") : !strpbrk(body, "[]{}"))
			s->glob = strdup(body);
	}
	s->regex = pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOTALL, &code, &at, NULL);
	if (s->regex)
		return 0;
	pcre2_get_error_message(code, why, sizeof(why));
	return bad(r, table, "selector", (const char *)why, body);
}

static int selector(const struct reader *r, const json_t *table, unsigned kinds, struct selector *s)
{
	const char *text = json_string_value(json_object_get(table, "selector"));
	const char *colon = text ? strchr(text, ':') : NULL;
	unsigned kind = 0;

	if (!colon)
		return bad(r, table, text ? "selector" : NULL, "a selector is KIND:PATTERN, not", text ? text : "");
	while (kind < sizeof(kind_names) / sizeof(*kind_names) &&
	       (strlen(kind_names[kind]) != (size_t)(colon - text) ||
		strncmp(kind_names[kind], text, (size_t)(colon - text)) || !(kinds >> kind & 1)))
		kind++;
	if (kind == sizeof(kind_names) / sizeof(*kind_names))
		return bad(r, table, "selector",
			   kinds == VALUE_KINDS ? "a value's selector is about local, global, arg, ret or attr, not"
						: "a rule is about pkg, file or obj, not",
			   text);
	s->kind = (enum kind)kind;
	return pattern(r, table, s, colon + 1);
}

static bool matches(const struct selector *s, const char *text)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(s->regex, NULL);
	bool yes = false;

	if (limits && data) {
		pcre2_set_match_limit(limits, MATCH_LIMIT);
		yes = pcre2_match(s->regex, (PCRE2_SPTR)text, strlen(text), 0, 0, data, limits) >= 0;
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	return yes;
}

/* A module is known by where its file is: /usr/lib/shop/orders.py is usr.lib.shop.orders, and each end of that. */
static bool matches_package(const struct selector *s, const char *path)
{
	char name[1024], *end, *slash;

	snprintf(name, sizeof(name), "%s", path + (*path == '/'));
	slash = strrchr(name, '/');
	end = strchr(slash ? slash : name, '.');
	if (end)
		*end = 0;
	if (slash && !strcmp(slash, "/__init__"))
		*slash = 0;
	for (char *p = name; (p = strchr(p, '/'));)
		*p = '.';
	for (char *p = name; p; p = strchr(p, '.') ? strchr(p, '.') + 1 : NULL)
		if (matches(s, p))
			return true;
	return false;
}

/* ---- the file ------------------------------------------------------------------------------------------ */

/* One of the words, from 1 on; 0: the key is not there; -1. */
static int word(const struct reader *r, const json_t *table, const char *key, const char *const words[4])
{
	const json_t *v = json_object_get(table, key);
	const char *text = json_string_value(v);
	char why[120];

	if (!v)
		return 0;
	for (int i = 0; text && words[i]; i++)
		if (!strcmp(text, words[i]))
			return i + 1;
	snprintf(why, sizeof(why), "%s is %s%s%s%s%s, not", key, words[0], words[2] ? ", " : " or ", words[1],
		 words[2] ? " or " : "", words[2] ? words[2] : "");
	return bad(r, table, key, why, text ? text : "that");
}
static const char *const exec_words[4] = {"trace", "skip"}, *const value_words[4] = {"allow", "redact", "drop"};

static int check_keys(const struct reader *r, json_t *table, const char *const known[])
{
	const char *key;
	json_t *v;

	json_object_foreach (table, key, v) {
		unsigned i = 0;

		while (known[i] && strcmp(known[i], key))
			i++;
		if (!known[i] && !ct_toml_is_own(key))
			return bad(r, table, key, "a key that is not understood here:", key);
	}
	return 0;
}

/* The tables of an array, which may be missing. NULL with n of 1: it is none. */
static json_t *tables(const struct reader *r, const json_t *in, const char *key, size_t *n)
{
	json_t *array = json_object_get(in, key), *one;
	size_t i;

	*n = array && !json_is_array(array);
	json_array_foreach (array, i, one)
		*n |= !json_is_object(one);
	if (*n || json_array_size(array) > RULES_MAX) {
		*n = 1;
		bad(r, in, key,
		    json_is_array(array) && json_array_size(array) > RULES_MAX ? "too many of"
									       : "tables are wanted for",
		    key);
		return NULL;
	}
	*n = json_array_size(array);
	return array;
}

static int read_rule(const struct reader *r, json_t *table, struct ct_filter_rule *rule)
{
	static const char *const keys[] = {"selector", "exec", "value_default", "value_patterns", "reason", NULL};
	static const char *const value_keys[] = {"selector", "action", "reason", NULL};
	int calls, values;
	json_t *patterns;
	size_t n;

	if (check_keys(r, table, keys) || selector(r, table, FUNCTION_KINDS, &rule->selector) ||
	    (calls = word(r, table, "exec", exec_words)) < 0 ||
	    (values = word(r, table, "value_default", value_words)) < 0)
		return -1;
	rule->calls = (enum ct_call_rule_says)calls;
	rule->values = (enum ct_value_action)values;
	patterns = tables(r, table, "value_patterns", &n);
	if (!patterns)
		return n ? -1 : 0;
	rule->pattern = calloc(n + 1, sizeof(*rule->pattern));
	if (!rule->pattern)
		return ct_fail_memory(r->err);
	for (; rule->npatterns < n; rule->npatterns++) {
		json_t *one = json_array_get(patterns, rule->npatterns);
		struct value_pattern *p = &rule->pattern[rule->npatterns];
		int action;

		if (check_keys(r, one, value_keys) || (action = word(r, one, "action", value_words)) < 0)
			return -1;
		if (!action)
			return bad(r, one, NULL, "a value's pattern without an action", NULL);
		p->action = (enum ct_value_action)action;
		if (selector(r, one, VALUE_KINDS, &p->selector)) {
			rule->npatterns++; /* what it has by now is freed */
			return -1;
		}
	}
	return 0;
}

static int interpret(const struct reader *r, json_t *root)
{
	static const char *const root_keys[] = {"meta", "scope", NULL};
	static const char *const scope_keys[] = {"default_exec", "default_value_action", "rules", NULL};
	json_t *scope = json_object_get(root, "scope"), *rules;
	int calls, values;
	size_t n;

	if (check_keys(r, root, root_keys))
		return -1;
	if (!scope)
		return 0;
	if (!json_is_object(scope))
		return bad(r, root, "scope", "scope is a table", NULL);
	if (check_keys(r, scope, scope_keys) || (calls = word(r, scope, "default_exec", exec_words)) < 0 ||
	    (values = word(r, scope, "default_value_action", value_words)) < 0)
		return -1;
	r->f->skip_default = calls == CT_RULE_NO;
	r->f->values_default = (enum ct_value_action)values;
	rules = tables(r, scope, "rules", &n);
	if (!rules)
		return n ? -1 : 0;
	r->f->all = calloc(n + 1, sizeof(*r->f->all));
	if (!r->f->all)
		return ct_fail_memory(r->err);
	while (r->f->n < n) {
		struct ct_filter_rule *rule = &r->f->all[r->f->n];

		if (read_rule(r, json_array_get(rules, r->f->n++), rule))
			return -1;
	}
	return 0;
}

/* ---- the kernel's part --------------------------------------------------------------------------------- */

static bool add_rule(struct ct_call_filter *f, const struct ct_filter_rule *rule, const char *format, const char *text)
{
	struct ct_call_rule *k = &f->rule[f->nrules];
	int len;

	if (f->nrules == CT_CALL_RULES)
		return false;
	len = snprintf(k->pattern, sizeof(k->pattern), format, text);
	k->file = rule->selector.kind != OBJ;
	k->len = (ct_u16)len;
	k->calls = (ct_u16)rule->calls;
	k->values = rule->values == CT_VALUE_UNSAID  ? CT_RULE_NOTHING
		    : rule->values == CT_VALUE_ALLOW ? CT_RULE_YES
						     : CT_RULE_NO;
	f->nrules++;
	return len < CT_CALL_PATTERN;
}

/* A package is known by where its files are: "shop.orders" is shop/orders.py, or what is in shop/orders/. */
static bool add_package(struct ct_call_filter *f, const struct ct_filter_rule *rule)
{
	char name[PATTERN_MAX];
	size_t len = (size_t)snprintf(name, sizeof(name), "%s", rule->selector.glob);

	for (char *dot = name; (dot = strchr(dot, '.'));)
		*dot = '/';
	if (!strcmp(name, "*"))
		return add_rule(f, rule, "%s", name);
	if (len > 2 && !strcmp(name + len - 2, "/*"))
		return add_rule(f, rule, "*/%s", name);
	return add_rule(f, rule, "*/%s.*", name) && add_rule(f, rule, "*/%s/__init__.py", name);
}

static bool kernel_rule(struct ct_call_filter *f, const struct ct_filter_rule *rule)
{
	const char *glob = rule->selector.glob;

	if (!glob)
		return false;
	if (rule->selector.kind == PKG)
		return add_package(f, rule);
	return add_rule(f, rule, rule->selector.kind == PATH && *glob != '/' && *glob != '*' ? "*/%s" : "%s", glob);
}

static void compile(struct ct_call_filter *f)
{
	f->skip = f->skip_default;
	f->silent = f->values_default >= CT_VALUE_REDACT;
	f->screened = f->values_default == CT_VALUE_REDACT;
	for (size_t i = 0; i < f->n; i++) {
		f->calls_screened |= !kernel_rule(f, &f->all[i]);
		f->screened |= f->all[i].npatterns || f->all[i].values == CT_VALUE_REDACT;
	}
	f->screened |= f->calls_screened;
	if (f->calls_screened) {
		f->nrules = 0;
		f->skip = false;
	}
	/* Then values are decided about one by one. */
	for (unsigned i = 0; f->screened && i < f->nrules; i++)
		f->rule[i].values = CT_RULE_NOTHING;
	f->silent &= !f->screened;
}

/* ---- whole filters ------------------------------------------------------------------------------------- */

static void free_selector(struct selector *s)
{
	pcre2_code_free(s->regex);
	free(s->glob);
}

void ct_call_filter_free(struct ct_call_filter *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		for (size_t k = 0; k < f->all[i].npatterns; k++)
			free_selector(&f->all[i].pattern[k].selector);
		free(f->all[i].pattern);
		free_selector(&f->all[i].selector);
	}
	free(f->all);
	free(f);
}

struct ct_call_filter *ct_call_filter_parse(const char *text, size_t len, const char *name, struct ct_error *err)
{
	struct ct_call_filter *f = calloc(1, sizeof(*f));
	struct reader r = {name, f, err};
	json_t *root = NULL;

	if (!f)
		ct_fail_memory(err);
	else
		root = ct_toml_parse(text, len, name, err);
	if (!root || interpret(&r, root)) {
		ct_call_filter_free(f);
		f = NULL;
	} else {
		compile(f);
	}
	json_decref(root);
	return f;
}

struct ct_call_filter *ct_call_filter_read(const char *path, struct ct_error *err)
{
	struct ct_call_filter *f = NULL;
	char *text = malloc(FILE_MAX + 1);
	FILE *in = fopen(path, "re");
	size_t len = in && text ? fread(text, 1, FILE_MAX + 1, in) : 0;

	if (!text)
		ct_fail_memory(err);
	else if (!in || ferror(in))
		ct_fail_errno(err, CT_EXIT_USAGE, "%s: cannot read the filter", path);
	else if (len > FILE_MAX)
		ct_fail(err, CT_EXIT_USAGE, "%s: this is no filter: it is larger than a megabyte", path);
	else
		f = ct_call_filter_parse(text, len, path, err);
	if (in)
		fclose(in);
	free(text);
	return f;
}

/* ---- deciding ------------------------------------------------------------------------------------------ */

static bool fits(const struct selector *s, const char *name, const char *file, const char *source)
{
	const char *label = strrchr(name, '#'); /* Ruby: of a class */

	switch (s->kind) {
	case OBJ: return matches(s, name) || (label && matches(s, label + 1));
	case PATH: return matches(s, file) || (source && matches(s, source));
	case PKG: return matches_package(s, file) || (source && matches_package(s, source));
	default: return false;
	}
}

size_t ct_call_filter_fits(const struct ct_call_filter *f, const char *name, const char *file, const char *source,
			   unsigned short *list, size_t max, bool *skip)
{
	size_t n = 0;

	*skip = f->skip_default;
	for (size_t i = 0; i < f->n; i++) {
		if (!fits(&f->all[i].selector, name, file, source))
			continue;
		if (f->all[i].calls != CT_RULE_NOTHING)
			*skip = f->all[i].calls == CT_RULE_NO;
		if (n < max)
			list[n++] = (unsigned short)i;
	}
	return n;
}

/* Programs say of a variable no more than that it is one: what may be meant is hidden, and only locals are shown again.
 */
static bool about(const struct value_pattern *p, enum ct_told_role role)
{
	switch (p->selector.kind) {
	case ARG: return role == CT_ROLE_ARGUMENT;
	case RET: return role == CT_ROLE_RESULT;
	case LOCAL: return role == CT_ROLE_VARIABLE;
	default: return role == CT_ROLE_VARIABLE && p->action != CT_VALUE_ALLOW;
	}
}

enum ct_value_action ct_call_filter_value(const struct ct_call_filter *f, const unsigned short *list, size_t n,
					  enum ct_told_role role, const char *name)
{
	enum ct_value_action action = f->values_default;

	for (size_t i = 0; i < n; i++) {
		const struct ct_filter_rule *rule = &f->all[list[i]];

		action = rule->values != CT_VALUE_UNSAID ? rule->values : action;
		for (size_t k = 0; k < rule->npatterns; k++)
			if (about(&rule->pattern[k], role) && matches(&rule->pattern[k].selector, name)) {
				action = rule->pattern[k].action;
				break;
			}
	}
	return action == CT_VALUE_UNSAID ? CT_VALUE_ALLOW : action;
}

bool ct_call_filter_skips(const struct ct_call_filter *f, const char *name, const char *file, const char *source,
			  bool *silent)
{
	unsigned short list[RULES_MAX];
	bool skip;
	size_t n = ct_call_filter_fits(f, name, file, source, list, RULES_MAX, &skip);
	enum ct_value_action action = f->values_default;

	/* The values are registers, which have no names: if some are to be hidden, all are. */
	for (size_t i = 0; i < n; i++) {
		const struct ct_filter_rule *rule = &f->all[list[i]];

		action = rule->values != CT_VALUE_UNSAID ? rule->values : action;
		for (size_t k = 0; k < rule->npatterns; k++)
			if (rule->pattern[k].action != CT_VALUE_ALLOW)
				action = rule->pattern[k].action;
	}
	*silent = action >= CT_VALUE_REDACT;
	return skip;
}
