/* SPDX-License-Identifier: MIT
 * Parts of the gdb server: gdb_server.c (packets in, replies out, running), gdb_points.c, gdb_memory.c, gdb_regs.c
 * (registers and their description), gdb_info.c (documents that gdb asks for), gdb_file.c (files of the recording),
 * gdb_monitor.c (commands of ours). */
#ifndef CT_GDB_PRIV_H
#define CT_GDB_PRIV_H

#include "replay/gdb_cond.h"
#include "replay/gdb_packet.h"
#include "replay/gdb_server.h"
#include "replay/kept.h"
#include "replay/tracee.h"

#define CT_GDB_FILES  64 /* open at the same time */
#define CT_GDB_POINTS 1024

/* A moment that gdb's user comes back to by its number. */
struct ct_gdb_checkpoint {
	unsigned number;
	struct ct_moment at;
	char text[CT_MOMENT_TEXT];
};

struct ct_gdb {
	struct ct_timeline *tl;
	int fd;
	bool no_ack, multiprocess, gone;
	struct ct_gdb_in in;
	struct ct_gdb_out out, text; /* of the reply; of a document */
	unsigned char buf[16384];    /* received and not yet looked at: from `at` to `have` */
	size_t at, have;
	ct_u32 tid;   /* whose registers gdb asks for */
	ct_u32 asked; /* whose registers a condition is about */
	ct_u32 goes;  /* whom `bs` and the like are for */
	struct ct_stopped last;
	bool told_discarded;
	struct ct_gdb_point points[CT_GDB_POINTS];
	size_t npoints;
	ct_u64 pass; /* signals that gdb does not want to see */
	bool syscalls;
	struct ct_gdb_checkpoint *checkpoints;
	size_t ncheckpoints;
	unsigned last_checkpoint; /* numbers are not used again */
	struct ct_kept_files kept;
	bool looked_for_kept;
	int files[CT_GDB_FILES]; /* descriptors + 1 */
};

/* Everything of a thread, in the order of the description. False: it is gone. */
bool ct_gdb_put_regs(struct ct_gdb *g, ct_u32 tid);
bool ct_gdb_put_reg(struct ct_gdb *g, ct_u32 tid, ct_u64 number);
/* One that is a number of at most 64 bits. */
bool ct_gdb_number(struct ct_gdb *g, ct_u32 tid, ct_u64 number, ct_u64 *value);
bool ct_gdb_set_regs(struct ct_gdb *g, ct_u32 tid, struct ct_gdb_text values);
bool ct_gdb_set_reg(struct ct_gdb *g, ct_u32 tid, ct_u64 number, struct ct_gdb_text value);
/* The XML description into g->text. */
void ct_gdb_describe_regs(struct ct_gdb *g);

/* Answers m; M and X; g, G, p and P, which is `what`. */
void ct_gdb_read_memory(struct ct_gdb *g, struct ct_gdb_text t);
void ct_gdb_write_memory(struct ct_gdb *g, struct ct_gdb_text t, bool binary);
void ct_gdb_registers(struct ct_gdb *g, struct ct_gdb_text t, char what);
/* Answers Z and z. */
void ct_gdb_insert_point(struct ct_gdb *g, struct ct_gdb_text t);
void ct_gdb_remove_point(struct ct_gdb *g, struct ct_gdb_text t);
void ct_gdb_forget_points(struct ct_gdb *g);
/* How a watched address is called: gdb wants the kind it has set. */
const char *ct_gdb_watch_name(const struct ct_gdb *g, ct_u64 addr);
/* A timeline's condition, for breakpoints that have one. */
bool ct_gdb_condition_met(void *g, const struct ct_stop *stop, ct_u32 tid);
ct_u64 ct_gdb_conditions_key(const struct ct_gdb *g);
/* Shown by gdb; not an answer. */
void ct_gdb_say_error(struct ct_gdb *g, const struct ct_error *err);

/* The process as its last snapshot says, NULL: it is in none; the reader is the caller's. */
const struct ct_snap_proc *ct_gdb_process(struct ct_gdb *g, struct ct_snapshot_reader **snap);
/* Answers "qXfer:...". */
void ct_gdb_xfer(struct ct_gdb *g, struct ct_gdb_text request);
/* Answers "vFile:...". */
void ct_gdb_file(struct ct_gdb *g, struct ct_gdb_text request);
void ct_gdb_close_files(struct ct_gdb *g);
/* Answers "qRcmd,...". */
void ct_gdb_monitor(struct ct_gdb *g, struct ct_gdb_text hex);

/* The hash of the file that had this path, NULL if it is not kept. */
const ct_u8 *ct_gdb_kept(struct ct_gdb *g, const char *path);
/* The pid of a thread is the recorded one. */
void ct_gdb_put_thread(struct ct_gdb *g, struct ct_gdb_out *o, ct_u32 tid);
bool ct_gdb_has_thread(struct ct_gdb *g, ct_u32 tid);

#endif
