/* SPDX-License-Identifier: MIT
 * A recorded process: how it is stopped, changed, snapshotted, released, and put back as it was.
 *
 * The life of one: ct_target_stop -> ct_target_prepare -> ct_snapshot_begin -> ct_target_release; then the image is
 * written in the background (ct_snapshot_write). At the end: stop -> ct_target_undo -> release. */
#ifndef CT_TARGET_H
#define CT_TARGET_H

#include <sched.h>
#include <stdbool.h>

#include "user/rundir.h" /* what was changed in which process survives the recorder */
#include "formats/error.h"
#include "formats/probe.h"
#include "formats/snapshot.h"
#include "replay/tracee.h"
#include "user/attach/track.h"

/* One thread of a target, as it was before ctbpf changed it, and its state while it is stopped. */
struct ct_thread {
	pid_t tid;
	cpu_set_t affinity;
	int policy, priority;
	bool saved; /* affinity and policy are those of before */
	struct ct_snap_rseq rseq;
	bool rseq_off;
	/* while stopped */
	bool stopped;
	bool kept;           /* traced by the stepper: released, but not detached from */
	struct ct_regs regs; /* as the stop found them */
	bool reissue;        /* its call failed with EINTR because of the stop alone: it is made again on release */
	ct_u64 sigmask;
	struct ct_task_state state;
	unsigned char *xsave;
	size_t xsave_len;
};

/* Where a page of ours may be in programs recorded from their first instruction, see prepare.c: the highest one there
 * is (above the stack, unless addresses are not randomised), else one that is as low as hardly anything. */
#define CT_OWN_PAGE_HIGH CT_PLACES_END
#define CT_OWN_PAGE_LOW  0x20000ull
#define CT_OWN_RSEQ_SIG  0x53053053

#define CT_VDSO_PATCHES 16
#define CT_PATCH_MAX    96
struct ct_vdso_patch {
	ct_u32 offset, len;
	unsigned char orig[CT_PATCH_MAX], code[CT_PATCH_MAX];
};

struct ct_pin {
	int cpu;    /* all threads go there */
	int policy; /* SCHED_RR, or -1: leave it */
};

struct ct_target {
	pid_t pid;
	ct_u64 start_time; /* guards against a reused pid */
	char comm[16];
	struct ct_thread *threads;
	size_t nthreads;
	struct ct_maps maps; /* while stopped */
	int memfd;           /* while stopped */
	struct {
		ct_u64 start, end;
	} * wiped; /* as of the last inspection: ranges marked MADV_WIPEONFORK */
	size_t nwiped;
	ct_u64 vdso, vdso_len;
	struct ct_vdso_patch patch[CT_VDSO_PATCHES];
	unsigned npatches;
	ct_u64 stub, clone_stub; /* code for injected calls, in the dead part of a patched function; 0: none */
	bool fresh;              /* right after execve: no instruction of the new image has run */
	bool seized;             /* by the caller already: not seized again, only waited for */
	bool often;              /* stopped again and again: see waits_long in stop.c */
	ct_u32 patience_ms;      /* what is short then */
	bool astray;             /* a thread may still be in the stub: that stays where it is */
	ct_u64 own_page;         /* of ours, mapped here, which holds the leader's rseq area; 0: none */
	bool seccomp;            /* has a filter, suspended during injected calls */
	struct ct_pin pin;       /* what was set */
	struct ct_track track;
	bool changed; /* pinned, patched: must be undone */
};

void ct_target_init(struct ct_target *t, pid_t pid);
void ct_target_deinit(struct ct_target *t);

/* Stops every thread, wherever it is. On failure all are running again. */
int ct_target_stop(struct ct_target *t, struct ct_error *err);
/* Reads registers, FPU state, masks, kernel-side state, mappings. */
struct ct_inspector;
int ct_target_inspect(struct ct_target *t, struct ct_inspector *in, struct ct_error *err);
/* Whether all threads that were stopped still are. Only SIGKILL, or the end of another thread's execve or exit_group,
 * ends a ptrace-stop that the tracer does not end (ptrace(2)). */
bool ct_target_stands(const struct ct_target *t);
bool ct_is_traced_by_us(pid_t tid);
/* Lets all threads run, detached. Interrupted system calls are restarted by the kernel. */
void ct_target_release(struct ct_target *t);
/* The same for one thread that the caller has stopped, only to look at it: `tid` and `regs` are set. */
void ct_thread_go_on(struct ct_thread *th);

/* Pins, patches the vDSO, unregisters rseq; what it changes is written to CT_RUN_DIR first. */
int ct_target_prepare(struct ct_target *t, const struct ct_pin *pin, struct ct_error *err);
/* The reverse of all of it. Works on a target that another recorder prepared (see ct_undo_load). */
int ct_target_undo(struct ct_target *t, struct ct_error *err);
/* It runs another program now: of what was changed only the pinning is left to undo. */
void ct_target_forget_image(struct ct_target *t);

/* undo.c: CT_RUN_DIR/<pid>.json. */
int ct_undo_save(const struct ct_target *t, struct ct_error *err);
/* 1: loaded into *t. 0: nothing is known about this process. -1: error. */
int ct_undo_load(struct ct_target *t, pid_t *recorder, struct ct_error *err);
void ct_undo_forget(const struct ct_target *t);

/* vdso.c. Steps threads out of the vDSO. 1: a signal handler will return into it, and what it computes there would not
 * be logged: better let the threads run on and stop them again. */
int ct_vdso_leave(struct ct_target *t, struct ct_error *err);
/* Planning fills t->patch; it must be on disk (ct_undo_save) before it is applied. */
int ct_vdso_plan(struct ct_target *t, struct ct_error *err);
int ct_vdso_apply(struct ct_target *t, struct ct_error *err);
int ct_vdso_restore(struct ct_target *t, struct ct_error *err);
void ct_vdso_find_stub(struct ct_target *t);
/* Only the code for injected calls, in a stopped process that is not prepared; ct_vdso_restore takes it away again. */
int ct_vdso_borrow(struct ct_target *t, struct ct_error *err);

/* inspect.c: kernel-side state of all threads, by a BPF iterator (loaded beforehand: that takes longer than a stop). */
struct ct_inspector *ct_inspector_create(struct ct_error *err);
void ct_inspector_destroy(struct ct_inspector *in);
int ct_inspect_threads(struct ct_inspector *in, struct ct_target *t, struct ct_error *err);

/* ---- inject.c: system calls made by a stopped thread for us -------------------------------------------- */

/* A thread that has been set up for injected calls. The frame on its stack and the stub it runs are such that, should
 * the recorder be killed at any moment, the thread returns to what it was doing (rt_sigreturn). */
struct ct_inject {
	struct ct_target *t;
	struct ct_thread *thread;
	pid_t tid;
	ct_u64 frame;
	size_t frame_len;
	unsigned char *saved; /* stack bytes under the frame */
};
/* -1 without *err set to anything fatal: this thread cannot be used (its stack has no room, shadow stacks are on). */
int ct_inject_begin(struct ct_inject *in, struct ct_target *t, struct ct_thread *thread, struct ct_error *err);
/* In any thread whose stack has room and that is not the one in a vfork. */
int ct_inject_somewhere(struct ct_inject *in, struct ct_target *t, struct ct_error *err);
/* Makes one call; *ret is the kernel's result (-errno). */
int ct_inject_call(struct ct_inject *in, long nr, const ct_u64 args[6], long *ret, struct ct_error *err);
/* clone() with these flags and no exit signal; the child is left stopped before its first instruction. */
/* *ns_pid: its number in the target's PID namespace. */
int ct_inject_clone(struct ct_inject *in, unsigned long flags, pid_t *child, pid_t *ns_pid, struct ct_error *err);
/* Puts everything back; the thread is stopped as before. */
int ct_inject_end(struct ct_inject *in, struct ct_error *err);

/* ---- image.c: snapshots -------------------------------------------------------------------------------- */

/* What has to be copied while the target stands still: memory it shares with others. */
struct ct_shared_copy {
	ct_u64 addr, len; /* whole pages; rising, never across a mapping's end */
	unsigned char *data;
};
/* A mapped file, held open. */
struct ct_image_file {
	ct_u64 dev, ino;
	int fd;
};
/* The image of one stopped process: a copy-on-write child that nobody sees; or the few pages that changed since the
 * last snapshot; or, if there can be neither, copies of all pages. */
struct ct_image {
	struct ct_snap_proc proc; /* complete but for file hashes */
	struct ct_own_pages own;  /* with `copied`: this is all that is its own */
	struct ct_image_file *files;
	size_t nfiles;
	pid_t child; /* stopped; 0: none */
	int child_memfd;
	struct ct_shared_copy *copies;
	size_t ncopies;
	pid_t reap;        /* number of the child in the target's namespace if it is the target's own to reap, else 0 */
	ct_u64 patch_addr; /* stack bytes that the injection had covered when the child was made */
	size_t patch_len;
	unsigned char *patch;
};
/* Whether an entry of /proc/PID/pagemap is for a page that holds content of the process's own: present or swapped
 * out, and neither page cache nor shared memory (Documentation/admin-guide/mm/pagemap.rst). */
static inline bool ct_page_is_own(ct_u64 entry)
{
	return entry >> 62 & 1 || (entry >> 63 && !(entry >> 61 & 1));
}
int ct_image_begin(struct ct_image *img, struct ct_target *t, struct ct_error *err);
/* Reaps a dead child made for an image (`reap`), or with 0 all that a killed recorder left, of a stopped target. */
int ct_image_reap(struct ct_target *t, pid_t reap, struct ct_error *err);
/* Ends the child and frees the copies; what was described (img->proc) stays. */
void ct_image_end(struct ct_image *img);
void ct_image_deinit(struct ct_image *img);
/* A link to the file that is mapped there, even if its name is gone or leads elsewhere now. */
void ct_image_file_path(const struct ct_image *img, const struct ct_snap_map *m, char *path, size_t len);

/* A byte of a file that is a breakpoint of ours in every process that runs it. dev is fstat's st_dev. */
struct ct_probe_site {
	ct_u64 dev, ino, offset;
};

/* Keeps mapped files: called for each mapping of a regular file; fills hash and ref. 0, or -1 with *err. */
typedef int ct_keep_file(void *ctx, const char *path, const char *name, struct ct_file_ref *ref, ct_u8 hash[16],
			 struct ct_error *err);
struct ct_redact;
/* Writes images (all of one snapshot) and the snapshot's state. Destroys the images' children. redact: what is not to
 * be in their pages, or NULL. */
int ct_images_write(struct ct_image *imgs, size_t count, struct ct_snapshot *snap, int dirfd, int level,
		    struct ct_page_index *index, ct_keep_file *keep, void *keep_ctx, const struct ct_probe_site *sites,
		    size_t nsites, struct ct_redact *redact, struct ct_error *err);

#endif
