/* SPDX-License-Identifier: MIT
 * ctbpf.h and the kernel side agree on what lies where; the header's probes are found by their notes. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "ctbpf.h"
#include "formats/call_probe.h"
#include "user/calls.h"

#define SAME(a, b, member)                                                                                             \
	cr_expect_eq(offsetof(struct a, member), offsetof(struct b, member), "%s", #member);                           \
	cr_expect_eq(sizeof(((struct a *)0)->member), sizeof(((struct b *)0)->member), "%s", #member)

Test(sdk, structs_are_the_same)
{
	SAME(ctbpf_function, ct_told_function, name);
	SAME(ctbpf_function, ct_told_function, file);
	SAME(ctbpf_function, ct_told_function, language);
	SAME(ctbpf_function, ct_told_function, line);
	SAME(ctbpf_value, ct_told_value, function);
	SAME(ctbpf_value, ct_told_value, name);
	SAME(ctbpf_value, ct_told_value, type);
	SAME(ctbpf_value, ct_told_value, data);
	SAME(ctbpf_value, ct_told_value, len);
	SAME(ctbpf_value, ct_told_value, number);
	SAME(ctbpf_value, ct_told_value, depth);
	SAME(ctbpf_value, ct_told_value, role);
	SAME(ctbpf_value, ct_told_value, kind);
	SAME(ctbpf_batch, ct_told_lines, function);
	SAME(ctbpf_batch, ct_told_lines, depth);
	SAME(ctbpf_batch, ct_told_lines, count);
	SAME(ctbpf_batch, ct_told_lines, line);
	cr_expect_eq((int)CTBPF_BYTES, (int)CT_KIND_BYTES);
	cr_expect_eq((int)CTBPF_FLOAT, (int)CT_KIND_FLOAT);
	cr_expect_eq((int)CTBPF_ARGUMENT, (int)CT_ROLE_ARGUMENT);
	cr_expect_eq((int)CTBPF_RESULT, (int)CT_ROLE_RESULT);
	cr_expect_eq((int)CTBPF_OUT, (int)CT_DIRECTION_OUT);
}

Test(sdk, probes_are_nops_with_a_word_of_their_own)
{
	static const unsigned char nop[] = {0x0f, 0x1f, 0x44, 0, 0, 0xc3};
	unsigned char code[sizeof(nop)];
	struct ct_told_sites sites;
	ct_u16 word = 1;
	int fd = open("/proc/self/exe", O_RDONLY);

	CTBPF_FUNCTION();
	CTBPF_LINE();
	cr_assert_eq(ct_told_find(fd, &sites), 1);
	for (int i = 0; i < CT_TOLD_PROBES; i++) {
		cr_expect_eq(pread(fd, code, sizeof(code), (off_t)sites.offset[i]), (ssize_t)sizeof(code));
		cr_expect_arr_eq(code, nop, sizeof(nop), "probe %d", i);
		cr_expect_eq(pread(fd, &word, sizeof(word), (off_t)sites.semaphore[i]), (ssize_t)sizeof(word));
		cr_expect_eq(word, 0);
		for (int k = 0; k < i; k++)
			cr_expect_neq(sites.semaphore[i], sites.semaphore[k]);
	}
	cr_expect_eq(ct_told_find(open("/dev/null", O_RDONLY), &sites), 0);
	cr_expect_eq(ctbpf_values_wanted(), 0);
	close(fd);
}
