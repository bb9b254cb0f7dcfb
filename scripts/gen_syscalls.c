/* SPDX-License-Identifier: MIT
 * Turns formats/syscalls.def into C tables (--header) or documentation (--markdown).
 *
 * A build-time program without dependencies. The language of the rows is described at the head of the
 * .def file. A malformed row stops the build with "file:line: what is wrong". */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/sysrule.h"

#define MAX_TYPES 200
#define MAX_SUBS  4096
#define MAX_WORDS 40
#define NAME_LEN  48

struct arg {
	char name[NAME_LEN];
	int type; /* index into types[] plus 1 */
	bool buf;
};
struct row {
	char name[NAME_LEN];
	unsigned nr;
	unsigned cmd; /* sub-commands only */
	int nargs;
	int ret;
	int line; /* 0: no such call */
	struct arg arg[6];
	struct ct_sysrules rules;
	char *note;
};
struct type {
	char name[NAME_LEN];
	char *text;
};

static struct row calls[CT_MAX_SYSCALL];
static struct row subs[MAX_SUBS];
static struct type types[MAX_TYPES];
static int nsubs, ntypes, line_no;
static const char *file_name;

static const char *const action_names[] = {
	[CT_ACT_EMULATE] = "emulate",
	[CT_ACT_EXECUTE] = "execute",
	[CT_ACT_SPECIAL] = "special",
	[CT_ACT_REFUSE] = "refuse",
};
static const char *const cond_names[] = {
	[CT_IF_OK] = "ok",   [CT_IF_ZERO] = "zero",     [CT_IF_POS] = "pos",
	[CT_IF_ERR] = "err", [CT_IF_ALWAYS] = "always", [CT_IF_INTR] = "intr",
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "%s:%d: ", file_name, line_no);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void set_name(char out[NAME_LEN], const char *from, const char *what)
{
	if (!isalpha((unsigned char)from[0]) && from[0] != '_')
		die("%s '%s' is not an identifier", what, from);
	for (const char *p = from; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			die("%s '%s' is not an identifier", what, from);
	if (strlen(from) >= NAME_LEN)
		die("%s '%s' is too long", what, from);
	strcpy(out, from);
}

static unsigned long number(const char *text, unsigned long max, const char *what)
{
	char *end;
	if (!isdigit((unsigned char)text[0]))
		die("%s '%s' is not a number", what, text);
	unsigned long value = strtoul(text, &end, 0);
	if (*end)
		die("%s '%s' is not a number", what, text);
	if (value > max)
		die("%s %s is larger than %lu", what, text, max);
	return value;
}

static int find_type(const char *name)
{
	for (int i = 0; i < ntypes; i++)
		if (!strcmp(types[i].name, name))
			return i + 1;
	die("unknown argument type '%s'; 'type' rows declare them", name);
}

static int find_arg(const struct row *row, const char *name)
{
	for (int i = 0; i < row->nargs; i++)
		if (!strcmp(row->arg[i].name, name))
			return i;
	die("%s has no argument '%s'", row->name, name);
}

/* The value that selects a sub-command: a number, or _IO(type,nr), _IOR/_IOW/_IOWR(type,nr,size). */
static unsigned command(char *text)
{
	static const struct {
		const char *name;
		unsigned dir;
	} macros[] = {{"_IO(", 0}, {"_IOW(", 1}, {"_IOR(", 2}, {"_IOWR(", 3}};

	for (size_t i = 0; i < COUNT(macros); i++) {
		size_t len = strlen(macros[i].name);
		if (strncmp(text, macros[i].name, len))
			continue;
		char *copy = strdup(text + len), *rest = copy, *close = strchr(copy, ')');
		if (!close || close[1])
			die("'%s' does not end in ')'", text);
		*close = 0;
		char *type = strsep(&rest, ","), *nr = strsep(&rest, ","), *size = strsep(&rest, ",");
		if (!nr || rest || !size != !macros[i].dir)
			die("'%s' has the wrong number of parts", text);
		unsigned t = type[0] && !type[1] && !isdigit((unsigned char)type[0]) ? (unsigned char)type[0]
										     : number(type, 255, "ioctl type");
		unsigned value = macros[i].dir << 30 | t << 8 | number(nr, 255, "ioctl number");
		if (size)
			value |= number(size, 0x3fff, "ioctl size") << 16;
		free(copy);
		return value;
	}
	return number(text, 0xffffffffu, "sub-command");
}

/* Parses "NAME" or "NAME@off" as the source of a size; the offset only where it makes sense. */
static void size_source(const struct row *row, struct ct_rule *rule, char *text, bool offset)
{
	char *at = strchr(text, '@');
	if (at && !offset)
		die("'@' makes no sense in '%s'", text);
	if (at) {
		*at = 0;
		rule->soff = number(at + 1, 0xffff, "offset");
	}
	rule->sarg = find_arg(row, text);
}

static bool parse_word_size(const struct row *row, struct ct_rule *rule, char *word, char *inner)
{
	static const struct {
		const char *name;
		ct_u8 size;
		signed char params; /* -1: may be missing */
	} forms[] = {
		{"u32", CT_SZ_PTR32, 1},        {"u64", CT_SZ_PTR64, 1},       {"bits", CT_SZ_BITS, 1},
		{"cpus", CT_SZ_CPUMASK, 1},     {"pages", CT_SZ_PAGES, 1},     {"str", CT_SZ_CSTR, -1},
		{"iovec", CT_SZ_IOVEC, 1},      {"msghdr", CT_SZ_MSGHDR, 0},   {"mmsghdr", CT_SZ_MMSGHDR, 0},
		{"ioc", CT_SZ_IOC, 1},          {"strv", CT_SZ_STRV, 0},       {"file", CT_SZ_FILEREAD, -1},
		{"fileiov", CT_SZ_FILEREAD, 1}, {"filemap", CT_SZ_FILEMAP, 0},
	};
	size_t i = 0;
	while (i < COUNT(forms) && strcmp(word, forms[i].name))
		i++;
	if (i == COUNT(forms))
		return false;
	if ((forms[i].params == 1 && !inner) || (forms[i].params == 0 && inner))
		die("size '%s' %s a parameter", word, inner ? "has not" : "needs");
	rule->size = forms[i].size;
	switch (forms[i].size) {
	case CT_SZ_CSTR: rule->n = inner ? number(inner, 4096, "length") : 256; break;
	case CT_SZ_FILEREAD: {
		bool iov = !strcmp(word, "fileiov");
		char *offset = inner;
		if (iov) {
			char *count = strsep(&offset, ",");
			size_source(row, rule, count, false);
		}
		rule->mul = iov;
		rule->n = offset ? (ct_u32)find_arg(row, offset) : 0xff;
		break;
	}
	case CT_SZ_PTR32:
	case CT_SZ_PTR64: size_source(row, rule, inner, true); break;
	default:
		if (inner)
			size_source(row, rule, inner, false);
	}
	return true;
}

/* HEAD[*MUL][+N], HEAD being a number, `ret`, `min(ret,ARG)`, an argument or one of the words above. */
static void parse_size(const struct row *row, struct ct_rule *rule, char *text)
{
	char *close = strrchr(text, ')');
	char *tail = close ? close + 1 : text + strcspn(text, "*+"), *plus = strchr(tail, '+'),
	     *star = strchr(tail, '*');
	bool scaled = plus || star;

	rule->mul = 1;
	if (close && *tail && *tail != '*' && *tail != '+')
		die("'%s' after the size's ')'", tail);
	if (plus) {
		rule->n = number(plus + 1, 1u << 22, "addend");
		*plus = 0;
	}
	if (star) {
		if (plus && star > plus)
			die("write a size as HEAD*MUL+N");
		rule->mul = number(star + 1, 0xffff, "factor");
		*star = 0;
	}
	*tail = 0;

	char *open = strchr(text, '('), *inner = NULL;
	if (!open != !close)
		die("unbalanced parentheses in size '%s'", text);
	if (open) {
		*open = 0;
		inner = open + 1;
		*close = 0;
		if (!*inner || strchr(inner, '('))
			die("malformed size '%s(%s)'", text, inner);
	}
	if (isdigit((unsigned char)text[0])) {
		if (scaled || inner)
			die("a fixed size stands alone");
		rule->size = CT_SZ_FIXED;
		rule->n = number(text, 1u << 22, "size");
		if (!rule->n)
			die("a size of 0 bytes");
	} else if (!strcmp(text, "ret") && !inner) {
		rule->size = CT_SZ_RET;
	} else if (!strcmp(text, "min") && inner) {
		if (strncmp(inner, "ret,", 4) || plus)
			die("write min(ret,ARG) or min(ret,ARG)*MUL");
		rule->size = CT_SZ_RETMIN;
		size_source(row, rule, inner + 4, false);
	} else if (parse_word_size(row, rule, text, inner)) {
		if (scaled && rule->size != CT_SZ_PTR32 && rule->size != CT_SZ_PTR64)
			die("size '%s' cannot be scaled", text);
	} else if (!inner) {
		rule->size = CT_SZ_ARG;
		size_source(row, rule, text, false);
	} else {
		die("unknown size '%s(%s)'", text, inner);
	}
}

/* DIR[@OFF][SIZE][?COND], the second pair of brackets being real: out@8[u32(arg)]?pos */
static void parse_rule(struct row *row, int arg, char *text)
{
	struct ct_rule rule = {.arg = (ct_u8)arg};
	struct ct_sysrules *all = &row->rules;
	char *open = strchr(text, '['), *close = strrchr(text, ']');

	if (!open || !close || close < open)
		die("rule '%s' has no [size]", text);
	*open = *close = 0;
	char *at = strchr(text, '@');
	if (at) {
		*at = 0;
		rule.flags |= CT_RF_DEREF;
		rule.off = number(at + 1, 0xffff, "offset");
	}
	if (!strcmp(text, "out"))
		rule.dir = CT_DIR_OUT;
	else if (!strcmp(text, "in"))
		rule.dir = CT_DIR_IN;
	else
		die("a rule starts with 'in' or 'out', not '%s'", text);
	parse_size(row, &rule, open + 1);
	if (rule.size == CT_SZ_STRV && rule.dir != CT_DIR_IN)
		die("strv is for 'in' rules");
	if (close[1]) {
		size_t c = 0;
		while (c < COUNT(cond_names) && (close[1] != '?' || strcmp(close + 2, cond_names[c])))
			c++;
		if (c == COUNT(cond_names))
			die("unknown condition '%s'", close + 1);
		if (rule.dir == CT_DIR_IN)
			die("'in' buffers are always taken: no condition");
		rule.cond = (ct_u8)c;
	}
	if (all->nrules == CT_MAX_RULES)
		die("%s has more than %d rules", row->name, CT_MAX_RULES);

	/* What a replay needs comes first: if space runs out, the rest is for people only. */
	int pos = all->nrules++;
	if (rule.dir == CT_DIR_OUT)
		for (; pos > 0 && all->rule[pos - 1].dir == CT_DIR_IN; pos--)
			all->rule[pos] = all->rule[pos - 1];
	all->rule[pos] = rule;
	row->arg[arg].buf = true;
}

/* action[,modifier...] */
static void parse_action(struct row *row, char *text, bool sub)
{
	struct ct_sysrules *rules = &row->rules;
	char *word = strsep(&text, ",");

	for (size_t i = CT_ACT_EMULATE; i < COUNT(action_names); i++)
		if (!strcmp(word, action_names[i]))
			rules->action = (ct_u8)i;
	if (!rules->action)
		die("unknown action '%s'", word);
	while ((word = strsep(&text, ","))) {
		if (!strcmp(word, "enter"))
			rules->flags |= CT_SYSR_ENTER;
		else if (!strncmp(word, "ret=", 4))
			row->ret = find_type(word + 4);
		else if (!sub && !strcmp(word, "strict"))
			rules->flags |= CT_SYSR_SUB_STRICT;
		else if (!sub && !strcmp(word, "ioctl"))
			rules->flags |= CT_SYSR_IOC_OUT;
		else if (!sub && !strncmp(word, "sub=", 4)) {
			char *mask = strchr(word, '&');
			rules->submask = mask ? (ct_u32)number(mask + 1, 0xffffffffu, "mask") : 0xffffffffu;
			if (mask)
				*mask = 0;
			rules->subarg = (ct_u8)find_arg(row, word + 4);
		} else
			die("unknown modifier '%s'", word);
	}
	if (rules->flags & (CT_SYSR_SUB_STRICT | CT_SYSR_IOC_OUT) && rules->subarg == 0xff)
		die("'strict' and 'ioctl' need 'sub='");
}

/* name:type[:rule...]; the first word is cut off already where names are gathered. */
static void parse_args(struct row *row, char **word, int n, bool sub)
{
	int last = sub ? row->rules.subarg : -1;

	for (int i = 0; i < n; i++) {
		char *rest = word[i], *name = strsep(&rest, ":"), *type = strsep(&rest, ":"), *rule;
		int arg = find_arg(row, name);
		if (!type)
			die("argument '%s' has no type", name);
		row->arg[arg].type = find_type(type);
		if (arg > last)
			last = arg;
		if (!rest && (!strcmp(type, "str") || !strcmp(type, "path"))) {
			char implied[] = "in[str]";
			parse_rule(row, arg, implied);
		}
		while ((rule = strsep(&rest, ":")))
			parse_rule(row, arg, rule);
	}
	if (sub)
		row->nargs = last + 1;
}

static void parse_call(char **word, int n, char *note)
{
	if (n < 3)
		die("a call needs at least: number name action");
	unsigned nr = number(word[0], CT_MAX_SYSCALL - 1, "system call number");
	if (calls[nr].line)
		die("number %u is taken: %s in line %d", nr, calls[nr].name, calls[nr].line);
	for (int i = 0; i < CT_MAX_SYSCALL; i++)
		if (calls[i].line && !strcmp(calls[i].name, word[1]))
			die("%s already has number %d, in line %d", word[1], i, calls[i].line);
	if (n - 3 > 6)
		die("%s has more than 6 arguments", word[1]);

	struct row *row = &calls[nr];
	set_name(row->name, word[1], "name");
	row->nr = nr;
	row->line = line_no;
	row->note = note;
	row->rules.subarg = 0xff;
	row->ret = find_type("int");
	for (int i = 3; i < n; i++) { /* all names first: rules may speak of later arguments */
		char name[NAME_LEN];
		size_t len = strcspn(word[i], ":");
		snprintf(name, sizeof(name), "%.*s", (int)len, word[i]);
		for (int k = 0; k < row->nargs; k++)
			if (!strcmp(row->arg[k].name, name))
				die("%s has two arguments '%s'", row->name, name);
		set_name(row->arg[row->nargs++].name, name, "argument");
	}
	parse_action(row, word[2], false);
	parse_args(row, word + 3, n - 3, false);
	if (row->rules.action == CT_ACT_REFUSE && !note)
		die("%s is refused: say why, after '--'", row->name);
}

static void parse_sub(char **word, int n, char *note)
{
	if (n < 5)
		die("a sub-command needs at least: sub call value name action");
	const struct row *call = NULL;
	for (int i = 0; i < CT_MAX_SYSCALL; i++)
		if (calls[i].line && !strcmp(calls[i].name, word[1]))
			call = &calls[i];
	if (!call)
		die("no call '%s' above this line", word[1]);
	if (call->rules.subarg == 0xff)
		die("%s has no 'sub='", call->name);
	unsigned cmd = command(word[2]);
	if (cmd & ~call->rules.submask)
		die("value 0x%x has bits outside of the mask 0x%x", cmd, call->rules.submask);
	for (int i = 0; i < nsubs; i++)
		if (subs[i].nr == call->nr && subs[i].cmd == cmd)
			die("%s 0x%x is taken: %s in line %d", call->name, cmd, subs[i].name, subs[i].line);
	if (nsubs == MAX_SUBS)
		die("more than %d sub-commands", MAX_SUBS);

	struct row *row = &subs[nsubs++];
	*row = *call;
	set_name(row->name, word[3], "name");
	row->cmd = cmd;
	row->line = line_no;
	row->note = note;
	row->rules = (struct ct_sysrules){.subarg = call->rules.subarg, .submask = call->rules.submask};
	for (int i = 0; i < 6; i++)
		row->arg[i].buf = false;
	parse_action(row, word[4], true);
	parse_args(row, word + 5, n - 5, true);
	if (row->rules.action == CT_ACT_REFUSE && !note)
		die("%s is refused: say why, after '--'", row->name);
}

static void parse_line(char *line)
{
	char *word[MAX_WORDS], *note = NULL;
	int n = 0;
	char *hash = strchr(line, '#');
	if (hash)
		*hash = 0;
	char *dashes = strstr(line, "--");
	if (dashes) {
		*dashes = 0;
		note = dashes + 2 + strspn(dashes + 2, " \t");
		for (size_t len = strlen(note); len && isspace((unsigned char)note[len - 1]);)
			note[--len] = 0;
		if (!*note)
			die("nothing after '--'");
		if (strpbrk(note, "\"\\|"))
			die("a note must not contain quotes, backslashes or bars");
		note = strdup(note);
	}
	for (char *p = strtok(line, " \t\r\n"); p; p = strtok(NULL, " \t\r\n")) {
		if (n == MAX_WORDS)
			die("more than %d words", MAX_WORDS);
		word[n++] = p;
	}
	if (!n) {
		free(note);
		return;
	}
	if (!strcmp(word[0], "type")) {
		if (n != 2 || !note)
			die("a type row is: type name -- text");
		if (ntypes == MAX_TYPES)
			die("more than %d types", MAX_TYPES);
		for (int i = 0; i < ntypes; i++)
			if (!strcmp(types[i].name, word[1]))
				die("type '%s' is declared twice", word[1]);
		set_name(types[ntypes].name, word[1], "type");
		types[ntypes++].text = note;
	} else if (!strcmp(word[0], "sub")) {
		parse_sub(word, n, note);
	} else {
		parse_call(word, n, note);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	if (x->nr != y->nr)
		return x->nr < y->nr ? -1 : 1;
	return x->cmd < y->cmd ? -1 : x->cmd > y->cmd;
}

static void print_args(const struct row *row)
{
	printf("{ ");
	for (int i = 0; i < row->nargs; i++) {
		printf("{ \"%s\", CT_ARG_", row->arg[i].name);
		for (const char *p = types[row->arg[i].type - 1].name; *p; p++)
			putchar(toupper((unsigned char)*p));
		printf(", %d }, ", row->arg[i].buf);
	}
	printf("%s", row->nargs == 6 ? "}" : "{ 0, 0, 0 } }");
}

static void print_rules(const struct ct_sysrules *rules)
{
	printf("{ %u, %u, %u, %u, 0x%xu, { ", rules->action, rules->nrules, rules->subarg, rules->flags,
	       rules->submask);
	for (int i = 0; i < rules->nrules; i++) {
		const struct ct_rule *r = &rules->rule[i];
		printf("{ %u, %u, %u, %u, %u, %u, %u, %u, %u, %u }, ", r->arg, r->dir, r->size, r->cond, r->sarg,
		       r->flags, r->off, r->soff, r->mul, r->n);
	}
	printf("%s", rules->nrules == CT_MAX_RULES ? "} }" : "{ 0 } } }");
}

static void print_tail(const struct row *row)
{
	if (row->note)
		printf("%d, \"%s\" },\n", row->ret, row->note);
	else
		printf("%d, 0 },\n", row->ret);
}

static void print_header(void)
{
	printf("/* Generated from %s: do not edit. */\n#ifndef CT_SYSCALLS_GEN_H\n#define CT_SYSCALLS_GEN_H\n\n",
	       file_name);
	printf("enum ct_argtype {\n\tCT_ARG_NONE,\n");
	for (int i = 0; i < ntypes; i++) {
		printf("\tCT_ARG_");
		for (const char *p = types[i].name; *p; p++)
			putchar(toupper((unsigned char)*p));
		printf(", /* %s */\n", types[i].text);
	}
	printf("\tCT_ARG_COUNT\n};\n\n#ifdef CT_SYSCALLS_TABLES\n"
	       "static const struct ct_syscall ct_syscall_table[CT_MAX_SYSCALL] = {\n");
	for (int i = 0; i < CT_MAX_SYSCALL; i++) {
		const struct row *row = &calls[i];
		if (!row->line)
			continue;
		printf("\t[%d] = { \"%s\", %d, ", i, row->name, row->nargs);
		print_args(row);
		printf(", ");
		print_rules(&row->rules);
		printf(", ");
		print_tail(row);
	}
	printf("};\n\n/* Sorted by number, then command. */\nstatic const struct ct_subcommand ct_subcommand_table[] = "
	       "{\n");
	for (int i = 0; i < nsubs; i++) {
		const struct row *row = &subs[i];
		printf("\t{ { %u, 0x%xu }, \"%s\", ", row->nr, row->cmd, row->name);
		print_rules(&row->rules);
		printf(", %d, ", row->nargs);
		print_args(row);
		printf(", ");
		print_tail(row);
	}
	printf("};\n#endif\n#endif\n");
}

/* ---- documentation ------------------------------------------------------------------------------- */

static void markdown_size(const struct row *row, const struct ct_rule *r)
{
	const char *a = row->arg[r->sarg].name;
	char scale[40] = "";
	if (r->mul > 1)
		snprintf(scale, sizeof(scale), "*%u", r->mul);
	if (r->n && (r->size == CT_SZ_RET || r->size == CT_SZ_ARG || r->size == CT_SZ_PTR32 || r->size == CT_SZ_PTR64))
		snprintf(scale + strlen(scale), sizeof(scale) - strlen(scale), "+%u", r->n);
	switch ((enum ct_size)r->size) {
	case CT_SZ_FIXED: printf("%u", r->n); break;
	case CT_SZ_RET: printf("ret%s", scale); break;
	case CT_SZ_ARG: printf("%s%s", a, scale); break;
	case CT_SZ_RETMIN: printf("min(ret,%s)%s", a, scale); break;
	case CT_SZ_PTR32: printf("u32(%s@%u)%s", a, r->soff, scale); break;
	case CT_SZ_PTR64: printf("u64(%s@%u)%s", a, r->soff, scale); break;
	case CT_SZ_BITS: printf("bits(%s)", a); break;
	case CT_SZ_CPUMASK: printf("cpus(%s)", a); break;
	case CT_SZ_CSTR: printf("string"); break;
	case CT_SZ_IOVEC: printf("iovec(%s)", a); break;
	case CT_SZ_MSGHDR: printf("msghdr"); break;
	case CT_SZ_MMSGHDR: printf("mmsghdr"); break;
	case CT_SZ_IOC: printf("_IOC_SIZE(%s)", a); break;
	case CT_SZ_STRV: printf("strings"); break;
	case CT_SZ_FILEREAD: printf(r->mul ? "file content in iovec(%s)" : "file content", a); break;
	case CT_SZ_FILEMAP: printf("mapped file"); break;
	case CT_SZ_PAGES: printf("pages(%s)", a); break;
	}
}

static void markdown_row(const struct row *row, const char *key)
{
	const char *comma = "";
	printf("| %s | %s(", key, row->name);
	for (int i = 0; i < row->nargs; i++)
		printf("%s%s", i ? ", " : "", row->arg[i].name);
	printf(") | %s | ", action_names[row->rules.action]);
	for (int i = 0; i < row->rules.nrules; i++) {
		const struct ct_rule *r = &row->rules.rule[i];
		if (r->dir != CT_DIR_OUT)
			continue;
		printf("%s%s", comma, row->arg[r->arg].name);
		if (r->flags & CT_RF_DEREF)
			printf("->%u", r->off);
		putchar('[');
		markdown_size(row, r);
		putchar(']');
		if (r->cond)
			printf(" if %s", cond_names[r->cond]);
		comma = ", ";
	}
	if (row->rules.flags & CT_SYSR_IOC_OUT)
		printf("other commands: arg[_IOC_SIZE] if _IOC_READ");
	printf(" | %s%s%s |\n", row->rules.flags & CT_SYSR_ENTER ? "logged on entry. " : "",
	       row->rules.flags & CT_SYSR_SUB_STRICT ? "by sub-command. " : "", row->note ? row->note : "");
}

static void print_markdown(void)
{
	static const char head[] = "action | bytes the kernel writes | notes |\n|---|---|---|---|---|\n";
	char key[32];
	int count[COUNT(action_names)] = {0};

	for (int i = 0; i < CT_MAX_SYSCALL; i++)
		if (calls[i].line)
			count[calls[i].rules.action]++;
	printf("# System calls\n\n"
	       "Generated from `formats/syscalls.def` by `scripts/gen_syscalls.c`; do not edit.\n\n"
	       "What a recording keeps of every x86-64 system call, and what replay does with it:\n\n"
	       "* **emulate** (%d calls): the result is set and the bytes the kernel wrote are copied; the call is not "
	       "made.\n"
	       "* **execute** (%d): the call is made in the replayed process (its memory map must follow).\n"
	       "* **special** (%d): has code of its own.\n"
	       "* **refuse** (%d): a successful call makes the recording unreplayable from there to the next "
	       "snapshot;\n"
	       "  a failed one is emulated.\n\n"
	       "A number that is not listed, or a sub-command that is not listed of a call marked *by sub-command*, "
	       "is\n"
	       "treated as refused. Buffers are written `argument[bytes]`, `argument->offset[bytes]` for one that a "
	       "pointer\n"
	       "inside the argument's structure points to. Without a condition they are written if the call "
	       "succeeds.\n\n"
	       "| nr | call | %s",
	       count[CT_ACT_EMULATE], count[CT_ACT_EXECUTE], count[CT_ACT_SPECIAL], count[CT_ACT_REFUSE], head);
	for (int i = 0; i < CT_MAX_SYSCALL; i++) {
		snprintf(key, sizeof(key), "%d", i);
		if (calls[i].line)
			markdown_row(&calls[i], key);
	}
	for (int i = 0; i < nsubs; i++) {
		if (!i || subs[i].nr != subs[i - 1].nr)
			printf("\n## Sub-commands of %s\n\n| value | call | %s", calls[subs[i].nr].name, head);
		snprintf(key, sizeof(key), subs[i].cmd < 1000 ? "%u" : "0x%x", subs[i].cmd);
		markdown_row(&subs[i], key);
	}
}

int main(int argc, char **argv)
{
	bool header = argc == 3 && !strcmp(argv[1], "--header");
	if (!header && (argc != 3 || strcmp(argv[1], "--markdown"))) {
		fprintf(stderr, "usage: gen_syscalls --header|--markdown syscalls.def\n");
		return 2;
	}
	file_name = argv[2];
	FILE *in = fopen(file_name, "r");
	if (!in) {
		perror(file_name);
		return 1;
	}
	char *line = NULL;
	size_t size = 0;
	while (getline(&line, &size, in) >= 0) {
		line_no++;
		parse_line(line);
	}
	if (ferror(in))
		die("read error");
	if (!nsubs || !ntypes)
		die("no types or no sub-commands: is this the system call table?");
	free(line);
	fclose(in);
	qsort(subs, (size_t)nsubs, sizeof(subs[0]), by_key);
	if (header)
		print_header();
	else
		print_markdown();
	if (fflush(stdout) || ferror(stdout)) {
		perror("standard output");
		return 1;
	}
	return 0;
}
