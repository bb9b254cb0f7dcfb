/* SPDX-License-Identifier: MIT
 * ctbpf replay-worker: CodeTracer's GUI starts this to debug a recording of native code. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd.h"
#include "replay/worker.h"

static const char help[] =
	"usage: ctbpf replay-worker --name NAME --index N TRACE\n"
	"\n"
	"Answer CodeTracer's queries about a recording of native code. CodeTracer starts this command itself if\n"
	"CODETRACER_CT_NATIVE_REPLAY_CMD names ctbpf, and talks with it over a socket; docs/dap.md has the set-up.\n"
	"TRACE is a recording, or a directory in which the recording is called rr, as CodeTracer wants it.\n"
	"\n"
	"  --name NAME, --index N   what CodeTracer calls this worker: part of the socket's name\n"
	"  -h, --help               this text\n"
	"\n"
	"environment: CODETRACER_RUN_ID (else the parent's process id), and for the socket's directory\n"
	"CODETRACER_RUNTIME_DIR, else XDG_RUNTIME_DIR/codetracer, else /tmp/codetracer\n"
	"\n"
	"exit codes: 0 CodeTracer has closed the connection, 1 failed, 2 wrong usage\n";

/* Where CodeTracer looks for the socket; its directory is made. */
static int socket_path(const char *name, const char *index, struct sockaddr_un *a, struct ct_error *err)
{
	const char *own = getenv("CODETRACER_RUNTIME_DIR"), *xdg = getenv("XDG_RUNTIME_DIR"),
		   *run = getenv("CODETRACER_RUN_ID");
	const bool has_own = own && *own;
	char base[PATH_MAX], id[24];
	struct stat st;
	int n;

	if (has_own)
		snprintf(base, sizeof(base), "%s", own);
	else if (xdg && *xdg && stat(xdg, &st) == 0 && S_ISDIR(st.st_mode))
		snprintf(base, sizeof(base), "%s/codetracer", xdg);
	else
		snprintf(base, sizeof(base), "/tmp/codetracer");
	snprintf(id, sizeof(id), "%d", (int)getppid());
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(a->sun_path, sizeof(a->sun_path), "%s/run-%s/ct_native_replay_%s_%s_from_.sock", base,
		     run && *run ? run : id, name, index);
	if (n < 0 || (size_t)n >= sizeof(a->sun_path))
		return ct_fail(err, CT_EXIT_FAILED,
			       "the socket's path in %s is too long; set CODETRACER_RUNTIME_DIR to a "
			       "shorter directory",
			       base);
	for (char *p = a->sun_path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		if (mkdir(a->sun_path, 0700) && errno != EEXIST)
			return ct_fail_errno(err, CT_EXIT_FAILED, "%s cannot be made", a->sun_path);
		*p = '/';
	}
	return 0;
}

/* The one client: whoever may use the socket's directory. */
static int wait_for_client(const struct sockaddr_un *a, struct ct_error *err)
{
	const mode_t old = umask(077);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client = -1;

	unlink(a->sun_path);
	if (fd < 0 || bind(fd, (const void *)a, sizeof(*a)) || listen(fd, 1) ||
	    (client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
		ct_fail_errno(err, CT_EXIT_FAILED, "%s cannot be listened on", a->sun_path);
	umask(old);
	if (fd >= 0)
		close(fd);
	unlink(a->sun_path);
	return client;
}

static const char *recording_in(const char *trace, char *inner, size_t len)
{
	char manifest[PATH_MAX];

	snprintf(manifest, sizeof(manifest), "%s/manifest.json", trace);
	if (access(manifest, F_OK) == 0)
		return trace;
	snprintf(inner, len, "%s/rr", trace);
	return inner;
}

int cmd_replay_worker(int argc, char **argv)
{
	static const struct option options[] = {{"name", required_argument, NULL, 'n'},
						{"index", required_argument, NULL, 'i'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *name = NULL, *index = NULL;
	unsigned long long number;
	char inner[PATH_MAX];
	struct ct_error err = {0};
	struct sockaddr_un a;
	struct worker *w;
	int opt, fd, ret;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'n': name = optarg; break;
		case 'i': index = optarg; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (argc - optind != 1 || !name || !index)
		return ct_cmd_usage(argv, "it wants --name, --index and one trace");
	if (strchr(name, '/') || ct_parse_u64(index, 0, 1000000, &number))
		return ct_cmd_usage(argv, "--name has no slash, and --index is a number");
	/* Opened before CodeTracer can connect: it waits longer for that than for an answer. */
	w = ct_worker_open(recording_in(argv[optind], inner, sizeof(inner)), &err);
	if (!w)
		return ct_cmd_fail(argv, &err);
	fd = socket_path(name, index, &a, &err) ? -1 : wait_for_client(&a, &err);
	ret = fd < 0 ? -1 : ct_worker_serve(w, fd, &err);
	if (fd >= 0)
		close(fd);
	ct_worker_close(w);
	return ret ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}
