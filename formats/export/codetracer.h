/* SPDX-License-Identifier: MIT
 * Private to the exporters: CodeTracer's traces. One thread at a time is told to a writer in CodeTracer's terms.
 *
 * codetracer_thread.c tells, codetracer_value.c encodes values, codetracer_legacy.c and _ctfs.c are the writers. */
#ifndef CT_EXPORT_CODETRACER_H
#define CT_EXPORT_CODETRACER_H

#include "../recording.h"
#include "timeline.h"

/* Kinds of a type: CodeTracer's numbers. */
enum cdt_type_kind {
	CDT_SEQUENCE = 0,
	CDT_SET = 1,
	CDT_STRUCT = 6,
	CDT_INT = 7,
	CDT_FLOAT = 8,
	CDT_STRING = 9,
	CDT_BOOL = 12,
	CDT_RAW = 16,
	CDT_POINTER = 23,
	CDT_ERROR = 24,
	CDT_TUPLE = 27,
	CDT_NONE = 30
};
/* What an I/O event is: CodeTracer's numbers. */
enum cdt_event_kind {
	CDT_WRITE = 0,
	CDT_WRITE_FILE = 1,
	CDT_READ = 3,
	CDT_READ_FILE = 4,
	CDT_SOCKET = 9,
	CDT_OPEN = 10
};

/* A variable with its value as the writer has it in its output. */
struct cdt_var {
	ct_u32 name; /* the database's string; 0: the exception on its way */
	bool argument;
	struct sd_buf value;
};
struct cdt_event {
	enum cdt_event_kind kind;
	ct_s64 fd; /* -1: none */
	ct_u64 seq;
	const char *call; /* name of the system call */
	const ct_u8 *data;
	size_t len;
};

/* Definitions and what happens, in the order of the thread. Ids are given by cdt_*: 0, 1, 2 ... in each table. */
struct cdt;
struct cdt_ops {
	bool cbor; /* values are CBOR, else JSON */
	bool (*path)(struct cdt *c, const char *text, size_t len);
	bool (*function)(struct cdt *c, ct_u32 path, ct_u64 line, const char *text, size_t len);
	bool (*variable)(struct cdt *c, const char *text, size_t len);
	bool (*type)(struct cdt *c, enum cdt_type_kind kind, const char *text, size_t len);
	/* A line is reached: what follows is at it. */
	bool (*step)(struct cdt *c, ct_u32 path, ct_u64 line);
	/* The line was the call's first. */
	bool (*call)(struct cdt *c, ct_u32 function, const struct cdt_var *vars, size_t n);
	/* All variables at the line, once for each line. */
	bool (*values)(struct cdt *c, const struct cdt_var *vars, size_t n);
	/* The innermost call ends. value: encoded, empty if not known; text: of the exception. */
	bool (*leave)(struct cdt *c, enum ex_leave how, const struct sd_buf *value, const struct sd_buf *text);
	bool (*event)(struct cdt *c, const struct cdt_event *ev);
};
struct cdt_ids {
	ct_u32 *id; /* of the database's id, plus 1; 0: not defined yet */
	ct_u32 n;
};
struct cdt {
	const struct cdt_ops *ops;
	const struct ct_export_source *src;
	const struct ct_export_options *opts;
	ct_u32 thread;
	int dirfd;                                          /* the thread's folder */
	struct cdt_ids ids[CT_NNAMES];                      /* files, functions, types, strings */
	ct_u32 tag_type[CT_NODE_NTAGS], nothing, exception; /* ids plus 1 */
	ct_u64 steps;
	struct ct_error err; /* why an operation failed */
	/* The writer's. */
	void *writer;
};
/* Each gives the id, defining it when it is new; false after a failure. */
bool cdt_path(struct cdt *c, ct_u64 file, ct_u32 *id);
bool cdt_function(struct cdt *c, ct_u64 function, ct_u32 *id);
bool cdt_variable(struct cdt *c, ct_u32 name, ct_u32 *id);
/* What a trace begins with: type 0, that of a value nobody knows, and function 0, which calls everything. */
bool cdt_toplevel(struct cdt *c);
/* Memory failed, if `good` is not true; returns it. */
bool cdt_check(struct cdt *c, bool good);

/* A checked node as a value; none: nothing is known of it. */
bool cdt_encode(struct cdt *c, const ct_u8 *node, size_t len, struct sd_buf *out);
bool cdt_encode_none(struct cdt *c, struct sd_buf *out);
bool cdt_encode_error(struct cdt *c, const void *text, size_t len, struct sd_buf *out);
/* A node as text. */
bool cdt_text(struct cdt *c, const ct_u8 *node, size_t len, struct sd_buf *out);

/* Runs through the thread; the writer has been begun. */
int cdt_thread(struct cdt *c, ct_u64 end_ns, struct ct_error *err);

/* What is told of the whole: program, arguments, working directory. Strings are the recording's. */
struct cdt_program {
	const char *program, *workdir;
	const json_t *args;
	char id[37];
};
int cdt_legacy_begin(struct cdt *c, struct ct_error *err);
int cdt_legacy_end(struct cdt *c, const struct cdt_program *p, bool good, struct ct_error *err);
int cdt_ctfs_begin(struct cdt *c, struct ct_error *err);
int cdt_ctfs_end(struct cdt *c, const struct cdt_program *p, bool good, struct ct_error *err);

/* Texts of source files: those the recording has kept, and with opts->sources those of the file system. */
struct cdt_sources {
	const struct ct_export_source *src;
	const struct ct_export_options *opts;
	const char *workdir;
	ct_u64 start_ns; /* of the recording, time of day */
	struct cdt_source {
		bool kept, used, copied, newer;
		ct_u8 hash[16];
	} * file; /* [id - 1] */
};
int cdt_sources_open(struct cdt_sources *s, const struct ct_export_source *src, const struct ct_export_options *opts,
		     const char *workdir, struct ct_error *err);
/* Copies what the thread ran lines of to files/ in its folder. */
int cdt_sources_copy(struct cdt_sources *s, const struct cdt *c, struct ct_error *err);
void cdt_sources_close(struct cdt_sources *s, struct ct_export_result *result);

#endif
