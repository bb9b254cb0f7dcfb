// SPDX-License-Identifier: MIT
/* ctbpf pack: a recording as one file, to be sent or stored. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/pack.h"
#include "user/cmd.h"

#define LEVEL          3
#define RECIPIENTS_MAX 32

static const char help[] =
	"usage: ctbpf pack [-o FILE] [--age RECIPIENT]... RECORDING\n"
	"\n"
	"Puts a recording into one file that needs nothing else: a tar archive, compressed with zstd if its\n"
	"name ends in .zst. `tar xf FILE` makes the recording again, on any machine.\n"
	"\n"
	"  -o, --output FILE  (default RECORDING.tar.zst, in the present directory); -: standard output\n"
	"      --age RECIPIENT  encrypt it for who has the key of this one (`age1...` or an SSH public key), with\n"
	"                     the program age; may be given several times. FILE's name ends in .age then\n"
	"  -q, --quiet        say nothing but errors\n"
	"  -h, --help         this text\n"
	"\n"
	"A recording holds what the program's memory held: passwords, keys, other people's data. So does the\n"
	"archive, which only its owner may read.\n"
	"\n"
	"examples:\n"
	"  ctbpf pack crash.ctr && scp crash.ctr.tar.zst desk:\n"
	"  ctbpf pack -o - crash.ctr | ssh desk tar x\n"
	"  ctbpf pack --age age1... crash.ctr     # there: age -d -i KEY crash.ctr.tar.zst.age | tar x --zstd\n"
	"\n"
	"exit status: 0 packed, 1 failed, 2 usage\n";

static bool ends_in(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

/* Whose names are in the archive; a list for the program age, which begins with its name and ends with NULL. */
struct recipients {
	char *argv[2 * RECIPIENTS_MAX + 2];
	size_t n;
};

static void default_name(char path[PATH_MAX], const char *recording, const struct recipients *to)
{
	size_t len = strlen(recording), start;

	while (len && recording[len - 1] == '/')
		len--;
	for (start = len; start && recording[start - 1] != '/'; start--)
		;
	snprintf(path, PATH_MAX, "%.*s.tar.zst%s", (int)(len - start), recording + start, to->n ? ".age" : "");
}

/* Compressed or not, as the name says, whatever is done to it afterwards. */
static int level_of(const char *path, const struct recipients *to)
{
	return ends_in(path, to->n ? ".zst.age" : ".zst") ? LEVEL : 0;
}

static int pack(struct ct_recording *rec, int fd, int level, const struct recipients *to, struct ct_error *err)
{
	posix_spawn_file_actions_t actions;
	int ends[2], ret, status = 0;
	struct ct_error why = {0};
	pid_t pid;

	if (!to->n)
		return ct_pack(rec, fd, level, err);
	if (pipe2(ends, O_CLOEXEC))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot make a pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	errno = posix_spawnp(&pid, to->argv[0], &actions, NULL, to->argv, environ);
	ret = errno ? ct_fail_errno(err, CT_EXIT_FAILED, "cannot run age, which encrypts (Debian: apt-get install age)")
		    : 0;
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	if (ret) {
		close(ends[1]);
		return ret;
	}
	signal(SIGPIPE, SIG_IGN); /* it says itself what it does not like */
	ret = ct_pack(rec, ends[1], level, &why);
	close(ends[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		return ct_fail(err, CT_EXIT_FAILED, "age did not encrypt the archive (it ended with status %d)",
			       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	if (ret)
		*err = why;
	return ret;
}

/* It gets its name when it is whole. */
static int pack_to(struct ct_recording *rec, const char *path, const struct recipients *to, bool quiet,
		   struct ct_error *err)
{
	char tmp[PATH_MAX + 8];
	struct stat st = {0};
	int fd, ret;

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot create", tmp);
	ret = pack(rec, fd, level_of(path, to), to, err);
	if (!ret && (fsync(fd) || fstat(fd, &st) || rename(tmp, path)))
		ret = ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot put it in place", path);
	close(fd);
	if (ret)
		unlink(tmp);
	else if (!quiet)
		fprintf(stderr, "%s: %.1f MB\n", path, (double)st.st_size / 1e6);
	return ret;
}

int cmd_pack(int argc, char **argv)
{
	static const struct option options[] = {{"output", required_argument, NULL, 'o'},
						{"age", required_argument, NULL, 'a'},
						{"quiet", no_argument, NULL, 'q'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct recipients to = {.argv = {"age"}};
	const char *output = NULL;
	char path[PATH_MAX];
	struct ct_error err = {0};
	struct ct_recording *rec;
	bool quiet = false;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "o:qh", options, NULL)) != -1) {
		switch (opt) {
		case 'o': output = optarg; break;
		case 'a':
			if (to.n == RECIPIENTS_MAX)
				return ct_cmd_usage(argv, "more than %d recipients", RECIPIENTS_MAX);
			to.argv[1 + 2 * to.n] = "-r";
			to.argv[2 + 2 * to.n++] = optarg;
			break;
		case 'q': quiet = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "name one recording (a directory NAME.ctr)");
	rec = ct_recording_open(argv[optind], &err);
	if (!rec)
		return ct_cmd_fail(argv, &err);
	default_name(path, argv[optind], &to);
	for (size_t i = 0; ct_recording_problem(rec, i); i++)
		fprintf(stderr, "%s: packed as it is, with this problem: %s\n", argv[optind],
			ct_recording_problem(rec, i));
	if (ct_recording_state(rec) == CT_REC_RECORDING)
		ret = ct_fail(&err, CT_EXIT_FAILED,
			      "%s: is still being recorded; wait for its end, or pack what `ctbpf trigger` keeps of it",
			      argv[optind]);
	else if (output && !strcmp(output, "-"))
		ret = pack(rec, STDOUT_FILENO, 0, &to, &err);
	else
		ret = pack_to(rec, output ? output : path, &to, quiet, &err);
	ct_recording_close(rec);
	return ret ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}
