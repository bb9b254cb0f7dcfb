/* SPDX-License-Identifier: MIT
 * Conditions of breakpoints: the programs that gdb sends for them. */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/gdb_cond.h"

static bool reg(void *ctx, ct_u64 number, ct_u64 *value)
{
	(void)ctx;
	*value = number * 10;
	return number < 24;
}

/* Two bytes at 0x1000: -2. */
static bool memory(void *ctx, ct_u64 addr, void *buf, size_t len)
{
	(void)ctx;
	if (addr != 0x1000 || len != 2)
		return false;
	memcpy(buf, "\xfe\xff", 2);
	return true;
}

static const struct ct_gdb_machine machine = {reg, memory, NULL};

static enum ct_gdb_truth run(const char *hex)
{
	struct ct_gdb_text t = {hex, hex + strlen(hex)};
	unsigned char code[256];
	size_t len;

	cr_assert(ct_gdb_bytes(&t, code, sizeof(code), &len), "%s", hex);
	return ct_gdb_evaluate(code, len, &machine);
}

Test(gdb_cond, programs)
{
	static const struct {
		const char *code;
		enum ct_gdb_truth is;
	} rows[] = {
		{"220127", CT_GDB_TRUE},
		{"220027", CT_GDB_FALSE},
		{"26000722461327", CT_GDB_TRUE},           /* $7 == 70 */
		{"2600072246130e27", CT_GDB_FALSE},        /* ! */
		{"260018220127", CT_GDB_UNKNOWN},          /* no such register */
		{"23100018161022ff16081427", CT_GDB_TRUE}, /* *(short *)0x1000 < (char)0xff: -2 < -1 */
		{"231000182a1022ff1427", CT_GDB_FALSE},    /* 0xfffe < 255 */
		{"231000182a1022ff1527", CT_GDB_FALSE},    /* ... unsigned */
		{"231001181427", CT_GDB_UNKNOWN},          /* memory that is not there */
		{"220722020222090413", CT_GDB_UNKNOWN},    /* no end */
		{"22072202032205132727", CT_GDB_TRUE},     /* 7 - 2 == 5 */
		{"2207220205220313"
		 "27",
		 CT_GDB_TRUE}, /* 7 / 2 == 3 */
		{"2207220008"
		 "27",
		 CT_GDB_UNKNOWN}, /* 7 % 0 */
		{"258000000000000000"
		 "22ff1608"
		 "0527",
		 CT_GDB_TRUE}, /* the least number / -1: no trap */
		{"258000000000000000"
		 "22ff1608"
		 "0727",
		 CT_GDB_FALSE},
		{"2201"
		 "223f09"
		 "223f0a"
		 "22ff1608"
		 "1327",
		 CT_GDB_TRUE}, /* 1 << 63 >> 63 == -1 */
		{"2201"
		 "223f09"
		 "22400b"
		 "27",
		 CT_GDB_FALSE},
		{"2201"
		 "200006"
		 "27"
		 "220027",
		 CT_GDB_FALSE},
		{"2201"
		 "200008"
		 "2200"
		 "27"
		 "220527",
		 CT_GDB_TRUE},
		{"2200"
		 "200008"
		 "2200"
		 "27"
		 "220527",
		 CT_GDB_FALSE},
		{"210000", CT_GDB_UNKNOWN}, /* a loop */
		{"21ffff", CT_GDB_UNKNOWN},
		{"2201"
		 "2202"
		 "2b"
		 "29"
		 "22021327",
		 CT_GDB_TRUE}, /* swap, pop */
		{"2201"
		 "2202"
		 "2203"
		 "33"
		 "22021327",
		 CT_GDB_TRUE}, /* a b c -> c a b */
		{"2201"
		 "2202"
		 "2203"
		 "3202"
		 "22011327",
		 CT_GDB_TRUE}, /* the third from above */
		{"3200", CT_GDB_UNKNOWN},
		{"02", CT_GDB_UNKNOWN},
		{"28", CT_GDB_UNKNOWN},
		{"27", CT_GDB_UNKNOWN},
		{"22", CT_GDB_UNKNOWN},
		{"ff", CT_GDB_UNKNOWN},
		{"0c", CT_GDB_UNKNOWN}, /* traces memory: no condition */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(run(rows[i].code), rows[i].is, "%s: not %d", rows[i].code, rows[i].is);
}

Test(gdb_cond, stack_ends)
{
	char code[2 * 4 * 200 + 1] = "";

	for (int i = 0; i < 200; i++)
		strcat(code, "2201");
	cr_assert_eq(run("2201"), CT_GDB_UNKNOWN);
	code[400] = 0;
	cr_assert_eq(run(strcat(code, "27")), CT_GDB_TRUE);
	strcpy(code + 400, "220127");
	cr_assert_eq(run(code), CT_GDB_UNKNOWN);
}

Test(gdb_cond, lists)
{
	static const struct {
		const char *list;
		bool met;
	} rows[] = {
		{"", true},
		{";X3,220127", true},
		{";X3,220027", false},
		{";X3,220027X3,220127", true},
		{";X3,220027;X3,220027", false},
		{";X3,2200", true}, /* gdb is to look for itself */
		{";X,", true},
		{";Xffffffffffffffff,00", true},
		{";X7,2600182201"
		 "2727",
		 true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(ct_gdb_conditions_met(
				     (struct ct_gdb_text){rows[i].list, rows[i].list + strlen(rows[i].list)}, &machine),
			     rows[i].met, "%s", rows[i].list);
}
