/* SPDX-License-Identifier: MIT
 * Harm to the step database: flipped bytes, cut files, writers that are killed, full disks, readers meanwhile.
 *
 * Whatever happens: what is read is what was committed, or an error. needs: root (mounts a small file system) */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/unit/stepdb_fixture.h"

TestSuite(stepdb_harm, .init = set_up_directory, .fini = tear_down);

/* ---- Damage ---- */

/* A small database with something of everything. */
static void small_db(struct model *m)
{
	struct ct_stepdb_writer *w = create_steps(fd);
	struct ct_stepdb_span span = {"request", "GET /", 0, 1, 1, 5, 1000, 2000};
	struct ct_error err = {0};

	model_start(m, w, 5);
	for (unsigned i = 0; i < 260; i++) {
		model_act(m);
		if (i == 130)
			must(ct_stepdb_commit(w, "here", 4, false, &err) == 0, err.msg);
	}
	must(ct_stepdb_span(w, &span) == 1, "span");
	must(ct_stepdb_commit(w, "there", 5, false, &err) == 0, err.msg);
	ct_stepdb_writer_close(w);
}

static int sum_locals(void *arg, const struct ct_local *local)
{
	*(ct_u64 *)arg += local->step * 31 + local->variable;
	return 0;
}

/* Something of everything that is found by way of an index; false on an error. */
static bool indexed(struct ct_stepdb *db, const struct model *m, ct_u64 sums[4], struct ct_error *err)
{
	static const ct_u8 names[3] = {CT_LOCATIONS, CT_FUNCTIONS, CT_VARIABLES};
	ct_u64 slow[3];

	memset(sums, 0, 4 * sizeof(*sums));
	for (unsigned k = 0; k < 3; k++)
		for (ct_u32 id = 1; id <= ct_stepdb_names(db, names[k]); id++) {
			ct_u64 n;

			if (ct_stepdb_count(db, k, &id, 1, &n, err) < 0)
				return false;
			sums[k] += n * id;
		}
	for (ct_u64 call = 1; call <= m->ncalls; call++)
		if (ct_stepdb_locals(db, call, m->nsteps, sum_locals, &sums[3], err) < 0)
			return false;
	return ct_stepdb_slowest(db, 3, slow, err) >= 0;
}

/* NULL: all as it was. */
static const char *differ_from(struct ct_stepdb *db, struct ct_stepdb *good, const struct model *m)
{
	const char *wrong = differ(db, m);
	ct_u64 found[4], expected[4];
	struct ct_error err = {0};

	for (unsigned k = 0; !wrong && k < CT_NNAMES; k++) {
		if (ct_stepdb_names(db, k) != ct_stepdb_names(good, k))
			return "WRONG: how many names there are";
		for (ct_u32 id = 1; id <= ct_stepdb_names(db, k); id++) {
			const struct ct_name *a = ct_stepdb_name(db, k, id), *b = ct_stepdb_name(good, k, id);

			if (a->len != b->len || memcmp(a->text, b->text, a->len) || memcmp(a->v, b->v, sizeof(a->v)))
				return "WRONG: a name";
		}
	}
	if (wrong)
		return wrong;
	if (!indexed(db, m, found, &err))
		return the_error(&err);
	cr_assert(indexed(good, m, expected, &err));
	return memcmp(found, expected, sizeof(found)) ? "WRONG: what an index finds" : NULL;
}

struct damage {
	unsigned harmless, detected;
};

/* Changes one file as said, looks at the database, and puts the file right again. */
static void try_damage(const char *name, const ct_u8 *data, size_t len, struct ct_stepdb *good, const struct model *m,
		       struct damage *d, size_t at)
{
	struct ct_error err = {0};
	const char *path = below(dir, name), *wrong;
	struct ct_stepdb *db;

	put_file(path, data, len);
	db = ct_stepdb_open(fd, "rec.ctr", &err);
	wrong = db ? differ_from(db, good, m) : err.msg;
	if (wrong)
		cr_assert(strncmp(wrong, "WRONG", 5) != 0 && *wrong, "%s at %zu: %s", name, at, wrong);
	if (wrong)
		d->detected++;
	else
		d->harmless++;
	ct_stepdb_close(db);
}

static const char *const files[] = {"steps/steps.ctcol", "steps/calls.ctcol", "steps/values.ctcol", "steps/exits.ctcol",
				    "steps/catalogue.db"};

Test(stepdb_harm, every_flipped_byte_is_detected_or_harmless)
{
	struct ct_error err = {0};
	struct ct_stepdb *good;
	struct model m;

	small_db(&m);
	good = ct_stepdb_open(fd, "rec.ctr", &err);
	cr_assert(good != NULL, "%s", err.msg);
	cr_assert(differ_from(good, good, &m) == NULL);
	for (unsigned f = 0; f < 5; f++) {
		struct damage d = {0};
		size_t len;
		ct_u8 *data = get_file(below(dir, files[f]), &len);
		ct_u8 *copy = malloc(len);

		memcpy(copy, data, len);
		/* The catalogue is mostly empty pages; a seventh of its bytes takes long enough. */
		for (size_t i = 0; i < len; i += f == 4 ? 7 : 1) {
			data[i] ^= (ct_u8)(1u << i % 8);
			try_damage(files[f], data, len, good, &m, &d, i);
			data[i] = copy[i];
		}
		put_file(below(dir, files[f]), copy, len);
		/* In files of blocks only padding is nobody's business. */
		if (f < 4)
			cr_assert(d.harmless * 10 < d.detected, "%s: %u harmless, %u detected", files[f], d.harmless,
				  d.detected);
		cr_assert(gt(u32, d.detected, 50));
		free(data);
		free(copy);
	}
	ct_stepdb_close(good);
	model_free(&m);
}

Test(stepdb_harm, every_cut_is_detected)
{
	struct ct_error err = {0};
	struct ct_stepdb *good;
	struct model m;

	small_db(&m);
	good = ct_stepdb_open(fd, "rec.ctr", &err);
	cr_assert(good != NULL, "%s", err.msg);
	for (unsigned f = 0; f < 5; f++) {
		struct damage d = {0};
		size_t len;
		ct_u8 *data = get_file(below(dir, files[f]), &len);

		for (size_t i = 0; i < len; i += len / 60 + 1)
			try_damage(files[f], data, i, good, &m, &d, i);
		cr_assert(eq(u32, d.harmless, 0), "%s", files[f]);
		put_file(below(dir, files[f]), data, len);
		free(data);
	}
	/* More bytes than were committed are those of a writer that is at it, or died. */
	for (unsigned f = 0; f < 4; f++) {
		struct damage d = {0};
		size_t len;
		ct_u8 *data = get_file(below(dir, files[f]), &len);

		data = realloc(data, len + 1000);
		memset(data + len, 0x5a, 1000);
		try_damage(files[f], data, len + 1000, good, &m, &d, len);
		cr_assert(eq(u32, d.harmless, 1), "%s", files[f]);
		free(data);
	}
	ct_stepdb_close(good);
	model_free(&m);
}

Test(stepdb_harm, files_of_two_databases_do_not_mix)
{
	struct ct_error err = {0};
	struct model m;
	size_t len;
	ct_u8 *data;

	small_db(&m);
	data = get_file(below(dir, files[0]), &len);
	model_free(&m);
	small_db(&m);
	put_file(below(dir, files[0]), data, len);
	cr_assert(ct_stepdb_open(fd, "rec.ctr", &err) == NULL);
	cr_assert(strstr(err.msg, "belongs to another step database") != NULL, "%s", err.msg);
	free(data);
	model_free(&m);
}

Test(stepdb_harm, links_are_not_followed)
{
	for (unsigned f = 0; f < 5; f++) {
		struct ct_error err = {0};
		struct model m;

		small_db(&m);
		must(rename(below(dir, files[f]), below(dir, "elsewhere")) == 0, "rename");
		must(symlink("../elsewhere", below(dir, files[f])) == 0, "symlink");
		cr_assert(ct_stepdb_open(fd, "rec.ctr", &err) == NULL, "%s", files[f]);
		model_free(&m);
	}
}

/* ---- Writers that die ---- */

/* A writer that commits every 400 actions, with their number as the position, and tells so by a byte. */
static void write_until(struct model *m, ct_u64 from, ct_u64 to, int tell)
{
	struct ct_error err = {0};

	for (ct_u64 i = from; i < to; i++) {
		model_act(m);
		if ((i + 1) % 400 && i + 1 < to)
			continue;
		i++;
		must(ct_stepdb_commit(m->w, &i, sizeof(i), false, &err) == 0, err.msg);
		i--;
		must(tell < 0 || write(tell, "", 1) == 1, "pipe");
	}
}

/* The model after so many actions; its writer is a database of its own. */
static void model_at(struct model *m, const char *name, ct_u64 actions)
{
	int at;

	mkdir(below(dir, name), 0700);
	at = open(below(dir, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(at >= 0, name);
	model_start(m, create_steps(at), 77);
	close(at);
	for (ct_u64 i = 0; i < actions; i++)
		model_act(m);
}

static ct_u64 position(const struct ct_stepdb_writer *w)
{
	size_t len;
	const void *p = ct_stepdb_position(w, &len);
	ct_u64 actions = 0;

	if (len == sizeof(actions))
		memcpy(&actions, p, len);
	return actions;
}

/* What is there now is what the model says was there after the last commit; then more is added to both. */
static void check_and_go_on(struct ct_stepdb_writer *w, ct_u64 more)
{
	struct ct_stepdb_writer *own;
	struct ct_error err = {0};
	struct ct_stepdb *db;
	const char *wrong;
	struct model m;

	model_at(&m, "model", position(w));
	for (unsigned i = 0; i < 2; i++) {
		db = ct_stepdb_open(fd, "rec.ctr", &err);
		cr_assert(db != NULL, "%s", err.msg);
		wrong = differ(db, &m);
		cr_assert(wrong == NULL, "%s, %s", wrong, i ? "after going on" : "of what was committed");
		ct_stepdb_close(db);
		if (i)
			break;
		own = m.w;
		m.w = w;
		write_until(&m, position(w), position(w) + more, -1);
		ct_stepdb_writer_close(own);
	}
	model_free(&m);
}

Test(stepdb_harm, a_killed_writer_costs_what_was_not_committed)
{
	for (unsigned round = 0; round < 6; round++) {
		struct ct_error err = {0};
		struct ct_stepdb_writer *w;
		int pipefd[2], status;
		pid_t pid;
		char c;

		must(pipe(pipefd) == 0, "pipe");
		pid = fork();
		if (pid == 0) {
			struct model m;

			model_start(&m, create_steps(fd), 77);
			write_until(&m, 0, UINT64_MAX, pipefd[1]);
			_exit(1);
		}
		close(pipefd[1]);
		for (unsigned i = 0; i < 1 + round * 3; i++)
			must(read(pipefd[0], &c, 1) == 1, "the writer ended");
		kill(pid, SIGKILL); /* anywhere in what follows */
		must(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "waitpid");
		close(pipefd[0]);
		w = ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err);
		cr_assert(w != NULL, "%s", err.msg);
		cr_assert(ge(u64, position(w), 400 * (1 + round * 3)));
		check_and_go_on(w, 3000);
		ct_stepdb_writer_close(w);
	}
}

Test(stepdb_harm, a_reader_meanwhile_sees_commits_only)
{
	struct ct_error err = {0};
	struct ct_stepdb *db;
	struct ct_stepdb_info info = {0};
	int pipefd[2], status;
	struct model m;
	pid_t pid;
	char c;

	model_at(&m, "model", 40000);
	must(pipe(pipefd) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		struct model own;

		model_start(&own, create_steps(fd), 77);
		write_until(&own, 0, 40000, pipefd[1]);
		_exit(0);
	}
	close(pipefd[1]);
	must(read(pipefd[0], &c, 1) == 1, "the writer ended");
	db = ct_stepdb_open(fd, "rec.ctr", &err);
	cr_assert(db != NULL, "%s", err.msg);
	while (info.steps < m.nsteps) {
		const char *wrong;
		ct_u64 before = info.steps;

		cr_assert(ct_stepdb_refresh(db, &err) >= 0, "%s", err.msg);
		ct_stepdb_info(db, &info);
		cr_assert(le(u64, info.steps, m.nsteps));
		wrong = differ_steps(db, &m, before + 1, info.steps - before);
		cr_assert(wrong == NULL, "%s", wrong);
	}
	cr_assert(differ(db, &m) == NULL);
	ct_stepdb_close(db);
	close(pipefd[0]);
	must(waitpid(pid, &status, 0) == pid && status == 0, "the writer failed");
	ct_stepdb_writer_close(m.w);
	model_free(&m);
}

/* ---- Full disks ---- */

Test(stepdb_harm, a_full_disk_costs_what_was_not_committed)
{
	struct ct_stepdb_writer *w;
	struct ct_error err = {0};
	struct model m;
	ct_u64 i = 0;
	int ret = 0;

	/* In a mount namespace of this test's own process. */
	must(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "unshare");
	must(mkdir(below(dir, "disk"), 0700) == 0, "mkdir");
	must(mount("tmpfs", below(dir, "disk"), "tmpfs", 0, "size=300k") == 0, "mount");
	close(fd);
	fd = open(below(dir, "disk"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0, "disk");
	model_start(&m, create_steps(fd), 77);
	while (ret == 0) {
		/* What is appended after a failure is for nothing, but harmless. */
		for (unsigned k = 0; k < 400; k++)
			model_act(&m);
		i += 400;
		ret = ct_stepdb_commit(m.w, &i, sizeof(i), false, &err);
		cr_assert(lt(u64, i, 1000000), "the disk is never full");
	}
	cr_assert(strstr(err.msg, "the file system is full") != NULL, "%s", err.msg);
	cr_assert(ct_stepdb_failed(m.w, &err) < 0);
	cr_assert(ct_stepdb_commit(m.w, &i, sizeof(i), false, &err) < 0);
	ct_stepdb_writer_close(m.w);
	model_free(&m);
	must(mount("tmpfs", below(dir, "disk"), NULL, MS_REMOUNT, "size=8m") == 0, "remount");
	w = ct_stepdb_resume(fd, "rec.ctr", test_uuid, &err);
	cr_assert(w != NULL, "%s", err.msg);
	cr_assert(eq(u64, position(w), i - 400));
	check_and_go_on(w, 5000);
	ct_stepdb_writer_close(w);
}
