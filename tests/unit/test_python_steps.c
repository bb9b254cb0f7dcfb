/* SPDX-License-Identifier: MIT
 * CPython's location tables, values as the agent writes them, values as text, and stacks rebuilt from records. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/steps/python.h"

/* ---- location tables ---- */

static void check_lines(const unsigned char *table, size_t len, int first, const ct_s32 *want, size_t count)
{
	ct_s32 have[64];

	ct_python_lines(table, len, first, have, count);
	for (size_t i = 0; i < count; i++)
		cr_assert(eq(i32, have[i], want[i]), "unit %zu", i);
}
#define LINES(first, table, ...)                                                                                       \
	do {                                                                                                           \
		const ct_s32 want[] = {__VA_ARGS__};                                                                   \
		check_lines(table, sizeof(table), first, want, sizeof(want) / sizeof(*want));                          \
	} while (0)

Test(python_lines, short_forms_stay_on_the_line)
{
	static const unsigned char table[] = {0x80 | 3 << 3 | 1, 0x12, 0x80 | 0 << 3 | 0, 0x00};

	LINES(7, table, 7, 7, 7);
}

Test(python_lines, one_line_forms_go_on_by_up_to_two)
{
	static const unsigned char table[] = {0x80 | 10 << 3, 0, 1, 0x80 | 11 << 3, 2, 3, 0x80 | 12 << 3, 4, 5};

	LINES(10, table, 10, 11, 13);
}

Test(python_lines, no_columns_form_goes_back_and_far)
{
	/* svarint: sign in the lowest bit, six bits a byte. -3 is 7; +100 is 200: 8 | 64, then 3. */
	static const unsigned char table[] = {0x80 | 13 << 3, 7, 0x80 | 13 << 3 | 2, 8 | 64, 3};

	LINES(50, table, 47, 147, 147, 147);
}

Test(python_lines, long_form_skips_what_follows_the_line)
{
	/* +1, end line +70 (two bytes), columns 5 and 6 */
	static const unsigned char table[] = {0x80 | 14 << 3, 2, 6 | 64, 1, 5, 6, 0x80, 9};

	LINES(1, table, 2, 2);
}

Test(python_lines, none_has_no_line_and_changes_none)
{
	static const unsigned char table[] = {0x80 | 11 << 3, 0, 0, 0x80 | 15 << 3 | 1, 0x80 | 0 << 3, 0};

	LINES(4, table, 5, -1, -1, 5);
}

Test(python_lines, what_the_table_does_not_cover_has_none)
{
	static const unsigned char table[] = {0x80 | 0 << 3, 0};

	LINES(4, table, 4, -1, -1);
}

Test(python_lines, broken_tables_end)
{
	static const unsigned char open[] = {0x80 | 13 << 3, 0xff, 0xff}, empty[] = {0x80 | 14 << 3};
	ct_s32 have[3];

	ct_python_lines(open, sizeof(open), 1, have, 3);
	cr_assert(eq(i32, have[2], -1));
	ct_python_lines(empty, sizeof(empty), 1, have, 3);
	cr_assert(eq(i32, have[1], -1));
	ct_python_lines(NULL, 0, 1, have, 3);
	cr_assert(eq(i32, have[0], -1));
}

Test(python_lines, before_3_10_the_line_changes_behind_a_distance)
{
	/* 4 bytes on: +1; 2 on: +1, then -1 in the same place, which begins a stretch nevertheless */
	static const unsigned char table[] = {4, 1, 2, 1, 0, 0xff};
	static const ct_s32 want[] = {3, 3, 4, 4, 4};
	static const unsigned char begins[] = {1, 0, 1, 1, 0};
	unsigned char starts[5];
	ct_s32 have[5];

	ct_python_old_lines(table, sizeof(table), 3, have, 5, starts);
	for (int i = 0; i < 5; i++) {
		cr_assert(eq(i32, have[i], want[i]), "unit %d", i);
		cr_assert(eq(u8, starts[i], begins[i]), "unit %d", i);
	}
}

Test(python_lines, in_3_10_stretches_have_a_line_or_none)
{
	static const unsigned char table[] = {2, 1, 4, 0x80, 0, 5, 2, 0xff, 9};
	static const ct_s32 want[] = {4, -1, -1, 8, -1};
	ct_s32 have[5];

	ct_python_old_lines(table, sizeof(table), 3, have, 5, NULL);
	for (int i = 0; i < 5; i++)
		cr_assert(eq(i32, have[i], want[i]), "unit %d", i);
}

/* ---- values ---- */

static char *text;
static size_t text_len;
static struct ct_step_printer *printer;
static struct ct_pysteps *builder;
static FILE *out;

static void setup(void)
{
	static const char *const types[] = {"int", "str", "list", "dict", "Thing", "float", "bytes", "tuple", "bool"};
	struct ct_step_sink sink;

	out = open_memstream(&text, &text_len);
	printer = ct_step_printer_create(out, &sink);
	builder = ct_pysteps_create(&sink, NULL);
	cr_assert(out && printer && builder);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		cr_assert(eq(long, ct_pysteps_type(builder, types[i]), (long)i));
}

static void teardown(void)
{
	ct_pysteps_destroy(builder);
	ct_step_printer_destroy(printer);
	fclose(out);
	free(text);
}

enum { INT, STR, LIST, DICT, THING, FLOAT, BYTES, TUPLE, BOOL };
#define NODE(kind, flags, count, type, n)                                                                              \
	(ct_u64)(kind) | (flags) << 8 | (count) << 16 | (ct_u64)(type) << 32, 0x1000, n
#define NUMBER(n) NODE(CT_PYK_INT, 0, 0, INT, n)

static ct_u64 word(const char *s)
{
	ct_u64 w = 0;

	memcpy(&w, s, strlen(s));
	return w;
}

static void check_text(const ct_u64 *words, size_t count, const char *want)
{
	struct ct_value v;

	cr_assert(eq(sz, ct_pysteps_value(builder, words, count, &v), count));
	ct_value_print(out, &v);
	fputc(0, out); /* behind it is what was there before */
	fflush(out);
	cr_assert(eq(str, text, (char *)want));
	rewind(out);
}
#define TEXT(want, ...)                                                                                                \
	do {                                                                                                           \
		const ct_u64 words[] = {__VA_ARGS__};                                                                  \
		check_text(words, sizeof(words) / 8, want);                                                            \
	} while (0)

TestSuite(python_values, .init = setup, .fini = teardown);

Test(python_values, numbers)
{
	double d;
	ct_u64 bits;

	TEXT("42", NUMBER(42));
	TEXT("-7", NUMBER((ct_u64)-7));
	TEXT("True", NODE(CT_PYK_BOOL, 0, 0, BOOL, 1));
	d = 0.1;
	memcpy(&bits, &d, 8);
	TEXT("0.1", NODE(CT_PYK_FLOAT, 0, 0, FLOAT, bits));
	d = 3;
	memcpy(&bits, &d, 8);
	TEXT("3.0", NODE(CT_PYK_FLOAT, 0, 0, FLOAT, bits));
	d = 1e16;
	memcpy(&bits, &d, 8);
	TEXT("1e+16", NODE(CT_PYK_FLOAT, 0, 0, FLOAT, bits));
	d = -1.5e-7;
	memcpy(&bits, &d, 8);
	TEXT("-1.5e-07", NODE(CT_PYK_FLOAT, 0, 0, FLOAT, bits));
}

Test(python_values, large_integers_are_decimal)
{
	/* 2**100 is digit 3 = 2**10 of 30 bits each; 12 bytes of zero digits before it */
	TEXT("1267650600228229401496703205376", NODE(CT_PYK_INT, CT_PYV_BIG, 16, INT, 4), 0, 1024ull << 32);
	TEXT("-1267650600228229401496703205376", NODE(CT_PYK_INT, CT_PYV_BIG, 16, INT, (ct_u64)-4), 0, 1024ull << 32);
}

Test(python_values, strings)
{
	TEXT("'it'", NODE(CT_PYK_STR, 1 << 4, 2, STR, 2), word("it"));
	TEXT("\"it's\"", NODE(CT_PYK_STR, 1 << 4, 4, STR, 4), word("it's"));
	TEXT("'a\\n\\\\'", NODE(CT_PYK_STR, 1 << 4, 3, STR, 3), word("a\n\\"));
	TEXT("'\xc3\xa9'", NODE(CT_PYK_STR, 1 << 4, 1, STR, 1), 0xe9);
	TEXT("'\xe4\xb8\xad'", NODE(CT_PYK_STR, 2 << 4, 1, STR, 1), 0x4e2d);
	TEXT("'\xf0\x9f\x98\x80'", NODE(CT_PYK_STR, 4 << 4, 1, STR, 1), 0x1f600);
	TEXT("'ab'...", NODE(CT_PYK_STR, 1 << 4 | CT_PYV_TRUNCATED, 2, STR, 900), word("ab"));
	TEXT("b'a\\xff'", NODE(CT_PYK_BYTES, 0, 2, BYTES, 2), 0xff61);
}

Test(python_values, containers)
{
	TEXT("[1, 2]", NODE(CT_PYK_LIST, 0, 2, LIST, 2), NUMBER(1), NUMBER(2));
	TEXT("[1, ...]", NODE(CT_PYK_LIST, CT_PYV_TRUNCATED, 1, LIST, 9), NUMBER(1));
	TEXT("[...]", NODE(CT_PYK_LIST, CT_PYV_TRUNCATED | CT_PYV_DEEP, 0, LIST, 9));
	TEXT("(1,)", NODE(CT_PYK_TUPLE, 0, 1, TUPLE, 1), NUMBER(1));
	TEXT("{'k': [1]}", NODE(CT_PYK_DICT, 0, 2, DICT, 1), NODE(CT_PYK_STR, 1 << 4, 1, STR, 1), word("k"),
	     NODE(CT_PYK_LIST, 0, 1, LIST, 1), NUMBER(1));
	TEXT("Thing(x=5)", NODE(CT_PYK_OBJECT, 0, 2, THING, 1), NODE(CT_PYK_STR, 1 << 4, 1, STR, 1), word("x"),
	     NUMBER(5));
}

Test(python_values, what_is_cut_off_is_no_value)
{
	const ct_u64 list[] = {NODE(CT_PYK_LIST, 0, 2, LIST, 2), NUMBER(1), NUMBER(2)};
	const ct_u64 string[] = {NODE(CT_PYK_STR, 1 << 4, 9, STR, 9), 0};
	const ct_u64 unknown[] = {NODE(200, 0, 0, INT, 0)};
	struct ct_value v;

	for (size_t n = 0; n < sizeof(list) / 8; n++)
		cr_assert(eq(sz, ct_pysteps_value(builder, list, n, &v), 0), "%zu words", n);
	cr_assert(eq(sz, ct_pysteps_value(builder, string, sizeof(string) / 8, &v), 0));
	cr_assert(eq(sz, ct_pysteps_value(builder, unknown, 3, &v), 0));
}

/* ---- stacks ---- */

static void add_code(const char *name, ct_u32 first_line)
{
	struct ct_step_code c = {.file = strdup("f.py"),
				 .name = strdup(name),
				 .variable = calloc(1, sizeof(char *)),
				 .lines = calloc(4, sizeof(ct_s32)),
				 .count = 4,
				 .nvars = 1,
				 .first_line = first_line,
				 .nargs = 1};
	bool wanted;

	c.variable[0] = strdup("a");
	for (int i = 0; i < 4; i++)
		c.lines[i] = (ct_s32)first_line + i;
	cr_assert(ge(long, ct_pysteps_code(builder, &c, &wanted), 0));
	cr_assert(wanted);
}

static void check_steps(const ct_u64 *words, size_t count, const char *want)
{
	struct ct_error err = {0};

	cr_assert(eq(int, ct_pysteps_records(builder, words, count, &err), 0), "%s", err.msg);
	fflush(out);
	cr_assert(eq(str, text, (char *)want));
}
#define STEPS(want, ...)                                                                                               \
	do {                                                                                                           \
		const ct_u64 words[] = {__VA_ARGS__};                                                                  \
		check_steps(words, sizeof(words) / 8, want);                                                           \
	} while (0)
#define THREAD(tid)                CT_PYR(CT_PYR_THREAD, 0, 3), tid, 0
#define ENTER(frame, prev, code)   CT_PYR(CT_PYR_ENTER, CT_PYE_CALL, 4), frame, prev, code
#define RESUMED(frame, prev, code) CT_PYR(CT_PYR_ENTER, CT_PYE_RESUMED, 4), frame, prev, code
#define LINE(frame, code, unit)    CT_PYR(CT_PYR_LINE, 0, 3), frame, (ct_u64)(unit) << 32 | (code)
#define RETURN(frame, code)        CT_PYR(CT_PYR_RETURN, 0, 3), frame, code
#define YIELD(frame, code)         CT_PYR(CT_PYR_RETURN, 1, 3), frame, code

TestSuite(python_stacks, .init = setup, .fini = teardown);

Test(python_stacks, a_call_with_an_argument)
{
	add_code("f", 10);
	STEPS("7 f.py:10 f call #1\n7   argument a = 5\n7 f.py:11 f line\n7   value a = 6\n7 f.py:11 f return\n",
	      THREAD(7), ENTER(0x100, 0, 0), CT_PYR(CT_PYR_VALUE, 0, 5), 0x100, NUMBER(5), LINE(0x100, 0, 1),
	      CT_PYR(CT_PYR_VALUE, 0, 5), 0x100, NUMBER(6), RETURN(0x100, 0));
}

Test(python_stacks, frames_that_an_exception_left_are_gone_when_the_caller_goes_on)
{
	add_code("f", 10);
	add_code("g", 20);
	STEPS("7 f.py:10 f call #1\n7 f.py:10 f line\n7 f.py:20 g call #2\n7 f.py:20 g line\n7 f.py:20 g unwind\n"
	      "7 f.py:11 f line\n",
	      THREAD(7), ENTER(0x100, 0, 0), LINE(0x100, 0, 0), ENTER(0x200, 0x100, 1), LINE(0x200, 1, 0),
	      LINE(0x100, 0, 1));
}

Test(python_stacks, a_frame_in_the_place_of_one_that_an_exception_left)
{
	add_code("f", 10);
	add_code("g", 20);
	STEPS("7 f.py:10 f call #1\n7 f.py:20 g call #2\n7 f.py:20 g unwind\n7 f.py:20 g call #3\n", THREAD(7),
	      ENTER(0x100, 0, 0), ENTER(0x200, 0x100, 1), ENTER(0x200, 0x100, 1));
}

Test(python_stacks, a_generator_is_the_same_run_when_it_goes_on)
{
	add_code("f", 10);
	add_code("g", 20);
	STEPS("7 f.py:10 f call #1\n7 f.py:20 g call #2\n7 f.py:21 g line\n7 f.py:21 g yield\n7 f.py:21 g resume #2\n"
	      "7 f.py:21 g return\n",
	      THREAD(7), ENTER(0x100, 0, 0), ENTER(0x200, 0x100, 1), LINE(0x200, 1, 1), YIELD(0x200, 1),
	      RESUMED(0x200, 0x100, 1), RETURN(0x200, 1));
}

Test(python_stacks, a_frame_that_awaits_has_yielded_when_its_caller_goes_on)
{
	const ct_u64 awaits = CT_PYR(CT_PYR_AWAIT, 1, 2), no_more = CT_PYR(CT_PYR_AWAIT, 0, 2);

	add_code("f", 1);
	add_code("g", 10);
	STEPS("7 f.py:1 f call #1\n7 f.py:10 g call #2\n7 f.py:10 g yield\n7 f.py:2 f line\n7 f.py:10 g resume #2\n"
	      "7 f.py:10 g unwind\n7 f.py:3 f line\n",
	      THREAD(7), ENTER(0x10, 0, 0), ENTER(0x20, 0x10, 1), awaits, 0x20, LINE(0x10, 0, 1),
	      RESUMED(0x20, 0x10, 1), awaits, 0x20, no_more, 0x20, LINE(0x10, 0, 2));
}

Test(python_stacks, an_exception_thrown_into_a_generator_wakes_it)
{
	add_code("f", 10);
	add_code("g", 20);
	STEPS("7 f.py:10 f call #1\n7 f.py:20 g call #2\n7 f.py:20 g yield\n7 f.py:20 g resume #2\n7 f.py:22 g "
	      "exception\n"
	      "7 f.py:22 g unwind\n7 f.py:11 f line\n",
	      THREAD(7), ENTER(0x100, 0, 0), ENTER(0x200, 0x100, 1), YIELD(0x200, 1), CT_PYR(CT_PYR_RAISE, 0, 4), 0x200,
	      0x100, 2ull << 32 | 1, LINE(0x100, 0, 1));
}

Test(python_stacks, threads_have_stacks_of_their_own)
{
	add_code("f", 10);
	STEPS("7 f.py:10 f call #1\n8 f.py:10 f call #2\n7 f.py:11 f line\n8 f.py:12 f line\n", THREAD(7),
	      ENTER(0x100, 0, 0), THREAD(8), ENTER(0x900, 0, 0), THREAD(7), LINE(0x100, 0, 1), THREAD(8),
	      LINE(0x900, 0, 2));
}

Test(python_stacks, the_child_of_a_fork_is_where_its_parent_was)
{
	add_code("f", 10);
	STEPS("7 f.py:10 f call #1\n9 f.py:11 f line\n7 f.py:12 f line\n", THREAD(7), ENTER(0x100, 0, 0),
	      CT_PYR(CT_PYR_FORK, 0, 3), 9, 0, THREAD(9), LINE(0x100, 0, 1), THREAD(7), LINE(0x100, 0, 2));
}

Test(python_stacks, records_that_make_no_sense_are_refused)
{
	const ct_u64 empty[] = {CT_PYR(CT_PYR_LINE, 0, 0)}, long_one[] = {CT_PYR(CT_PYR_LINE, 0, 9), 0, 0},
		     code[] = {CT_PYR(CT_PYR_LINE, 0, 3), 0x100, 5}, type[] = {CT_PYR(99, 0, 1)};
	struct ct_error err;

	cr_assert(eq(int, ct_pysteps_records(builder, empty, 1, &err), -1));
	cr_assert(eq(int, ct_pysteps_records(builder, long_one, 3, &err), -1));
	cr_assert(eq(int, ct_pysteps_records(builder, code, 3, &err), -1));
	cr_assert(eq(int, ct_pysteps_records(builder, type, 1, &err), -1));
}

/* ---- C functions ---- */

#define NATIVE(frame, id, code) CT_PYR(CT_PYR_NATIVE, 0, 3), frame, (ct_u64)(id) << 32 | (code)
#define NATIVE_END(frame)       CT_PYR(CT_PYR_NATIVE_END, 0, 2), frame
#define RAISE(frame, prev, at)  CT_PYR(CT_PYR_RAISE, 0, 4), frame, prev, at

Test(python_stacks, a_c_function_has_arguments_and_a_result)
{
	add_code("f", 10);
	cr_assert(eq(long, ct_pysteps_native(builder, "list.append"), 0));
	cr_assert(eq(long, ct_pysteps_native(builder, "builtins.max"), 1));
	cr_assert(eq(long, ct_pysteps_native(builder, "list.append"), 0));
	STEPS("7 f.py:10 f call #1\n7 <native>:0 builtins.max call #2\n7   argument self = 3\n7   argument arg1 = 5\n"
	      "7 <native>:0 builtins.max return 6\n7 f.py:11 f line\n",
	      THREAD(7), ENTER(0x100, 0, 0), NATIVE(0x100, 1, 0), CT_PYR(CT_PYR_VALUE, 0, 5), 0x101, NUMBER(3),
	      CT_PYR(CT_PYR_VALUE, 1, 5), 0x101, NUMBER(5), CT_PYR(CT_PYR_VALUE, CT_PYSLOT_RESULT, 5), 0x100, NUMBER(6),
	      NATIVE_END(0x100), LINE(0x100, 0, 1));
}

Test(python_stacks, a_c_function_that_calls_back_is_left_by_the_exception)
{
	add_code("f", 10);
	add_code("g", 20);
	ct_pysteps_native(builder, "builtins.sorted");
	STEPS("7 f.py:10 f call #1\n7 <native>:0 builtins.sorted call #2\n7 f.py:20 g call #3\n7 f.py:20 g return\n"
	      "7 f.py:20 g call #4\n7 f.py:21 g exception\n7 f.py:21 g unwind\n7 <native>:0 builtins.sorted unwind\n"
	      "7 f.py:12 f exception\n",
	      THREAD(7), ENTER(0x100, 0, 0), NATIVE(0x100, 0, 0), ENTER(0x200, 0x100, 1), RETURN(0x200, 1),
	      ENTER(0x200, 0x100, 1), RAISE(0x200, 0x100, 1ull << 32 | 1), RAISE(0x100, 0, 2ull << 32));
}

/* ---- going on in another run ---- */

Test(python_stacks, another_builder_goes_on)
{
	const ct_u64 first[] = {THREAD(7), ENTER(0x100, 0, 0), ENTER(0x200, 0x100, 1), YIELD(0x200, 1),
				NATIVE(0x100, 0, 0)};
	struct ct_step_sink sink;
	struct ct_error err;
	size_t words;
	ct_u64 *state;

	add_code("f", 10);
	add_code("g", 20);
	ct_pysteps_native(builder, "time.sleep");
	cr_assert(eq(int, ct_pysteps_records(builder, first, sizeof(first) / 8, &err), 0));
	cr_assert(eq(int, ct_pysteps_save(builder, &state, &words, &err), 0));
	teardown();
	out = open_memstream(&text, &text_len);
	printer = ct_step_printer_create(out, &sink);
	builder = ct_pysteps_create(&sink, NULL);
	for (size_t less = 1; less <= words; less++) {
		struct ct_pysteps *other = ct_pysteps_create(&sink, NULL);

		cr_assert(eq(int, ct_pysteps_load(other, state, words - less, &err), -1), "%zu words less", less);
		ct_pysteps_destroy(other);
	}
	cr_assert(eq(int, ct_pysteps_load(builder, state, words, &err), 0));
	free(state);
	cr_assert(ct_pysteps_in_native(builder, 7, 0x100));
	/* The code is read again, and has other numbers: 2 and 3. */
	add_code("f", 10);
	add_code("g", 20);
	STEPS("7 <native>:0 time.sleep return\n7 f.py:11 f line\n7 f.py:20 g resume #2\n7 f.py:21 g line\n",
	      CT_PYR(CT_PYR_FRAME, 0, 3), 0x100, 2, NATIVE_END(0x100), LINE(0x100, 2, 1), RESUMED(0x200, 0x100, 3),
	      LINE(0x200, 3, 1));
}

/* ---- what is asked for ---- */

Test(step_filter, files_and_functions_by_patterns)
{
	const char *files[] = {"app.py", "web/*.py"}, *functions[] = {"send", "Client.[a-m]*"};
	struct ct_step_filter f = {{files, 2}, {functions, 2}}, by_file = {{files, 2}, {NULL, 0}}, all = {0};

	cr_assert(ct_step_wanted(NULL, "/x/y.py", "f"));
	cr_assert(ct_step_wanted(&all, "/x/y.py", "f"));
	cr_assert(ct_step_wanted(&by_file, "/srv/app.py", "f"));
	cr_assert(ct_step_wanted(&by_file, "/srv/web/a/b.py", "f"));
	cr_assert(not(ct_step_wanted(&by_file, "/srv/myapp.py", "f")));
	cr_assert(ct_step_wanted(&f, "app.py", "Server.send"));
	cr_assert(ct_step_wanted(&f, "app.py", "Client.close"));
	cr_assert(not(ct_step_wanted(&f, "app.py", "Client.open")));
	cr_assert(not(ct_step_wanted(&f, "lib.py", "send")));
}
