/* SPDX-License-Identifier: MIT
 * Replicas: the processes in which a recording is executed again, made from a snapshot.
 *
 * A replica is empty but for what was mapped in the recorded process, at the same addresses, and one page of ours. It
 * never makes a system call of the recorded program: those are answered from the log. */
#ifndef CT_REPLICA_H
#define CT_REPLICA_H

#include <stdbool.h>

#include "formats/recording.h"
#include "formats/snapshot.h"
#include "replay/tracee.h"

#define CT_GADGET      0x10000ull /* our page: `syscall; int3`, then room for strings; nothing maps that low */
#define CT_GADGET_TEXT (CT_GADGET + 0x800)

struct ct_replica; /* a process */
struct ct_clock;   /* clock.h */
struct ct_inproc;  /* inproc.h */
struct ct_mm;

#define CT_NOT_SHARED (-2)

#define CT_NR_NEW  (-2) /* made, but it has not returned from the clone that made it */
#define CT_NR_EXEC (-3) /* behind a successful execve; its snapshot is still to come */

struct ct_rthread {
	ct_u32 tid; /* recorded */
	pid_t real; /* ours */
	char comm[16];
	struct ct_replica *proc;
	bool live;
	bool at_entry;    /* stopped at the entry of system call `nr`, which will not be made */
	ct_s32 nr;        /* or CT_NR_* */
	ct_s32 restart;   /* its last call returned this restart code, and nothing has been delivered since; 0: none */
	ct_u64 clear_tid; /* where 0 is stored when it ends */
	bool tid_cleared;
	ct_u64 robust;      /* head of its robust futex list; 0: none, or walked */
	ct_u64 robust_at;   /* what is left of it begins here; 0: all is */
	bool input_checked; /* what its present call is passed is known to be as recorded */
	bool trapped; /* the SIGTRAP of the int3 it has just executed is still to be delivered, so that it was here
			 already when it came */
	const struct ct_clock *clock;
	ct_u64 ticks;     /* conditional branches it has executed, if the clock counts */
	bool ticks_known; /* ... since the recording began to count; else since some moment */
	ct_u64 tick_stop; /* it is stopped when it has so many; 0: never */
	const char *clock_error;
	struct ct_stops *stops; /* breakpoints and watchpoints, or NULL: stops.c */
	ct_u64 told;            /* it stands at this breakpoint, and that has been told of; 0: at none */
};

struct ct_replica {
	ct_u32 pid;
	pid_t real;
	int memfd;
	ct_u64 brk;
	ct_u64 vdso, vdso_end;
	bool gone;
	bool wipes;       /* some memory of it is wiped in forks, or was */
	struct ct_mm *mm; /* its patched call sites, shared with whom it shares memory with; NULL: none are */
	struct ct_inproc *inproc;
	struct ct_agent *agent; /* of an interpreter that is watched, or NULL */
	struct ct_stops *stops; /* whose int3s are in its memory now, or NULL */
};

/* What every replica needs to know about the recording. */
struct ct_replay_files {
	int dirfd;
	struct {
		struct ct_file_ref ref;
		ct_u8 hash[16];
	} * file;
	size_t count;
	char path[4096]; /* absolute, of the recording */
	struct ct_inproc *inproc;
	/* The descriptor of what shows the same memory as every other shared mapping of the file that `map` is of, in
	 * any process; -1 with *err; CT_NOT_SHARED: `map` is all there is of it. */
	int (*shared)(void *ctx, const struct ct_snapshot *snap, const struct ct_snap_map *map, struct ct_error *err);
	void *shared_ctx;
	bool bare; /* nothing of ours among the program's code: no call sites are patched */
};
int ct_replay_files_init(struct ct_replay_files *files, struct ct_recording *rec, struct ct_error *err);
void ct_replay_files_deinit(struct ct_replay_files *files);
/* Hash of the kept content of a file, NULL if it is not kept. */
const ct_u8 *ct_replay_file(const struct ct_replay_files *files, const struct ct_file_ref *ref);

/* Builds the process `index` of a snapshot. *threads gets malloc'ed entries, leader first. */
struct ct_replica *ct_replica_create(const struct ct_replay_files *files, struct ct_snapshot_reader *snap, ct_u32 index,
				     struct ct_rthread **threads, size_t *nthreads, struct ct_error *err);
void ct_replica_kill(struct ct_replica *p);
/* Memory as the program has it, without patches of ours. */
bool ct_replica_read(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len);
/* Of stops.c: what is under its int3s. */
void ct_stops_mask(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len);
/* Stops are waited for by their signal, SIGCHLD, which the calling thread blocks for that time. Returns whether it was
 * open. */
bool ct_replica_expect_stops(void);
void ct_replica_expect_no_stops(bool was_open);
/* Waits for a stop of a replica's thread, leaving the CPU to it: it has the same. As ct_wait_stop. */
int ct_replica_wait(pid_t tid, int *status);
/* How long that takes at most, in milliseconds of the thread's CPU time; 0: as it is. Returns what it was. */
unsigned ct_replica_patience(unsigned ms);
/* Why the last wait failed, for people. */
const char *ct_replica_lost(void);
/* A system call really made by a stopped thread; its registers are as before afterwards. Result or -errno. */
long ct_replica_call(struct ct_rthread *t, long nr, ct_u64 a0, ct_u64 a1, ct_u64 a2, ct_u64 a3, ct_u64 a4, ct_u64 a5);
/* madvise, which may change what forks of it have. */
long ct_replica_advise(struct ct_rthread *t, ct_u64 addr, ct_u64 len, ct_u64 advice);
/* A new thread or process of `t`'s, by clone with these flags; stopped, registers as the parent's. -1 on failure. */
pid_t ct_replica_clone(struct ct_rthread *t, unsigned long flags);
/* Maps kept file content at a fixed address. 0, or -1. */
int ct_replica_map_file(struct ct_rthread *t, const struct ct_replay_files *files, const ct_u8 hash[16], ct_u64 addr,
			ct_u64 len, int prot, ct_u64 offset);
/* Maps a file that this program has open as `fd`. As mmap's result, or -errno. */
long ct_replica_map_fd(struct ct_rthread *t, int fd, ct_u64 addr, ct_u64 len, ct_u64 prot, ct_u64 flags, ct_u64 offset);
/* The FPU state every program starts with, on this CPU. */
const void *ct_initial_xsave(size_t *len);

#endif
