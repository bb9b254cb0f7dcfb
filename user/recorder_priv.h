/* SPDX-License-Identifier: MIT
 * The recorder's own parts: recorder.c (life and loop), recorder_create.c (what it begins with), recorder_command.c (a
 * command of its own), recorder_state.c (stops and snapshots), recorder_files.c (keeping file contents),
 * recorder_keep.c (the newest part only), recorder_trigger.c and recorder_part.c (parts of it for good),
 * recorder_prove.c (verifying meanwhile), recorder_ui.c (manifest, live line). */
#ifndef CT_RECORDER_PRIV_H
#define CT_RECORDER_PRIV_H

#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "formats/recording.h"
#include "formats/snapshot.h"
#include "user/attach/target.h"
#include "user/dedup.h"
#include "user/pipeline.h"
#include "user/probes.h"
#include "user/recorder.h"
#include "user/redact.h"

/* A file whose content is kept. */
struct ct_known_file {
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char *name;    /* as in its FILE record; owned by the list */
	ct_u32 last;   /* the last snapshot whose stretch has a FILE record of it, or that has it mapped */
	unsigned idle; /* snapshots since anything has used it */
};

/* A file that is mapped shared and writable: ctime does not tell its content. */
struct ct_written_file {
	struct ct_kept_key key;
	unsigned idle;
};

/* Kept content that is not known any more, or never had a file; needed as long as the stretch of `last` is. */
struct ct_kept_name {
	ct_u8 hash[16];
	ct_u32 last;
};

/* A snapshot that is on disk. */
struct ct_kept_snapshot {
	ct_u32 id, kind, oldest; /* oldest: the first snapshot whose pages it needs */
	ct_u64 seq, mono_ns, bytes;
};

/* What a file was when it was mapped. */
struct ct_mapped_as {
	struct ct_file_ref ref;
	struct timespec mtime;
};

/* A process that was held in the kernel and is now stopped (seized, interrupted), or on its way there. */
struct ct_held {
	struct ct_held *next;
	struct ct_hold hold;
	ct_u64 heard_ns;
	ct_u64 told_ns; /* it was let go, or should have been */
	int error;      /* why it could not be opened */
	int fd;         /* FILE: the mapped file */
	struct ct_mapped_as as;
	bool changing; /* it was changed a moment ago */
	char name[256];
	bool to_stop, stopped;
	_Atomic int hand; /* how far it is with the thread that stops those the main thread does not answer */
	struct ct_held *hand_next;
};

/* One thing for the probing thread to do: attaching and detaching uprobes waits for RCU grace periods, which cannot end
 * while a process is held; so the main thread must never wait for one. */
struct ct_probe_op {
	struct ct_probe_op *next;
	pid_t pid;
	struct ct_insn_link *gone; /* an ended process's, to be detached, if not NULL */
	char path[64];             /* else a file to probe; empty: all that is mapped, and all known */
	char name[256];
	_Atomic int done;
	bool waited; /* the main thread waits for it and frees it */
};

#define CT_DETACHERS 6

/* Work for the background thread: a snapshot to write, or a file to keep. */
struct ct_job {
	struct ct_job *next;
	struct ct_image *images; /* a snapshot, if not NULL */
	size_t nimages;
	struct ct_snapshot snap;
	ct_u64 at_ns;                /* when its record was written */
	struct ct_trigger *triggers; /* what is kept with it as its end */
	void *bytes;                 /* else bytes to keep, `len` of them, if not NULL */
	size_t len;
	int fd;      /* else a file to keep: */
	bool proof;  /* nothing to keep: ct_prover_go_on */
	bool mapped; /* it is mapped, and must be kept; else it was only read */
	struct ct_mapped_as as;
	ct_u32 pid;
	char name[256];
};

struct ct_recorder {
	struct rlimit files_limit; /* as it was; a command gets it back */
	const struct ct_record_opts *opts;
	struct ct_error *err;
	char path[512];
	int dirfd;
	ct_u8 uuid[16];
	json_t *manifest;
	struct ct_probes probes;
	struct ct_calls *calls; /* NULL: none are recorded */
	unsigned char *calls_buf;
	struct ct_screen *screen;     /* NULL: the kernel decides all that a filter says */
	struct ct_governor *governor; /* --max-overhead; NULL: not asked for */
	struct ct_calls_pauses pauses;
	struct ct_calls_opts slow_opts;
	struct ct_calls *slow; /* tells of calls that take long; NULL: not asked for */
	struct ct_pipeline *pipeline;
	struct ct_dedup *dedup;
	struct ct_redact *redact; /* NULL: nothing is */
	struct ct_inspector *inspector;
	struct ring_buffer *urgent; /* libbpf's reader of the urgent ring: the hearing thread's */
	struct ct_stepper *stepper; /* --clock step, or NULL */
	struct ct_triggers *triggers;
	struct ct_prover *prover; /* NULL: nothing is proven meanwhile */
	struct ct_pin pin;
	int cpu_lock;           /* says so to other recorders */
	cpu_set_t mine, others; /* CPUs it was started on; those of them that it uses */

	struct ct_target **targets; /* all that were changed and still live */
	size_t ntargets;
	struct ct_thread first_thread; /* as it was before pinning: what descendants get back */

	ct_u32 last_snapshot;
	struct ct_page_index *index;
	ct_u64 start_ns, pause_ns; /* of the first attach */
	ct_u64 end_ns;             /* when nothing was recorded any more; 0: not yet */
	ct_u64 max_pause_ns;
	ct_u32 nfurther;         /* snapshots but the first */
	ct_u32 nincremental;     /* those that took only what had changed, of all processes */
	ct_u64 further_pause_ns; /* ... and their pauses together */

	pthread_t worker;
	bool worker_on, worker_started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake, idle;
	struct ct_job *jobs, **jobs_end;
	bool worker_busy, worker_quit;
	struct ct_error worker_err;
	bool worker_failed;
	struct ct_known_file *files;
	size_t nfiles;
	struct ct_written_file *written;
	size_t nwritten;
	ct_u32 stretch; /* the last snapshot of all in the log */
	struct ct_kept_name *gone;
	size_t ngone;
	unsigned keeping; /* contents being kept at the moment */
	ct_u64 keeps;     /* ... and how often that has begun */
	struct {
		pid_t pid, child;
	} * reaps; /* dead snapshot children that their target must reap */
	size_t nreaps;

	pthread_t prober;
	bool prober_on, prober_quit;
	pthread_mutex_t probe_lock;
	pthread_cond_t probe_wake;
	struct ct_probe_op *ops, **ops_end;
	struct ct_probe_op *later, **later_end; /* ended processes, whose probes can wait to be taken away */
	pthread_t detachers[CT_DETACHERS];
	unsigned ndetachers;
	pthread_cond_t detach_wake;
	unsigned nlater;
	pthread_t hearer;
	bool hearer_on;
	_Atomic bool hearer_quit;
	pthread_mutex_t heard_lock;
	struct ct_held *heard, **heard_end; /* for the main thread to take; */
	int heard_fd;                       /* readable when there are */
	pthread_t hand;
	bool hand_on, hand_can, hand_quit;
	struct ct_held *hand_next; /* for it to do; under heard_lock, as all of it */
	pthread_cond_t hand_wake;
	struct ct_held *taken, **taken_end; /* taken, some of them maybe to be regained; main thread only, */
	struct ct_held *held, **held_end;   /* as are these: stopped, not served yet */
	bool regaining;

	/* A FILE record is appended, and what relies on it told, under this: no snapshot comes between. Taken before
	 * the pipeline's locks and `lock`. */
	pthread_mutex_t carry;
	ct_u64 snapshot_ns, snapshot_log, snapshot_pause; /* the last snapshot of all: when, bytes of log then, pause */
	_Atomic unsigned snapshots_waiting;               /* to be written */
	/* The worker's, as is the manifest while it runs. */
	ct_u32 writing; /* the snapshot being written, 0: none */
	struct ct_kept_snapshot *kept;
	size_t nkept;
	ct_u32 first_kept;
	bool over_budget; /* has been said */

	/* set by the tap on the consumer thread */
	_Atomic ct_u64 unsound, switches;
	_Atomic int group_exits;
	char first_unsound[CT_UNSOUND_TEXT]; /* written by who counts it first, read when all have ended */
	_Atomic size_t bytes_waiting;        /* in jobs of content to keep */
	ct_u64 lost_seen, unsound_seen;
	unsigned lines;       /* live lines shown */
	double load;          /* of the probes, as last measured */
	ct_u64 next_extra_ns; /* no further LOSS snapshot before */
	pid_t command_pid;
	int command_status;
	int end_reason;
	pid_t not_restored; /* could not be stopped at the end */
	bool done;
};

ct_u64 ct_now_ns(void);

/* recorder_create.c */
int ct_recorder_choose_cpu(struct ct_recorder *r, pid_t pid, struct ct_error *err);
int ct_recorder_create_directory(struct ct_recorder *r, pid_t pid, struct ct_error *err);
/* At the end: how much was redacted; if nothing was, the recording is as good as any. */
void ct_recorder_redacted(struct ct_recorder *r, struct ct_record_result *res);

/* recorder_command.c: starts it, stopped behind its execve, seized by this thread; and looks whether it has ended. */
pid_t ct_recorder_start_command(struct ct_recorder *r, struct ct_error *err);
void ct_recorder_reap_command(struct ct_recorder *r);

/* recorder_targets.c */
bool ct_process_lives(pid_t pid);
/* Is it still the process that was attached to, and alive? */
bool ct_target_lives(const struct ct_target *t);
/* How many processes are recorded. Those that ended before their end could be seen are forgotten. */
size_t ct_recorder_count(struct ct_recorder *r);
/* The target of that number; `add`: a new one if there is none. NULL: none, or out of memory. */
struct ct_target *ct_recorder_target(struct ct_recorder *r, pid_t pid, bool add);
/* Its probes and whatever would be undone in it belong to a process that is no more; forget: its probes stay. */
void ct_recorder_drop(struct ct_recorder *r, struct ct_target *t);
void ct_recorder_forget(struct ct_recorder *r, struct ct_target *t);
/* What the leader of `pid` had before anything was pinned (borrowed, NULL if not known); and gives it to `t`. */
const struct ct_thread *ct_recorder_before_pinning(struct ct_recorder *r, pid_t pid);
bool ct_recorder_inherit(struct ct_target *t, const struct ct_thread *from);
/* Every recorded process becomes a target, also children nobody has looked at yet. */
void ct_recorder_target_all(struct ct_recorder *r);
/* New children get their undo file once they have lived for a moment. */
void ct_recorder_adopt_children(struct ct_recorder *r);
/* Puts back what processes of which only events are recorded (--max-processes) have inherited from recorded ones. */
void ct_recorder_let_go(struct ct_recorder *r);
/* A stretch has begun: says so if a process that is not replayed can write to memory of those that are. */
void ct_recorder_note_outsider(struct ct_recorder *r);
/* A child that a target has made since this program began, while not all were stopped; 0: none. */
pid_t ct_recorder_newcomer(struct ct_recorder *r);

/* recorder_state.c */
/* Attaches to all of `pids` at one moment and turns recording on. */
int ct_recorder_attach(struct ct_recorder *r, const pid_t *pids, size_t count, pid_t seized, struct ct_error *err);
/* A process stopped behind its execve, made by its first thread or by another: attached anew, snapshotted, released.
 * waiting: it has been interrupted, and its stop is still to be waited for. */
int ct_recorder_attach_exec(struct ct_recorder *r, pid_t pid, bool leader, bool waiting, struct ct_error *err);
/* A snapshot of all recorded processes; CT_SNAP_FINAL also undoes and releases them. */
int ct_recorder_snapshot(struct ct_recorder *r, enum ct_snapshot_kind kind, struct ct_error *err);
/* After the recording: stops targets for a moment to reap what the last snapshot has left. */
void ct_recorder_reap(struct ct_recorder *r);

/* recorder_calls.c: calls are probed in `pid`; then, when all are, told of. */
json_t *ct_recorder_calls_options(const struct ct_record_opts *o); /* for the manifest */
int ct_recorder_calls_attach(struct ct_recorder *r, pid_t pid, struct ct_error *err);
void ct_recorder_calls_start(struct ct_recorder *r);
/* Takes the probes away or attaches them again, and says so in the log; ppm: see struct ct_ev_pause. */
int ct_recorder_calls_turn(struct ct_recorder *r, bool off, enum ct_pause why, ct_u64 ppm, struct ct_error *err);
void ct_recorder_calls_tick(struct ct_recorder *r);
/* `ctbpf stop`, `ctbpf start`: answers `fd`. */
void ct_recorder_calls_asked(struct ct_recorder *r, int fd, bool off);
/* --on-latency: slow calls are probed in the targets, before they are stopped. */
int ct_recorder_slow_attach(struct ct_recorder *r, const pid_t *pids, size_t n, struct ct_error *err);
void ct_recorder_calls_stop(struct ct_recorder *r, struct ct_record_result *res);

/* recorder_files.c */
int ct_recorder_worker_start(struct ct_recorder *r, struct ct_error *err);
void ct_recorder_worker_add(struct ct_recorder *r, struct ct_job *job);
/* Waits until all jobs are done; quit: ends the thread. */
int ct_recorder_worker_wait(struct ct_recorder *r, bool quit, struct ct_error *err);
ct_keep_file ct_recorder_keep;
/* A file's identity and state, named as the kernel side does; and whether two are of the same content. */
void ct_recorder_file_ref(struct ct_file_ref *ref, const struct stat *st);
bool ct_recorder_same_file(const struct ct_file_ref *a, const struct ct_file_ref *b);
/* From the tap: the kernel side saw a read of a file it would like to log by reference. */
void ct_recorder_offer(struct ct_recorder *r, const struct ct_event *ev);
/* From the tap: a file was truncated by its name. The kernel side does not see which one that is. */
void ct_recorder_truncated(struct ct_recorder *r, const struct ct_event *ev);
/* From the pipeline: bytes that calls have returned more than once. */
ct_dedup_keep ct_recorder_keep_bytes;
/* Whether it has not been changed for so long that its ctime would show the next change. */
bool ct_recorder_settled(const struct stat *st);
/* Keeps a file that has been mapped; takes fd over. now: before this returns. */
void ct_recorder_keep_mapped(struct ct_recorder *r, int fd, const struct ct_mapped_as *as, const char *name, pid_t pid,
			     bool now);

/* Appends a FILE record; the caller holds `carry`. */
void ct_recorder_append_file(struct ct_recorder *r, const struct ct_file_ref *ref, const ct_u8 hash[16],
			     const char *name);

/* recorder_keep.c */
/* Whether only the newest part of the recording is to stay. */
bool ct_keep_on(const struct ct_recorder *r);
/* Whether a periodic snapshot is due. */
bool ct_keep_due(struct ct_recorder *r, const struct ct_pipeline_stats *stats);
/* Snapshot `id` begins a stretch: what is before may be removed some day, so all that later records may rely on is said
 * again. All targets stand still, the log is drained, the caller holds `carry`. */
void ct_keep_carry(struct ct_recorder *r, ct_u32 id);
/* Content is being kept: nothing that it may turn out to be is removed meanwhile. */
void ct_keep_begin(struct ct_recorder *r);
void ct_keep_end(struct ct_recorder *r);
/* Content without a file is named in the present stretch. */
void ct_keep_bytes_named(struct ct_recorder *r, const ct_u8 hash[16]);
/* The worker has written this snapshot: it is durable, unless it is of kind EXEC. Removes what is not needed any more.
 */
void ct_keep_written(struct ct_recorder *r, const struct ct_snapshot *snap, ct_u64 at_ns);
/* What was left because somebody was keeping a file goes, now that nobody does any more. */
void ct_keep_finish(struct ct_recorder *r);
void ct_keep_free(struct ct_recorder *r);

/* recorder_part.c: a part of the recording. */
struct ct_part {
	ct_u64 first_seq; /* its first segment begins with this record or later ... */
	ct_u32 first_snapshot;
	const struct ct_snapshot
		*end; /* ... and it ends with this snapshot; NULL: with the recording, which has ended */
	ct_u64 at_ns; /* when that snapshot was taken */
};
/* Makes it a recording with this manifest. All before its end is on disk (ct_pipeline_settle). */
int ct_recorder_link(struct ct_recorder *r, const char *path, const struct ct_part *part, const json_t *manifest,
		     struct ct_error *err);

/* recorder_prove.c: --verify while the recording goes on. The worker calls these, but for start and stop. */
int ct_prover_start(struct ct_recorder *r, struct ct_error *err);
/* Abandons what is being proven; before the worker ends. */
void ct_prover_stop(struct ct_recorder *r);
void ct_prover_free(struct ct_recorder *r);
/* A snapshot of all is on disk: a stretch ends with it, and perhaps another begins. */
void ct_prover_written(struct ct_recorder *r, const struct ct_snapshot *snap, ct_u32 oldest, ct_u64 at_ns);
/* What is before snapshot `first` is about to be removed. */
void ct_prover_dropping(struct ct_recorder *r, ct_u32 first);
/* There may be a verdict, and room for the next stretch. */
void ct_prover_go_on(struct ct_recorder *r);
/* Any thread. */
void ct_prover_counts(struct ct_recorder *r, struct ct_proven *counts);

/* recorder_trigger.c */
int ct_triggers_create(struct ct_recorder *r, struct ct_error *err);
/* Keeps what is still asked for: the whole recording, which has ended (whole: in order). Frees. */
void ct_triggers_finish(struct ct_recorder *r, bool whole);
void ct_triggers_tap(struct ct_recorder *r, const struct ct_event *ev); /* consumer thread */
int ct_triggers_fd(const struct ct_recorder *r);
/* A descriptor of theirs in the epoll set `ep` is readable. */
void ct_triggers_serve(struct ct_recorder *r, int ep, int fd);
/* Whether a snapshot has to be taken now, for those that ... */
bool ct_triggers_due(struct ct_recorder *r);
/* ... are handed over here. */
struct ct_trigger *ct_triggers_take(struct ct_recorder *r);
/* Makes their recordings, which end with this snapshot, and frees them; failed: why there is none. */
void ct_triggers_keep(struct ct_recorder *r, struct ct_trigger *list, const struct ct_snapshot *snap, ct_u64 at_ns,
		      const struct ct_error *failed);

/* recorder_hold.c */
int ct_recorder_prober_start(struct ct_recorder *r, struct ct_error *err);
void ct_recorder_prober_stop(struct ct_recorder *r);
/* Instruction probes for everything `pid` has mapped and every known file; waits. */
void ct_recorder_probe(struct ct_recorder *r, pid_t pid);
void ct_recorder_unprobe(struct ct_recorder *r, pid_t pid);
/* The thread that hears of held processes; stop also if start failed. */
int ct_recorder_hearer_start(struct ct_recorder *r, struct ct_error *err);
void ct_recorder_hearer_stop(struct ct_recorder *r);
void ct_recorder_release_held(struct ct_recorder *r, const struct ct_hold *hold);

/* recorder_handover.c: the thread that stops held processes in the main thread's place. Looks whether one waits for too
 * long (the hearing thread); whether it has, or is about to have, one that was heard of;
 * gets that back for the main thread: 0 if there is nothing to get back. */
int ct_recorder_hand_start(struct ct_recorder *r, struct ct_error *err);
void ct_recorder_hand_stop(struct ct_recorder *r);
void ct_recorder_hand_look(struct ct_recorder *r);
bool ct_recorder_hand_has(const struct ct_held *h);
int ct_recorder_hand_regain(struct ct_recorder *r, struct ct_held *h);

/* recorder_hold.c again */
/* Stops held processes that must be, at once (the wait hook; ctx is the recorder); serve does what they were held for.
 */
void ct_recorder_answer(void *ctx);
void ct_recorder_serve(struct ct_recorder *r);
/* Answers, and tells whether there is anything to serve. */
bool ct_recorder_heard(struct ct_recorder *r);
/* Whether `pid` is seized because it was held. */
bool ct_recorder_is_held(const struct ct_recorder *r, pid_t pid);

/* recorder_ui.c */
/* Something a replay cannot reproduce: counted, and the first is remembered for the summary. */
void ct_recorder_unsound(struct ct_recorder *r, const char *text);
/* What is only known while it is recorded, in a manifest; and writes the recording's own. */
void ct_recorder_describe(struct ct_recorder *r, json_t *manifest, const char *state,
			  const struct ct_pipeline_stats *stats);
int ct_recorder_manifest(struct ct_recorder *r, const char *state, const struct ct_pipeline_stats *stats,
			 struct ct_error *err);
void ct_recorder_live(struct ct_recorder *r, bool last);
/* Appends a record that consists of a struct and text. */
ct_u64 ct_recorder_append(struct ct_recorder *r, unsigned type, ct_u32 pid, ct_u32 tid, const void *body, size_t len,
			  const void *tail, size_t tail_len);
void ct_recorder_note(struct ct_recorder *r, unsigned type, ct_u32 reason, ct_u32 pid, ct_u64 value, const char *fmt,
		      ...) __attribute__((format(printf, 6, 7)));

#endif
