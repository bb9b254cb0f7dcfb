/* SPDX-License-Identifier: MIT
 * `ctbpf replay --gdb` and `-s PORT`: a recording opened in gdb. */
#ifndef CT_REPLAY_GDB_H
#define CT_REPLAY_GDB_H

#include "formats/recording.h"

#define CT_GDB_SCRIPTS 16
struct ct_replay_gdb {
	ct_u32 from, pid; /* snapshot to begin with, process to look at; 0: the first */
	const char *to;   /* position to begin at, NULL: the beginning */
	int port;         /* -1: a gdb is started; else the port to wait for one on, 0: any */
	const char *script[CT_GDB_SCRIPTS];
	unsigned nscripts;
	bool batch, quiet;
};
/* Returns when gdb is done: its exit status, or -1. */
int ct_replay_gdb(struct ct_recording *rec, const struct ct_replay_gdb *opts, struct ct_error *err);

#endif
