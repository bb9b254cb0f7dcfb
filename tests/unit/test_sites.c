/* SPDX-License-Identifier: MIT
 * Probe sites of native functions: cheap ones, the only ones, none. */
#include <criterion/criterion.h>
#include <string.h>

#include "user/sites.h"

static struct ct_site entry(const char *code, size_t len)
{
	struct ct_site site;

	ct_site_entry((const ct_u8 *)code, len, &site);
	return site;
}
#define ENTRY(code) entry(code, sizeof(code) - 1)

Test(sites, the_first_cheap_instruction)
{
	cr_expect_eq(ENTRY("\x55\xc3").at, 0, "push %%rbp");
	cr_expect_eq(ENTRY("\x41\x57\xc3").at, 0, "push %%r15");
	cr_expect_eq(ENTRY("\xf3\x0f\x1e\xfa\x55\xc3").at, 4, "endbr64; push %%rbp");
	cr_expect_eq(ENTRY("\x90\xc3").cost, CT_SITE_CHEAP, "nop");
	cr_expect_eq(ENTRY("\xe9\x00\x01\x00\x00").cost, CT_SITE_CHEAP, "jmp elsewhere");
	cr_expect_eq(ENTRY("\x85\xff\x74\x01\x90\xc3").at, 2, "test %%edi, %%edi; je");
}

Test(sites, what_is_on_the_way_may_change_neither_stack_nor_control_flow)
{
	struct ct_site s = ENTRY("\x48\x83\xec\x08\x55\xc3"); /* sub $8, %rsp; push %rbp */

	cr_expect(s.cost == CT_SITE_STEPPED && s.at == 0);
	s = ENTRY("\x5d\x55\xc3"); /* pop %rbp; push %rbp */
	cr_expect_eq(s.cost, CT_SITE_STEPPED);
	s = ENTRY("\xc3"); /* ret */
	cr_expect(s.cost == CT_SITE_STEPPED && s.at == 0);
	s = ENTRY("\xff\xe0\x55"); /* jmp *%rax */
	cr_expect_eq(s.cost, CT_SITE_STEPPED);
}

Test(sites, a_nop_of_five_bytes_is_no_site_but_as_the_first_instruction)
{
	struct ct_site s = ENTRY("\x0f\x1f\x44\x00\x00\x55\xc3");

	cr_expect(s.cost == CT_SITE_CHEAP && s.at == 5, "the push behind it is");
	s = ENTRY("\x0f\x1f\x44\x00\x00\x31\xc0\xc3");
	cr_expect(s.cost == CT_SITE_STEPPED && s.at == 0);
	s = ENTRY("\x31\xc0\x0f\x1f\x44\x00\x00\xc3");
	cr_expect(s.cost == CT_SITE_STEPPED && s.at == 0, "never the one in the middle");
}

Test(sites, arguments_end_before_the_first_that_is_changed)
{
	cr_expect_eq(ENTRY("\x55\xc3").nargs, 6);
	cr_expect_eq(ENTRY("\x31\xd2\x55\xc3").nargs, 2, "xor %%edx, %%edx");
	cr_expect_eq(ENTRY("\x48\x89\xf7\x55\xc3").nargs, 0, "mov %%rsi, %%rdi");
	cr_expect_eq(ENTRY("\x41\xb8\x01\x00\x00\x00\x55\xc3").nargs, 4, "mov $1, %%r8d");
	cr_expect_eq(ENTRY("\x48\x89\xf8\x55\xc3").nargs, 6, "mov %%rdi, %%rax");
}

Test(sites, loops)
{
	/* test %rdi, %rdi; je end; dec %rdi; jmp back to the test: there is no place that is passed once. */
	struct ct_site s = ENTRY("\x48\x85\xff\x74\x05\x48\xff\xcf\xeb\xf6\xc3");

	cr_expect_eq(s.cost, CT_SITE_NONE);
	cr_expect_not_null(s.why);
	/* xor %eax, %eax; then the loop: its branch will not do, the first instruction will. */
	s = ENTRY("\x31\xc0\x48\x85\xff\x74\x05\x48\xff\xcf\xeb\xf6\xc3");
	cr_expect(s.cost == CT_SITE_STEPPED && s.at == 0);
	/* A switch behind a branch may lead anywhere. */
	s = ENTRY("\x85\xff\x74\x02\xff\xe0\xc3");
	cr_expect_eq(s.cost, CT_SITE_STEPPED);
}

Test(sites, no_code)
{
	cr_expect_eq(ENTRY("\x06\x06").cost, CT_SITE_NONE, "not an instruction");
	cr_expect_eq(ENTRY("\xf0\xff\x07\xc3").cost, CT_SITE_NONE, "lock incl (%%rdi)");
	cr_expect_eq(entry("\x55", 0).cost, CT_SITE_NONE, "nothing at all");
}

Test(sites, exits)
{
	struct ct_exit_site e[4];
	/* je 1f; ret; 1: jmp 2f; jmp elsewhere; 2: jmp *%rax; ret */
	static const char code[] = "\x74\x01\xc3\xeb\x05\xe9\x00\x10\x00\x00\xff\xe0\xc3";
	int n = ct_site_exits((const ct_u8 *)code, sizeof(code) - 1, e, 4);

	cr_assert_eq(n, 3);
	cr_expect(e[0].at == 2 && !e[0].jump);
	cr_expect(e[1].at == 5 && e[1].jump && e[1].to == 0x100a);
	cr_expect(e[2].at == 12 && !e[2].jump);
	cr_expect_eq(ct_site_exits((const ct_u8 *)code, sizeof(code) - 1, e, 1), 3, "counted, not stored");
	cr_expect_eq(ct_site_exits((const ct_u8 *)"\xc3\x06", 2, e, 4), -1);
}
