/* SPDX-License-Identifier: MIT
 * `ctbpf query` and the SQL tables: against the naive model, and the words and forms of answers.
 *
 * The command runs in this process, its output goes to a file. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <getopt.h>
#include <sqlite3.h>

#include "tests/unit/stepdb_fixture.h"
#include "user/cmd.h"

static struct model m;

/* Criterion's eq(str) does not take texts in pieces. */
static void same(const char *got, const char *want)
{
	cr_assert(strcmp(got, want) == 0, "got \"%s\", expected \"%s\"", got, want);
}

/* A recording with six events, 1 ms apart, and room for a step database. */
static void set_up(void)
{
	set_up_recording();
	put_notes(dir, 1, 1, 2, true);
}

TestSuite(stepdb_query, .init = set_up, .fini = tear_down);

static void finish(struct ct_stepdb_writer *w)
{
	struct ct_error err = {0};

	must(ct_stepdb_commit(w, NULL, 0, true, &err) == 0, err.msg);
	ct_stepdb_writer_close(w);
}

/* ---- SQL ---- */

static struct ct_stepdb *db;
static struct ct_recording *rec;
static sqlite3 *sql;

static void open_sql(bool with_db)
{
	struct ct_error err = {0};

	rec = open_recording(dir);
	db = with_db ? ct_stepdb_open(fd, "rec.ctr", &err) : NULL;
	cr_assert(db || !with_db, "%s", err.msg);
	sql = ct_stepdb_sql(db, rec, &err);
	cr_assert(sql != NULL, "%s", err.msg);
}

static void close_sql(void)
{
	cr_assert(eq(int, sqlite3_close(sql), SQLITE_OK));
	ct_stepdb_close(db);
	ct_recording_close(rec);
}

/* Titles (if asked for) and rows of the answer, cells joined by '|', rows by a blank; valid until the next one. */
static const char *answer(const char *text, bool titles)
{
	static char out[1 << 16];
	char *quoted = ct_stepdb_sql_quote(text);
	sqlite3_stmt *stmt;
	size_t n = 0;
	int rc;

	rc = sqlite3_prepare_v2(sql, quoted, -1, &stmt, NULL);
	cr_assert(eq(int, rc, SQLITE_OK), "%s: %s", text, sqlite3_errmsg(sql));
	out[0] = 0;
	for (int c = 0; titles && c < sqlite3_column_count(stmt); c++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s", c ? "|" : "", sqlite3_column_name(stmt, c));
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		for (int c = 0; c < sqlite3_column_count(stmt); c++) {
			const char *cell = (const char *)sqlite3_column_text(stmt, c);

			n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s",
					      c   ? "|"
					      : n ? " "
						  : "",
					      cell ? cell : "NULL");
			must(n < sizeof(out) - 100, "a long answer");
		}
	cr_assert(eq(int, rc, SQLITE_DONE), "%s: %s", text, sqlite3_errmsg(sql));
	sqlite3_finalize(stmt);
	free(quoted);
	return out;
}

static const char *ask(const char *fmt, ...)
{
	const char *out;
	va_list ap;
	char *text;

	va_start(ap, fmt);
	must(vasprintf(&text, fmt, ap) >= 0, "vasprintf");
	va_end(ap);
	out = answer(text, false);
	free(text);
	return out;
}

static ct_u64 ask_number(const char *where)
{
	return strtoull(ask("%s", where), NULL, 10);
}

/* Each is folded to something with one of two words in it, and its answer stays the same, over a model's rows. */
static void fold_all(const char *const *list, size_t n, const char *one, const char *other)
{
	struct ct_stepdb_writer *w = create_steps(fd);

	model_start(&m, w, 61);
	for (unsigned i = 0; i < 40000; i++)
		model_act(&m);
	finish(w);
	open_sql(true);
	for (size_t i = 0; i < n; i++) {
		char *text = ct_stepdb_sql_fold(list[i]), *rows = strdup(answer(list[i], true));

		cr_assert(strstr(text, one) != NULL || strstr(text, other) != NULL, "%s", text);
		same(answer(text, true), rows);
		free(rows);
		free(text);
	}
}

/* Counting alike rows by what is counted already gives what counting them one by one does, titles and all. */
Test(stepdb_query, folded_counts_are_the_same)
{
	static const char *const folded[] = {
		"SELECT count(*) FROM steps",
		"select /*c*/ COUNT( * ) from steps;",
		"SELECT line, count(*) FROM steps GROUP BY line",
		"SELECT line AS l, count(*) n FROM steps WHERE line > 3 GROUP BY 1 HAVING count(*) > 2 ORDER BY n "
		"DESC, l",
		"SELECT function_id, file_id, count(*) * 2 + 1 FROM steps GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 "
		"LIMIT 9",
		"SELECT DISTINCT line FROM steps ORDER BY line",
		"SELECT count(*) FROM steps WHERE line = 100000",
		"SELECT function_id FROM calls GROUP BY function_id",
		"SELECT function_id, count(*) AS \n calls FROM calls GROUP BY 1 ORDER BY calls, 1",
		"SELECT count(*) FROM values",
		"SELECT name, kind, count(*) FROM values GROUP BY name, kind ORDER BY 1, 2",
		"SELECT kind, function_id, count(*) FROM values WHERE name LIKE 'v%' OR name IS NULL GROUP BY 1, 2",
	};
	static const char *const others[] = {
		"SELECT line, count(*) FROM steps",
		"SELECT line FROM steps LIMIT 3",
		"SELECT count(*) FROM steps s",
		"SELECT count(*) FROM steps, lines",
		"SELECT thread_id, max(id) FROM steps",
		"SELECT max(line, 3), count(*) FROM steps GROUP BY line",
		"SELECT max(line + 1) FROM steps",
		"SELECT max(exception) FROM calls",
		"SELECT id, count(*) FROM calls GROUP BY id",
		"SELECT count(*) FROM steps WHERE id < 10",
		"SELECT count(*) FROM (SELECT * FROM steps)",
		"SELECT count(*) FROM steps; SELECT 1",
		"SELECT count(*) FROM steps UNION SELECT 1",
		"SELECT *, count(*) FROM steps GROUP BY line",
		"SELECT line, * FROM steps GROUP BY line",
		"SELECT count(*) \"n\" FROM steps",
		"SELECT count(*) FROM steps WHERE line > 1.5",
		"SELECT count(*) FROM lines",
		"",
	};

	fold_all(folded, sizeof(folded) / sizeof(folded[0]), "hits", "stats");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char *text = ct_stepdb_sql_fold(others[i]);

		same(text, others[i]);
		free(text);
	}
	close_sql();
}

/* The same for what is added up by the chunk, some of it from directories alone. */
Test(stepdb_query, folded_sums_are_the_same)
{
	static const char *const folded[] = {
		"SELECT max(time_ns) FROM steps",
		"SELECT count(*), min(id), max(id) FROM steps",
		"SELECT thread_id, count(*) FROM steps GROUP BY 1",
		"SELECT thread_id, function_id, min(id), max(event_seq), sum(line), avg(line) FROM steps GROUP BY 1, 2",
		"SELECT count(line), total(call_id), avg(time_ns) a FROM steps WHERE thread_id > 1 AND line < 20",
		"SELECT call_id, count(*) FROM steps GROUP BY call_id ORDER BY count(*) DESC, 1 LIMIT 50",
		"SELECT count(*) FROM steps WHERE event_seq > 40 AND event_seq <= 300",
		"SELECT sum(line), max(line) FROM steps WHERE line = 100000",
		"SELECT count(DISTINCT thread_id), max(DISTINCT line) FROM steps",
		"SELECT thread_id FROM steps GROUP BY thread_id HAVING max(line) > '3' AND thread_id <> '2'",
		"SELECT DISTINCT thread_id FROM calls ORDER BY 1",
		"SELECT exception, state, count(*), sum(self_ns), min(exit_ns) FROM calls GROUP BY 1, 2",
		"SELECT function_id, count(exception), count(first_step), min(first_step), max(last_step), "
		"sum(exit_seq) "
		"FROM calls GROUP BY function_id",
		"SELECT max(depth), min(parent_id), count(parent_id), count(from_step), sum(attached) FROM calls",
		"SELECT count(*) FROM calls WHERE exception IS NOT NULL OR state = 'open'",
		"SELECT depth, avg(self_ns) FROM calls WHERE function_id = 2 AND parent_id IS NOT NULL GROUP BY depth",
		"SELECT parent_id, count(*) FROM calls GROUP BY parent_id",
		"SELECT max(enter_seq), max(enter_ns) FROM calls WHERE depth BETWEEN 2 AND 3",
	};

	fold_all(folded, sizeof(folded) / sizeof(folded[0]), "parts of ", "parts of ");
	close_sql();
}

/* Counts and sums of rows that fit random conditions, and the same of the model. */
Test(stepdb_query, sql_finds_what_the_model_finds)
{
	struct ct_stepdb_writer *w = create_steps(fd);

	model_start(&m, w, 61);
	for (unsigned i = 0; i < 30000; i++)
		model_act(&m);
	finish(w);
	open_sql(true);
	for (unsigned i = 0; i < 60; i++) {
		ct_u64 a = model_random(&m, m.nsteps) + 1, b = a + model_random(&m, m.nsteps / 4), n = 0, sum = 0;
		ct_u32 f = (ct_u32)model_random(&m, MODEL_FUNCTIONS) + 1,
		       line = (f - 1) * 20 + (ct_u32)model_random(&m, 19);
		char where[256], expected[64];

		for (ct_u64 id = 1; id <= m.nsteps; id++) {
			const struct model_step *s = &m.step[id];
			bool fits = id >= a && id <= b && (i % 3 != 1 || s->function == f) &&
				    (i % 3 != 2 || (s->line == line && s->file == (f - 1) % 4 + 1)) &&
				    (i % 2 || s->ns >= m.step[a].ns);

			n += fits;
			sum += fits ? id : 0;
		}
		snprintf(where, sizeof(where), "id BETWEEN %llu AND %llu", (unsigned long long)a,
			 (unsigned long long)b);
		if (i % 3 == 1)
			snprintf(where + strlen(where), 100, " AND function_id = %u", f);
		if (i % 3 == 2)
			snprintf(where + strlen(where), 100, " AND line = %u AND file_id = %u", line, (f - 1) % 4 + 1);
		if (i % 2 == 0)
			snprintf(where + strlen(where), 100, " AND time_ns >= %llu", (unsigned long long)m.step[a].ns);
		snprintf(expected, sizeof(expected), "%llu|%s%.0llu", (unsigned long long)n, n ? "" : "NULL",
			 (unsigned long long)sum);
		same(ask("SELECT count(*), sum(id) FROM steps WHERE %s", where), expected);
	}
	for (unsigned f = 1; f <= MODEL_FUNCTIONS; f++) {
		ct_u64 calls = 0, raised = 0, values = 0;
		char q[200];

		for (ct_u64 id = 1; id <= m.ncalls; id++) {
			calls += m.call[id].function == f;
			raised += m.call[id].function == f && m.call[id].state == CT_CALL_RAISED;
		}
		for (ct_u64 id = 1; id <= m.nvalues; id++)
			values += m.value[id].function == f && m.value[id].name == 3 &&
				  m.value[id].kind == CT_VALUE_LOCAL && m.value[id].number > 500;
		snprintf(q, sizeof(q),
			 "SELECT count(*) FROM calls JOIN functions f ON f.id = function_id WHERE f.name = 'C.f%u'",
			 f - 1);
		cr_assert(eq(u64, ask_number(q), calls));
		snprintf(q, sizeof(q), "SELECT count(*) FROM calls WHERE function_id = %u AND exception = 'Error'", f);
		cr_assert(eq(u64, ask_number(q), raised));
		snprintf(q, sizeof(q),
			 "SELECT count(*) FROM values WHERE name = 'v1' AND kind = 'local' AND function_id = %u AND "
			 "value > 500",
			 f);
		cr_assert(eq(u64, ask_number(q), values));
		snprintf(q, sizeof(q), "SELECT calls FROM stats WHERE function_id = %u", f);
		cr_assert(eq(u64, ask_number(q), calls));
		snprintf(q, sizeof(q),
			 "SELECT sum(hits) = (SELECT count(*) FROM steps WHERE function_id = %u) FROM lines WHERE "
			 "function_id = %u",
			 f, f);
		cr_assert(eq(u64, ask_number(q), 1));
	}
	close_sql();
	model_free(&m);
}

Test(stepdb_query, rows_come_in_the_order_asked_for)
{
	struct ct_stepdb_writer *w = create_steps(fd);

	model_start(&m, w, 62);
	for (unsigned i = 0; i < 20000; i++)
		model_act(&m);
	finish(w);
	open_sql(true);
	same(ask("SELECT id FROM steps WHERE id < 5000 ORDER BY id DESC LIMIT 3"), "4999 4998 4997");
	same(ask("SELECT id FROM steps WHERE id > 4998 ORDER BY id LIMIT 3"), "4999 5000 5001");
	same(ask("SELECT id FROM functions ORDER BY id DESC LIMIT 2"), "12 11");
	same(ask("SELECT id FROM calls WHERE id IN (7, 3, 99999999) ORDER BY id DESC"), "7 3");
	same(ask("SELECT count(*) FROM steps WHERE id = -1 OR id > 99999999 OR id = 'x' OR id < 0"), "0");
	same(ask("SELECT count(*) FROM (SELECT time_ns, lag(time_ns) OVER (ORDER BY time_ns) AS t FROM "
		 "steps) WHERE t > time_ns"),
	     "0");
	close_sql();
	model_free(&m);
}

Test(stepdb_query, events_are_the_log)
{
	ct_stepdb_writer_close(create_steps(fd));
	open_sql(true);
	same(ask("SELECT seq, time_ns, type, tid FROM events WHERE seq BETWEEN 3 AND 4"),
	     "3|3000000|note|100 4|4000000|note|100");
	same(ask("SELECT seq FROM events WHERE time_ns > 4000000 AND time_ns <= 5000000"), "5");
	same(ask("SELECT seq FROM events ORDER BY seq DESC LIMIT 2"), "6 5");
	same(ask("SELECT text FROM events WHERE type = 'note' AND seq = 2"), "note number 2");
	same(ask("SELECT count(*) FROM events WHERE type = 'syscall'"), "0");
	close_sql();
}

Test(stepdb_query, events_need_no_step_database)
{
	sqlite3_stmt *stmt;

	open_sql(false);
	same(ask("SELECT count(*) FROM events"), "6");
	cr_assert(eq(int, sqlite3_prepare_v2(sql, "SELECT * FROM steps", -1, &stmt, NULL), SQLITE_ERROR));
	cr_assert(strstr(sqlite3_errmsg(sql), "run `ctbpf index` first") != NULL, "%s", sqlite3_errmsg(sql));
	close_sql();
}

Test(stepdb_query, the_word_values_is_a_table_where_no_parenthesis_follows)
{
	static const char *const cases[][2] = {
		{"SELECT * FROM values", "SELECT * FROM \"values\""},
		{"select Values.name from\nVALUES v", "select \"Values\".name from\n\"VALUES\" v"},
		{"VALUES (1), (2)", "VALUES (1), (2)"},
		{"WITH a(b) AS (VALUES /* one */ (1)) SELECT * FROM a", NULL},
		{"SELECT 'from values', \"values\", [values] -- values\n", NULL},
		{"SELECT /* values */ my_values, values2 FROM x", NULL},
		{"SELECT 'it''s values' FROM (values)", "SELECT 'it''s values' FROM (\"values\")"},
		{"SELECT 'open values", NULL},
		{"values", "\"values\""},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *quoted = ct_stepdb_sql_quote(cases[i][0]);

		same(quoted, (cases[i][1] ? cases[i][1] : cases[i][0]));
		free(quoted);
	}
}

/* ---- The command ---- */

static char output[1 << 16];

/* Runs a command with ARGS... (up to a NULL) and returns its status; what it printed is in `output`. */
static int run(int (*command)(int argc, char **argv), const char *const *args)
{
	char *argv[16] = {(char *)"ctbpf query"};
	int argc = 1, out = memory_file("", 0), saved[2] = {dup(1), dup(2)}, status;
	ssize_t n;

	fflush(stdout);
	while (*args)
		argv[argc++] = (char *)*args++;
	dup2(out, 1);
	dup2(out, 2);
	optind = 0;
	status = command(argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	n = pread(out, output, sizeof(output) - 1, 0);
	output[n > 0 ? n : 0] = 0;
	close(out);
	close(saved[0]);
	close(saved[1]);
	return status;
}
#define QUERY(...) run(cmd_query, (const char *const[]){__VA_ARGS__, NULL})

static void value(struct ct_stepdb_writer *w, enum ct_value_kind kind, ct_u32 n, ct_s64 number)
{
	struct ct_node_builder b = {0};

	ct_node_int(&b, number, NULL);
	must(ct_stepdb_value(w, 1, kind, n, b.data, b.len) == 0, "value");
	ct_node_free(&b);
}

/* main (lines 1-9) makes a generator (11-19), and resumes it from helper (21-29), which raises in the end. */
static void small_program(void)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	ct_u32 file = ct_stepdb_file(w, "/app/prog.py", 12), mine, gen, helper, total, type;
	ct_u64 generator;

	mine = ct_stepdb_function(w, "main", 4, file, 1, "python");
	gen = ct_stepdb_function(w, "Gen.numbers", 11, file, 11, "python");
	helper = ct_stepdb_function(w, "helper", 6, file, 21, "python");
	total = ct_stepdb_string(w, "total", 5);
	type = ct_stepdb_type(w, "KeyError", 8);
	ct_stepdb_thread(w, 100, 100, "prog", 1);
	ct_stepdb_event(w, 1, 1, 1000000);
	ct_stepdb_call(w, 1, mine, false);
	ct_stepdb_step(w, 1, 2); /* step 1 */
	value(w, CT_VALUE_LOCAL, total, 10);
	ct_stepdb_step(w, 1, 3);
	generator = ct_stepdb_call(w, 1, gen, false);
	must(ct_stepdb_suspend(w, 1, NULL, 0) == 0, "suspend");
	ct_stepdb_event(w, 1, 3, 3000000);
	ct_stepdb_step(w, 1, 4); /* step 3 */
	ct_stepdb_call(w, 1, helper, false);
	ct_stepdb_step(w, 1, 22);
	must(ct_stepdb_reenter(w, 1, generator) == 0, "reenter");
	ct_stepdb_step(w, 1, 12); /* step 5 */
	value(w, CT_VALUE_LOCAL, total, -7);
	ct_stepdb_step(w, 1, 13);
	must(ct_stepdb_suspend(w, 1, NULL, 0) == 0, "suspend");
	ct_stepdb_event(w, 1, 5, 5000000);
	ct_stepdb_step(w, 1, 23); /* step 7 */
	must(ct_stepdb_unwind(w, 1, type, NULL, 0) == 0, "unwind");
	must(ct_stepdb_unwind(w, 1, type, NULL, 0) == 0, "unwind");
	must(ct_stepdb_drop(w, generator) == 0, "drop");
	finish(w);
}

Test(stepdb_query, without_a_database_it_says_what_to_run)
{
	const char *path = below(dir, "rec.ctr");

	cr_assert(eq(int, QUERY("--slowest", path), 1));
	cr_assert(strstr(output, "has no step database; run `ctbpf index ") != NULL, "%s", output);
	cr_assert(eq(int, QUERY(path, "SELECT count(*) AS n FROM events"), 0));
	same(output, "N\n6\n");
	cr_assert(eq(int, QUERY(path, "SELECT * FROM steps"), 1));
	cr_assert(strstr(output, "run `ctbpf index` first") != NULL, "%s", output);
}

Test(stepdb_query, wrong_usage)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int, QUERY("--limit", "x", path), 2));
	cr_assert(eq(int, QUERY("--slowest", "--exceptions", path), 2));
	cr_assert(eq(int, QUERY("--slowest", path, "SELECT 1"), 2));
	cr_assert(eq(int, QUERY(path, "SELECT", "1"), 2));
	cr_assert(eq(int, QUERY(path, "SELEC 1"), 2));
	cr_assert(eq(int, QUERY(path, "ATTACH '/tmp/x' AS y"), 2));
	cr_assert(eq(int, QUERY("--line", "prog.py", path), 2));
	cr_assert(eq(int, QUERY("--where", "s:x", path), 2));
	cr_assert(eq(int, QUERY("--where", "s:8", path), 1));
	cr_assert(strstr(output, "the last step is 7") != NULL, "%s", output);
}

Test(stepdb_query, history)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int, QUERY("--csv", "--history", "total", path), 0));
	same(output, "step,time_ns,thread,call,function,place,name,kind,value\r\n"
		     "1,1000000,1,1,main,/app/prog.py:2,total,local,10\r\n"
		     "5,3000000,1,2,Gen.numbers,/app/prog.py:12,total,local,-7\r\n");
	cr_assert(eq(int, QUERY("--json", "--history", "numbers:total", path), 0));
	cr_assert(eq(
		str, output,
		"{\"step\":5,\"time_ns\":3000000,\"thread\":1,\"call\":2,\"function\":\"Gen.numbers\",\"place\":\"/app/"
		"prog.py:12\",\"name\":\"total\",\"kind\":\"local\",\"value\":\"-7\"}\n"));
	cr_assert(eq(int, QUERY("--limit", "1", "--history", "total", path), 0));
	cr_assert(strstr(output, "\n1 more; --limit 0 shows all, --reverse the last ones first\n") != NULL, "%s",
		  output);
	cr_assert(eq(int, QUERY("--history", "nothing", path), 1));
	cr_assert(strstr(output, "no variable 'nothing' has a recorded value") != NULL, "%s", output);
}

Test(stepdb_query, line)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int, QUERY("--line", "prog.py:22", path), 0));
	same(output, "STEP       TIME  THREAD  CALL  EVENT SEQ  FUNCTION  PLACE\n"
		     "   4  +0.002000       1     3          3  helper    /app/prog.py:22\n");
	cr_assert(eq(int, QUERY("--line", "prog.py:16", path), 1));
	cr_assert(strstr(output, "prog.py:16 was not run; the nearest line that was is 13") != NULL, "%s", output);
	cr_assert(eq(int, QUERY("--line", "other.py:1", path), 1));
	cr_assert(strstr(output, "no file 'other.py' was run") != NULL, "%s", output);
}

Test(stepdb_query, callers_and_exceptions)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int, QUERY("--csv", "--callers", "helper", path), 0));
	same(output, "calls,total_ns,function,caller,place\r\n1,2000000,helper,main,/app/prog.py:4\r\n");
	cr_assert(eq(int, QUERY("--csv", "--exceptions", path), 0));
	same(output, "step,time_ns,thread,call,function,place,exception\r\n"
		     "7,5000000,1,3,helper,/app/prog.py:23,<KeyError>\r\n");
	cr_assert(eq(int, QUERY("--csv", path, "SELECT id, exception, exit_ns FROM calls"), 0));
	cr_assert(
		eq(str, output, "id,exception,exit_ns\r\n1,KeyError,5000000\r\n2,,5000000\r\n3,KeyError,5000000\r\n"));
}

Test(stepdb_query, slowest)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int, QUERY("--json", "--slowest", path), 0));
	cr_assert(strstr(output, "{\"total_ns\":4000000,\"self_ns\":2000000,\"max_ns\":4000000,\"calls\":1,\"steps\":3,"
				 "\"exceptions\":1,\"function\":\"main\"}\n") == output,
		  "%s", output);
	cr_assert(strstr(output,
			 "{\"duration_ns\":4000000,\"self_ns\":2000000,\"enter_ns\":1000000,\"thread\":1,\"call\":1,"
			 "\"first_step\":1,\"function\":\"main\",") != NULL,
		  "%s", output);
}

/* A generator's frame is on top of who resumed it, not of who made it. */
Test(stepdb_query, where)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int, QUERY("--where", "s:6", path), 0));
	same(output, "step 6, +0.002000, after event 3, thread 1 (prog, tid 100)\n"
		     "#0   Gen.numbers  /app/prog.py:13  call 2\n"
		     "      total = -7\n"
		     "#1   helper  /app/prog.py:22  call 3\n"
		     "#2   main  /app/prog.py:4  call 1\n"
		     "      total = 10\n");
	cr_assert(eq(int, QUERY("--where", "e:4", path), 0)); /* before what follows event 5 */
	cr_assert(strncmp(output, "step 6,", 7) == 0, "%s", output);
	cr_assert(eq(int, QUERY("--where", "e:3", path), 0));
	cr_assert(strncmp(output, "step 2,", 7) == 0, "%s", output);
	cr_assert(eq(int, QUERY("--where", "t:+4ms", path), 0));
	cr_assert(strncmp(output, "step 7,", 7) == 0, "%s", output);
	cr_assert(eq(int, QUERY("--where", "e:1", path), 1));
	cr_assert(strstr(output, "before the first step") != NULL, "%s", output);
	cr_assert(eq(int, QUERY("--json", "--where", "s:2", path), 0));
	cr_assert(eq(
		str, output,
		"{\"step\":2,\"time_ns\":1000000,\"event_seq\":1,\"thread\":1,\"tid\":100,\"frames\":[{\"call\":1,"
		"\"function\":\"main\",\"path\":\"/app/prog.py\",\"line\":3,\"locals\":[{\"name\":\"total\",\"value\":"
		"\"10\",\"since_step\":1}]}]}\n"));
}

Test(stepdb_query, tables_are_one_line_a_row)
{
	const char *path = below(dir, "rec.ctr");

	small_program();
	cr_assert(eq(int,
		     QUERY(path, "SELECT 'a' || char(10, 27) || 'b' AS x_y, 1.5 AS n, x'00ff' AS blob, NULL AS none"),
		     0));
	same(output, "X Y         N  BLOB  NONE\na\\n\\x1bb  1.5  00ff  \n");
	cr_assert(eq(int, QUERY("--csv", path, "SELECT 'a\"b,c' AS t; SELECT 2 AS u"), 0));
	same(output, "t\r\n\"a\"\"b,c\"\r\nu\r\n2\r\n");
	cr_assert(eq(int, QUERY(path), 0));
	cr_assert(strstr(output, ": 7 steps, 3 calls, ") != NULL, "%s", output);
}

Test(stepdb_query, dump_shows_how_it_is_stored)
{
	const char *path = below(dir, "rec.ctr");
	json_t *v, *columns;

	cr_assert(eq(int, run(cmd_dump, (const char *const[]){"--steps", path, NULL}), 1));
	cr_assert(strstr(output, "has no step database") != NULL, "%s", output);
	small_program();
	cr_assert(eq(int, run(cmd_dump, (const char *const[]){"--steps", path, NULL}), 0));
	cr_assert(strstr(output,
			 "step database, version 1, of recording 01020304-0506-7708-990a-0b0c0d0e0f10; 2 commits, "
			 "complete\nsteps (steps.ctcol): 7 rows, 1 chunks, 1 groups, ") == output,
		  "%s", output);
	cr_assert(eq(int, run(cmd_dump, (const char *const[]){"--steps", "--raw", "--json", path, NULL}), 0));
	v = json_loads(output, 0, NULL);
	cr_assert(v != NULL, "%s", output);
	columns = json_object_get(
		json_array_get(
			json_object_get(
				json_array_get(
					json_object_get(json_array_get(json_object_get(v, "tables"), 0), "groups"), 0),
				"chunks"),
			0),
		"columns");
	cr_assert(eq(sz, json_array_size(columns), CT_STEP_NCOLS), "%s", output);
	json_decref(v);
}

/* The longest of many, by way of a heap and the chunks' greatest. */
Test(stepdb_query, slowest_is_sorted)
{
	const char *path = below(dir, "rec.ctr");
	struct ct_stepdb_writer *w = create_steps(fd);
	long long before = INT64_MAX, duration;
	unsigned n = 0;

	model_start(&m, w, 63);
	for (unsigned i = 0; i < 8000; i++)
		model_act(&m);
	finish(w);
	cr_assert(eq(int, QUERY("--json", "--slowest", "--limit", "200", path), 0));
	for (const char *p = output; (p = strstr(p, "{\"duration_ns\":")); p++, n++) {
		duration = atoll(p + 15);
		cr_assert(le(i64, duration, before));
		before = duration;
	}
	cr_assert(eq(u32, n, 200));
	model_free(&m);
}
