/* SPDX-License-Identifier: MIT
 * Answering system calls inside the replica: the tracer lays out the answers of a run of calls in memory that both
 * share, and patched call sites take them from there. A stop of the tracer costs some hundred times as much.
 *
 * Below 2 MB, where programs map nothing, every replica has: the gadget page, one page of code (inproc_code.c), the
 * control area, and the table of answers, which it can only read. Forked replicas share all of it, for one thread of a
 * session runs at a time. */
#ifndef CT_INPROC_H
#define CT_INPROC_H

#include <stdbool.h>
#include <stddef.h>

#include "replay/replica.h"

/* Without suffixes: the assembler reads them, too. */
#define CT_INPROC_CODE     0x11000
#define CT_INPROC_CTL      0x12000
#define CT_INPROC_TABLE    0x30000
#define CT_INPROC_END      0x1f0000
#define CT_INPROC_SITES    1024
#define CT_INPROC_CTL_SIZE 0x5000

enum ct_inproc_why {
	CT_WHY_MISS = 1,    /* a call that is not the next one of the table; nothing has been done */
	CT_WHY_SYNC = 2,    /* the last one of the table has been answered */
	CT_WHY_FAILED = 3,  /* a call really made gave another result than recorded; it is in rax */
	CT_WHY_CHECKED = 4, /* not a stop: all that is passed is as recorded, its answer is being written */
};

/* Control area. Its offsets are known to the code in inproc_code.c. */
struct ct_inproc_ctl {
	ct_u64 cur, end; /* next answer, and behind the last one */
	ct_u64 entry;    /* of the code: call sites jump through it */
	ct_u32 site;     /* that made the call */
	ct_u32 sync;     /* stop behind the last answer; else run on, to the next call */
	ct_u64 rsp, rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rflags; /* at the call */
	ct_u64 back, why, pos;
	unsigned char unused[0x1000 - 0x98];
	struct {
		ct_u64 ip, back; /* behind the system call, and where to go on: the same, or a copy of what is there */
	} sites[CT_INPROC_SITES];
};

/* One answer, followed by nin checks, then nout results: address, length, bytes padded to 8. */
struct ct_inproc_answer {
	ct_u32 size, index; /* which one of the run */
	ct_u32 nr, nin;
	ct_u64 args[6];
	ct_u64 ip, sp, saved;
	ct_s64 ret;
	ct_u64 rflags;
	ct_u32 nout, real; /* real: `call` is made */
	struct ct_real_call {
		ct_u64 nr, args[6];
		ct_s64 ret; /* it must give */
	} call;
};
#define CT_INPROC_ANSWER_MIN offsetof(struct ct_inproc_answer, call)

/* inproc_code.c */
extern const unsigned char ct_inproc_code[], ct_inproc_code_end[];
extern const unsigned char ct_inproc_entry[], ct_inproc_stop[], ct_inproc_syscall[];

/* The area of a session. */
struct ct_inproc {
	unsigned refs; /* the session and address spaces: a checkpoint may outlive the session */
	int ctl_fd, table_fd;
	struct ct_inproc_ctl *ctl;
	unsigned char *table;
	ct_u32 site_users[CT_INPROC_SITES]; /* address spaces that have a site of this index */
};
struct ct_inproc *ct_inproc_create(struct ct_error *err);
void ct_inproc_release(struct ct_inproc *in);
/* Maps it in a new replica, which has been given the two descriptors under these numbers; closes them there. 1: not
 * possible, for the program has mappings there itself, or not wanted (bare): the descriptors are closed only. */
#define CT_INPROC_CTL_FD   100
#define CT_INPROC_TABLE_FD 101
int ct_inproc_map(struct ct_rthread *t, const struct ct_snap_proc *proc, bool bare);
/* System calls of the replica that are not stopped by SYSEMU: those of the memory family, made by our pages, are let
 * through as far as they can only change the replica itself; everything else goes to the tracer. */
int ct_inproc_filter(struct ct_rthread *t);
/* Whether it lets this one through. */
bool ct_inproc_allows(const struct ct_real_call *call);

/* ---- call sites of an address space (inproc_patch.c) --------------------------------------------------------- */

struct ct_mm;
struct ct_mm *ct_mm_create(struct ct_inproc *in);
struct ct_mm *ct_mm_share(struct ct_mm *mm);
struct ct_mm *ct_mm_fork(const struct ct_mm *mm);
void ct_mm_release(struct ct_mm *mm);
/* A call from the site before `ip` has stopped at the tracer: after some of these the site is patched, if it can be. */
void ct_mm_saw_call(struct ct_rthread *t, ct_u64 ip, ct_s32 nr);
/* Index of the patched site before `ip`, or -1. */
int ct_mm_site(const struct ct_mm *mm, ct_u64 ip);
/* Two pages near `ip` for a trampoline, always the same ones; writable. 0: there is no room. */
ct_u64 ct_mm_pages(struct ct_rthread *t, ct_u64 ip);
/* Whether a change of these mappings concerns anything patched; and what to do before making one. */
bool ct_mm_touches(const struct ct_mm *mm, ct_u64 addr, ct_u64 len);
void ct_mm_before_change(struct ct_rthread *t, ct_u64 addr, ct_u64 len);
/* The code around `ip` as the program has it, until the next run of answers. */
void ct_mm_bare(struct ct_replica *p, ct_u64 ip);
/* Puts back what ct_mm_bare has taken away. */
void ct_mm_patched(struct ct_replica *p);
/* For good: the program's code is about to be changed from outside. */
void ct_mm_retire(struct ct_replica *p);
/* Whether a mapping that begins there is the replay's, not the program's. */
bool ct_mm_is_ours(const struct ct_mm *mm, ct_u64 start);
/* Original bytes instead of patches. */
void ct_mm_mask(const struct ct_mm *mm, ct_u64 addr, void *buf, size_t len);
/* Where a thread with this rip really goes on: some patches cover the instruction behind the call. 0: right there. */
ct_u64 ct_mm_moved(const struct ct_mm *mm, ct_u64 ip);
/* As above, for a thread that has run into the patch there and stands behind its int3. */
ct_u64 ct_mm_trapped(const struct ct_mm *mm, ct_u64 ip);

#endif
