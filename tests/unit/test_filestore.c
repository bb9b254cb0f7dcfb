/* SPDX-License-Identifier: MIT
 * Kept files: content comes back, once, whole, and only if it is what its name says.
 *
 * Each test has its own directory. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/recording_helpers.h"

static char *dir;
static int fd = -1;

static void setup(void)
{
	dir = scratch_dir();
}

static void teardown(void)
{
	if (fd >= 0)
		close(fd);
	scratch_remove(dir);
}

TestSuite(files, .init = setup, .fini = teardown);

/* ---- Kept files ---- */

/* Keeps DIR/name; returns what ct_file_keep does. */
static int keep(const char *name, struct ct_file_ref *ref, ct_u8 hash[16], struct ct_error *err)
{
	int from = open(below(dir, name), O_RDONLY | O_CLOEXEC), ret;

	cr_assert(from >= 0);
	ret = ct_file_keep(fd, from, name, ref, hash, err);
	close(from);
	return ret;
}

Test(files, content_comes_back)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char name[33], text[32] = "", path[80];
	struct stat st, kept;
	int in;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "lib"), "hello, file", 11);
	stat(below(dir, "lib"), &st);
	cr_assert(keep("lib", &ref, hash, &err) == 0, "%s", err.msg);
	cr_assert(eq(u64, ref.size, 11));
	cr_assert(eq(u64, ref.ino, st.st_ino));
	cr_assert(ref.ctime_s == st.st_ctim.tv_sec && ref.ctime_ns == st.st_ctim.tv_nsec);
	in = ct_file_open(fd, hash, true, &err);
	cr_assert(in >= 0, "%s", err.msg);
	cr_assert(read(in, text, sizeof(text)) == 11);
	cr_assert(eq(str, text, (char *)"hello, file"));
	close(in);
	ct_hash_format(hash, name);
	snprintf(path, sizeof(path), "rec.ctr/files/%s", name);
	cr_assert(stat(below(dir, path), &kept) == 0 && (kept.st_mode & 0777) == 0600);
}

Test(files, name_is_the_known_hash)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char name[33];

	/* XXH3-128 of nothing, canonical. */
	fd = make_recording(dir, "recording");
	put_file(below(dir, "empty"), "", 0);
	cr_assert(keep("empty", &ref, hash, &err) == 0, "%s", err.msg);
	ct_hash_format(hash, name);
	cr_assert(eq(str, name, (char *)"99aa06d3014798d86001c324468d497f"));
}

Test(files, same_content_is_kept_once)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 a[16], b[16];
	struct stat st;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "one"), "same", 4);
	put_file(below(dir, "two"), "same", 4);
	cr_assert(keep("one", &ref, a, &err) == 0);
	cr_assert(keep("two", &ref, b, &err) == 0);
	cr_assert(memcmp(a, b, 16) == 0);
	cr_assert(stat(below(dir, "rec.ctr/files"), &st) == 0);
}

Test(files, sparse_file_stays_sparse_and_whole)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	struct stat st;
	char text[8] = "";
	int out, in;

	fd = make_recording(dir, "recording");
	out = open(below(dir, "sparse"), O_RDWR | O_CREAT, 0600);
	cr_assert(pwrite(out, "begin", 5, 0) == 5);
	cr_assert(pwrite(out, "middle", 6, 32 << 20) == 6);
	cr_assert(ftruncate(out, 64 << 20) == 0);
	close(out);
	cr_assert(keep("sparse", &ref, hash, &err) == 0, "%s", err.msg);
	in = ct_file_open(fd, hash, true, &err);
	cr_assert(in >= 0, "%s", err.msg);
	cr_assert(fstat(in, &st) == 0);
	cr_assert(eq(u64, (ct_u64)st.st_size, 64u << 20));
	cr_assert(lt(u64, (ct_u64)st.st_blocks * 512, 1u << 20));
	cr_assert(pread(in, text, 6, 32 << 20) == 6);
	cr_assert(eq(str, text, (char *)"middle"));
	close(in);
}

Test(files, holes_hash_as_zeros)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 a[16], b[16];
	ct_u8 *zeros = calloc(1, 3 << 20);

	fd = make_recording(dir, "recording");
	put_file(below(dir, "hole"), "", 0);
	cr_assert(truncate(below(dir, "hole"), 3 << 20) == 0);
	put_file(below(dir, "zeros"), zeros, 3 << 20);
	cr_assert(keep("hole", &ref, a, &err) == 0);
	cr_assert(keep("zeros", &ref, b, &err) == 0);
	cr_assert(memcmp(a, b, 16) == 0);
	free(zeros);
}

Test(files, position_of_the_descriptor_stays)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	int from;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "lib"), "hello, file", 11);
	from = open(below(dir, "lib"), O_RDONLY);
	lseek(from, 3, SEEK_SET);
	cr_assert(ct_file_keep(fd, from, "lib", &ref, hash, &err) == 0);
	cr_assert(lseek(from, 0, SEEK_CUR) == 3);
	close(from);
}

Test(files, file_that_changes_meanwhile_is_refused)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16], *data = calloc(1, 8 << 20);
	pid_t child;
	bool refused = false;

	fd = make_recording(dir, "recording");
	data[0] = 1;
	put_file(below(dir, "busy"), data, 8 << 20);
	child = fork();
	if (child == 0) {
		int to = open(below(dir, "busy"), O_RDWR);
		for (int i = 0;; i++)
			if (pwrite(to, &i, sizeof(i), 4 << 20) != sizeof(i))
				_exit(1);
	}
	for (int i = 0; i < 100 && !refused; i++)
		refused = keep("busy", &ref, hash, &err) < 0;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert(refused);
	cr_assert(strstr(err.msg, "changed") != NULL, "%s", err.msg);
	free(data);
}

Test(files, only_regular_files_are_kept)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	int dev = open("/dev/null", O_RDONLY);

	fd = make_recording(dir, "recording");
	cr_assert(ct_file_keep(fd, dev, "/dev/null", &ref, hash, &err) == -1);
	cr_assert(strstr(err.msg, "/dev/null: not a regular file") != NULL, "%s", err.msg);
	close(dev);
}

Test(files, damaged_content_is_found)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char name[33], path[80];
	int in;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "lib"), "hello, file", 11);
	cr_assert(keep("lib", &ref, hash, &err) == 0);
	ct_hash_format(hash, name);
	snprintf(path, sizeof(path), "rec.ctr/files/%s", name);
	put_file(below(dir, path), "hello. file", 11);
	cr_assert(ct_file_open(fd, hash, true, &err) == -1);
	cr_assert(strstr(err.msg, "damaged") != NULL, "%s", err.msg);
	in = ct_file_open(fd, hash, false, &err);
	cr_assert(in >= 0);
	close(in);
}

Test(files, unknown_hash_is_an_error)
{
	struct ct_error err = {0};
	ct_u8 hash[16] = {1};

	fd = make_recording(dir, "recording");
	cr_assert(ct_file_open(fd, hash, true, &err) == -1);
	cr_assert(strstr(err.msg, "files/01000000") != NULL, "%s", err.msg);
}

Test(files, full_disk_is_reported_and_cleaned_up)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	struct rlimit limit;
	ct_u8 hash[16], *data = malloc(1 << 20);
	int ret;

	fd = make_recording(dir, "recording");
	memset(data, 7, 1 << 20);
	put_file(below(dir, "lib"), data, 1 << 20);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &limit);
	ret = keep("lib", &ref, hash, &err);
	/* Where the file system can share blocks there is nothing to write. */
	if (ret < 0) {
		cr_assert(strstr(err.msg, "files/") != NULL, "%s", err.msg);
		cr_assert(rmdir(below(dir, "rec.ctr/files")) == 0, "not empty");
	}
	free(data);
}
