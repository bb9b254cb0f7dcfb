/* SPDX-License-Identifier: MIT
 * The recording BPF programs: loaded, attached, told whom to record.
 *
 * Everything is loaded and attached before a target is stopped; turning the recording on is one store. */
#ifndef CT_PROBES_H
#define CT_PROBES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/probe.h"
#include "formats/sysrule.h"

struct record_bpf;
struct ct_target;
struct ct_scanned;
struct ct_insn_link;
struct ct_probe_site;

struct ct_probes {
	struct record_bpf *skel;
	const struct ct_counters *counters; /* mapped */
	bool read_dynptr;                   /* features found: see ct_probes_features */
	bool uprobe_multi, nop5_safe;
	int pmu_fd;   /* counts branches, or < 0 */
	int stats_fd; /* between load_begin and load_end */
	ct_u64 stats_sum, stats_ns;
	pthread_mutex_t insn_lock;   /* of the members below; never held while attaching */
	struct ct_scanned *scanned;  /* files looked at for unpredictable instructions */
	struct ct_insn_link *links;  /* probes in place, by process and file */
	struct ct_probe_site *sites; /* bytes that are breakpoints now */
	size_t nsites;
};

/* Whether process numbers here are those of the initial PID namespace, which the BPF programs go by. */
bool ct_pids_are_outermost(void);

/* Loads and attaches all, silent. ring_bytes is rounded up to a power of two; cpu: whose branches are counted, where
 * `ticks` says that the hardware does it, or -1; verbose: libbpf's messages to stderr. */
int ct_probes_create(struct ct_probes *p, size_t ring_bytes, int cpu, enum ct_ticks ticks, bool verbose,
		     struct ct_error *err);
void ct_probes_destroy(struct ct_probes *p);

/* Adds a process; in replay mode its threads, which are stopped, with their state. */
int ct_probes_add(struct ct_probes *p, pid_t pid, const struct ct_target *t, struct ct_error *err);
/* Forgets one that ended unseen: before its events were switched on, say. */
void ct_probes_forget(struct ct_probes *p, pid_t pid);
/* What the kernel side believes of its stopped threads becomes what the snapshot says, from which a replay begins. */
void ct_probes_refresh(struct ct_probes *p, const struct ct_target *t);
/* Ids of the thread groups recorded now: those that are replayed, those of which only events are recorded; *pids is
 * malloc'ed. */
enum ct_procs { CT_PROCS_REPLAYED = 1, CT_PROCS_EVENTS_ONLY = 2, CT_PROCS_ALL = 3 };
int ct_probes_list(struct ct_probes *p, enum ct_procs which, pid_t **pids, size_t *count);
/* CT_PROC_* of a process. */
#define CT_PROC_NONE 0x100 /* it is not recorded */
ct_u32 ct_probes_how(struct ct_probes *p, pid_t pid);
void ct_probes_set(struct ct_probes *p, pid_t pid, ct_u32 how);
void ct_probes_mode(struct ct_probes *p, enum ct_mode mode, int cpu);
/* Events of this thread group are ignored (~0: of all; 0: of none) while it is being worked on. */
void ct_probes_pause(struct ct_probes *p, ct_u32 tgid);
/* Share of one CPU that the programs took between the two calls; -1: unknown. The kernel's clock-taking between them
 * costs some 20 ns a program run. */
void ct_probes_load_begin(struct ct_probes *p);
double ct_probes_load_end(struct ct_probes *p);
/* A snapshot has been taken: UNSOUND may be said again. */
void ct_probes_forgive(struct ct_probes *p);

/* Finds rdtsc and the like in the ELF file behind `path`, which `pid` has mapped, and probes them in that process: in
 * no other, because a breakpoint in memory confuses whoever reads code there (valgrind, debuggers). *uncertain counts
 * sites that could not be probed, and is 0 for a file seen before. 0 also if there are none or it is no ELF file.
 * Attaching waits for the kernel's RCU grace periods: never while a process is held in a BPF program. */
int ct_probes_scan(struct ct_probes *p, pid_t pid, const char *path, const char *name, size_t *uncertain,
		   struct ct_error *err);
/* Only looks: what a later scan of the same file would find is then known. 1: it has sites; 0: none. */
int ct_probes_look(struct ct_probes *p, const char *path, const char *name);
/* Whether ct_probes_scan for this file (open at fd) would take time: it is an ELF file that has not been looked at, or
 * it has sites that are not probed in `pid`. */
bool ct_probes_needs_scan(struct ct_probes *p, pid_t pid, int fd);
/* All sites known, a copy to be freed; NULL: none, or no memory (then *n is not 0). Any thread may ask. */
struct ct_probe_site *ct_probes_sites(struct ct_probes *p, size_t *n);
/* More of them, of probes that somebody else attaches. -1: no memory. */
int ct_probes_add_sites(struct ct_probes *p, ct_u64 st_dev, ct_u64 st_ino, const ct_u64 *offsets, size_t n);
/* Whether the file has sites. */
bool ct_probes_has_sites(struct ct_probes *p, ct_u64 st_dev, ct_u64 st_ino);
/* Probes in `pid` the sites of all files seen so far, mapped there or not yet. */
void ct_probes_scan_known(struct ct_probes *p, pid_t pid);
/* Takes the instruction probes of a process that has gone off the list; NULL if there are none. */
struct ct_insn_link *ct_probes_take(struct ct_probes *p, pid_t pid);
/* Detaches and frees what was taken; any thread may. Each one waits for a grace period, some 40 ms. */
void ct_probes_detach(struct ct_insn_link *links);
void ct_probes_insn_deinit(struct ct_probes *p);

#endif
