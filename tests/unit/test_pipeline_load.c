/* SPDX-License-Identifier: MIT
 * The recording pipeline under load: millions of records, racing producers, rings that overflow.
 *
 * The tests named kernel_* use a real BPF ring buffer (needs: root). */
#include <bpf/bpf.h>
#include <errno.h>
#include <sched.h>

#include "pipeline_helpers.h"

/* ---- Stress ---- */

struct producer {
	struct fake *f;
	pthread_t thread;
	int count;
	bool lossless; /* wait for room instead of losing */
	bool race;     /* let others overtake, and give the consumer a chance now and then */
};

static void *produce(void *arg)
{
	struct producer *pr = arg;

	for (int i = 0; i < pr->count; i++) {
		ct_u64 seq = fake_number(pr->f);
		if (pr->race && seq % 5 == 0)
			sched_yield();
		if (pr->race && seq % 1000 == 0)
			usleep(500);
		while (!fake_put(pr->f, seq, TEXT)) {
			if (!pr->lossless) {
				fake_lose(pr->f);
				break;
			}
			sched_yield();
		}
	}
	return NULL;
}

static void run_producers(struct producer *pr, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert_eq(pthread_create(&pr[i].thread, NULL, produce, &pr[i]), 0);
	for (int i = 0; i < n; i++)
		pthread_join(pr[i].thread, NULL);
}

Test(pipeline, five_million_records_come_back_whole, .timeout = 300)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 64 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.segment_size = 16 << 20;
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	struct producer pr = {.f = &f, .count = 5000000, .lossless = true};
	run_producers(&pr, 1);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.notes, 5000000);
	cr_assert_eq(s.lost, 0);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(st.events, 5000000);
	rec_remove(&r);
}

Test(pipeline, racing_producers_that_lose_are_accounted_for_exactly, .timeout = 300)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 256 << 10, (struct pipe_hooks){0});
	struct producer pr[3];
	for (int i = 0; i < 3; i++)
		pr[i] = (struct producer){.f = &f, .count = 300000, .race = true};
	run_producers(pr, 3);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(s.notes + s.lost, f.seq);
	/* More only if a producer slept so long between number and ring that it was given up. */
	cr_assert(s.lost >= f.lost && f.lost > 0);
	cr_assert(st.reordered > 0);
	cr_assert_eq(st.lost, s.lost);
	rec_remove(&r);
}

/* ---- The kernel's ring ---- */

struct counters { /* value of a mappable array map */
	ct_u64 seq, lost;
};

struct kernel {
	int ring, globals, prog;
	struct counters *c;
};

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOV_IMM(d, i)       INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)       INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)       INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define STORE(o, s)         INSN(BPF_STX | BPF_MEM | BPF_DW, 10, s, (short)(o), 0)
#define STORE_IMM(sz, o, i) INSN(BPF_ST | BPF_MEM | (sz), 10, 0, (short)(o), i)
#define LD_MAP(d, kind, fd) INSN(BPF_LD | BPF_IMM | BPF_DW, d, kind, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(f)             INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define PER_RUN             1000

/* What the real programs do, in the same order: take a number, output the record, or count the loss. */
static void kernel_init(struct kernel *k, unsigned size)
{
	LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_prog_load_opts, sleepable, .prog_flags = BPF_F_SLEEPABLE);
	const int at = -(int)RECORD; /* the record on the program's stack */

	k->ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ct_test_ring", 0, 0, size, NULL);
	cr_assert(k->ring >= 0, "no BPF ring buffer: %s; this test needs root", strerror(errno));
	k->globals = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ct_test_data", 4, sizeof(struct counters), 1, &mapped);
	cr_assert(k->globals >= 0);
	k->c = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, k->globals, 0);
	cr_assert_neq(k->c, MAP_FAILED);

	struct bpf_insn insns[128], *i = insns;
	for (int off = at; off < -TEXT; off += 8)
		*i++ = STORE_IMM(BPF_DW, off, 0);
	*i++ = MOV_IMM(7, 0);
	struct bpf_insn *loop = i;
	struct bpf_insn body[] = {
		LD_MAP(8, BPF_PSEUDO_MAP_VALUE, k->globals),
		MOV_IMM(9, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 8, 9, 0, BPF_ADD | BPF_FETCH),
		ADD_IMM(9, 1),
		STORE_IMM(BPF_W, at, RECORD),
		STORE_IMM(BPF_W, at + 4, CT_EV_NOTE),
		STORE(at + 8, 9),
		STORE_IMM(BPF_W, at + 24, 7), /* tid */
		STORE_IMM(BPF_W, at + 36, TEXT),
		STORE(at + 40, 9), /* value */
		CALL(BPF_FUNC_ktime_get_ns),
		STORE(at + 16, 0),
		/* The text: 'a' + number % 26, eight at a time. */
		INSN(BPF_ALU64 | BPF_MOD | BPF_K, 9, 0, 0, 26),
		ADD_IMM(9, 'a'),
		MOV_REG(1, 9),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 8),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, 9, 1, 0, 0),
		MOV_REG(1, 9),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 16),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, 9, 1, 0, 0),
		MOV_REG(1, 9),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 32),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, 9, 1, 0, 0),
	};
	memcpy(i, body, sizeof(body));
	i += sizeof(body) / sizeof(*body);
	for (int off = -TEXT; off < 0; off += 8)
		*i++ = STORE(off, 9);
	struct bpf_insn out[] = {
		LD_MAP(1, BPF_PSEUDO_MAP_FD, k->ring),
		MOV_REG(2, 10),
		ADD_IMM(2, at),
		MOV_IMM(3, RECORD),
		MOV_IMM(4, BPF_RB_NO_WAKEUP),
		CALL(BPF_FUNC_ringbuf_output),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0),
		MOV_IMM(1, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 8, 1, 8, BPF_ADD),
		ADD_IMM(7, 1),
	};
	memcpy(i, out, sizeof(out));
	i += sizeof(out) / sizeof(*out);
	*i = INSN(BPF_JMP | BPF_JLT | BPF_K, 7, 0, (short)(loop - (i + 1)), PER_RUN);
	i++;
	*i++ = MOV_IMM(0, 0);
	*i++ = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	char log[8192] = "";
	sleepable.log_buf = log;
	sleepable.log_size = sizeof(log);
	k->prog = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "ct_test", "GPL", insns, (size_t)(i - insns), &sleepable);
	cr_assert(k->prog >= 0, "%s: %s", strerror(errno), log);
}

static void kernel_close(struct kernel *k)
{
	munmap(k->c, (size_t)sysconf(_SC_PAGESIZE));
	close(k->prog);
	close(k->globals);
	close(k->ring);
}

struct runner {
	struct kernel *k;
	pthread_t thread;
	int runs;
};

static void *run_program(void *arg)
{
	struct runner *ru = arg;

	for (int i = 0; i < ru->runs; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts);
		if (bpf_prog_test_run_opts(ru->k->prog, &opts))
			abort();
	}
	return NULL;
}

static void kernel_case(unsigned ring, int threads, int runs, bool may_lose)
{
	struct rec r;
	struct kernel k;
	struct runner ru[4];
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	kernel_init(&k, ring);
	struct ct_pipeline_opts o = rec_opts(&r, NULL);
	o.ring_fd = k.ring;
	o.kernel_seq = &k.c->seq;
	o.kernel_lost = &k.c->lost;
	r.p = ct_pipeline_create(&o, &r.err);
	cr_assert(r.p, "%s", r.err.msg);
	for (int i = 0; i < threads; i++) {
		ru[i] = (struct runner){.k = &k, .runs = runs};
		cr_assert_eq(pthread_create(&ru[i].thread, NULL, run_program, &ru[i]), 0);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(ru[i].thread, NULL);
	rec_drain(&r);
	append_note(r.p);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	ct_u64 made = (ct_u64)threads * (ct_u64)runs * PER_RUN;
	cr_assert_eq(k.c->seq, made);
	cr_assert_eq(ord.wrong, 0);
	cr_assert(s.lost >= k.c->lost); /* see above: this kind of program may be preempted */
	cr_assert_eq(s.notes - 1 + s.lost, made);
	cr_assert_eq(st.lost, s.lost);
	cr_assert(may_lose || !s.lost, "%llu of %llu lost", (unsigned long long)s.lost, (unsigned long long)made);
	cr_assert(st.ring_bytes_max > 0 && st.ring_bytes_max <= ring);
	cr_assert_eq(s.last, st.last_seq);
	rec_remove(&r);
	kernel_close(&k);
}

Test(pipeline, kernel_ring_is_read_completely)
{
	kernel_case(64 << 20, 1, 300, false);
}
Test(pipeline, kernel_ring_with_two_producers_is_put_in_order)
{
	kernel_case(64 << 20, 2, 1000, true);
}
Test(pipeline, kernel_ring_that_overflows_is_accounted_for_exactly)
{
	kernel_case(64 << 10, 2, 500, true);
}

Test(pipeline, kernel_ring_wants_a_ring_buffer)
{
	struct rec r;
	struct fake f = {0};
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ct_test", 4, 8, 1, NULL);

	cr_assert(map >= 0, "this test needs root");
	rec_dir(&r, "/tmp");
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.ring_fd = map;
	cr_assert_null(ct_pipeline_create(&o, &r.err));
	cr_assert(strstr(r.err.msg, "not a ring buffer"));
	o.ring_fd = -1;
	cr_assert_null(ct_pipeline_create(&o, &r.err));
	rec_remove(&r);
	close(map);
}
