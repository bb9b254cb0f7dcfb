/* SPDX-License-Identifier: MIT
 * Exports of random programs: the sequence of each thread against the model, and every format from end to end.
 *
 * What the formats hold is checked by other readers, in tests/e2e/520-export-*.sh. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "formats/export/timeline.h"
#include "tests/unit/stepdb_fixture.h"

TestSuite(export_timeline, .init = set_up_recording, .fini = tear_down);

static struct ct_stepdb *random_db(struct model *m, ct_u64 seed, unsigned acts, bool complete)
{
	struct ct_error err = {0};
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_stepdb *db;

	model_start(m, w, seed);
	for (unsigned i = 0; i < acts; i++)
		model_act(m);
	must(ct_stepdb_commit(w, "", 0, complete, &err) == 0, err.msg);
	ct_stepdb_writer_close(w);
	db = ct_stepdb_open(fd, "rec.ctr", &err);
	must(db != NULL, err.msg);
	return db;
}

/* ---- The sequence ---- */

struct seen {
	const struct model *m;
	ct_u32 thread;
	ct_u64 last_call, last_step, ns;
	size_t depth;
	ct_u64 calls, steps;
	ct_u8 *left;  /* [call]: how it was left last; 0: not */
	ct_u8 *moved; /* [call]: it was in another thread, too */
};

static void at(struct seen *s, const struct ex_timeline *t, const struct ex_frame *f, ct_u64 ns)
{
	cr_assert(ns >= s->ns, "time goes back");
	cr_assert(f == &t->stack[t->depth - 1]);
	cr_assert(eq(sz, t->depth, s->depth));
	s->ns = ns;
}

static int enter(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 ns, struct ct_error *err)
{
	struct seen *s = arg;
	const struct model_call *c = &s->m->call[f->call];

	(void)err;
	s->depth++;
	at(s, t, f, ns);
	if (f->resumed) {
		s->moved[f->call] |= c->thread != s->thread;
		return 0;
	}
	cr_assert(eq(u32, c->thread, s->thread));
	cr_assert(f->call > s->last_call, "calls in their order");
	cr_assert(f->row[CT_CALL_FUNCTION] == c->function);
	cr_assert(eq(u64, t->depth > 1 ? f[-1].call : 0, c->parent));
	s->last_call = f->call;
	s->calls++;
	return 0;
}

static int leave(void *arg, struct ex_timeline *t, struct ex_frame *f, enum ex_leave how, ct_u64 ns,
		 struct ct_error *err)
{
	struct seen *s = arg;

	(void)err;
	at(s, t, f, ns);
	s->depth--;
	s->left[f->call] = (ct_u8)(how + 1);
	return 0;
}

static int step(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 id, ct_u64 event, ct_u64 ns,
		struct ct_error *err)
{
	struct seen *s = arg;
	const struct model_step *step = &s->m->step[id];

	(void)err;
	at(s, t, f, ns);
	cr_assert(id > s->last_step && step->thread == s->thread);
	cr_assert(eq(u64, f->call, step->call));
	cr_assert(eq(u64, event, step->event));
	s->last_step = id;
	s->steps++;
	return 0;
}

static void check_sequence(ct_u64 seed, unsigned acts)
{
	struct model m;
	struct ct_stepdb *db = random_db(&m, seed, acts, true);
	const struct ct_export_source src = {.db = db};
	const struct ct_export_options opts = {0};
	struct seen s = {.m = &m};
	const struct ex_sink sink = {&s, enter, leave, step};
	struct ct_error err = {0};

	s.left = calloc(m.ncalls + 1, 1);
	s.moved = calloc(m.ncalls + 1, 1);
	must(s.left && s.moved, "calloc");
	for (ct_u32 thread = 1; thread <= MODEL_THREADS; thread++) {
		s.thread = thread;
		s.last_call = s.last_step = s.ns = s.depth = 0;
		cr_assert(ex_timeline(&src, &opts, thread, 0, &sink, &err) == 0, "%s", err.msg);
		cr_assert(zero(sz, s.depth));
	}
	cr_assert(eq(u64, s.calls, m.ncalls));
	cr_assert(eq(u64, s.steps, m.nsteps));
	for (ct_u64 id = 1; id <= m.ncalls; id++) {
		unsigned state = m.call[id].state;

		cr_assert(s.left[id] != 0, "call %llu is never left", (unsigned long long)id);
		if (s.moved[id])
			continue;
		if (state == CT_CALL_OPEN)
			cr_assert(s.left[id] == EX_OPEN + 1 || s.left[id] == EX_SUSPENDED + 1);
		else
			cr_assert(eq(u32, s.left[id], (state == CT_CALL_RETURNED ? EX_RETURNED : EX_RAISED) + 1));
	}
	free(s.left);
	free(s.moved);
	ct_stepdb_close(db);
	model_free(&m);
}

Test(export_timeline, random_programs)
{
	for (ct_u64 seed = 1; seed <= 25; seed++)
		check_sequence(seed, 400);
	check_sequence(99, 30000);
}

Test(export_timeline, nothing)
{
	check_sequence(1, 0);
}

/* ---- Every format ---- */

Test(export_timeline, formats_of_random_programs)
{
	struct ct_export_options opts = {0};
	struct ct_export_result result;
	struct ct_export_source src = {0};
	struct ct_error err = {0};
	struct model m;

	put_notes(dir, 1, 1, 10, true);
	src.db = random_db(&m, 5, 20000, false);
	src.rec = open_recording(dir);
	for (int f = 0; f < CT_EXPORT_NFORMATS; f++) {
		int out = memory_file("", 0);

		if (f != CT_EXPORT_CODETRACER)
			cr_assert(ct_export_file(f, &src, &opts, out, &result, &err) == 0, "%s", err.msg);
		cr_assert(f == CT_EXPORT_CODETRACER || lseek(out, 0, SEEK_END) > 1000);
		close(out);
	}
	for (unsigned version = 0; version <= CT_EXPORT_CTFS; version += CT_EXPORT_CTFS) {
		const char *path = below(dir, version ? "container" : "legacy");
		int out;

		must(mkdir(path, 0700) == 0, path);
		out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		opts.version = version;
		cr_assert(ct_export_codetracer(&src, &opts, out, &result, &err) == 0, "%s", err.msg);
		cr_assert(eq(u64, result.threads, MODEL_THREADS));
		close(out);
	}
	ct_recording_close(src.rec);
	ct_stepdb_close(src.db);
	model_free(&m);
}

static bool at_once(void)
{
	return true;
}

Test(export_timeline, it_can_be_stopped)
{
	const struct ct_export_options opts = {.stop = at_once};
	struct ct_export_result result;
	struct ct_export_source src = {0};
	struct ct_error err = {0};
	struct model m;
	int out = memory_file("", 0);

	put_notes(dir, 1, 1, 1, true);
	src.db = random_db(&m, 5, 40000, true);
	src.rec = open_recording(dir);
	cr_assert(ct_export_file(CT_EXPORT_FOLDED, &src, &opts, out, &result, &err) == -1);
	cr_assert(eq(str, err.msg, "interrupted"));
	close(out);
	ct_recording_close(src.rec);
	ct_stepdb_close(src.db);
	model_free(&m);
}

/* ---- The log alone ---- */

Test(export_timeline, losses_are_marked)
{
	const struct ct_export_options opts = {0};
	struct ct_export_result result;
	struct ct_export_source src = {0};
	struct ct_error err = {0};
	struct segment_maker seg;
	struct bytes records = {0};
	int lost = 0, notes = 0, out = memory_file("", 0);
	size_t i;
	json_t *trace, *ev;

	segment_start(&seg, 1, 1, test_uuid, 1);
	add_note(&records, 1, 1000);
	add_lost(&records, 9, 2000, 7);
	add_note(&records, 10, 3000);
	segment_block(&seg, &records);
	segment_end(&seg, 2);
	put_segment(dir, 1, &seg);
	src.rec = open_recording(dir);
	cr_assert(ct_export_file(CT_EXPORT_CHROME, &src, &opts, out, &result, &err) == 0, "%s", err.msg);
	lseek(out, 0, SEEK_SET);
	trace = json_loadfd(out, 0, NULL);
	cr_assert(trace != NULL);
	json_array_foreach (json_object_get(trace, "traceEvents"), i, ev) {
		const char *category = json_string_value(json_object_get(ev, "cat"));

		notes += category && !strcmp(category, "note");
		if (!category || strcmp(category, "lost"))
			continue;
		lost++;
		cr_assert(eq(str, (char *)json_string_value(json_object_get(ev, "name")), "7 events lost"));
		cr_assert(json_integer_value(json_object_get(json_object_get(ev, "args"), "count")) == 7);
		cr_assert(json_real_value(json_object_get(ev, "ts")) == 1.0);
	}
	cr_assert(eq(int, lost, 1));
	cr_assert(eq(int, notes, 2));
	json_decref(trace);
	close(out);

	out = memory_file("", 0);
	cr_assert(ct_export_file(CT_EXPORT_PERFETTO, &src, &opts, out, &result, &err) == 0, "%s", err.msg);
	off_t size = lseek(out, 0, SEEK_END);
	char *data = malloc((size_t)size);

	must(data && pread(out, data, (size_t)size, 0) == size, "pread");
	cr_assert(memmem(data, (size_t)size, "7 events lost", 13) != NULL);
	free(data);
	close(out);
	ct_recording_close(src.rec);
}
