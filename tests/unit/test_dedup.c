// SPDX-License-Identifier: MIT
/* Repeated bytes: inline twice, named from then on; everything else about a record stays. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "user/dedup.h"

#define BIG (CT_DEDUP_MIN + 5)

static struct {
	unsigned char data[BIG];
	size_t len;
	int count;
} asked;

static void keep(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	cr_assert_leq(len, sizeof(asked.data));
	memcpy(asked.data, data, len);
	asked.len = len;
	asked.count++;
}

static unsigned char record[4 * BIG] __attribute__((aligned(8)));

/* A read with a small buffer, a big one filled with `fill`, and a string passed in. */
static const struct ct_event *make(unsigned char fill, ct_u16 flags)
{
	struct ct_event *ev = (struct ct_event *)record;
	struct ct_ev_syscall *s = (void *)(ev + 1);
	unsigned char *at = (unsigned char *)(s + 1);
	const struct ct_buf bufs[3] = {
		{.addr = 0x1000, .len = 16, .want = 16, .kind = CT_BUF_OUT, .arg = 2},
		{.addr = 0x2000, .len = BIG, .want = BIG, .kind = CT_BUF_OUT, .arg = 1, .flags = flags},
		{.addr = 0x3000, .len = 3, .want = 3, .kind = CT_BUF_IN, .arg = 0},
	};

	memset(record, 0, sizeof(record));
	for (int i = 0; i < 3; i++) {
		memcpy(at, &bufs[i], sizeof(bufs[i]));
		memset(at + sizeof(bufs[i]), i == 1 ? fill : 7, bufs[i].len);
		at += (sizeof(bufs[i]) + bufs[i].len + 7) & ~7ul;
	}
	*s = (struct ct_ev_syscall){.ret = BIG, .nr = 0, .nbufs = 3};
	*ev = (struct ct_event){.size = at - record, .type = CT_EV_SYSCALL, .pid = 1, .tid = 2, .seq = 9};
	cr_assert_eq(ct_event_check(ev, ev->size, NULL), 0);
	return ev;
}

static struct ct_dedup *d;
static void create(void)
{
	d = ct_dedup_create(keep, NULL);
	cr_assert_not_null(d);
	memset(&asked, 0, sizeof(asked));
}
static void destroy(void)
{
	ct_dedup_destroy(d);
}
TestSuite(dedup, .init = create, .fini = destroy);

Test(dedup, the_second_time_asks_once)
{
	for (int i = 1; i <= 4; i++) {
		const struct ct_event *ev = make('a', 0);
		cr_expect_eq(ct_dedup_rewrite(d, ev), ev);
		cr_expect_eq(asked.count, i >= 2);
	}
	cr_expect_eq(asked.len, BIG);
	cr_expect_eq(asked.data[0], 'a');
	cr_expect_eq(asked.data[BIG - 1], 'a');
}

Test(dedup, kept_bytes_are_named_and_the_rest_stays)
{
	const ct_u8 hash[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	const struct ct_event *ev = make('a', 0), *out;
	struct ct_file_ref ref, want;
	struct ct_buf_iter it;
	unsigned char data[BIG];

	memset(data, 'a', sizeof(data));
	ct_dedup_kept(d, data, BIG, hash);
	out = ct_dedup_rewrite(d, ev);
	cr_assert_neq(out, ev);
	cr_expect_eq(ct_event_check(out, out->size, NULL), 0);
	cr_expect_lt(out->size, 400u);
	cr_expect_eq(out->seq, 9u);
	cr_expect_eq(out->tid, 2u);
	it = ct_buf_iter(out);
	cr_assert(ct_buf_next(&it));
	cr_expect_eq(it.buf->len, 16u);
	cr_expect_eq(it.data[15], 7);
	cr_assert(ct_buf_next(&it));
	cr_expect_eq(it.buf->kind, CT_BUF_FILE);
	cr_expect_eq(it.buf->want, BIG);
	cr_expect_eq(it.buf->addr, 0x2000u);
	cr_expect_eq(it.buf->arg, 1);
	memcpy(&ref, it.data, sizeof(ref));
	ct_dedup_ref(&want, hash, BIG);
	want.len = BIG;
	cr_expect_eq(memcmp(&ref, &want, sizeof(ref)), 0);
	cr_assert(ct_buf_next(&it));
	cr_expect_eq(it.buf->kind, CT_BUF_IN);
	cr_expect_eq(it.data[2], 7);
	cr_expect_not(ct_buf_next(&it));
}

Test(dedup, other_bytes_of_the_same_length_are_not_named)
{
	const ct_u8 hash[16] = {1};
	unsigned char data[BIG];
	const struct ct_event *ev;

	memset(data, 'a', sizeof(data));
	ct_dedup_kept(d, data, BIG, hash);
	data[BIG - 1] = 'b';
	ev = make('b', 0);
	cr_expect_eq(ct_dedup_rewrite(d, ev), ev);
	ev = make('a', 0);
	record[sizeof(struct ct_event) + sizeof(struct ct_ev_syscall) + 2 * sizeof(struct ct_buf) + 16 + 4000] ^= 1;
	cr_expect_eq(ct_dedup_rewrite(d, ev), ev);
}

Test(dedup, chunked_buffers_and_other_records_are_left_alone)
{
	const struct ct_event *ev = make('a', CT_BUFF_CHUNKED);

	for (int i = 0; i < 3; i++)
		cr_expect_eq(ct_dedup_rewrite(d, ev), ev);
	ev = make('a', 0);
	((struct ct_event *)record)->type = CT_EV_DATA;
	for (int i = 0; i < 3; i++)
		cr_expect_eq(ct_dedup_rewrite(d, ev), ev);
	cr_expect_eq(asked.count, 0);
}

Test(dedup, a_full_table_forgets)
{
	struct ct_event *ev = (struct ct_event *)make(0, 0);
	unsigned char *big = record + sizeof(*ev) + sizeof(struct ct_ev_syscall) + 2 * sizeof(struct ct_buf) + 16;

	for (unsigned i = 0; i < 40000; i++) {
		memcpy(big, &i, sizeof(i));
		cr_assert_eq(ct_dedup_rewrite(d, ev), ev);
	}
	cr_expect_eq(asked.count, 0);
	cr_expect_eq(ct_dedup_rewrite(d, ev), ev);
	cr_expect_eq(asked.count, 1, "the last is known still");
}
