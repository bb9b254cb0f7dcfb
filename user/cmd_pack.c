// SPDX-License-Identifier: MIT
/* ctbpf pack: a recording as one file, to be sent or stored. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/pack.h"
#include "user/cmd.h"

#define LEVEL 3

static const char help[] =
	"usage: ctbpf pack [-o FILE] RECORDING\n"
	"\n"
	"Puts a recording into one file that needs nothing else: a tar archive, compressed with zstd if its\n"
	"name ends in .zst. `tar xf FILE` makes the recording again, on any machine.\n"
	"\n"
	"  -o, --output FILE  (default RECORDING.tar.zst, in the present directory); -: standard output\n"
	"  -q, --quiet        say nothing but errors\n"
	"      --help         this text\n"
	"\n"
	"A recording holds what the program's memory held: passwords, keys, other people's data. So does the\n"
	"archive, which only its owner may read.\n"
	"\n"
	"examples:\n"
	"  ctbpf pack crash.ctr && scp crash.ctr.tar.zst desk:\n"
	"  ctbpf pack -o - crash.ctr | ssh desk tar x\n"
	"\n"
	"exit status: 0 packed, 1 failed, 2 usage\n";

static bool ends_in(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

static void default_name(char path[PATH_MAX], const char *recording)
{
	size_t len = strlen(recording), start;

	while (len && recording[len - 1] == '/')
		len--;
	for (start = len; start && recording[start - 1] != '/'; start--)
		;
	snprintf(path, PATH_MAX, "%.*s.tar.zst", (int)(len - start), recording + start);
}

/* It gets its name when it is whole. */
static int pack_to(struct ct_recording *rec, const char *path, bool quiet, struct ct_error *err)
{
	char tmp[PATH_MAX + 8];
	struct stat st = {0};
	int fd, ret;

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot create", tmp);
	ret = ct_pack(rec, fd, ends_in(path, ".zst") ? LEVEL : 0, err);
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
						{"quiet", no_argument, NULL, 'q'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *output = NULL;
	char path[PATH_MAX];
	struct ct_error err = {0};
	struct ct_recording *rec;
	bool quiet = false;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "o:qh", options, NULL)) != -1) {
		switch (opt) {
		case 'o': output = optarg; break;
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
	default_name(path, argv[optind]);
	for (size_t i = 0; ct_recording_problem(rec, i); i++)
		fprintf(stderr, "%s: packed as it is, with this problem: %s\n", argv[optind],
			ct_recording_problem(rec, i));
	if (ct_recording_state(rec) == CT_REC_RECORDING)
		ret = ct_fail(&err, CT_EXIT_FAILED,
			      "%s: is still being recorded; wait for its end, or pack what `ctbpf trigger` keeps of it",
			      argv[optind]);
	else if (output && !strcmp(output, "-"))
		ret = ct_pack(rec, STDOUT_FILENO, 0, &err);
	else
		ret = pack_to(rec, output ? output : path, quiet, &err);
	ct_recording_close(rec);
	return ret ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}
