/* SPDX-License-Identifier: MIT
 * The recording BPF programs: loaded, attached, told whom to record.
 *
 * Everything is loaded and attached before a target is stopped; turning the recording on is one store. */
#ifndef CT_PROBES_H
#define CT_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/probe.h"
#include "formats/sysrule.h"

struct record_bpf;
struct ct_target;
struct ct_uprobes;
struct ct_probe_site;

struct ct_probes {
	struct record_bpf *skel;
	const struct ct_counters *counters; /* mapped */
	bool read_dynptr;                   /* features found: see ct_probes_features */
	bool uprobe_multi, nop5_safe;
	struct ct_uprobes **insn; /* links of instruction probes */
	size_t ninsn;
	struct ct_kept_key *scanned; /* files looked at */
	size_t nscanned;
	struct ct_probe_site *sites; /* bytes that are breakpoints now */
	size_t nsites;
};

/* Loads and attaches all, silent. ring_bytes is rounded up to a power of two. verbose: libbpf's messages to stderr. */
int ct_probes_create(struct ct_probes *p, size_t ring_bytes, bool verbose, struct ct_error *err);
void ct_probes_destroy(struct ct_probes *p);

/* Adds a process; in replay mode its threads, which are stopped, with their state. */
int ct_probes_add(struct ct_probes *p, pid_t pid, const struct ct_target *t, struct ct_error *err);
/* Ids of the thread groups recorded now; *pids is malloc'ed. */
int ct_probes_list(struct ct_probes *p, pid_t **pids, size_t *count);
void ct_probes_mode(struct ct_probes *p, enum ct_mode mode, int cpu);
/* Events of this thread group are ignored (~0: of all; 0: of none) while it is being worked on. */
void ct_probes_pause(struct ct_probes *p, ct_u32 tgid);
/* A snapshot has been taken: UNSOUND may be said again. */
void ct_probes_forgive(struct ct_probes *p);

/* Finds rdtsc and the like in the ELF file behind `path` and probes them, if it has not been looked at yet. *uncertain
 * counts sites that could not be probed. 0 also if there are none or it is no ELF file. */
int ct_probes_scan_once(struct ct_probes *p, const char *path, const char *name, size_t *uncertain, struct ct_error *err);

#endif
