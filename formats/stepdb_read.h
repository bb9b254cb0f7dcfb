/* SPDX-License-Identifier: MIT
 * Reading the step database: names, rows by number, scans that skip what cannot match, and SQL.
 *
 * What is seen is the last commit at opening (or ct_stepdb_refresh); a writer may be at work meanwhile. */
#ifndef CT_STEPDB_READ_H
#define CT_STEPDB_READ_H

#include "stepdb.h"
#include "stepdb_node.h"

struct ct_recording;
struct ct_stepdb;

/* Opens steps/ below the recording's directory. No database: *err says "run `ctbpf index NAME` first", with
 * status CT_EXIT_FAILED, and ct_stepdb_exists is false. */
struct ct_stepdb *ct_stepdb_open(int recording_dirfd, const char *name, struct ct_error *err);
/* A recording's own: not one that was copied there from another. */
struct ct_stepdb *ct_stepdb_of(struct ct_recording *rec, struct ct_error *err);
void ct_stepdb_close(struct ct_stepdb *db);
bool ct_stepdb_exists(int recording_dirfd);
/* Looks for a newer commit; 1 if there is one, 0 if not. Running scans end with what they began with. */
int ct_stepdb_refresh(struct ct_stepdb *db, struct ct_error *err);

struct ct_stepdb_info {
	ct_u64 steps, calls, values;
	ct_u64 bytes;   /* all files */
	ct_u64 commits; /* how many there were */
	bool complete;
	bool resumable;   /* a writer can go on from the last commit */
	const char *part; /* of the recording that is in it, in words; "": all of it. Lives as long as the database */
	ct_u8 uuid[16];   /* the recording's */
};
void ct_stepdb_info(const struct ct_stepdb *db, struct ct_stepdb_info *info);

/* ---- What is in the files, for looking at the format ---- */

struct ct_group_info {
	ct_u64 first_chunk, chunks, first_row, rows, offset, directory, end;
	ct_u64 pages[2]; /* posting pages of each kind */
};
struct ct_chunk_info {
	ct_u64 first_row, rows, mark, offset, size;
	unsigned ncols;
	struct {
		const char *name, *codec;
		bool packed;
		ct_u64 raw, stored; /* bytes */
		ct_u64 min, max;
	} col[16];
};
struct ct_table_info {
	const char *name, *file;
	ct_u64 rows, chunks, groups, bytes;
};

/* ---- Names ---- */

enum ct_names {
	CT_FILES,
	CT_FUNCTIONS,
	CT_TYPES,
	CT_STRINGS,
	CT_THREADS,
	CT_LOCATIONS, /* (function, file, line): what a step row refers to */
	CT_VARIABLES, /* (function, name, kind): what a value row refers to */
	CT_SITES,     /* who calls whom, from where, how often */
	CT_STATS,     /* one per function, same id */
	CT_SPANS,
	CT_NNAMES
};
/* Members of ct_name.v, per table. */
enum { CT_FN_FILE, CT_FN_LINE, CT_FN_LANGUAGE };
enum { CT_TH_TID, CT_TH_PID, CT_TH_SEQ };
enum { CT_LOC_FUNCTION, CT_LOC_FILE, CT_LOC_LINE };
enum { CT_VAR_FUNCTION, CT_VAR_NAME, CT_VAR_KIND };
enum { CT_SITE_LOCATION, CT_SITE_FUNCTION, CT_SITE_CALLS, CT_SITE_TOTAL_NS };
enum { CT_STAT_CALLS, CT_STAT_STEPS, CT_STAT_TOTAL_NS, CT_STAT_SELF_NS, CT_STAT_MAX_NS, CT_STAT_EXCEPTIONS };
enum { CT_SPAN_KIND, CT_SPAN_PARENT, CT_SPAN_THREAD, CT_SPAN_FIRST, CT_SPAN_LAST, CT_SPAN_BEGIN_NS, CT_SPAN_END_NS };
#define CT_NAME_INTS 8
struct ct_name {
	const char *text; /* terminated; "" if the table has none */
	size_t len;
	ct_u64 v[CT_NAME_INTS];
};
ct_u32 ct_stepdb_names(const struct ct_stepdb *db, enum ct_names table);
/* NULL if there is no such id (0 is none). */
const struct ct_name *ct_stepdb_name(const struct ct_stepdb *db, enum ct_names table, ct_u64 id);
/* For ct_node_format. */
struct ct_node_names ct_stepdb_node_names(struct ct_stepdb *db);

/* ---- Rows ---- */

enum ct_rows { CT_STEPS, CT_CALLS, CT_VALUES, CT_EXITS, CT_NROWS };
/* Columns. Rows of steps, calls and values are numbered from 1: that is their id. */
enum { CT_STEP_LOCATION, CT_STEP_CALL, CT_STEP_THREAD, CT_STEP_EVENT, CT_STEP_TIME, CT_STEP_NCOLS };
enum {
	CT_CALL_PARENT,
	CT_CALL_THREAD,
	CT_CALL_FUNCTION,
	CT_CALL_FROM_STEP, /* the caller's step that made the call; 0: none */
	CT_CALL_DEPTH,     /* 1: outermost of its thread */
	CT_CALL_FLAGS,     /* CT_CALLF_* */
	CT_CALL_ENTER_EVENT,
	CT_CALL_ENTER_TIME,
	CT_CALL_STATE, /* from here on: as of its end, by ct_stepdb_call_row */
	CT_CALL_FIRST_STEP,
	CT_CALL_LAST_STEP,
	CT_CALL_EXIT_EVENT,
	CT_CALL_DURATION,
	CT_CALL_SELF,
	CT_CALL_EXCEPTION, /* a type's id */
	CT_CALL_NCOLS
};
#define CT_CALLF_ATTACHED 1 /* was there when the recording began */
enum { CT_VALUE_VARIABLE, CT_VALUE_STEP, CT_VALUE_CALL, CT_VALUE_NODE, CT_VALUE_NCOLS };

/* One row; false with *err if there is no such row or it cannot be read. */
bool ct_stepdb_step_row(struct ct_stepdb *db, ct_u64 id, ct_u64 row[CT_STEP_NCOLS], struct ct_error *err);
bool ct_stepdb_call_row(struct ct_stepdb *db, ct_u64 id, ct_u64 row[CT_CALL_NCOLS], struct ct_error *err);
/* Row numbers of the first step whose event/time is above `value`; rows + 1 if none is. */
int ct_stepdb_step_after(struct ct_stepdb *db, unsigned column, ct_u64 value, ct_u64 *id, struct ct_error *err);

/* How the rows are stored; false with *err. Groups and chunks count from 0. */
void ct_stepdb_table_info(const struct ct_stepdb *db, enum ct_rows table, struct ct_table_info *info);
bool ct_stepdb_group_info(struct ct_stepdb *db, enum ct_rows table, ct_u64 group, struct ct_group_info *info,
			  struct ct_error *err);
bool ct_stepdb_chunk_info(struct ct_stepdb *db, enum ct_rows table, ct_u64 chunk, struct ct_chunk_info *info,
			  struct ct_error *err);

/* ---- Scans ---- */

struct ct_range {
	unsigned column;
	ct_u64 min, max;
};
#define CT_SCAN_RANGES 6
struct ct_scan_spec {
	enum ct_rows table;
	ct_u64 first, last; /* row numbers, inclusive; last 0: to the end */
	bool backwards;
	/* Only rows whose key (STEPS: location, CALLS: function, VALUES: variable) is one of these; NULL: all. */
	const ct_u32 *keys;
	size_t nkeys;
	unsigned nranges; /* and whose columns are in these */
	struct ct_range range[CT_SCAN_RANGES];
};
struct ct_scan;
struct ct_scan *ct_scan_open(struct ct_stepdb *db, const struct ct_scan_spec *spec, struct ct_error *err);
void ct_scan_close(struct ct_scan *scan);
/* 1: a row, *id its number. 0: end. -1: a chunk cannot be read; calling again goes on behind it. */
int ct_scan_next(struct ct_scan *scan, ct_u64 *id, struct ct_error *err);
/* Passes over `n` rows behind the one found last, of those that ct_scan_column gave. */
void ct_scan_skip(struct ct_scan *scan, size_t n);
/* Of the row found last. Columns of CALLS from CT_CALL_STATE on are as of the chunk: use ct_stepdb_call_row. */
int ct_scan_get(struct ct_scan *scan, unsigned column, ct_u64 *value, struct ct_error *err);
/* The same for many rows: of the row found last and of those behind it in the table, *n of them, whether or not they
 * match. Valid until a row behind them is found. */
const ct_u64 *ct_scan_column(struct ct_scan *scan, unsigned column, size_t *n, struct ct_error *err);
int ct_scan_node(struct ct_scan *scan, const ct_u8 **node, size_t *len, struct ct_error *err);
/* How many rows have one of the keys, from the posting lists alone. */
int ct_stepdb_count(struct ct_stepdb *db, enum ct_rows table, const ct_u32 *keys, size_t nkeys, ct_u64 *count,
		    struct ct_error *err);

/* ---- Questions ---- */

/* The latest value of each variable of the call as of a step (inclusive), in the order they first appeared. `node` is
 * valid during the call of `each`, which returns 0 to go on. */
struct ct_local {
	ct_u32 variable; /* CT_VARIABLES */
	ct_u64 step;     /* since when it has this value */
	const ct_u8 *node;
	size_t len;
};
int ct_stepdb_locals(struct ct_stepdb *db, ct_u64 call, ct_u64 step, int (*each)(void *arg, const struct ct_local *),
		     void *arg, struct ct_error *err);
/* Who was below the call on the stack at a step, and at which of its steps: the caller, or for a generator whoever
 * resumed it last. 0: nobody. */
int ct_stepdb_caller(struct ct_stepdb *db, ct_u64 call, ct_u64 step, ct_u64 *caller, ct_u64 *from_step,
		     struct ct_error *err);
/* Moments between steps. Values are numbered in the order of the run, over all threads: the first one that is not there
 * yet when the step's line begins. What a line changes before it returns, yields or raises is not there then. */
int ct_stepdb_values_at(struct ct_stepdb *db, ct_u64 step, ct_u64 *row, struct ct_error *err);
/* The last step, of any thread, that is known to have begun before the value was written. Rises with the row. */
int ct_stepdb_value_step(struct ct_stepdb *db, ct_u64 row, ct_u64 *step, struct ct_error *err);
/* As ct_stepdb_locals and ct_stepdb_caller, of the rows before `end`. kinds: bit per enum ct_value_kind; 0: variables.
 */
int ct_stepdb_latest(struct ct_stepdb *db, ct_u64 call, ct_u64 end, unsigned kinds,
		     int (*each)(void *arg, const struct ct_local *), void *arg, struct ct_error *err);
int ct_stepdb_caller_before(struct ct_stepdb *db, ct_u64 call, ct_u64 end, ct_u64 *caller, ct_u64 *from_step,
			    struct ct_error *err);
/* The step at a position as a person writes it, s:NUMBER or what ct_pos_parse takes: the last one before, or at, it. */
int ct_stepdb_find_step(struct ct_stepdb *db, struct ct_recording *rec, const char *text, ct_u64 *step,
			struct ct_error *err);
/* The `n` closed calls with the longest duration, longest first; returns how many there are. */
int ct_stepdb_slowest(struct ct_stepdb *db, size_t n, ct_u64 *calls, struct ct_error *err);
/* Ids of files whose path is, or ends with a component sequence equal to, `path`; of functions with this name (with
 * or without what is before the last dot); *ids is malloc'ed. Returns how many, or -1. */
int ct_stepdb_find_files(struct ct_stepdb *db, const char *path, ct_u32 **ids, struct ct_error *err);
int ct_stepdb_find_functions(struct ct_stepdb *db, const char *name, ct_u32 **ids, struct ct_error *err);

/* ---- SQL ---- */

/* An SQLite connection in memory with the tables files functions types threads steps calls values events lines
 * variables sites stats spans. `db` may be NULL: then only events can be asked, and the others say what is missing.
 * Both must outlive the connection, which is the caller's to close (sqlite3_close). */
struct sqlite3;
struct sqlite3 *ct_stepdb_sql(struct ct_stepdb *db, struct ct_recording *rec, struct ct_error *err);
/* `values` is a keyword of SQL: writes the statement with every `values` that is meant as the table in quotes.
 * malloc'ed. */
char *ct_stepdb_sql_quote(const char *sql);
/* A statement that does no more with steps, calls or values than count those alike in function, file, line, name or
 * kind: as a sum over `lines`, `stats` or `variables`, with the same answer; any other as it is. malloc'ed. Before it
 * is quoted. */
char *ct_stepdb_sql_fold(const char *sql);

#endif
