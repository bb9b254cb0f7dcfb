/* SPDX-License-Identifier: MIT
 * The step database against a naive model: random programs, scans, locals, commits, going on.
 *
 * test_stepdb_harm.c does harm to it, test_stepdb_sql.c asks it in SQL. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/stepdb_fixture.h"

TestSuite(stepdb, .init = set_up_directory, .fini = tear_down);

static void commit(struct ct_stepdb_writer *w, const char *position)
{
	struct ct_error err = {0};

	cr_assert(ct_stepdb_commit(w, position, strlen(position), false, &err) == 0, "%s", err.msg);
}

static struct ct_stepdb *open_db(void)
{
	struct ct_error err = {0};
	struct ct_stepdb *db = ct_stepdb_open(fd, "rec.ctr", &err);

	cr_assert(db != NULL, "%s", err.msg);
	return db;
}

static void check_all(const struct model *m)
{
	struct ct_stepdb *db = open_db();
	const char *wrong = differ(db, m);

	cr_assert(wrong == NULL, "%s differ", wrong);
	ct_stepdb_close(db);
}

Test(stepdb, none_says_what_to_do)
{
	struct ct_error err = {0};

	cr_assert(ct_stepdb_open(fd, "rec.ctr", &err) == NULL);
	cr_assert(eq(str, err.msg, "rec.ctr: has no step database; run `ctbpf index rec.ctr` first"));
	cr_assert(not(ct_stepdb_exists(fd)));
}

Test(stepdb, empty)
{
	struct ct_stepdb_info info;
	struct ct_stepdb *db;

	ct_stepdb_writer_close(create_steps(fd));
	db = open_db();
	ct_stepdb_info(db, &info);
	cr_assert(eq(u64, info.steps, 0));
	cr_assert(not(info.complete));
	cr_assert(memcmp(info.uuid, test_uuid, 16) == 0);
	ct_stepdb_close(db);
}

Test(stepdb, random_programs_come_back)
{
	static const size_t actions[] = {1, 50, 4000, 60000, 200000};

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		struct ct_stepdb_writer *w = create_steps(fd);
		struct model m;

		model_start(&m, w, i + 1);
		for (size_t k = 0; k < actions[i]; k++)
			model_act(&m);
		commit(w, "");
		check_all(&m);
		ct_stepdb_writer_close(w);
		model_free(&m);
	}
}

Test(stepdb, is_read_while_it_grows)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_stepdb *db = open_db(), *old;
	struct ct_error err = {0};
	struct ct_stepdb_info info;
	struct model m;

	model_start(&m, w, 7);
	cr_assert(eq(int, ct_stepdb_refresh(db, &err), 0));
	for (unsigned i = 0; i < 20; i++) {
		const char *wrong;

		for (unsigned k = 0; k < 3000; k++)
			model_act(&m);
		commit(w, "");
		cr_assert(eq(int, ct_stepdb_refresh(db, &err), 1), "%s", err.msg);
		wrong = differ(db, &m);
		cr_assert(wrong == NULL, "%s differ after commit %u", wrong, i);
	}
	/* What comes after the commit is not there for readers, whenever they came. */
	old = open_db();
	for (unsigned k = 0; k < 9000; k++)
		model_act(&m);
	cr_assert(eq(int, ct_stepdb_refresh(db, &err), 0));
	ct_stepdb_info(old, &info);
	cr_assert(lt(u64, info.steps, m.nsteps));
	cr_assert(differ_steps(old, &m, 1, info.steps) == NULL);
	ct_stepdb_close(old);
	ct_stepdb_close(db);
	ct_stepdb_writer_close(w);
	model_free(&m);
}

/* The writer dies after a while; another one goes on from the last commit, again and again. */
Test(stepdb, goes_on_from_the_last_commit)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_error err = {0};
	struct model m, saved;
	struct model_call *calls;

	model_start(&m, w, 11);
	for (unsigned i = 0; i < 12; i++) {
		char position[32];
		const void *at;
		size_t len;

		for (unsigned k = 0; k < 2500; k++)
			model_act(&m);
		snprintf(position, sizeof(position), "place %u", i);
		commit(w, position);
		saved = m;
		calls = malloc((m.ncalls + 1) * sizeof(*calls));
		memcpy(calls, m.call, (m.ncalls + 1) * sizeof(*calls));
		for (unsigned k = 0; k < 7000; k++) /* lost */
			model_act(&m);
		/* Calls that have ended since are open again. */
		memcpy(m.call, calls, (saved.ncalls + 1) * sizeof(*calls));
		free(calls);
		saved.call = m.call, saved.step = m.step, saved.value = m.value, saved.cap = m.cap;
		m = saved;
		ct_stepdb_writer_close(w);
		w = ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err);
		cr_assert(w != NULL, "%s", err.msg);
		m.w = w;
		at = ct_stepdb_position(w, &len);
		cr_assert(len == strlen(position) && memcmp(at, position, len) == 0);
		cr_assert(eq(u32, ct_stepdb_thread_by_tid(w, 101), 2));
	}
	for (unsigned k = 0; k < 3000; k++)
		model_act(&m);
	commit(w, "");
	ct_stepdb_writer_close(w);
	check_all(&m);
	model_free(&m);
}

Test(stepdb, one_writer_at_a_time)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_error err = {0};

	cr_assert(ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err) == NULL);
	cr_assert(strstr(err.msg, "another program is building this step database") != NULL, "%s", err.msg);
	cr_assert(ct_stepdb_create(fd, "rec.ctr", test_uuid, &err) == NULL);
	ct_stepdb_writer_close(w);
	w = ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err);
	cr_assert(w != NULL, "%s", err.msg);
	ct_stepdb_writer_close(w);
}

Test(stepdb, a_complete_one_is_not_gone_on_with)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_stepdb_info info;
	struct ct_error err = {0};
	struct ct_stepdb *db;

	cr_assert(ct_stepdb_commit(w, NULL, 0, true, &err) == 0);
	ct_stepdb_writer_close(w);
	cr_assert(ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err) == NULL);
	cr_assert(eq(str, err.msg, "rec.ctr: steps: is complete"));
	db = open_db();
	ct_stepdb_info(db, &info);
	cr_assert(info.complete);
	ct_stepdb_close(db);
}

Test(stepdb, another_recordings_is_refused)
{
	static const ct_u8 other[16] = {9};
	struct ct_error err = {0};

	ct_stepdb_writer_close(create_steps(fd));
	cr_assert(ct_stepdb_resume(fd, "rec.ctr", other, &err) == NULL);
	cr_assert(strstr(err.msg, "belongs to another recording") != NULL, "%s", err.msg);
}

/* ---- Scans ---- */

static bool in_range(const struct ct_range *r, ct_u64 v)
{
	return v >= r->min && v <= r->max;
}

static bool has(const ct_u32 *keys, size_t n, ct_u32 key)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i] == key)
			return true;
	return false;
}

static ct_u64 step_column(const struct model_step *s, unsigned column)
{
	switch (column) {
	case CT_STEP_CALL: return s->call;
	case CT_STEP_THREAD: return s->thread;
	case CT_STEP_EVENT: return s->event;
	default: return s->ns;
	}
}

static void random_scan(struct ct_stepdb *db, struct model *m)
{
	struct ct_scan_spec spec = {.table = CT_STEPS, .backwards = model_random(m, 2)};
	ct_u32 keys[8], nlocs = ct_stepdb_names(db, CT_LOCATIONS);
	struct ct_error err = {0};
	ct_u64 id, count = 0, all = 0;
	struct ct_scan *scan;

	if (model_random(m, 2)) {
		spec.first = model_random(m, m->nsteps) + 1;
		spec.last = spec.first + model_random(m, m->nsteps);
	}
	if (model_random(m, 3)) {
		spec.nkeys = model_random(m, 8);
		spec.keys = keys;
		for (size_t i = 0; i < spec.nkeys; i++)
			keys[i] = (ct_u32)model_random(m, nlocs) + 1;
	}
	for (spec.nranges = (unsigned)model_random(m, 3); all < spec.nranges; all++) {
		struct ct_range *r = &spec.range[all];
		const struct model_step *s = &m->step[model_random(m, m->nsteps) + 1];

		r->column = (unsigned)model_random(m, 4) + CT_STEP_CALL;
		r->min = step_column(s, r->column);
		r->max = r->min + model_random(m, 3) * model_random(m, 1000);
	}
	scan = ct_scan_open(db, &spec, &err);
	cr_assert(scan != NULL, "%s", err.msg);
	all = 0;
	for (size_t i = 1; i <= m->nsteps; i++) {
		ct_u64 want = spec.backwards ? m->nsteps + 1 - i : i;
		const struct model_step *s = &m->step[want];
		bool wanted = (!spec.last || (want >= spec.first && want <= spec.last));
		ct_u32 location = 0;

		for (ct_u32 k = 1; spec.keys && k <= nlocs && !location; k++) {
			const ct_u64 *v = ct_stepdb_name(db, CT_LOCATIONS, k)->v;

			if (v[CT_LOC_FUNCTION] == s->function && v[CT_LOC_FILE] == s->file && v[CT_LOC_LINE] == s->line)
				location = k;
		}
		if (spec.keys && !has(keys, spec.nkeys, location))
			continue;
		all++;
		for (unsigned r = 0; r < spec.nranges; r++)
			wanted = wanted && in_range(&spec.range[r], step_column(s, spec.range[r].column));
		if (!wanted)
			continue;
		cr_assert(eq(int, ct_scan_next(scan, &id, &err), 1), "%s", err.msg);
		cr_assert(eq(u64, id, want));
	}
	cr_assert(eq(int, ct_scan_next(scan, &id, &err), 0));
	ct_scan_close(scan);
	if (spec.keys) {
		cr_assert(ct_stepdb_count(db, CT_STEPS, keys, spec.nkeys, &count, &err) == 0, "%s", err.msg);
		cr_assert(eq(u64, count, all));
	}
}

Test(stepdb, scans_find_what_looking_at_every_row_finds)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_stepdb *db;
	struct model m;

	model_start(&m, w, 23);
	for (unsigned k = 0; k < 40000; k++) {
		model_act(&m);
		if (k == 22222)
			commit(w, ""); /* so that there is more than one group */
	}
	commit(w, "");
	db = open_db();
	for (unsigned i = 0; i < 150; i++)
		random_scan(db, &m);
	ct_stepdb_close(db);
	ct_stepdb_writer_close(w);
	model_free(&m);
}

/* ---- Locals ---- */

struct expected {
	struct ct_stepdb *db;
	const struct model_value *latest[MODEL_NAMES + 2];
	unsigned seen;
};

static int check_local(void *arg, const struct ct_local *local)
{
	struct expected *e = arg;
	ct_u64 name = ct_stepdb_name(e->db, CT_VARIABLES, local->variable)->v[CT_VAR_NAME];
	const ct_u8 *p = local->node;
	struct ct_node node;

	cr_assert(e->latest[name] != NULL, "a variable without a value");
	cr_assert(ct_node_next(&p, p + local->len, &node));
	cr_assert(eq(i64, node.integer, e->latest[name]->number));
	cr_assert(eq(u64, local->step, e->latest[name]->step));
	e->latest[name] = NULL;
	e->seen++;
	return 0;
}

Test(stepdb, locals_are_the_latest_values)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_error err = {0};
	struct ct_stepdb *db;
	struct model m;

	model_start(&m, w, 31);
	for (unsigned k = 0; k < 150000; k++) {
		model_act(&m);
		if (k % 60000 == 50000)
			commit(w, "");
	}
	commit(w, "");
	db = open_db();
	for (unsigned i = 0; i < 300; i++) {
		/* The first calls live long: their values are in many chunks. */
		ct_u64 step = model_random(&m, m.nsteps) + 1, call = i % 3 ? m.step[step].call : i / 3 + 1;
		struct expected e = {.db = db};
		unsigned names = 0;

		for (size_t v = 1; v <= m.nvalues; v++)
			if (m.value[v].call == call && m.value[v].step <= step && m.value[v].name)
				e.latest[m.value[v].name] = &m.value[v];
		for (unsigned n = 0; n < MODEL_NAMES + 2; n++)
			names += e.latest[n] != NULL;
		cr_assert(ct_stepdb_locals(db, call, step, check_local, &e, &err) == 0, "%s", err.msg);
		cr_assert(eq(u32, e.seen, names));
	}
	ct_stepdb_close(db);
	ct_stepdb_writer_close(w);
	model_free(&m);
}

/* ---- The others ---- */

Test(stepdb, slowest_calls_are_the_slowest)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_error err = {0};
	struct ct_stepdb *db;
	ct_u64 found[25];
	struct model m;

	model_start(&m, w, 41);
	for (unsigned k = 0; k < 120000; k++)
		model_act(&m);
	commit(w, "");
	db = open_db();
	cr_assert(eq(int, ct_stepdb_slowest(db, 25, found, &err), 25), "%s", err.msg);
	for (unsigned i = 0; i < 25; i++) {
		ct_u64 longer = 0;

		cr_assert(m.call[found[i]].state != CT_CALL_OPEN);
		for (size_t c = 1; c <= m.ncalls; c++)
			longer += m.call[c].state && m.call[c].duration > m.call[found[i]].duration;
		cr_assert(le(u64, longer, i));
		cr_assert(i == 0 || m.call[found[i]].duration <= m.call[found[i - 1]].duration);
	}
	ct_stepdb_close(db);
	ct_stepdb_writer_close(w);
	model_free(&m);
}

Test(stepdb, statistics_are_sums)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	ct_u64 calls[MODEL_FUNCTIONS + 1] = {0}, steps[MODEL_FUNCTIONS + 1] = {0}, raised[MODEL_FUNCTIONS + 1] = {0};
	ct_u64 sites = 0;
	struct ct_stepdb *db;
	struct model m;

	model_start(&m, w, 51);
	for (unsigned k = 0; k < 50000; k++)
		model_act(&m);
	commit(w, "");
	for (size_t i = 1; i <= m.ncalls; i++)
		calls[m.call[i].function]++, raised[m.call[i].function] += m.call[i].state == CT_CALL_RAISED;
	for (size_t i = 1; i <= m.nsteps; i++)
		steps[m.step[i].function]++;
	db = open_db();
	for (unsigned f = 1; f <= MODEL_FUNCTIONS; f++) {
		const ct_u64 *v = ct_stepdb_name(db, CT_STATS, f)->v;

		cr_assert(eq(u64, v[CT_STAT_CALLS], calls[f]));
		cr_assert(eq(u64, v[CT_STAT_STEPS], steps[f]));
		cr_assert(eq(u64, v[CT_STAT_EXCEPTIONS], raised[f]));
		cr_assert(le(u64, v[CT_STAT_SELF_NS], m.now * MODEL_THREADS));
	}
	for (ct_u32 i = 1; i <= ct_stepdb_names(db, CT_SITES); i++)
		sites += ct_stepdb_name(db, CT_SITES, i)->v[CT_SITE_CALLS];
	cr_assert(eq(u64, sites, m.ncalls));
	ct_stepdb_close(db);
	ct_stepdb_writer_close(w);
	model_free(&m);
}

Test(stepdb, names_are_found_by_their_ends)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_error err = {0};
	struct ct_stepdb *db;
	ct_u32 *ids;

	model_declare(w);
	ct_stepdb_file(w, "/src/xm1.py", 11);
	commit(w, "");
	db = open_db();
	cr_assert(eq(int, ct_stepdb_find_files(db, "m1.py", &ids, &err), 1));
	cr_assert(eq(u32, ids[0], 2));
	free(ids);
	cr_assert(eq(int, ct_stepdb_find_files(db, "./src/m1.py", &ids, &err), 1));
	free(ids);
	cr_assert(eq(int, ct_stepdb_find_files(db, "1.py", &ids, &err), 0));
	free(ids);
	cr_assert(eq(int, ct_stepdb_find_functions(db, "f1", &ids, &err), 1));
	cr_assert(eq(u32, ids[0], 2));
	free(ids);
	cr_assert(eq(int, ct_stepdb_find_functions(db, "C.f11", &ids, &err), 1));
	free(ids);
	ct_stepdb_close(db);
	ct_stepdb_writer_close(w);
}

Test(stepdb, the_same_names_have_the_same_ids)
{
	struct ct_stepdb_writer *w = create_steps(fd);

	model_declare(w);
	model_declare(w);
	cr_assert(eq(u32, ct_stepdb_function(w, "C.f1", 4, 2, 21, "python"), MODEL_FUNCTIONS + 1));
	ct_stepdb_writer_close(w);
}

Test(stepdb, nonsense_is_refused_and_remembered)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_error err = {0};

	model_declare(w);
	cr_assert(eq(u64, ct_stepdb_step(w, 1, 1), 0)); /* no such thread */
	cr_assert(eq(u32, ct_stepdb_thread(w, 1, 1, "t", 1), 1));
	cr_assert(eq(u64, ct_stepdb_step(w, 1, 1), 0)); /* no call */
	cr_assert(eq(u64, ct_stepdb_call(w, 1, 99, false), 0));
	cr_assert(eq(int, ct_stepdb_return(w, 1, NULL, 0), -1));
	cr_assert(eq(int, ct_stepdb_reenter(w, 1, 1), -1));
	cr_assert(eq(int, ct_stepdb_failed(w, &err), 0));
	cr_assert(eq(u64, ct_stepdb_call(w, 1, 1, false), 1));
	cr_assert(eq(int, ct_stepdb_value(w, 1, CT_VALUE_LOCAL, 2, "ÿ", 1), -1));
	cr_assert(eq(int, ct_stepdb_failed(w, &err), -1));
	cr_assert(strstr(err.msg, "makes no sense") != NULL, "%s", err.msg);
	cr_assert(eq(u64, ct_stepdb_step(w, 1, 1), 0));
	cr_assert(ct_stepdb_commit(w, NULL, 0, false, &err) < 0);
	ct_stepdb_writer_close(w);
}

/* Told of or not, handled by a `finally` in between or not: one exception, one row. */
Test(stepdb, an_exception_is_told_of_once)
{
	for (unsigned tells = 0; tells < 2; tells++) {
		struct ct_stepdb_writer *w = create_steps(fd);
		struct ct_stepdb_counts counts;
		ct_u64 before;

		model_declare(w);
		ct_stepdb_thread(w, 1, 1, "t", 1);
		for (ct_u32 f = 1; f <= 4; f++) {
			ct_stepdb_call(w, 1, f, false);
			ct_stepdb_step(w, 1, f * 20 - 20);
		}
		if (tells)
			cr_assert(eq(int, ct_stepdb_raise(w, 1, 2, NULL, 0), 0));
		cr_assert(eq(int, ct_stepdb_unwind(w, 1, 2, NULL, 0), 0));
		cr_assert(eq(int, ct_stepdb_unwind(w, 1, 2, NULL, 0), 0));
		ct_stepdb_counts(w, &counts);
		cr_assert(eq(u64, counts.values, 1));
		before = counts.values;
		if (tells) { /* also after going on */
			struct ct_error err = {0};

			commit(w, "");
			ct_stepdb_writer_close(w);
			w = ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err);
			cr_assert(w != NULL, "%s", err.msg);
		}
		ct_stepdb_step(w, 1, 25); /* finally: */
		cr_assert(eq(int, ct_stepdb_unwind(w, 1, 2, NULL, 0), 0));
		ct_stepdb_counts(w, &counts);
		cr_assert(eq(u64, counts.values, before + !tells));
		cr_assert(eq(int, ct_stepdb_return(w, 1, NULL, 0), 0)); /* the one that is left */
		cr_assert(eq(int, ct_stepdb_return(w, 1, NULL, 0), -1));
		ct_stepdb_writer_close(w);
	}
}

/* ---- A stranger ---- */

static void print_model(const struct model *m, FILE *to)
{
	for (ct_u64 i = 1; i <= m->nsteps; i++) {
		const struct model_step *s = &m->step[i];

		fprintf(to, "step %llu %u %u %u %u %llu %llu %llu\n", (unsigned long long)i, s->function, s->file,
			s->line, s->thread, (unsigned long long)s->call, (unsigned long long)s->event,
			(unsigned long long)s->ns);
	}
	for (ct_u64 i = 1; i <= m->ncalls; i++) {
		const struct model_call *c = &m->call[i];

		fprintf(to, "call %llu %u %llu %u %llu %u %llu %llu", (unsigned long long)i, c->function,
			(unsigned long long)c->parent, c->thread, (unsigned long long)c->from_step, c->depth,
			(unsigned long long)c->enter_event, (unsigned long long)c->enter_ns);
		if (c->state)
			fprintf(to, " %u %u %llu %llu %llu %llu\n", c->state, c->exception,
				(unsigned long long)c->first_step, (unsigned long long)c->last_step,
				(unsigned long long)c->exit_event, (unsigned long long)c->duration);
		else
			fputs(" 0 0 0 0 0 0\n", to);
	}
	for (ct_u64 i = 1; i <= m->nvalues; i++) {
		const struct model_value *v = &m->value[i];

		fprintf(to, "value %llu %u %u %u %llu %llu %lld\n", (unsigned long long)i, v->function, v->name,
			v->kind, (unsigned long long)v->call, (unsigned long long)v->step, (long long)v->number);
	}
}

/* docs/stepdb.md says enough: a reader written after it, in another language, reads the same. */
Test(stepdb, a_reader_written_after_the_documentation_reads_the_same)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	char *line = NULL, *want = NULL, *command;
	size_t cap = 0, want_cap = 0, n = 0;
	FILE *expected, *got;
	struct model m;

	model_start(&m, w, 71);
	for (unsigned k = 0; k < 40000; k++) {
		model_act(&m);
		if (k == 15000)
			commit(w, "");
	}
	commit(w, "");
	ct_stepdb_writer_close(w);
	expected = fopen(below(dir, "expected"), "w+");
	must(expected && asprintf(&command, "python3 tests/unit/stepdb_reader.py %s/steps 2>&1", dir) > 0, "expected");
	print_model(&m, expected);
	rewind(expected);
	got = popen(command, "r");
	must(got != NULL, "popen");
	while (getline(&want, &want_cap, expected) > 0) {
		n++;
		cr_assert(getline(&line, &cap, got) > 0, "line %zu is missing", n);
		cr_assert(strcmp(line, want) == 0, "line %zu: %s, expected %s", n, line, want);
	}
	cr_assert(eq(int, pclose(got), 0));
	fclose(expected);
	free(command);
	free(line);
	free(want);
	model_free(&m);
}
