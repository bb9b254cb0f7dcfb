/* SPDX-License-Identifier: MIT
 * Snapshots: the complete state of one or more processes at one event of the log.
 *
 * snapshots/NNNNNN/ holds `state` (this struct, encoded) and `pages` (compressed page contents). Pages equal to
 * ones of an earlier snapshot of the recording are not stored again. docs/format.md is the spec. */
#ifndef CT_SNAPSHOT_H
#define CT_SNAPSHOT_H

#include <stddef.h>

#include "error.h"
#include "event.h"

#define CT_SNAPSHOT_VERSION 1
#define CT_PAGE             4096u

struct ct_snap_sigaction {
	ct_u64 handler, flags, restorer, mask;
};
struct ct_snap_rseq {
	ct_u64 addr;
	ct_u32 size, sig, flags, pad;
};
/* The call it was in returned EINTR (regs.rax) only because of the stop; when the process was released rip was moved
 * back over the syscall instruction and rax set to orig_rax, so that it was made again. regs are those before that. */
#define CT_THREADF_REISSUE 0x1
struct ct_snap_thread {
	ct_u32 tid, ns_tid; /* in the initial and in its own PID namespace */
	char comm[16];
	struct ct_regs regs;
	ct_s32 in_syscall; /* number of the call it is blocked in (regs.rax is then the restart code), or -1 */
	ct_u32 flags;      /* CT_THREADF_* */
	ct_u64 sigmask;
	ct_u64 pending; /* private pending signals, a bit each */
	ct_u64 altstack_sp, altstack_size;
	ct_u32 altstack_flags;
	ct_s32 restart_nr; /* the call restart_syscall would resume, or -1 */
	ct_u64 clear_child_tid;
	ct_u64 robust_list, robust_len;
	struct ct_snap_rseq rseq; /* as it was registered; addr 0: not registered */
	ct_s32 policy, priority;  /* scheduling before ctbpf pinned it */
	ct_u8 *xsave;             /* NT_X86_XSTATE, owned */
	ct_u32 xsave_len;
	ct_u32 pad;
};

#define CT_MAPF_SHARED      0x001
#define CT_MAPF_GROWSDOWN   0x002
#define CT_MAPF_FILE        0x004 /* content of untouched pages: files/<hash> at `offset` */
#define CT_MAPF_SPECIAL     0x008 /* [vvar], [vsyscall]: the kernel's, content not kept */
#define CT_MAPF_VDSO        0x010
#define CT_MAPF_HUGE        0x020 /* hugetlb */
#define CT_MAPF_ANON_SHARED 0x040 /* shared memory without a file a path leads to: its pages are all kept */
#define CT_MAPF_WIPEONFORK  0x080
#define CT_MAPF_DONTFORK    0x100
#define CT_MAPF_NO_CONTENT  0x200 /* file content could not be kept; the snapshot is not replayable */
struct ct_snap_map {
	ct_u64 start, end;
	ct_u32 prot;  /* PROT_* */
	ct_u32 flags; /* CT_MAPF_* */
	ct_u64 offset;
	struct ct_file_ref file; /* for CT_MAPF_FILE */
	ct_u8 hash[16];
	char *name; /* as in /proc/PID/maps, owned, never NULL */
};
struct ct_snap_fd {
	ct_s32 fd;
	ct_u32 flags; /* O_* */
	ct_u64 pos;
	char *target; /* as the link in /proc/PID/fd, owned */
};
struct ct_snap_proc {
	ct_u32 pid, ns_pid, ppid, flags;
	char comm[16];
	char *exe, *cwd, *root; /* owned */
	ct_u64 start_time;      /* field 22 of /proc/PID/stat, clock ticks since boot */
	ct_u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	ct_u64 arg_start, arg_end, env_start, env_end;
	ct_u64 vdso; /* address, 0: none */
	ct_u64 personality;
	ct_u64 pending; /* shared pending signals */
	ct_u64 rss_bytes;
	ct_u32 umask, dumpable;
	struct ct_snap_sigaction sigaction[64];
	ct_u8 *auxv; /* owned */
	ct_u32 auxv_len;
	ct_u32 nthreads, nmaps, nfds;
	struct ct_snap_thread *threads; /* owned, leader first */
	struct ct_snap_map *maps;
	struct ct_snap_fd *fds;
};
struct ct_snapshot {
	ct_u32 id, kind; /* enum ct_snapshot_kind */
	ct_u64 seq;      /* of its CT_EV_SNAPSHOT record: the state is that before the next record */
	ct_u64 mono_ns, real_ns;
	ct_u32 current_tid; /* the thread the log believes to run */
	ct_u32 nprocs;
	struct ct_snap_proc *procs; /* owned */
};
void ct_snap_proc_deinit(struct ct_snap_proc *proc);
void ct_snapshot_deinit(struct ct_snapshot *snap);

/* ---- Writing ---- */

struct ct_page_index; /* content hash -> where it is stored; one a recording, shared by its snapshots */
struct ct_page_index *ct_page_index_create(void);
void ct_page_index_destroy(struct ct_page_index *idx);
/* Forgets what snapshots before `first` hold, so that later ones do not depend on them: retention wants to delete
 * those. A snapshot must be kept while one that is kept refers to it (ct_snapshot_oldest_needed). */
void ct_page_index_forget(struct ct_page_index *idx, ct_u32 first);

struct ct_snapshot_reader;
struct ct_snapshot_writer;
/* `dirfd` is the recording's directory; makes snapshots/NNNNNN.tmp, renamed to its final name by _finish.
 * level: zstd, 0 none. idx may be NULL (no deduplication). */
struct ct_snapshot_writer *ct_snapshot_writer_create(int dirfd, ct_u32 id, int level, struct ct_page_index *idx,
						     struct ct_error *err);
/* Adds `npages` pages of process number `proc` (index in procs) at `addr`. All-zero pages are noted, not stored.
 * Addresses must rise within a process. */
int ct_snapshot_add_pages(struct ct_snapshot_writer *w, ct_u32 proc, ct_u64 addr, const void *data, size_t npages,
			  struct ct_error *err);
/* Adds the pages of [start, end), which are as snapshot `base` has them for its process `base_proc`: it must have all.
 */
int ct_snapshot_carry_pages(struct ct_snapshot_writer *w, ct_u32 proc, struct ct_snapshot_reader *base,
			    ct_u32 base_proc, ct_u64 start, ct_u64 end, struct ct_error *err);
/* Checks *snap (maps page-aligned, rising, start < end; prot, counts), writes the state, fsyncs, renames into place;
 * destroys the writer in every case. */
int ct_snapshot_writer_finish(struct ct_snapshot_writer *w, const struct ct_snapshot *snap, struct ct_error *err);
void ct_snapshot_writer_abort(struct ct_snapshot_writer *w);

/* ---- Reading ---- */

/* Reads and checks everything but page contents. */
struct ct_snapshot_reader *ct_snapshot_open(int dirfd, ct_u32 id, struct ct_error *err);
void ct_snapshot_reader_close(struct ct_snapshot_reader *r);
const struct ct_snapshot *ct_snapshot_get(const struct ct_snapshot_reader *r);
/* One entry a page that is kept for process `proc`, by rising address. */
struct ct_snap_page {
	ct_u64 addr;
	ct_u32 flags; /* CT_PAGEF_ZERO */
	ct_u32 where; /* private to the reader */
};
#define CT_PAGEF_ZERO 0x1
const struct ct_snap_page *ct_snapshot_pages(const struct ct_snapshot_reader *r, ct_u32 proc, size_t *count);
/* Copies the content of page number i of `proc` to out (CT_PAGE bytes); checks its hash. */
int ct_snapshot_read_page(struct ct_snapshot_reader *r, ct_u32 proc, size_t i, void *out, struct ct_error *err);
/* The lowest id of a snapshot whose `pages` file this one needs; its own id if it stands alone. */
ct_u32 ct_snapshot_oldest_needed(const struct ct_snapshot_reader *r);
/* Totals for `info`: pages, zero pages, pages stored here, pages shared with earlier snapshots, bytes on disk.
 * Pages that are twice in this snapshot are stored once: pages >= zero + stored + shared. */
struct ct_snapshot_stats {
	ct_u64 pages, zero, stored, shared, bytes;
};
void ct_snapshot_stats(const struct ct_snapshot_reader *r, struct ct_snapshot_stats *stats);

#endif
