// SPDX-License-Identifier: MIT
// Records of Ruby's agent made into steps: frames that are gone, exceptions, fibers, values, damage.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "replay/steps/ruby.h"

#define REC(type, ...) CT_PYR(type, 0, 1 + sizeof((ct_u64[]){__VA_ARGS__}) / 8), __VA_ARGS__
#define AT(line, code) ((ct_u64)(line) << 32 | (code))

static struct ct_step_sink sink;
static struct ct_step_printer *printer;
static struct ct_rbsteps *steps;
static char *text;
static size_t size;
static FILE *out;
static struct ct_error err;

static void start(void)
{
	out = open_memstream(&text, &size);
	printer = ct_step_printer_create(out, &sink);
	steps = ct_rbsteps_create(&sink, NULL);
	cr_assert(printer && steps);
}

static void stop(void)
{
	ct_rbsteps_destroy(steps);
	ct_step_printer_destroy(printer);
	fclose(out);
	free(text);
}

/* A sequence whose position is its line, with a variable x; x is an argument if `nargs`. */
static long code(const char *name, ct_u32 nargs, bool ensure)
{
	struct ct_step_code c = {.file = strdup("a.rb"),
				 .name = strdup(name),
				 .nvars = 1,
				 .nargs = nargs,
				 .count = 50,
				 .first_line = 1,
				 .ensure = ensure};
	bool wanted;

	c.variable = calloc(1, sizeof(char *));
	c.variable[0] = strdup("x");
	c.lines = calloc(c.count, sizeof(*c.lines));
	for (ct_u32 i = 0; i < c.count; i++)
		c.lines[i] = (ct_s32)i;
	return ct_rbsteps_code(steps, &c, &wanted);
}

static void tell(const ct_u64 *words, size_t bytes, const char *want)
{
	size_t before;

	fflush(out);
	before = size;
	cr_assert_eq(ct_rbsteps_records(steps, words, bytes / 8, &err), 0, "%s", err.msg);
	fflush(out);
	cr_assert_str_eq(text + before, want);
}
#define TELL(want, ...) tell((ct_u64[]){__VA_ARGS__}, sizeof((ct_u64[]){__VA_ARGS__}), want)

Test(ruby_steps, what_lies_below_a_frame_that_goes_on_has_been_left, .init = start, .fini = stop)
{
	ct_u64 main = (ct_u64)code("<main>", 0, false), f = (ct_u64)code("f", 1, false);

	TELL("7 a.rb:1 <main> call #1\n7 a.rb:3 <main> line\n", REC(CT_PYR_THREAD, 7, 7), REC(CT_RBR_STACK, 1),
	     REC(CT_RBR_ENTER, 900, AT(0, main)), REC(CT_RBR_LINE, 900, AT(3, main)));
	TELL("7 a.rb:1 f call #2\n7   argument x = 5\n7 a.rb:9 f line\n", REC(CT_RBR_ENTER, 800, AT(0, f)),
	     REC(CT_RBR_VALUE, 800, CT_RBV_INT, 0, 5), REC(CT_RBR_LINE, 800, AT(9, f)));
	TELL("7 a.rb:9 f return\n7 a.rb:4 <main> line\n", REC(CT_RBR_LINE, 900, AT(4, main)));
}

Test(ruby_steps, methods_in_c_are_calls_without_lines, .init = start, .fini = stop)
{
	ct_u64 main = (ct_u64)code("<main>", 0, false),
	       to_s = (ct_u64)ct_rbsteps_native(steps, strdup("A#to_s"), false),
	       hidden = (ct_u64)ct_rbsteps_native(steps, strdup("core#x"), true);

	ct_rbsteps_type(steps, "Broken");
	TELL("7 a.rb:1 <main> call #1\n7 a.rb:3 <main> line\n7 <native>:0 A#to_s call #2\n7   argument self = nil\n"
	     "7   argument arg2 = 5\n7 <native>:0 A#to_s return 6\n",
	     REC(CT_PYR_THREAD, 7, 7), REC(CT_RBR_STACK, 1), REC(CT_RBR_ENTER, 900, AT(0, main)),
	     REC(CT_RBR_LINE, 900, AT(3, main)), REC(CT_RBR_ENTER, 800, to_s, 900),
	     CT_PYR(CT_RBR_VALUE, CT_RBR_SELF, 5), 800, CT_RBV_NIL, 0, 0, CT_PYR(CT_RBR_VALUE, 1, 5), 800, CT_RBV_INT,
	     0, 5, CT_PYR(CT_RBR_VALUE, CT_PYSLOT_RESULT, 5), 800, CT_RBV_INT, 0, 6, REC(CT_RBR_RETURN, 800, to_s));
	TELL("", REC(CT_RBR_ENTER, 800, hidden, 900), REC(CT_RBR_RETURN, 800, hidden), /* began earlier: */
	     REC(CT_RBR_RETURN, 700, to_s));

	/* It rescues what was raised in it. */
	TELL("7 <native>:0 A#to_s call #4\n", REC(CT_RBR_ENTER, 800, to_s, 900), CT_PYR(CT_RBR_VALUE, CT_PYSLOT_EXC, 5),
	     900, CT_RBV_OPAQUE, 0x10, 0, REC(CT_RBR_RAISE, 900, AT(3, main)));
	TELL("7 <native>:0 A#to_s exception <Broken>\n7 <native>:0 A#to_s return nil\n", REC(CT_RBR_RESCUED, 800, 0),
	     CT_PYR(CT_RBR_VALUE, CT_PYSLOT_RESULT, 5), 800, CT_RBV_NIL, 0, 0, REC(CT_RBR_RETURN, 800, to_s));

	/* It does not; what rescues it calls another one, whose frame is further in than the first one's. */
	TELL("7 <native>:0 A#to_s call #5\n", REC(CT_RBR_ENTER, 800, to_s, 900), CT_PYR(CT_RBR_VALUE, CT_PYSLOT_EXC, 5),
	     900, CT_RBV_OPAQUE, 0x10, 0, REC(CT_RBR_RAISE, 900, AT(3, main)));
	TELL("7 <native>:0 A#to_s unwind <Broken>\n7 a.rb:3 <main> exception <Broken>\n7 <native>:0 A#to_s call #6\n",
	     REC(CT_RBR_ENTER, 700, to_s, 900));
}

Test(ruby_steps, what_was_raised_in_c_last_of_all_is_not_lost, .init = start, .fini = stop)
{
	ct_u64 main = (ct_u64)code("<main>", 0, false);
	ct_u64 to_s = (ct_u64)ct_rbsteps_native(steps, strdup("A#to_s"), false);
	size_t before;

	ct_rbsteps_type(steps, "Broken");
	TELL("7 a.rb:1 <main> call #1\n7 a.rb:3 <main> line\n7 <native>:0 A#to_s call #2\n", REC(CT_PYR_THREAD, 7, 7),
	     REC(CT_RBR_STACK, 1), REC(CT_RBR_ENTER, 900, AT(0, main)), REC(CT_RBR_LINE, 900, AT(3, main)),
	     REC(CT_RBR_ENTER, 800, to_s, 900), CT_PYR(CT_RBR_VALUE, CT_PYSLOT_EXC, 5), 900, CT_RBV_OPAQUE, 0x10, 0,
	     REC(CT_RBR_RAISE, 900, AT(3, main)));
	before = size;
	for (unsigned i = 0; i < 2; i++) /* once */
		cr_assert_eq(ct_rbsteps_end(steps, &err), 0, "%s", err.msg);
	fflush(out);
	cr_assert_str_eq(text + before, "7 <native>:0 A#to_s exception <Broken>\n");
}

Test(ruby_steps, an_exception_goes_through_frames_until_it_is_rescued, .init = start, .fini = stop)
{
	ct_u64 main = (ct_u64)code("<main>", 0, false), f = (ct_u64)code("f", 0, false), e = (ct_u64)code("f", 0, true);

	ct_rbsteps_type(steps, "Broken");
	TELL("7 a.rb:1 <main> call #1\n7 a.rb:1 f call #2\n", REC(CT_PYR_THREAD, 7, 7), REC(CT_RBR_STACK, 1),
	     REC(CT_RBR_ENTER, 900, AT(0, main)), REC(CT_RBR_ENTER, 800, AT(0, f)));
	TELL("7 a.rb:5 f exception <Broken>\n7 a.rb:6 f line\n", CT_PYR(CT_RBR_VALUE, CT_PYSLOT_EXC, 5), 800,
	     CT_RBV_OPAQUE, 0x1234, 0, REC(CT_RBR_RAISE, 800, AT(5, f)), REC(CT_RBR_LINE, 800, AT(6, e)));
	TELL("7 a.rb:6 f unwind <Broken>\n7 a.rb:8 <main> line\n", REC(CT_RBR_LINE, 900, AT(8, main)));
	TELL("7 a.rb:8 <main> return nil\n", REC(CT_RBR_RETURN, 900, AT(9, main)));
}

Test(ruby_steps, a_fiber_is_suspended_with_all_its_frames, .init = start, .fini = stop)
{
	ct_u64 main = (ct_u64)code("<main>", 0, false), b = (ct_u64)code("block in <main>", 0, false);

	TELL("7 a.rb:1 <main> call #1\n7 a.rb:1 block in <main> call #2\n", REC(CT_PYR_THREAD, 7, 7),
	     REC(CT_RBR_STACK, 1), REC(CT_RBR_ENTER, 900, AT(0, main)), REC(CT_RBR_STACK, 2),
	     REC(CT_RBR_ENTER, 9000, AT(0, b)));
	TELL("7 a.rb:1 block in <main> yield\n7 a.rb:2 <main> line\n", REC(CT_RBR_STACK, 1),
	     REC(CT_RBR_LINE, 900, AT(2, main)));
	TELL("7 a.rb:1 block in <main> resume #2\n7 a.rb:3 block in <main> line\n", REC(CT_RBR_STACK, 2),
	     REC(CT_RBR_LINE, 9000, AT(3, b)));
}

Test(ruby_steps, values, .init = start, .fini = stop)
{
	ct_u64 f = (ct_u64)code("f", 0, false), abc = 0x636261, cut = 0xc3;

	ct_rbsteps_text(steps, "sym");
	TELL("7 a.rb:1 f call #1\n", REC(CT_PYR_THREAD, 7, 7), REC(CT_RBR_STACK, 1), REC(CT_RBR_ENTER, 800, AT(0, f)),
	     REC(CT_RBR_STACK, 1));
	TELL("7   value x = nil\n", REC(CT_RBR_VALUE, 800, CT_RBV_NIL, 0, 0));
	TELL("7   value x = true\n", REC(CT_RBR_VALUE, 800, CT_RBV_TRUE, 0, 0));
	TELL("7   value x = :'sym'\n", REC(CT_RBR_VALUE, 800, CT_RBV_SYMBOL, 0, 0));
	TELL("7   value x = -18446744073709551621\n",
	     REC(CT_RBR_VALUE, 800, CT_RBV_BIG | 12ull << 16, 0, (ct_u64)-3, 5, 1));
	TELL("7   value x = 'abc'\n", REC(CT_RBR_VALUE, 800, CT_RBV_STRING | 3ull << 16, 1, 3, abc));
	TELL("7   value x = ''...\n",
	     REC(CT_RBR_VALUE, 800, CT_RBV_STRING | CT_PYV_TRUNCATED << 8 | 1ull << 16, 1, 2, cut));
	TELL("7   value x = b'\\xc3'\n", REC(CT_RBR_VALUE, 800, CT_RBV_STRING | 1ull << 16, 1, 1, cut));
	TELL("7   value x = [1, {:'sym': false}]\n",
	     REC(CT_RBR_VALUE, 800, CT_RBV_ARRAY | 2ull << 16, 1, 2, CT_RBV_INT, 0, 1, CT_RBV_HASH | 2ull << 16, 2, 1,
		 CT_RBV_SYMBOL, 0, 0, CT_RBV_FALSE, 0, 0));
}

Test(ruby_steps, damaged_records_are_refused, .init = start, .fini = stop)
{
	static const ct_u64 bad[][4] = {
		{0},
		{CT_PYR(CT_RBR_LINE, 0, 9), 1, 2},
		{CT_PYR(CT_RBR_LINE, 0, 3), 1, AT(3, 77)},
		{CT_PYR(200, 0, 3), 1, 2},
		{CT_PYR(CT_RBR_VALUE, 0, 3), 1, CT_RBV_ARRAY | 5 << 16},
	};
	const ct_u64 begin[] = {REC(CT_PYR_THREAD, 7, 7), REC(CT_RBR_STACK, 1)};

	cr_assert_eq(ct_rbsteps_records(steps, begin, sizeof(begin) / 8, &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(ct_rbsteps_records(steps, bad[i], 3, &err), -1, "%zu", i);
}
