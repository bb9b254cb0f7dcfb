/* SPDX-License-Identifier: MIT
 * Event records: what ct_event_check takes and rejects, and the walk over buffers.
 *
 * Records under test lie in exactly-sized heap blocks, so that memory checkers see a read beyond the end. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "formats/syscalls.h"

struct rec {
	union {
		struct ct_event ev;
		unsigned char b[16384];
	};
};

static struct rec rec_new(unsigned type, const void *content, size_t len)
{
	struct rec r = {.ev = {.size = (ct_u32)(sizeof(r.ev) + len), .type = (ct_u16)type, .seq = 9}};
	memcpy(r.b + sizeof(r.ev), content, len);
	return r;
}

static void rec_add(struct rec *r, const void *data, size_t len)
{
	cr_assert_leq(r->ev.size + len, sizeof(r->b));
	memcpy(r->b + r->ev.size, data, len);
	r->ev.size += (ct_u32)len;
}

static void rec_buf(struct rec *r, struct ct_buf b, const void *data)
{
	r->ev.size = (r->ev.size + 7) & ~7u;
	rec_add(r, &b, sizeof(b));
	if (b.len)
		rec_add(r, data, b.len);
}

/* Checks a copy that has not a byte more than `avail`. */
static int check_in(const struct rec *r, size_t avail, struct ct_error *err)
{
	void *copy = calloc(1, avail ? avail : 1);
	memcpy(copy, r, avail);
	int ret = ct_event_check(copy, avail, err);
	free(copy);
	return ret;
}
static int check(const struct rec *r)
{
	return check_in(r, r->ev.size, NULL);
}

#define REC(type, content) rec_new(type, &(content), sizeof(content))

static struct rec syscall_with_buffers(void)
{
	struct ct_ev_syscall s = {.ret = 5, .nbufs = 5};
	struct ct_file_ref ref = {.len = 10};
	struct ct_regs regs = {0};
	struct rec r = REC(CT_EV_SYSCALL, s);
	rec_buf(&r, (struct ct_buf){.addr = 16, .len = 5, .want = 5, .kind = CT_BUF_OUT, .arg = 1}, "hello");
	rec_buf(&r, (struct ct_buf){.addr = 32, .len = 3, .want = 300, .kind = CT_BUF_IN, .arg = 5}, "abc");
	rec_buf(&r, (struct ct_buf){.addr = 48, .want = 4096, .kind = CT_BUF_FAULT}, NULL);
	rec_buf(&r, (struct ct_buf){.addr = 64, .len = sizeof(ref), .want = 10, .kind = CT_BUF_FILE}, &ref);
	rec_buf(&r, (struct ct_buf){.len = sizeof(regs), .want = sizeof(regs), .kind = CT_BUF_REGS}, &regs);
	return r;
}

static struct rec switch_with_everything(void)
{
	static struct ct_fingerprint fp;
	static struct ct_fpu fpu;
	struct ct_ev_switch sw = {.flags = CT_SWF_USER | CT_SWF_FPU};
	struct rec r = REC(CT_EV_SWITCH, sw);
	rec_add(&r, &fp, sizeof(fp));
	rec_add(&r, &fpu, sizeof(fpu));
	return r;
}

Test(event, every_type_has_a_name_and_back)
{
	for (unsigned t = CT_EV_SYSCALL; t <= CT_EV_PAUSE; t++)
		cr_expect_eq(ct_event_type_by_name(ct_event_type_name(t)), t);
	cr_expect_str_eq(ct_event_type_name(CT_EV_SYSCALL), "syscall");
	cr_expect_null(ct_event_type_name(0));
	cr_expect_null(ct_event_type_name(CT_EV_PAUSE + 1));
	cr_expect_eq(ct_event_type_by_name("nonsense"), 0);
}

Test(event, fixed_records_must_have_exactly_their_size)
{
	static const struct {
		unsigned type;
		size_t len;
	} fixed[] = {
		{CT_EV_FORK, sizeof(struct ct_ev_fork)},       {CT_EV_EXEC, sizeof(struct ct_ev_exec)},
		{CT_EV_EXIT, sizeof(struct ct_ev_exit)},       {CT_EV_RSEQ, sizeof(struct ct_ev_rseq)},
		{CT_EV_INSN, sizeof(struct ct_ev_insn)},       {CT_EV_SNAPSHOT, sizeof(struct ct_ev_snapshot)},
		{CT_EV_LOST, sizeof(struct ct_ev_lost)},       {CT_EV_END, sizeof(struct ct_ev_end)},
		{CT_EV_SYSCALL, sizeof(struct ct_ev_syscall)}, {CT_EV_ENTER, sizeof(struct ct_ev_enter)},
		{CT_EV_FRAME, sizeof(struct ct_ev_frame)},     {CT_EV_SIGNAL, sizeof(struct ct_ev_signal)},
		{CT_EV_SWITCH, sizeof(struct ct_ev_switch)},   {CT_EV_FILE, sizeof(struct ct_ev_file)},
		{CT_EV_UNSOUND, sizeof(struct ct_ev_text)},    {CT_EV_NOTE, sizeof(struct ct_ev_text)},
		{CT_EV_DATA, sizeof(struct ct_ev_data)},       {CT_EV_RETURN, sizeof(struct ct_ev_return)},
		{CT_EV_LINES, sizeof(struct ct_ev_lines)},     {CT_EV_VALUE, sizeof(struct ct_ev_value)},
		{CT_EV_MESSAGE, sizeof(struct ct_ev_message)}, {CT_EV_PAUSE, sizeof(struct ct_ev_pause)},
	};
	static const unsigned char zero[512];
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		struct rec r = rec_new(fixed[i].type, zero, fixed[i].len);
		cr_expect_eq(check(&r), 0, "type %u", fixed[i].type);
		r.ev.size -= 1;
		cr_expect_eq(check(&r), -1, "type %u", fixed[i].type);
		r.ev.size += 9;
		cr_expect_eq(check(&r), -1, "type %u", fixed[i].type);
	}
}

Test(event, functions_and_calls)
{
	struct {
		struct ct_ev_function f;
		char text[8];
	} f = {.f = {.id = 1, .name_len = 3, .file_len = 5}};
	struct {
		struct ct_ev_call c;
		ct_u64 arg[CT_CALL_NARGS];
	} c = {.c = {.function = 1, .depth = 1, .nargs = CT_CALL_NARGS}};
	struct rec r = REC(CT_EV_FUNCTION, f);

	cr_expect_eq(check(&r), 0);
	f.f.file_len = 6;
	r = REC(CT_EV_FUNCTION, f);
	cr_expect_eq(check(&r), -1);
	f.f.file_len = 5;
	f.f.id = 0;
	r = REC(CT_EV_FUNCTION, f);
	cr_expect_eq(check(&r), -1);

	r = REC(CT_EV_CALL, c);
	cr_expect_eq(check(&r), 0);
	c.c.nargs = CT_CALL_NARGS - 1;
	r = REC(CT_EV_CALL, c);
	cr_expect_eq(check(&r), -1);
	c.c.nargs = CT_CALL_NARGS + 1;
	r = REC(CT_EV_CALL, c);
	cr_expect_eq(check(&r), -1);
	/* What is behind the path is the name of the language, if it has one of its own. */
	f.f.id = 1;
	f.f.name_len = f.f.file_len = 0;
	r = REC(CT_EV_FUNCTION, f);
	cr_expect_eq(check(&r), -1);
	f.f.language = CT_LANGUAGE_NAMED;
	r = REC(CT_EV_FUNCTION, f);
	cr_expect_eq(check(&r), 0);
	c.c.nargs = CT_CALL_NARGS;
	c.c.depth = 0;
	r = REC(CT_EV_CALL, c);
	cr_expect_eq(check(&r), -1);
}

Test(event, what_programs_tell_of_themselves)
{
	struct {
		struct ct_ev_lines l;
		ct_u32 line[3];
	} l = {.l = {.function = 1, .depth = 1, .count = 3}};
	struct {
		struct ct_ev_value v;
		char text[8];
	} v = {.v = {.kind = CT_KIND_STRING, .name_len = 1, .type_len = 3, .data_len = 4}};
	struct {
		struct ct_ev_message m;
		char text[8];
	} m = {.m = {.topic_len = 2, .data_len = 6}};
	struct rec r = rec_new(CT_EV_LINES, &l, sizeof(l.l) + 12);

	cr_expect_eq(check(&r), 0);
	l.l.count = 4;
	r = rec_new(CT_EV_LINES, &l, sizeof(l.l) + 12);
	cr_expect_eq(check(&r), -1);
	r = REC(CT_EV_VALUE, v);
	cr_expect_eq(check(&r), 0);
	v.v.data_len = 5;
	r = REC(CT_EV_VALUE, v);
	cr_expect_eq(check(&r), -1);
	v.v.data_len = 4;
	v.v.kind = CT_KINDS;
	r = REC(CT_EV_VALUE, v);
	cr_expect_eq(check(&r), -1);
	r = REC(CT_EV_MESSAGE, m);
	cr_expect_eq(check(&r), 0);
	m.m.topic_len = 3;
	r = REC(CT_EV_MESSAGE, m);
	cr_expect_eq(check(&r), -1);
}

Test(event, header_is_checked_first)
{
	struct ct_ev_exit e = {0};
	struct ct_error err = {0};
	struct rec r = REC(CT_EV_EXIT, e);
	cr_expect_eq(check_in(&r, 0, &err), -1);
	cr_expect_eq(check_in(&r, sizeof(r.ev) - 1, &err), -1);
	cr_expect_eq(check_in(&r, r.ev.size - 1, &err), -1);
	cr_expect_not_null(strstr(err.msg, "event 9 (exit)"), "%s", err.msg);
	r.ev.size = sizeof(r.ev) - 1;
	cr_expect_eq(check_in(&r, 100, &err), -1);
	r.ev.size = CT_EVENT_MAX + 1;
	cr_expect_eq(check_in(&r, 100, &err), -1);
	r = REC(CT_EV_EXIT, e);
	r.ev.type = CT_EV_PAUSE + 1;
	cr_expect_eq(check(&r), -1);
	r.ev.type = 0;
	cr_expect_eq(check(&r), -1);
}

Test(event, buffers_are_walked_in_order)
{
	struct rec r = syscall_with_buffers();
	static const unsigned kinds[] = {CT_BUF_OUT, CT_BUF_IN, CT_BUF_FAULT, CT_BUF_FILE, CT_BUF_REGS};
	unsigned n = 0;
	cr_assert_eq(check(&r), 0);
	for (struct ct_buf_iter it = ct_buf_iter(&r.ev); ct_buf_next(&it); n++) {
		cr_assert_lt(n, 5);
		cr_expect_eq(it.buf->kind, kinds[n]);
		if (n == 0)
			cr_expect_eq(memcmp(it.data, "hello", 5), 0);
		if (n == 1)
			cr_expect_eq(memcmp(it.data, "abc", 3), 0);
	}
	cr_expect_eq(n, 5);
	struct ct_ev_exit e = {0};
	r = REC(CT_EV_EXIT, e);
	struct ct_buf_iter it = ct_buf_iter(&r.ev);
	cr_expect_not(ct_buf_next(&it));
}

Test(event, padding_of_the_last_buffer_may_be_there_or_not)
{
	struct ct_ev_syscall s = {.nbufs = 1};
	struct rec r = REC(CT_EV_SYSCALL, s);
	rec_buf(&r, (struct ct_buf){.len = 5, .want = 5, .kind = CT_BUF_OUT}, "hello");
	cr_expect_eq(check(&r), 0);
	rec_add(&r, "\0\0\0", 3);
	cr_expect_eq(check(&r), 0);
	rec_add(&r, "\0", 1);
	cr_expect_eq(check(&r), -1);
}

Test(event, damaged_buffers_are_rejected)
{
	static const struct ct_buf bad[] = {
		{.kind = 0},
		{.kind = CT_BUF_PATH + 1},
		{.kind = CT_BUF_OUT, .arg = 6},
		{.kind = CT_BUF_OUT, .flags = 2},
		{.kind = CT_BUF_OUT, .len = 8, .want = 9},
		{.kind = CT_BUF_OUT, .len = 8, .want = 7},
		{.kind = CT_BUF_OUT, .len = 8, .want = 7, .flags = CT_BUFF_CHUNKED},
		{.kind = CT_BUF_OUT, .len = 0xfffffff0, .want = 0xfffffff0},
		{.kind = CT_BUF_FAULT, .len = 8, .want = 8},
		{.kind = CT_BUF_FILE, .len = 8, .want = 8},
		{.kind = CT_BUF_REGS, .len = 8, .want = 8},
	};
	static const unsigned char data[64];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ct_ev_syscall s = {.nbufs = 1};
		struct rec r = REC(CT_EV_SYSCALL, s);
		rec_add(&r, &bad[i], sizeof(bad[i]));
		rec_add(&r, data, bad[i].len < sizeof(data) ? bad[i].len : 8);
		cr_expect_eq(check(&r), -1, "case %zu", i);
	}
	struct rec r = syscall_with_buffers();
	((struct ct_ev_syscall *)(r.b + sizeof(r.ev)))->nbufs = 6;
	cr_expect_eq(check(&r), -1);
	((struct ct_ev_syscall *)(r.b + sizeof(r.ev)))->nbufs = 4;
	cr_expect_eq(check(&r), -1);
}

Test(event, chunked_buffers_have_their_data_elsewhere)
{
	struct ct_ev_syscall s = {.nbufs = 1};
	struct rec r = REC(CT_EV_SYSCALL, s);
	rec_buf(&r, (struct ct_buf){.want = 1 << 20, .kind = CT_BUF_OUT, .flags = CT_BUFF_CHUNKED}, NULL);
	cr_expect_eq(check(&r), 0);
}

Test(event, data_records)
{
	struct ct_ev_data d = {.len = 3};
	struct rec r = REC(CT_EV_DATA, d);
	cr_expect_eq(check(&r), -1);
	rec_add(&r, "abc", 3);
	cr_expect_eq(check(&r), 0);
	d.flags = CT_BUF_FAULT;
	r = REC(CT_EV_DATA, d);
	cr_expect_eq(check(&r), 0);
}

Test(event, fingerprints_and_fpu_follow_their_flags)
{
	struct rec r = switch_with_everything();
	cr_assert_eq(check(&r), 0);
	size_t fp = sizeof(r.ev) + sizeof(struct ct_ev_switch);
	cr_expect_eq((const void *)ct_event_fingerprint(&r.ev), r.b + fp);
	cr_expect_eq((const void *)ct_event_fpu(&r.ev), r.b + fp + sizeof(struct ct_fingerprint));
	((struct ct_fingerprint *)(r.b + fp))->noperands = CT_FP_HARVEST + 1;
	cr_expect_eq(check(&r), -1);

	struct ct_ev_switch sw = {.flags = CT_SWF_INSYS};
	r = REC(CT_EV_SWITCH, sw);
	cr_expect_null(ct_event_fingerprint(&r.ev));
	cr_expect_null(ct_event_fpu(&r.ev));
	struct ct_ev_signal sig = {.flags = CT_SIGF_ASYNC};
	r = REC(CT_EV_SIGNAL, sig);
	cr_expect_eq(check(&r), -1);
}

Test(event, texts)
{
	struct ct_ev_text t = {.text_len = 5};
	struct ct_ev_file f = {.path_len = 4};
	size_t len;
	struct rec r = REC(CT_EV_NOTE, t);
	rec_add(&r, "hello", 5);
	cr_assert_eq(check(&r), 0);
	cr_expect_eq(memcmp(ct_event_text(&r.ev, &len), "hello", 5), 0);
	cr_expect_eq(len, 5);
	r = REC(CT_EV_FILE, f);
	rec_add(&r, "/etc", 4);
	cr_assert_eq(check(&r), 0);
	cr_expect_eq(memcmp(ct_event_text(&r.ev, &len), "/etc", 4), 0);
	r.ev.type = CT_EV_FORK;
	cr_expect_null(ct_event_text(&r.ev, &len));
}

static volatile unsigned sink;

/* What a user of a checked record may do. */
static void use(const struct ct_event *ev)
{
	unsigned sum = 0;
	size_t len;
	for (struct ct_buf_iter it = ct_buf_iter(ev); ct_buf_next(&it);)
		for (unsigned i = 0; i < it.buf->len; i++)
			sum += it.data[i];
	const struct ct_fingerprint *fp = ct_event_fingerprint(ev);
	for (unsigned i = 0; fp && i < fp->noperands; i++)
		sum += fp->operand[i].data[15];
	const struct ct_fpu *fpu = ct_event_fpu(ev);
	if (fpu)
		sum += fpu->xsave[sizeof(*fpu) - 1];
	const char *text = ct_event_text(ev, &len);
	for (size_t i = 0; text && i < len; i++)
		sum += (unsigned char)text[i];
	if (ev->type == CT_EV_SYSCALL || ev->type == CT_EV_ENTER) {
		char line[300];
		if (ev->type == CT_EV_SYSCALL)
			ct_syscall_format(ev, 40, line, sizeof(line));
		else
			ct_enter_format(ev, 40, line, sizeof(line));
		sum += (unsigned)strlen(line);
	}
	sink = sum;
}

Test(event, truncated_records_are_rejected_wherever_they_end)
{
	struct rec good[] = {syscall_with_buffers(), switch_with_everything()};
	for (int k = 0; k < 2; k++)
		for (ct_u32 len = 0; len < good[k].ev.size; len += k ? 13 : 1) {
			struct rec r = good[k];
			cr_expect_eq(check_in(&r, len, NULL), -1);
			r.ev.size = len; /* and when the header admits it */
			cr_expect_eq(check_in(&r, len, NULL), -1);
		}
}

Test(event, flipped_bits_never_lead_out_of_the_record)
{
	struct rec good[] = {syscall_with_buffers(), switch_with_everything()};
	unsigned seed = 4711, taken = 0;
	for (int round = 0; round < 20000; round++) {
		struct rec r = good[round % 16 == 0];
		size_t size = r.ev.size;
		for (int flips = 1 + rand_r(&seed) % 3; flips; flips--) {
			/* mostly where lengths and kinds are */
			size_t at = rand_r(&seed) % (rand_r(&seed) % 4 ? 300 : size);
			r.b[at] ^= (unsigned char)(1 << rand_r(&seed) % 8);
		}
		unsigned char *copy = malloc(size);
		memcpy(copy, &r, size);
		if (ct_event_check(copy, size, NULL) == 0) {
			use((struct ct_event *)copy);
			taken++;
		}
		free(copy);
	}
	cr_expect_gt(taken, 1000);
}

/* ---- words for what has none ---- */

static const char *unsound_words(ct_u32 reason, ct_u64 value)
{
	static char out[CT_UNSOUND_TEXT];
	struct {
		struct ct_event ev;
		struct ct_ev_text text;
	} r = {{.size = sizeof(r), .type = CT_EV_UNSOUND, .seq = 1}, {.reason = reason, .value = value}};
	cr_assert_eq(ct_event_check(&r, sizeof(r), NULL), 0);
	return ct_unsound_text(&r.ev, out, sizeof(out));
}

Test(event, unsound_reasons_have_words)
{
	cr_expect_str_eq(unsound_words(CT_UNSOUND_SYSCALL, 425), "system call io_uring_setup cannot be replayed");
	cr_expect_str_eq(unsound_words(CT_UNSOUND_SYSCALL, 1ull << 40), "system call 1099511627776 cannot be replayed");
	cr_expect_str_eq(unsound_words(CT_UNSOUND_FILE, 0), "a mapped file's content could not be kept");
	cr_expect_str_eq(unsound_words(CT_UNSOUND_FRAME, 14), "the frame of SIGALRM was not seen");
	for (ct_u32 reason = 1; reason <= CT_UNSOUND_PROBE; reason++)
		cr_expect_null(strstr(unsound_words(reason, 99), "does not know"), "reason %u", reason);
	cr_expect_str_eq(unsound_words(77, 0), "for reason 77, which this version does not know");
}

Test(event, unsound_text_of_its_own_is_taken)
{
	char out[CT_UNSOUND_TEXT], little[8];
	struct {
		struct ct_event ev;
		struct ct_ev_text text;
		char words[16];
	} r = {{.size = sizeof(r), .type = CT_EV_UNSOUND, .seq = 1}, {.reason = 1, .text_len = 16}, "sixteen letters!"};
	cr_assert_eq(ct_event_check(&r, sizeof(r), NULL), 0);
	cr_expect_str_eq(ct_unsound_text(&r.ev, out, sizeof(out)), "sixteen letters!");
	cr_expect_str_eq(ct_unsound_text(&r.ev, little, sizeof(little)), "sixteen");
}
