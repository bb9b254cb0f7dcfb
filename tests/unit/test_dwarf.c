/* SPDX-License-Identifier: MIT
 * The reader of debug information, on this very process: lines, functions, its own stack, its own variables. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "replay/dwarf.h"
#include "replay/tracee.h"

enum color { RED, GREEN = 5 };
struct inner {
	int a[3];
	const char *name;
};
struct thing {
	struct inner in;
	union {
		long number;
		double real;
	};
	unsigned low : 3, high : 12;
	signed int negative : 5;
	enum color color;
	struct thing *next;
	char text[8];
	float f;
};
static struct thing global_thing = {.in = {{1, 2, 3}, "na\"me\n"},
				    .number = -7,
				    .low = 5,
				    .high = 2748,
				    .negative = -3,
				    .color = GREEN,
				    .next = &global_thing,
				    .text = "seven7",
				    .f = 1.5f};
static __thread volatile int per_thread = 41;

static struct ct_dwarf *dw;
static struct ct_dwarf_stack stack;
static ct_u64 line_of_context;
static void (*inside)(void); /* is called where the stack is as it was seen */

static bool read_own(void *ctx, ct_u64 addr, void *buf, size_t len)
{
	static int fd = -1;

	(void)ctx;
	if (fd < 0)
		fd = ct_mem_open(getpid());
	return ct_mem_read(fd, addr, buf, len);
}
static const struct ct_dwarf_memory memory = {.read = read_own};

static void add_modules(void)
{
	struct ct_maps maps;

	dw = ct_dwarf_create(NULL);
	cr_assert(dw);
	cr_assert_eq(ct_maps_read(getpid(), &maps, NULL), 0);
	ct_dwarf_begin(dw);
	for (size_t i = 0; i < maps.count; i++)
		if (maps.map[i].name[0] == '/' && !maps.map[i].offset)
			ct_dwarf_add(dw, maps.map[i].name, open(maps.map[i].name, O_RDONLY | O_CLOEXEC),
				     maps.map[i].start);
	ct_dwarf_end(dw);
	ct_maps_deinit(&maps);
}

/* The frames from here on, as they are. */
static __attribute__((noinline)) void look(void)
{
	static const int at[CT_DW_REGS] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
					   REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
					   REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
	struct ct_dwarf_regs regs = {.known = (1u << CT_DW_REGS) - 1};
	struct ct_error err;
	ucontext_t uc;

	per_thread++;

	line_of_context = __LINE__ + 1;
	getcontext(&uc);
	for (int i = 0; i < CT_DW_REGS; i++)
		regs.r[i] = (ct_u64)uc.uc_mcontext.gregs[at[i]];
	regs.fs_base = (ct_u64)(size_t)__builtin_thread_pointer();
	cr_assert_eq(ct_dwarf_unwind(dw, &regs, &memory, 200, &stack, &err), 0, "%s", err.msg);
	inside();
}

static __attribute__((noinline)) long recurse(volatile struct thing *t, volatile int depth)
{
	volatile long mine = depth * 100;

	if (depth)
		return recurse(t, depth - 1) + mine;
	look();
	return mine + t->number;
}

static struct ct_dwarf_place place(size_t frame)
{
	return (struct ct_dwarf_place){.d = dw, .mem = &memory, .stack = &stack, .frame = frame};
}

static const char *shown(size_t frame, const char *expression)
{
	const struct ct_dwarf_place p = place(frame);
	static char text[1000];
	struct ct_dwarf_value v;
	struct ct_error err = {0};

	if (ct_dwarf_eval(&p, expression, &v, &err))
		return strcpy(text, err.msg);
	ct_dwarf_text(&p, &v, text, sizeof(text));
	return text;
}

TestSuite(dwarf, .init = add_modules);

#define INSIDE(name)                                                                                                   \
	static void name##_inside(void);                                                                               \
	Test(dwarf, name)                                                                                              \
	{                                                                                                              \
		inside = name##_inside;                                                                                \
		recurse(&global_thing, 3);                                                                             \
	}                                                                                                              \
	static void name##_inside(void)

INSIDE(stack)
{
	static const char *const names[] = {"look", "recurse", "recurse", "recurse", "recurse"};

	cr_assert_geq(stack.n, 6, "and who called");
	for (size_t i = 0; i < 5; i++)
		cr_assert_str_eq(stack.frame[i].name, names[i], "frame %zu: %s", i, stack.frame[i].name);
	cr_assert(stack.frame[0].has_line && strstr(stack.frame[0].line.file, "/tests/unit/test_dwarf.c"));
	cr_assert_eq(stack.frame[0].line.line, line_of_context);
	cr_assert(stack.whole, "%s", stack.why);
	cr_assert_lt(stack.frame[1].cfa, stack.frame[2].cfa);
}

INSIDE(values)
{
	cr_assert_str_eq(shown(1, "mine"), "0");
	cr_assert_str_eq(shown(3, "mine"), "200");
	cr_assert_str_eq(shown(2, "mine + 1"), "101");
	cr_assert_str_eq(shown(0, "global_thing.in.a"), "{1, 2, 3}");
	cr_assert_str_eq(shown(0, "global_thing.in.a[1] * 10 + *global_thing.in.a"), "21");
	cr_assert_str_eq(shown(0, "global_thing.number"), "-7");
	cr_assert_str_eq(shown(0, "global_thing.low"), "5");
	cr_assert_str_eq(shown(0, "global_thing.high"), "2748");
	cr_assert_str_eq(shown(0, "global_thing.negative"), "-3");
	cr_assert_str_eq(shown(0, "global_thing.color"), "GREEN");
	cr_assert_str_eq(shown(0, "global_thing.text"), "\"seven7\"");
	cr_assert_str_eq(shown(0, "global_thing.f * 2"), "3");
	cr_assert_str_eq(shown(0, "global_thing.next->next->in.a[2]"), "3");
	cr_assert_str_eq(shown(0, "&global_thing == global_thing.next && sizeof(global_thing.in.a) == 12"), "1");
	cr_assert_str_eq(shown(0, "global_thing.text == \"seven7\""), "1");
	cr_assert_str_eq(shown(0, "*(&global_thing.in.a[0] + 2)"), "3");
	cr_assert_str_eq(shown(0, "&global_thing.in.a[2] - global_thing.in.a"), "2");
	cr_assert_str_eq(shown(0, "$rsp == 0 || 1 / 0 == 2 && 0"),
			 "a division by zero, or one whose result is too large");
	cr_assert_str_eq(shown(0, "0 && 1 / 0"), "0");
	cr_assert_str_eq(shown(0, "per_thread"), "42");
	cr_assert(strstr(shown(0, "global_thing.in.name"), " \"na\\\"me\\n\""), "%s", shown(0, "global_thing.in.name"));
	cr_assert(strstr(shown(0, "global_thing.nothing"), "has no member 'nothing'"));
	cr_assert(strstr(shown(0, "global_thing.in.a[3]"), "there is no element 3"));
	cr_assert(strstr(shown(0, "look()"), "cannot be called"));
	cr_assert(strstr(shown(0, "global_thing.low = 3"), "nothing can be changed"));
	cr_assert(strstr(shown(0, "*(global_thing.number)"), "not a pointer"));
	cr_assert(strstr(shown(0, "nowhere"), "no variable 'nowhere'"));
	cr_assert(strstr(shown(0, "(1"), "missing"));
	cr_assert(strstr(shown(0, "((((((((((((((((((((((((((((((((((((((((1"), "too deep"));
}

INSIDE(children)
{
	const struct ct_dwarf_place p = place(0);
	struct ct_error err = {0};
	struct ct_dwarf_child child;
	struct ct_dwarf_value v;
	char type[64];
	bool indexed;

	cr_assert_eq(ct_dwarf_eval(&p, "global_thing", &v, &err), 0, "%s", err.msg);
	cr_assert_eq(ct_dwarf_children(&p, &v, &indexed), 9);
	cr_assert(!indexed);
	cr_assert(ct_dwarf_child(&p, &v, 7, &child));
	cr_assert_str_eq(child.name, "text");
	cr_assert(!ct_dwarf_child(&p, &v, 9, &child));
	cr_assert(ct_dwarf_child(&p, &v, 6, &child));
	ct_dwarf_type_name(&child.value, type, sizeof(type));
	cr_assert_str_eq(type, "struct thing *");
	cr_assert_eq(ct_dwarf_children(&p, &child.value, &indexed), 9, "a pointer has what it points to");
	cr_assert_eq(ct_dwarf_eval(&p, "global_thing.in.a", &v, NULL), 0);
	cr_assert_eq(ct_dwarf_children(&p, &v, &indexed), 3);
	cr_assert(indexed && ct_dwarf_child(&p, &v, 2, &child));
	cr_assert_str_eq(child.name, "[2]");
}

static bool this_file(void *ctx, const char *file)
{
	(void)ctx;
	return strstr(file, "/tests/unit/test_dwarf.c") != NULL;
}

INSIDE(lines_and_functions)
{
	struct ct_dwarf_list found = {0};
	struct ct_dwarf_line line;
	struct ct_dwarf_function f;
	ct_u32 actual;
	char name[64];

	cr_assert_eq(ct_dwarf_find_line(dw, this_file, NULL, (ct_u32)line_of_context, &actual, &found, NULL), 0);
	cr_assert_eq(found.n, 1);
	cr_assert_eq(actual, line_of_context);
	cr_assert(ct_dwarf_line_at(dw, found.addr[0], &line) && line.line == line_of_context);
	cr_assert(ct_dwarf_function_at(dw, found.addr[0], &f));
	cr_assert_str_eq(f.name, "look");
	found.n = 0;
	cr_assert_eq(ct_dwarf_find_line(dw, this_file, NULL, 1, &actual, &found, NULL), 0);
	cr_assert_gt(actual, 30, "the first line with code");
	found.n = 0;
	cr_assert_eq(ct_dwarf_find_functions(dw, "recurse", &found, NULL), 0);
	cr_assert_eq(found.n, 1);
	cr_assert_geq(found.addr[0], (ct_u64)(size_t)recurse);
	ct_dwarf_name_address(dw, (ct_u64)(size_t)recurse + 1, name, sizeof(name));
	cr_assert_str_eq(name, "recurse+0x1");
	found.n = 0;
	cr_assert_eq(ct_dwarf_find_functions(dw, "no_such_function", &found, NULL), 0);
	cr_assert_eq(found.n, 0);
	cr_assert_eq(ct_dwarf_find_functions(dw, "getcontext", &found, NULL), 0);
	cr_assert_geq(found.n, 1, "a symbol without debug information");
	ct_dwarf_list_free(&found);
}
