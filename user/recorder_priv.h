/* SPDX-License-Identifier: MIT
 * The recorder's own parts: recorder.c (life and loop), recorder_state.c (stops and snapshots), recorder_files.c
 * (keeping file contents), recorder_ui.c (manifest, live line). */
#ifndef CT_RECORDER_PRIV_H
#define CT_RECORDER_PRIV_H

#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "formats/recording.h"
#include "formats/snapshot.h"
#include "user/attach/target.h"
#include "user/pipeline.h"
#include "user/probes.h"
#include "user/recorder.h"

/* A file whose content is (or could not be) kept. */
struct ct_known_file {
	struct ct_file_ref ref;
	ct_u8 hash[16];
	bool kept;
};

/* Work for the background thread: a snapshot to write, or a file to keep. */
struct ct_job {
	struct ct_job *next;
	struct ct_image *images; /* a snapshot, if not NULL */
	size_t nimages;
	struct ct_snapshot snap;
	int fd;      /* else a file to keep: */
	bool mapped; /* it is mapped, and must be kept; else it was only read */
	ct_u32 pid;
	char name[256];
};

struct ct_recorder {
	const struct ct_record_opts *opts;
	struct ct_error *err;
	char path[512];
	int dirfd;
	ct_u8 uuid[16];
	json_t *manifest;
	struct ct_probes probes;
	struct ct_pipeline *pipeline;
	struct ct_inspector *inspector;
	struct ring_buffer *urgent; /* libbpf's reader of the urgent ring */
	struct ct_pin pin;
	cpu_set_t others; /* CPUs the recorder itself may use */

	struct ct_target **targets; /* all that were changed and still live */
	size_t ntargets;
	struct ct_thread first_thread; /* as it was before pinning: what descendants get back */

	ct_u32 last_snapshot;
	struct ct_page_index *index;
	ct_u64 start_ns, pause_ns; /* of the first attach */
	ct_u64 max_pause_ns;

	pthread_t worker;
	bool worker_on;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake, idle;
	struct ct_job *jobs, **jobs_end;
	bool worker_busy, worker_quit;
	struct ct_error worker_err;
	bool worker_failed;
	struct ct_known_file *files;
	size_t nfiles;

	/* set by the tap on the consumer thread */
	_Atomic ct_u64 unsound, switches;
	_Atomic int group_exits;
	ct_u64 lost_seen, unsound_seen;
	ct_u64 next_extra_ns; /* no further LOSS snapshot before */
	pid_t command_pid;
	int command_status;
	int end_reason;
	bool done;
};

ct_u64 ct_now_ns(void);

/* recorder_state.c */
/* Instruction probes for everything executable that `pid` has mapped. */
void ct_recorder_scan(struct ct_recorder *r, pid_t pid);
struct ct_target *ct_recorder_target(struct ct_recorder *r, pid_t pid, bool add);
void ct_recorder_drop(struct ct_recorder *r, struct ct_target *t);
/* Attaches to all of `pids` at one moment and turns recording on. */
int ct_recorder_attach(struct ct_recorder *r, const pid_t *pids, size_t count, pid_t seized, struct ct_error *err);
/* A process held in the kernel after its execve: attached anew, snapshotted. `hold_id` is released when it is safe. */
int ct_recorder_attach_exec(struct ct_recorder *r, pid_t pid, ct_u64 hold_id, struct ct_error *err);
/* A snapshot of all recorded processes; CT_SNAP_FINAL also undoes and releases them. */
int ct_recorder_snapshot(struct ct_recorder *r, enum ct_snapshot_kind kind, struct ct_error *err);
/* New children get their undo file once they have lived for a moment. */
void ct_recorder_adopt_children(struct ct_recorder *r);

/* recorder_files.c */
int ct_recorder_worker_start(struct ct_recorder *r, struct ct_error *err);
void ct_recorder_worker_add(struct ct_recorder *r, struct ct_job *job);
/* Waits until all jobs are done; quit: ends the thread. */
int ct_recorder_worker_wait(struct ct_recorder *r, bool quit, struct ct_error *err);
ct_keep_file ct_recorder_keep;
/* From the tap: the kernel side saw a read of a file it would like to log by reference. */
void ct_recorder_offer(struct ct_recorder *r, const struct ct_event *ev);
/* A mapping whose file is not kept yet; its process is held. */
void ct_recorder_hold_file(struct ct_recorder *r, const struct ct_hold *hold);

/* recorder_ui.c */
int ct_recorder_manifest(struct ct_recorder *r, const char *state, const struct ct_pipeline_stats *stats,
			 struct ct_error *err);
void ct_recorder_live(struct ct_recorder *r, bool last);
/* Appends a record that consists of a struct and text. */
ct_u64 ct_recorder_append(struct ct_recorder *r, unsigned type, ct_u32 pid, ct_u32 tid, const void *body, size_t len,
			  const void *tail, size_t tail_len);
void ct_recorder_note(struct ct_recorder *r, unsigned type, ct_u32 reason, ct_u32 pid, ct_u64 value, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

#endif
