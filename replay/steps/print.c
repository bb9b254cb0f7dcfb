// SPDX-License-Identifier: MIT
/* Values and steps as text, one line a step. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/steps/steps.h"

static void print_text(FILE *out, const char *s, size_t len, bool bytes)
{
	const char quote = memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';

	fputc(quote, out);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == (unsigned char)quote || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\r')
			fputs("\\r", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (c < 32 || c == 127 || (bytes && c > 126))
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputc(quote, out);
}

/* The shortest text that gives the same number again, with a point or an exponent: what Python's repr prints. */
static void print_float(FILE *out, double d)
{
	char buf[40];
	int exponent;

	if (isnan(d) || isinf(d)) {
		fputs(isnan(d) ? "nan" : d < 0 ? "-inf" : "inf", out);
		return;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(buf, sizeof(buf), "%.*e", digits - 1, d);
		if (strtod(buf, NULL) == d) {
			exponent = atoi(strchr(buf, 'e') + 1);
			if (exponent >= -4 && exponent < 16)
				snprintf(buf, sizeof(buf), "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 1,
					 d);
			break;
		}
	}
	fputs(buf, out);
}

static void print_children(FILE *out, const struct ct_value *v, const char *open, const char *close, int step,
			   const char *between)
{
	fputs(open, out);
	for (size_t i = 0; i < v->child.count; i += step) {
		if (i)
			fputs(", ", out);
		if (step == 2 && v->tag == CT_VALUE_STRUCT && v->child.list[i].tag == CT_VALUE_STRING)
			fwrite(v->child.list[i].text.data, 1, v->child.list[i].text.len, out);
		else
			ct_value_print(out, &v->child.list[i]);
		if (step == 2 && i + 1 < v->child.count) {
			fputs(between, out);
			ct_value_print(out, &v->child.list[i + 1]);
		}
	}
	if (v->flags & CT_VALUE_TRUNCATED)
		fputs(v->child.count ? ", ..." : "...", out);
	else if (v->tag == CT_VALUE_TUPLE && v->child.count == 1)
		fputc(',', out);
	fputs(close, out);
}

static void print_named(FILE *out, const char *what, const struct ct_value *v)
{
	fprintf(out, "<%s ", what);
	fwrite(v->text.data, 1, v->text.len, out);
	fputc('>', out);
}

void ct_value_print(FILE *out, const struct ct_value *v)
{
	switch ((enum ct_value_tag)v->tag) {
	case CT_VALUE_NONE: fputs(strcmp(v->type, "NilClass") ? "None" : "nil", out); return;
	case CT_VALUE_BOOL:
		if (!strcmp(v->type, "TrueClass") || !strcmp(v->type, "FalseClass"))
			fputs(v->i ? "true" : "false", out);
		else
			fputs(v->i ? "True" : "False", out);
		return;
	case CT_VALUE_INT: fprintf(out, "%" PRId64, (int64_t)v->i); return;
	case CT_VALUE_BIGINT:
		if (v->flags & CT_VALUE_TRUNCATED)
			fputs("...", out); /* the lowest digits are known, the highest are not */
		else
			fwrite(v->text.data, 1, v->text.len, out);
		return;
	case CT_VALUE_FLOAT: print_float(out, v->f[0]); return;
	case CT_VALUE_COMPLEX: fprintf(out, "(%.17g%+.17gj)", v->f[0], v->f[1]); return;
	case CT_VALUE_BYTES: fputs(strcmp(v->type, "bytearray") ? "b" : "bytearray(b", out); /* fall through */
	case CT_VALUE_STRING:
		if (!strcmp(v->type, "Symbol"))
			fputc(':', out);
		print_text(out, v->text.data, v->text.len, v->tag == CT_VALUE_BYTES);
		if (v->flags & CT_VALUE_TRUNCATED)
			fputs("...", out);
		if (v->tag == CT_VALUE_BYTES && !strcmp(v->type, "bytearray"))
			fputc(')', out);
		return;
	case CT_VALUE_SEQUENCE: print_children(out, v, "[", "]", 1, ""); return;
	case CT_VALUE_TUPLE: print_children(out, v, "(", ")", 1, ""); return;
	case CT_VALUE_TABLE: print_children(out, v, "{", "}", 2, ": "); return;
	case CT_VALUE_SET:
		if (!v->length)
			fprintf(out, "%s()", v->type);
		else if (strcmp(v->type, "set"))
			fprintf(out, "%s(", v->type), print_children(out, v, "{", "})", 1, "");
		else
			print_children(out, v, "{", "}", 1, "");
		return;
	case CT_VALUE_STRUCT:
		fputs(v->type, out);
		print_children(out, v, "(", ")", 2, "=");
		return;
	case CT_VALUE_TYPE: print_named(out, "class", v); return;
	case CT_VALUE_FUNCTION: print_named(out, "function", v); return;
	case CT_VALUE_TEXT: fwrite(v->text.data, 1, v->text.len, out); return;
	case CT_VALUE_RAW: fprintf(out, "<%s>", v->type); return;
	}
}

/* ---- the printing sink ---------------------------------------------------------------------------------------- */

struct ct_step_printer {
	FILE *out;
	char **file;
	size_t nfile;
	struct function {
		ct_u32 file;
		char *name;
	} * function;
	size_t nfunction;
};

static int add_file(void *ctx, ct_u32 id, const char *path, struct ct_error *err)
{
	struct ct_step_printer *p = ctx;
	char **more = realloc(p->file, (id + 1) * sizeof(*more));

	if (more)
		p->file = more;
	if (!more || !(more[id] = strdup(path)))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	p->nfile = id + 1;
	return 0;
}

static int add_function(void *ctx, ct_u32 id, ct_u32 file, const char *name, ct_u32 line, struct ct_error *err)
{
	struct ct_step_printer *p = ctx;
	struct function *more = realloc(p->function, (id + 1) * sizeof(*more));

	(void)line;
	if (more)
		p->function = more;
	if (!more || !(more[id].name = strdup(name)))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	more[id].file = file;
	p->nfunction = id + 1;
	return 0;
}

static void begin(struct ct_step_printer *p, ct_u32 thread, ct_u32 function, ct_u32 line, const char *what)
{
	const struct function *f = &p->function[function];

	fprintf(p->out, "%u %s:%u %s %s", thread, f->file == CT_STEP_NATIVE ? "<native>" : p->file[f->file], line,
		f->name, what);
}

static int end(struct ct_step_printer *p, struct ct_error *err)
{
	fputc('\n', p->out);
	return ferror(p->out) ? ct_fail_errno(err, CT_EXIT_FAILED, "cannot write the steps") : 0;
}

static int print_call(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, ct_u64 run, enum ct_enter how,
		      struct ct_error *err)
{
	struct ct_step_printer *p = ctx;

	begin(ctx, thread, function, line, how == CT_ENTER_CALL ? "call" : "resume");
	fprintf(p->out, " #%llu", (unsigned long long)run);
	return end(ctx, err);
}

static int print_step(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, struct ct_error *err)
{
	begin(ctx, thread, function, line, "line");
	return end(ctx, err);
}

static int print_variable(struct ct_step_printer *p, ct_u32 thread, const char *name, const char *what,
			  const struct ct_value *v, struct ct_error *err)
{
	fprintf(p->out, "%u   %s %s", thread, what, name);
	if (v) {
		fputs(" = ", p->out);
		ct_value_print(p->out, v);
	}
	return end(p, err);
}

static int print_argument(void *ctx, ct_u32 thread, const char *name, const struct ct_value *v, struct ct_error *err)
{
	return print_variable(ctx, thread, name, "argument", v, err);
}
static int print_value(void *ctx, ct_u32 thread, const char *name, const struct ct_value *v, struct ct_error *err)
{
	return print_variable(ctx, thread, name, v ? "value" : "unbound", v, err);
}

static int print_raise(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, const struct ct_value *v,
		       struct ct_error *err)
{
	struct ct_step_printer *p = ctx;

	begin(p, thread, function, line, "exception");
	if (v) {
		fputc(' ', p->out);
		ct_value_print(p->out, v);
	}
	return end(p, err);
}

static int print_leave(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, enum ct_leave how,
		       const struct ct_value *v, struct ct_error *err)
{
	static const char *const name[] = {"return", "yield", "unwind"};
	struct ct_step_printer *p = ctx;

	begin(p, thread, function, line, name[how]);
	if (v) {
		fputc(' ', p->out);
		ct_value_print(p->out, v);
	}
	return end(p, err);
}

struct ct_step_printer *ct_step_printer_create(FILE *out, struct ct_step_sink *sink)
{
	struct ct_step_printer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->out = out;
	*sink = (struct ct_step_sink){.ctx = p,
				      .file = add_file,
				      .function = add_function,
				      .call = print_call,
				      .argument = print_argument,
				      .step = print_step,
				      .value = print_value,
				      .raise = print_raise,
				      .leave = print_leave};
	return p;
}

void ct_step_printer_destroy(struct ct_step_printer *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nfile; i++)
		free(p->file[i]);
	for (size_t i = 0; i < p->nfunction; i++)
		free(p->function[i].name);
	free(p->file);
	free(p->function);
	free(p);
}
