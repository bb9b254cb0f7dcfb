/* SPDX-License-Identifier: MIT
 * What all commands share: reporting errors, help, parsing numbers.
 *
 * The commands themselves are in cmd_*.c, their table is in main.c. */
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "out.h"

int ct_cmd_usage(char **argv, const char *fmt, ...)
{
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		fprintf(stderr, "%s: ", argv[0]);
		vfprintf(stderr, fmt, ap);
		fputc('\n', stderr);
		va_end(ap);
	}
	fprintf(stderr, "`%s --help` shows the usage\n", argv[0]);
	return CT_EXIT_USAGE;
}

int ct_cmd_one_recording(int argc, char **argv)
{
	if (optind + 1 == argc)
		return 0;
	return ct_cmd_usage(argv,
			    optind == argc ? "name a recording (a directory NAME.ctr)" : "name one recording only");
}

int ct_cmd_fail(char **argv, const struct ct_error *err)
{
	fflush(stdout); /* so that the two streams keep their order on a terminal */
	fprintf(stderr, "%s: %s\n", argv[0], err->msg);
	return err->status ? (int)err->status : CT_EXIT_FAILED;
}

int ct_cmd_help(const char *text)
{
	fputs(text, stdout);
	return CT_EXIT_OK;
}

void ct_cmd_open(struct ct_out *out)
{
	signal(SIGPIPE, SIG_IGN); /* then a write fails with EPIPE, and `set -o pipefail` scripts see no 141 */
	ct_out_open(out, STDOUT_FILENO);
}

int ct_cmd_close(char **argv, struct ct_out *out, int status)
{
	int error = ct_out_close(out);
	if (error && error != EPIPE) {
		fprintf(stderr, "%s: cannot write to standard output: %s\n", argv[0], strerror(error));
		if (status == CT_EXIT_OK)
			status = CT_EXIT_FAILED;
	}
	return status;
}

int ct_parse_u64(const char *text, unsigned long long min, unsigned long long max, unsigned long long *value)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno || *end || v < min || v > max)
		return -1;
	*value = v;
	return 0;
}
