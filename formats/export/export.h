/* SPDX-License-Identifier: MIT
 * Exports: the step database, or the event log, of a recording in the formats of other tools.
 *
 * Nothing is kept in memory but names, open calls and, for profiles, distinct stacks. docs/export.md says what becomes
 * what. */
#ifndef CT_EXPORT_H
#define CT_EXPORT_H

#include <stdbool.h>

#include "../error.h"
#include "../event.h"

struct ct_recording;
struct ct_stepdb;

/* symbol, name, without a database it has the log at least, end of the file's name */
#define CT_EXPORT_FORMATS(X)                                                                                           \
	X(CODETRACER, "codetracer", false, ".codetracer") /* a directory */                                            \
	X(PERFETTO, "perfetto", true, ".perfetto-trace")                                                               \
	X(CHROME, "chrome", true, ".trace.json")                                                                       \
	X(SPEEDSCOPE, "speedscope", false, ".speedscope.json")                                                         \
	X(FOLDED, "folded", false, ".folded")                                                                          \
	X(PPROF, "pprof", false, ".pb.gz")
enum ct_export_format {
#define X(sym, name, log, suffix) CT_EXPORT_##sym,
	CT_EXPORT_FORMATS(X) CT_EXPORT_NFORMATS
#undef X
};
struct ct_export_info {
	const char *name, *suffix;
	bool log_suffices;
};
extern const struct ct_export_info ct_export_info[CT_EXPORT_NFORMATS];

#define CT_EXPORT_LEGACY 0 /* CodeTracer: trace.json instead of a container */
#define CT_EXPORT_CTFS   4 /* the container's version */

struct ct_export_source {
	struct ct_recording *rec;
	struct ct_stepdb *db; /* NULL: none */
};
struct ct_export_options {
	bool lines;         /* FOLDED, SPEEDSCOPE: measure executed lines, not time */
	unsigned version;   /* CODETRACER: CT_EXPORT_LEGACY or CT_EXPORT_CTFS */
	bool sources;       /* CODETRACER: take sources that are not in the recording from the file system */
	bool (*stop)(void); /* asked now and then; NULL: never */
};
struct ct_export_result {
	ct_u64 threads;
	ct_u64 sources, no_source; /* CODETRACER: files with and without text */
	ct_u64 newer;              /* of the sources, changed after the recording had begun */
};

/* Writes one of the formats that are a file to fd, from its present position on. */
int ct_export_file(enum ct_export_format format, const struct ct_export_source *src,
		   const struct ct_export_options *opts, int fd, struct ct_export_result *result, struct ct_error *err);
/* Writes a CodeTracer folder for each thread below the empty directory. */
int ct_export_codetracer(const struct ct_export_source *src, const struct ct_export_options *opts, int dirfd,
			 struct ct_export_result *result, struct ct_error *err);

#endif
