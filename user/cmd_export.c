/* SPDX-License-Identifier: MIT
 * ctbpf export: a recording in the formats of other tools.
 *
 * The formats are formats/export/; here is what becomes of their output: a temporary name first, the real one when
 * all of it is there, and never in place of something. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../formats/export/export.h"
#include "../formats/recording.h"
#include "../formats/stepdb_read.h"
#include "cmd.h"
#include "out.h"

static const char help[] =
	"usage: ctbpf export -f FORMAT [OPTION...] RECORDING\n"
	"\n"
	"Writes what a recorded program did in the format of another tool. Most formats need the step database that\n"
	"`ctbpf index RECORDING` builds; perfetto and chrome show system calls, signals and switches without it, too.\n"
	"\n"
	"formats:\n"
	"  codetracer   a directory with a CodeTracer trace for each thread: lines, calls, values, input and output\n"
	"  perfetto     calls, system calls, switches, counters, losses over time, for ui.perfetto.dev\n"
	"  chrome       the same as trace event JSON, for chrome://tracing and others\n"
	"  speedscope   calls over time, for speedscope.app\n"
	"  folded       stacks with the time spent in each, for flame graphs\n"
	"  pprof        a profile by lines: calls, executed lines, time\n"
	"\n"
	"options:\n"
	"  -f, --format FORMAT   one of these\n"
	"  -o, --output PATH     where to; - is standard output (not codetracer). Without it a name in the current\n"
	"                        directory, made of the recording's and the format's\n"
	"  -l, --lines           folded, speedscope: measure executed lines instead of time\n"
	"      --container V     codetracer: version of the container, 4 (default), or `legacy` for trace.json\n"
	"      --sources         codetracer: take sources that are not in the recording from this file system\n"
	"  -h, --help            this text\n"
	"\n"
	"Time advances with the events of the log: what ran between two of them has no duration of its own. --lines\n"
	"shows where such programs work. Nothing is overwritten.\n"
	"\n"
	"examples:\n"
	"  ctbpf export -f perfetto web.ctr\n"
	"  ctbpf export -f folded --lines -o - web.ctr | flamegraph.pl >web.svg\n"
	"  ctbpf export -f pprof -o web.pb.gz web.ctr && go tool pprof -http : web.pb.gz\n"
	"  ctbpf export -f codetracer --sources -o web-trace web.ctr\n"
	"\n"
	"exit codes: 0 success, 1 failed (no step database, damaged, the output exists), 2 wrong usage\n";

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static bool stop(void)
{
	return interrupted;
}

/* ---- The output ---- */

struct target {
	const char *path; /* the final one */
	char *tmp;        /* beside it */
	bool is_dir;
	int fd;
};

static int exists(const char *path, struct ct_error *err)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return ct_fail(err, CT_EXIT_FAILED, "%s: exists; choose another name with -o", path);
	return 0;
}

static int target_open(struct target *t, struct ct_error *err)
{
	const char *slash = strrchr(t->path, '/');

	if (exists(t->path, err) < 0)
		return -1;
	if (asprintf(&t->tmp, "%.*s.ctbpf-export-%ld.tmp", slash ? (int)(slash + 1 - t->path) : 0, t->path,
		     (long)getpid()) < 0) {
		t->tmp = NULL;
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	if (t->is_dir && mkdir(t->tmp, 0700) == 0)
		t->fd = open(t->tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	else if (!t->is_dir)
		t->fd = open(t->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (t->fd >= 0)
		return 0;
	ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot make it", t->path);
	free(t->tmp);
	t->tmp = NULL;
	return -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void target_discard(struct target *t)
{
	if (t->tmp)
		nftw(t->tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int target_finish(struct target *t, struct ct_error *err)
{
	if (renameat2(AT_FDCWD, t->tmp, AT_FDCWD, t->path, RENAME_NOREPLACE) == 0)
		return 0;
	/* Some file systems cannot refuse by themselves. */
	if (errno == EINVAL && exists(t->path, err) < 0)
		return -1;
	if (errno == EINVAL && rename(t->tmp, t->path) == 0)
		return 0;
	return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot put it in place", t->path);
}

static void target_close(struct target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->tmp);
}

/* ---- The command ---- */

static int open_source(struct ct_export_source *src, enum ct_export_format format, struct ct_error *err)
{
	int dirfd = ct_recording_dirfd(src->rec);
	struct ct_stepdb_info info;
	const char *uuid;
	char text[37];

	if (!ct_stepdb_exists(dirfd) && ct_export_info[format].log_suffices)
		return 0;
	src->db = ct_stepdb_open(dirfd, ct_recording_path(src->rec), err);
	if (!src->db)
		return -1;
	ct_stepdb_info(src->db, &info);
	ct_uuid_format(info.uuid, text);
	uuid = json_string_value(json_object_get(ct_recording_manifest(src->rec), "uuid"));
	if (uuid && strcmp(uuid, text) == 0)
		return 0;
	return ct_fail(err, CT_EXIT_FAILED,
		       "%s: its step database belongs to another recording; run `ctbpf index` again",
		       ct_recording_path(src->rec));
}

static void tell(const struct target *t, enum ct_export_format format, const struct ct_export_source *src,
		 const struct ct_export_result *r, bool sources)
{
	struct ct_stepdb_info info = {.complete = true};
	char size[CT_HUMAN];
	struct stat st;

	printf("%s: ", t->path);
	if (!src->db)
		printf("the event log, no step database");
	else
		printf("%llu thread%s", (unsigned long long)r->threads, r->threads == 1 ? "" : "s");
	if (format == CT_EXPORT_CODETRACER) {
		printf(", %llu source%s", (unsigned long long)r->sources, r->sources == 1 ? "" : "s");
		if (r->no_source)
			printf(", %llu missing%s", (unsigned long long)r->no_source,
			       sources ? "" : " (not in the recording; --sources takes them from this file system)");
		if (r->newer)
			printf(", %llu changed since the recording began", (unsigned long long)r->newer);
	} else if (fstat(t->fd, &st) == 0) {
		printf(", %s", ct_human_bytes(size, (uint64_t)st.st_size));
	}
	putchar('\n');
	if (src->db)
		ct_stepdb_info(src->db, &info);
	if (!info.complete)
		printf("the step database is not complete: `ctbpf index` is at it still, or was interrupted\n");
}

static int run(const struct ct_export_source *src, enum ct_export_format format, const struct ct_export_options *opts,
	       struct target *t, struct ct_error *err)
{
	struct ct_export_result result = {0};
	bool to_stdout = strcmp(t->path, "-") == 0;
	int ret;

	if (to_stdout)
		return ct_export_file(format, src, opts, STDOUT_FILENO, &result, err);
	if (target_open(t, err) < 0)
		return -1;
	ret = t->is_dir ? ct_export_codetracer(src, opts, t->fd, &result, err)
			: ct_export_file(format, src, opts, t->fd, &result, err);
	if (ret == 0)
		ret = target_finish(t, err);
	if (ret < 0)
		target_discard(t);
	else
		tell(t, format, src, &result, opts->sources);
	return ret;
}

static int find_format(const char *name)
{
	for (int i = 0; i < CT_EXPORT_NFORMATS; i++)
		if (strcmp(ct_export_info[i].name, name) == 0)
			return i;
	return -1;
}

static char *default_path(const char *recording, enum ct_export_format format)
{
	size_t len = strlen(recording), from;
	char *path = NULL;

	while (len > 1 && recording[len - 1] == '/')
		len--;
	for (from = len; from && recording[from - 1] != '/'; from--)
		;
	if (len - from > 4 && memcmp(recording + len - 4, ".ctr", 4) == 0)
		len -= 4;
	return asprintf(&path, "%.*s%s", (int)(len - from), recording + from, ct_export_info[format].suffix) < 0 ? NULL
														 : path;
}

enum { OPT_CONTAINER = 256, OPT_SOURCES };

int cmd_export(int argc, char **argv)
{
	static const struct option options[] = {{"format", required_argument, NULL, 'f'},
						{"output", required_argument, NULL, 'o'},
						{"lines", no_argument, NULL, 'l'},
						{"container", required_argument, NULL, OPT_CONTAINER},
						{"sources", no_argument, NULL, OPT_SOURCES},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct ct_export_options opts = {.version = CT_EXPORT_CTFS, .stop = stop};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct target target = {.fd = -1};
	struct ct_export_source src = {0};
	bool container = false;
	struct ct_error err = {0};
	char *path = NULL;
	int opt, format = -1, ret = CT_EXIT_OK;

	while ((opt = getopt_long(argc, argv, "f:o:lh", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			format = find_format(optarg);
			if (format < 0)
				return ct_cmd_usage(argv, "there is no format '%s'", optarg);
			break;
		case 'o': target.path = optarg; break;
		case 'l': opts.lines = true; break;
		case OPT_CONTAINER:
			container = true;
			if (strcmp(optarg, "legacy") == 0)
				opts.version = CT_EXPORT_LEGACY;
			else if (strcmp(optarg, "4") == 0)
				opts.version = CT_EXPORT_CTFS;
			else
				return ct_cmd_usage(argv, "--container takes 4 or legacy, not '%s'", optarg);
			break;
		case OPT_SOURCES: opts.sources = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (format < 0)
		return ct_cmd_usage(argv, "choose a format with -f");
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "give one recording (a directory NAME.ctr)");
	target.is_dir = format == CT_EXPORT_CODETRACER;
	if ((container || opts.sources) && !target.is_dir)
		return ct_cmd_usage(argv, "--container and --sources are for codetracer");
	if (opts.lines && format != CT_EXPORT_FOLDED && format != CT_EXPORT_SPEEDSCOPE)
		return ct_cmd_usage(argv, "--lines is for folded and speedscope");
	if (target.path && target.is_dir && strcmp(target.path, "-") == 0)
		return ct_cmd_usage(argv, "codetracer makes a directory, which cannot go to standard output");

	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!target.path)
		target.path = path = default_path(argv[optind], (enum ct_export_format)format);
	src.rec = ct_recording_open(argv[optind], &err);
	if (!target.path)
		ct_fail(&err, CT_EXIT_FAILED, "out of memory");
	if (!src.rec || !target.path || open_source(&src, (enum ct_export_format)format, &err) < 0 ||
	    run(&src, (enum ct_export_format)format, &opts, &target, &err) < 0)
		ret = ct_cmd_fail(argv, &err);
	target_close(&target);
	ct_stepdb_close(src.db);
	if (src.rec)
		ct_recording_close(src.rec);
	free(path);
	return ret;
}
