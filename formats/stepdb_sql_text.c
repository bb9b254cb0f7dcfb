/* SPDX-License-Identifier: MIT
 * What is asked in SQL, before SQLite gets it: `values` becomes a name, and what counts or adds up rows of a kind
 * becomes a sum over the posting lists, which have them counted, or over what stepdb_sql_parts.c has added up: a row
 * that SQLite looks at takes 40 ns, and there may be 10^8. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "stepdb_private.h"

/* ---- Tokens ---- */

/* Length of the token at s: a string, a quoted name, a comment, a word, or one character. */
static size_t token(const char *s)
{
	const char *end;

	if (*s == '\'' || *s == '"' || *s == '`' || *s == '[') {
		end = strchr(s + 1, *s == '[' ? ']' : *s);
		return end ? (size_t)(end - s) + 1 : strlen(s);
	}
	if (s[0] == '-' && s[1] == '-')
		return strcspn(s, "\n");
	if (s[0] == '/' && s[1] == '*') {
		end = strstr(s + 2, "*/");
		return end ? (size_t)(end - s) + 2 : strlen(s);
	}
	if (isalnum((unsigned char)*s) || *s == '_' || *s == '$' || (*s & 0x80))
		for (end = s; isalnum((unsigned char)*end) || *end == '_' || *end == '$' || (*end & 0x80); end++)
			;
	else
		end = s + 1;
	return (size_t)(end - s);
}

/* ---- `values` as a name ---- */

/* The keyword is always followed by a parenthesis. */
static bool is_table(const char *s, size_t n)
{
	if (n != 6 || strncasecmp(s, "values", 6) != 0)
		return false;
	for (s += n; *s;) {
		size_t len = token(s);

		if (!isspace((unsigned char)*s) && !(s[0] == '-' && s[1] == '-') && !(s[0] == '/' && s[1] == '*'))
			break;
		s += len;
	}
	return *s != '(';
}

char *ct_stepdb_sql_quote(const char *sql)
{
	size_t cap = strlen(sql), extra = 1, len = 0;
	char *out;

	for (size_t i = 0; i + 6 <= cap; i++)
		extra += 2 * (strncasecmp(sql + i, "values", 6) == 0);
	out = malloc(cap + extra);
	while (out && *sql) {
		size_t n = token(sql);
		bool quote = is_table(sql, n);

		if (quote)
			out[len++] = '"';
		memcpy(out + len, sql, n);
		len += n;
		if (quote)
			out[len++] = '"';
		sql += n;
	}
	if (out)
		out[len] = 0;
	return out;
}

/* ---- Sums ---- */

#define TOKENS 256

/* Rows of a table that are alike in some columns, from a table that has fewer of them; "*" is how many there are. The
 * first that knows all that is asked for is taken. With `sums` it has, of each column, `count`, `min`, `max` and `sum`
 * of them, and ids can be asked for in these only. */
static const struct fold {
	const char *table, *from;
	bool sums;
	const char *columns[16];
} folds[] = {
	{"steps",
	 "(SELECT function_id, file_id, line, hits AS \"*\" FROM lines WHERE hits > 0)",
	 false,
	 {"function_id", "file_id", "line"}},
	{"calls", "(SELECT function_id, calls AS \"*\" FROM stats WHERE calls > 0)", false, {"function_id"}},
	{"values",
	 "(SELECT function_id, name, kind, hits AS \"*\" FROM variables WHERE hits > 0)",
	 false,
	 {"function_id", "name", "kind"}},
	{"steps",
	 "\"parts of steps\"",
	 true,
	 {"thread_id", "call_id", "function_id", "file_id", "line", "event_seq", "time_ns"}},
	{"calls",
	 "\"parts of calls\"",
	 true,
	 {"parent_id", "thread_id", "function_id", "first_step", "last_step", "depth", "exception", "enter_ns",
	  "exit_ns", "self_ns", "from_step", "state", "attached", "enter_seq", "exit_seq"}},
};
#define FOLDS (sizeof(folds) / sizeof(folds[0]))
/* An aggregate of a column as one of its sums: before the column's name and behind it. */
static const struct aggregate {
	const char *name, *before, *after;
	const char *again; /* and the same once more, behind this */
} aggregates[] = {
	{"count", "ifnull(sum(\"count ", "\"), 0)", NULL},
	{"min", "min(\"min ", "\")", NULL},
	{"max", "max(\"max ", "\")", NULL},
	{"sum", "sum(\"sum ", "\")", NULL},
	{"total", "total(\"sum ", "\")", NULL},
	{"avg", "(total(\"sum ", "\")", " / sum(\"count "},
};
static const char *const keywords[] = {"where", "group", "by", "having", "order", "limit",   "offset", "as",  "and",
				       "or",    "not",   "is", "null",   "in",    "between", "like",   "asc", "desc"};

struct text {
	struct word {
		const char *s;
		size_t n;
	} word[TOKENS];
	size_t n, from;                      /* from: the keyword */
	bool alias[TOKENS];                  /* the word names a column of the answer */
	bool count[TOKENS];                  /* the first of those of count(*) */
	const struct aggregate *sum[TOKENS]; /* the first of those of an aggregate of a column */
	const struct fold *fold;
};

static bool is(const struct text *t, size_t i, const char *what)
{
	return i < t->n && strlen(what) == t->word[i].n && !strncasecmp(t->word[i].s, what, t->word[i].n);
}

static bool same(const struct text *t, size_t a, size_t b)
{
	return t->word[a].n == t->word[b].n && !strncasecmp(t->word[a].s, t->word[b].s, t->word[a].n);
}

/* One statement, without spaces and comments. */
static bool split(struct text *t, const char *s)
{
	for (size_t n; *s; s += n) {
		n = token(s);
		if (isspace((unsigned char)*s) || !strncmp(s, "--", 2) || !strncmp(s, "/*", 2))
			continue;
		if (t->n == TOKENS)
			return false;
		t->word[t->n++] = (struct word){s, n};
	}
	while (t->n && is(t, t->n - 1, ";"))
		t->n--;
	return true;
}

static bool any_of(const struct text *t, size_t i, const char *const *list, size_t n)
{
	for (size_t k = 0; k < n && list[k]; k++)
		if (is(t, i, list[k]))
			return true;
	return false;
}

/* SELECT ... FROM one of the tables, and nothing beside it. */
static bool find_table(struct text *t)
{
	static const char *const next[] = {"where", "group", "having", "order", "limit"};

	for (t->from = 1; t->from < t->n && !is(t, t->from, "from");)
		t->from++;
	if (!is(t, 0, "select") || t->from + 1 >= t->n || (t->from + 2 < t->n && !any_of(t, t->from + 2, next, 5)))
		return false;
	return true;
}

/* An aggregate of different values: of parts it is the same as of rows. */
static bool is_distinct(const struct text *t, size_t i)
{
	bool known = false;

	for (size_t k = 0; k < sizeof(aggregates) / sizeof(aggregates[0]); k++)
		known = known || is(t, i, aggregates[k].name);
	return known && t->fold->sums && is(t, i + 1, "(") && is(t, i + 2, "distinct") &&
	       any_of(t, i + 3, t->fold->columns, 16) && is(t, i + 4, ")");
}

/* An aggregate of one column that has sums; not of `min(a, b)`, nor of `max(DISTINCT a)`. A word is no sum. */
static const struct aggregate *find_aggregate(const struct text *t, size_t i)
{
	if (!t->fold->sums || !is(t, i + 1, "(") || !is(t, i + 3, ")") ||
	    !(is(t, i + 2, "id") || any_of(t, i + 2, t->fold->columns, 16)))
		return NULL;
	for (size_t k = 0; k < sizeof(aggregates) / sizeof(aggregates[0]); k++)
		if (is(t, i, aggregates[k].name))
			return k && (is(t, i + 2, "exception") || is(t, i + 2, "state")) ? NULL : &aggregates[k];
	return NULL;
}

/* Is there nothing in it but what a sum over counts answers in the same way? Whatever is not known is left alone. */
static bool can_fold(struct text *t)
{
	bool distinct = is(t, 1, "distinct"), group = false, bare = false, known;
	size_t counts = 0;

	memset(t->alias, 0, sizeof(t->alias));
	memset(t->count, 0, sizeof(t->count));
	for (size_t i = 1 + distinct; i < t->n; i++) {
		const char c = *t->word[i].s;

		if (i == t->from && ++i)
			continue;
		if (is(t, i, "count") && is(t, i + 1, "(") && is(t, i + 2, "*") && is(t, i + 3, ")")) {
			t->count[i] = ++counts;
			i += 3;
		} else if ((t->sum[i] = find_aggregate(t, i))) {
			counts++;
			i += 3;
		} else if (is_distinct(t, i)) {
			counts++;
			i += 4;
		} else if (isalpha((unsigned char)c) || c == '_') {
			known = any_of(t, i, keywords, sizeof(keywords) / sizeof(keywords[0]));
			group = group || is(t, i, "group");
			if (i < t->from && !known && (is(t, i - 1, "as") || is(t, i - 1, ")")))
				t->alias[i] = known = true;
			else if (any_of(t, i, t->fold->columns, 16))
				known = true, bare = bare || i < t->from;
			for (size_t k = 0; k < t->from && i > t->from && !known; k++)
				known = t->alias[k] && same(t, i, k);
			if (!known)
				return false;
		} else if (c == '*' && (i <= 1U + distinct || is(t, i - 1, ",") || is(t, i - 1, "("))) {
			return false; /* all columns */
		} else if (c != '\'' && !isdigit((unsigned char)c) && !strchr("(),=<>!+-*/%", c)) {
			return false;
		}
	}
	return counts ? !distinct && (group || !bare) : distinct || group;
}

static void write_sum(const struct text *t, size_t i, FILE *out)
{
	const struct aggregate *a = t->sum[i];
	const struct word *column = &t->word[i + 2];

	fprintf(out, "%s%.*s%s", a->before, (int)column->n, column->s, a->after);
	if (a->again)
		fprintf(out, "%s%.*s%s)", a->again, (int)column->n, column->s, a->after);
	fputc(' ', out);
}

/* A column that counts gets the title that it would have had. */
static void write_fold(const struct text *t, FILE *out)
{
	size_t item = 1, depth = 0;
	bool counts = false, named = false;

	for (size_t i = 0; i < t->n; i++) {
		const struct word *w = &t->word[i];

		if (i <= t->from && (i == t->from || (!depth && is(t, i, ",")))) {
			if (counts && !named)
				fprintf(out, "AS \"%.*s\" ",
					(int)(t->word[i - 1].s + t->word[i - 1].n - t->word[item].s), t->word[item].s);
			item = i + 1;
			counts = named = false;
		}
		depth += is(t, i, "(");
		depth -= is(t, i, ")");
		named = named || t->alias[i];
		if (t->count[i]) {
			fputs("ifnull(sum(\"*\"), 0) ", out);
			counts = true;
			i += 3;
		} else if (t->sum[i]) {
			write_sum(t, i, out);
			counts = true;
			i += 3;
		} else if (i == t->from + 1) {
			fprintf(out, "%s ", t->fold->from);
		} else {
			fprintf(out, "%.*s%s", (int)w->n, w->s,
				i + 1 < t->n && t->word[i + 1].s == w->s + w->n ? "" : " ");
		}
	}
}

char *ct_stepdb_sql_fold(const char *sql)
{
	struct text t = {0};
	bool folds_to = false;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!split(&t, sql) || !find_table(&t))
		return strdup(sql);
	for (size_t i = 0; i < FOLDS && !folds_to; i++) {
		t.fold = &folds[i];
		folds_to = is(&t, t.from + 1, t.fold->table) && can_fold(&t);
	}
	if (!folds_to)
		return strdup(sql);
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	write_fold(&t, out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
