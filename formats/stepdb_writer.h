/* SPDX-License-Identifier: MIT
 * Inside of the step database's writer: threads, open calls, and the tables that are being filled.
 *
 * stepdb_write.c: its life and commits; stepdb_append.c: what happens in the threads. */
#ifndef CT_STEPDB_WRITER_H
#define CT_STEPDB_WRITER_H

#include "stepdb_private.h"

/* An open call. Its row may still be in the chunk being filled; if not, its end becomes a row of EXITS. */
struct sd_frame {
	ct_u64 id, parent, from_step, first_step, enter_event, enter_ns;
	ct_u64 since_ns;  /* on the stack since */
	ct_u64 active_ns; /* was on the stack for, before */
	ct_u64 child_ns;  /* of that, in calls it made */
	ct_u64 last_step; /* when it was suspended */
	ct_u32 function, thread, depth, site, location;
	struct sd_frame *next; /* suspended ones with the same hash; free ones */
};
struct sd_thread {
	struct sd_frame **stack;
	size_t depth, cap;
	ct_u64 last_step, seq, ns;
	bool raising;   /* the exception that unwinds has been told of */
	ct_u32 *active; /* calls of each function on the stack: recursion counts time once */
	size_t nactive;
};
/* Lines of a function to locations, without a hash. */
struct sd_lines {
	ct_u32 base, n; /* from the function's first line on */
	ct_u32 *location;
};
/* Rows of the catalogue that were asked for last, by a hash of what makes them. */
struct sd_recent {
	ct_u64 key[2];
	ct_u32 id; /* 0: none */
};
#define SD_RECENT     1024
#define SD_LINES_MAX  65536
#define SD_SUSPENDED  4096 /* hash buckets */
#define SD_EXIT_NCOLS SD_EXIT_COL(CT_CALL_NCOLS)

struct ct_stepdb_writer {
	int dirfd; /* steps/, locked */
	ct_u8 uuid[16];
	ct_u64 build;
	bool failed;
	bool raises; /* the builder tells of exceptions by itself */
	bool trusts; /* its nodes are nodes */
	char *part;  /* NULL: as the catalogue has it */
	struct ct_error err;
	struct sd_catalogue cat;
	struct sd_encoder enc;
	struct sd_wtable t[CT_NROWS];
	struct sd_thread *thread;
	size_t nthreads;
	struct sd_lines *lines;
	size_t nlines;
	struct sd_recent site[SD_RECENT], variable[SD_RECENT];
	struct sd_frame **suspended;
	size_t nsuspended;
	struct sd_frame *spare;
	ct_u64 (*exits)[SD_EXIT_NCOLS];
};

/* Remembers the first failure; returns -1. */
int sd_fail(struct ct_stepdb_writer *w, const struct ct_error *err);
int sd_no_memory(struct ct_stepdb_writer *w);
/* Writes the table's chunk, and its group if that is full. */
int sd_flush_table(struct ct_stepdb_writer *w, enum ct_rows table);
int sd_flush_exits(struct ct_stepdb_writer *w);
/* Adds the group to the catalogue. */
int sd_close_group(struct ct_stepdb_writer *w, enum ct_rows table);
static inline ct_u64 sd_total(const struct ct_stepdb_writer *w, enum ct_rows table)
{
	return w->t[table].done + w->t[table].rows;
}
struct sd_thread *sd_new_thread(struct ct_stepdb_writer *w);
struct sd_frame *sd_new_frame(struct ct_stepdb_writer *w);
bool sd_push(struct ct_stepdb_writer *w, struct sd_thread *th, struct sd_frame *f);
void sd_park(struct ct_stepdb_writer *w, struct sd_frame *f);

#endif
