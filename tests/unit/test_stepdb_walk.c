/* SPDX-License-Identifier: MIT
 * The walk over the step database: of random programs with threads and generators it must find the very stacks.
 *
 * Beside the writer the test counts lines for every function that is on the stack. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "formats/stepdb_walk.h"
#include "tests/unit/stepdb_fixture.h"

static struct model m;

TestSuite(stepdb_walk, .init = set_up_recording, .fini = tear_down);

struct sums {
	ct_u64 calls, raised, self, total, self_ns;
};
struct seen {
	struct sums fn[MODEL_FUNCTIONS + 1];
	ct_u64 steps, entered, left, resumed;
	ct_u64 stacks; /* a hash of all stacks at all steps */
};

static ct_u64 mix(ct_u64 hash, ct_u64 value)
{
	return (hash ^ value) * 0x100000001b3ull;
}

/* What the model has just done, if it was a step. */
static void count(struct seen *want, size_t steps_before)
{
	const struct model_step *s = &m.step[m.nsteps];
	bool on[MODEL_FUNCTIONS + 1] = {false};
	unsigned t, depth;

	if (m.nsteps == steps_before)
		return;
	t = s->thread - 1;
	want->steps++;
	want->fn[s->function].self++;
	want->stacks = mix(want->stacks, m.nsteps);
	/* An exception that comes with the step has taken its call away already. */
	depth = m.depth[t] && m.stack[t][m.depth[t] - 1] == s->call ? m.depth[t] : m.depth[t] + 1;
	for (unsigned d = 0; d < depth; d++) {
		ct_u64 call = d < m.depth[t] ? m.stack[t][d] : s->call;
		ct_u32 f = m.call[call].function;

		want->stacks = mix(want->stacks, call);
		want->fn[f].total += !on[f];
		on[f] = true;
	}
}

/* As `ctbpf index` does it: the log goes on for all threads. */
static void tell_events(void)
{
	for (unsigned t = 0; t < MODEL_THREADS; t++) {
		m.event[t] = m.seq;
		m.ns[t] = m.now;
		ct_stepdb_event(m.w, t + 1, m.seq, m.now);
	}
}

static void build(ct_u64 seed, unsigned acts, struct seen *want)
{
	struct ct_error err = {0};
	struct ct_stepdb_writer *w = create_steps(fd);

	model_start(&m, w, seed);
	/* A generator that moves to another thread before that has had a line can be placed in two ways. */
	m.stay = true;
	for (unsigned i = 0; i < acts; i++) {
		size_t before = m.nsteps;

		model_act(&m);
		tell_events();
		count(want, before);
	}
	must(ct_stepdb_commit(w, NULL, 0, true, &err) == 0, err.msg);
	ct_stepdb_writer_close(w);
	for (size_t id = 1; id <= m.ncalls; id++)
		want->fn[m.call[id].function].calls++;
}

static int on_enter(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_enter how,
		    struct ct_error *err)
{
	struct seen *have = arg;

	(void)err;
	cr_assert(eq(ptr, &t->frame[t->depth - 1], f));
	have->entered++;
	have->resumed += how == CT_WALK_RESUME;
	have->fn[f->function].calls += how == CT_WALK_CALL;
	return 0;
}

static int on_step(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, const struct ct_walk_step *step,
		   struct ct_error *err)
{
	struct seen *have = arg;

	(void)f, (void)err;
	have->steps++;
	have->stacks = mix(have->stacks, step->id);
	for (size_t d = 0; d < t->depth; d++)
		have->stacks = mix(have->stacks, t->frame[d].call);
	return 0;
}

static int on_leave(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_leave how,
		    const struct ct_walk_next *next, struct ct_error *err)
{
	struct seen *have = arg;

	(void)t, (void)how, (void)next, (void)err;
	have->left++;
	have->fn[f->function].self += f->self_steps;
	have->fn[f->function].self_ns += f->self_ns;
	if (!f->recursive)
		have->fn[f->function].total += f->self_steps + f->below_steps;
	return 0;
}

static int walk(struct ct_stepdb *db, const struct ct_walk_spec *spec, struct seen *have)
{
	const struct ct_walk_visitor visitor = {have, on_enter, on_step, on_leave};
	struct ct_error err = {0};
	int ret = ct_stepdb_walk(db, spec, &visitor, &err);

	cr_assert(ret >= 0, "%s", err.msg);
	return ret;
}

static struct ct_stepdb *open_db(void)
{
	struct ct_error err = {0};
	struct ct_stepdb *db = ct_stepdb_open(fd, "rec.ctr", &err);

	must(db != NULL, err.msg);
	return db;
}

Test(stepdb_walk, stacks_are_those_of_the_run)
{
	for (ct_u64 seed = 1; seed <= 25; seed++) {
		struct seen want = {0}, have = {0};
		struct ct_stepdb *db;

		build(seed, 4000, &want);
		db = open_db();
		walk(db, &(struct ct_walk_spec){0}, &have);
		cr_assert(eq(u64, have.steps, want.steps));
		cr_assert(eq(u64, have.entered, have.left));
		for (unsigned f = 1; f <= MODEL_FUNCTIONS; f++) {
			cr_assert(eq(u64, have.fn[f].calls, want.fn[f].calls), "seed %llu function %u: calls",
				  (unsigned long long)seed, f);
			cr_assert(eq(u64, have.fn[f].self, want.fn[f].self), "seed %llu function %u: self",
				  (unsigned long long)seed, f);
			cr_assert(eq(u64, have.fn[f].total, want.fn[f].total), "seed %llu function %u: total",
				  (unsigned long long)seed, f);
		}
		cr_assert(eq(u64, have.stacks, want.stacks), "seed %llu: another stack", (unsigned long long)seed);
		ct_stepdb_close(db);
		model_free(&m);
	}
}

Test(stepdb_walk, a_stretch_has_the_stacks_that_the_whole_has_there)
{
	struct seen want = {0};
	struct ct_stepdb *db;

	build(77, 6000, &want);
	db = open_db();
	for (ct_u64 first = 1; first + 50 < m.nsteps; first += 211) {
		struct seen have = {0};
		struct sums sum[MODEL_FUNCTIONS + 1] = {{0}};

		walk(db, &(struct ct_walk_spec){.first = first, .last = first + 49}, &have);
		cr_assert(eq(u64, have.steps, 50));
		cr_assert(eq(u64, have.entered, have.left));
		for (ct_u64 id = first; id < first + 50; id++)
			sum[m.step[id].function].self++;
		for (unsigned f = 1; f <= MODEL_FUNCTIONS; f++)
			cr_assert(eq(u64, have.fn[f].self, sum[f].self), "from %llu function %u",
				  (unsigned long long)first, f);
	}
	ct_stepdb_close(db);
	model_free(&m);
}

Test(stepdb_walk, only_the_threads_that_were_chosen)
{
	const ct_u8 threads[MODEL_THREADS + 1] = {[2] = 1};
	struct seen want = {0}, have = {0};
	struct ct_stepdb *db;
	ct_u64 steps = 0;

	build(5, 3000, &want);
	db = open_db();
	walk(db, &(struct ct_walk_spec){.threads = threads}, &have);
	for (size_t id = 1; id <= m.nsteps; id++)
		steps += m.step[id].thread == 2;
	cr_assert(gt(u64, steps, 0));
	cr_assert(eq(u64, have.steps, steps));
	ct_stepdb_close(db);
	model_free(&m);
}

static int stop_at_ten(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, const struct ct_walk_step *step,
		       struct ct_error *err)
{
	(void)arg, (void)t, (void)f, (void)err;
	return step->id == 10 ? 42 : 0;
}

Test(stepdb_walk, a_visitor_can_end_it)
{
	const struct ct_walk_visitor visitor = {.step = stop_at_ten};
	struct ct_error err = {0};
	struct seen want = {0};
	struct ct_stepdb *db;

	build(9, 500, &want);
	db = open_db();
	cr_assert(eq(int, ct_stepdb_walk(db, &(struct ct_walk_spec){0}, &visitor, &err), 42));
	ct_stepdb_close(db);
	model_free(&m);
}
