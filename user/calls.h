/* SPDX-License-Identifier: MIT
 * Live calls: which functions of a process are probed, and the BPF programs that tell of them.
 *
 * ct_calls_create -> ct_calls_attach for each process -> ct_calls_start; nothing is told before all are attached. */
#ifndef CT_CALLS_H
#define CT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/call_probe.h"
#include "formats/error.h"
#include "formats/event_access.h"
#include "replay/agents/ruby.h"
#include "user/call_filter.h"
#include "user/calls_vm.h"

struct ct_calls;
struct ct_probes;

struct ct_calls_opts {
	const char *const *functions; /* patterns of native functions' names */
	size_t nfunctions;
	const char *lib; /* pattern of files they are in; NULL: the program itself */
	bool python, ruby;
	bool vm[CT_VMS];                     /* PHP and the like */
	bool told;                           /* what programs tell by themselves, through ctbpf.h */
	bool any;                            /* of these: what there is */
	unsigned depth;                      /* 0: any; of probed calls */
	ct_u64 min_ns;                       /* only calls that took as long */
	ct_u64 max_rate;                     /* calls a second of one thread; 0: any */
	double max_overhead;                 /* share of the targets' own CPU time; 0: any */
	pid_t tid;                           /* 0: all threads */
	const struct ct_call_filter *filter; /* NULL: none; from this file: */
	const char *filter_path;
	/* Of native functions only, and for recordings that can be replayed: every return is seen at the instruction
	 * that makes it, since nothing on a stack may be changed, and snapshots know where the probes are. */
	bool replayable;
};

/* What was attached. */
struct ct_calls_stats {
	size_t functions;        /* native ones that are probed */
	size_t files;            /* they are in */
	size_t stepped;          /* of them, entered through a single-stepped instruction */
	size_t returns;          /* single-stepped instructions that leave functions exceptions may pass through */
	size_t unprobed;         /* left out: no place for a probe */
	size_t endless;          /* of those probed, whose end cannot be seen */
	char unprobed_name[160]; /* one of those left out, and why */
	bool stacks;             /* some thread changes stacks: calls may be taken for ended too early */
	char interpreters[256];  /* in words; "": none */
	char part[400];          /* which calls are seen, or not, if it is not each one */
	size_t told;             /* files that tell of themselves */
	double attach_ms;
};

/* `o` must live as long. */
struct ct_calls *ct_calls_create(const struct ct_calls_opts *o, struct ct_probes *probes, struct ct_error *err);
/* Attaches to the process, silent. `tell` is called once for each native function that will be told of. */
typedef void ct_calls_tell(void *ctx, pid_t pid, const struct ct_ev_function *f, const char *name, const char *file);
int ct_calls_attach(struct ct_calls *c, pid_t pid, ct_calls_tell *tell, void *ctx, struct ct_error *err);
void ct_calls_start(struct ct_calls *c);
/* For a while: probes are gone, processes as they were. */
void ct_calls_pause(struct ct_calls *c);
/* Attaches again, silent; then tells again, of the calls that begin from here on. */
int ct_calls_resume(struct ct_calls *c, struct ct_error *err);
void ct_calls_go(struct ct_calls *c);
/* Ends it: probes are gone and processes as they were. Counters stay readable until _destroy. */
void ct_calls_stop(struct ct_calls *c);
void ct_calls_stats(const struct ct_calls *c, struct ct_calls_stats *stats);
const struct ct_call_counters *ct_calls_counters(const struct ct_calls *c);
void ct_calls_destroy(struct ct_calls *c);

/* calls_govern.c: keeps the probes' cost to a share of the CPU time that the processes use themselves. Created when all
 * are attached; looked at some fifty times a second. */
struct ct_governor;
struct ct_governor *ct_governor_create(struct ct_calls *c, double share, const pid_t *pids, size_t n,
				       struct ct_error *err);
void ct_governor_destroy(struct ct_governor *g);
enum ct_govern { CT_GOVERN_STAY, CT_GOVERN_AWAY, CT_GOVERN_BACK };
struct ct_governed {
	ct_u64 ppm; /* the share, since it was last turned */
};
enum ct_govern ct_governor_look(struct ct_governor *g, struct ct_governed *what);
/* Probes have been taken away, or attached again. */
void ct_governor_turned(struct ct_governor *g, bool off);

/* For struct ct_pipeline_opts.rewrite: names that the kernel side has sent as they lie in memory become UTF-8. */
#define CT_CALLS_REWRITE_MIN (sizeof(struct ct_event) + sizeof(struct ct_ev_function))
const struct ct_event *ct_calls_rewrite(struct ct_calls *c, void *buf, const struct ct_event *ev);
#define CT_CALLS_REWRITE_BUF 4096 /* bytes at buf */

/* calls_told.c: the probes of ctbpf.h in one file. */
enum ct_told_probe { CT_TOLD_ENTRY, CT_TOLD_EXIT, CT_TOLD_LINES_RUN, CT_TOLD_VALUE, CT_TOLD_MESSAGE, CT_TOLD_PROBES };
struct ct_told_sites {
	ct_u64 offset[CT_TOLD_PROBES], semaphore[CT_TOLD_PROBES]; /* in the file; 0: it has none */
};
/* 1: found; 0: the file has none of them. */
int ct_told_find(int fd, struct ct_told_sites *sites);

/* calls_ruby.c: where in its interpreter calls and returns are seen. */
#define CT_RUBY_SITES 32
struct ct_ruby_target {
	char path[64], name[256]; /* as below */
	unsigned major, minor;
	struct ct_ruby_probe probe;
	struct {
		ct_u64 offset; /* in the file */
		enum ct_ruby_site what;
		unsigned ec, compared; /* registers */
	} site[CT_RUBY_SITES];
	unsigned nsites;
	bool stepped; /* one of those that every call comes by */
	pid_t pid;
	struct ct_rb_reader reader; /* memfd -1: not opened yet */
};
/* As ct_python_target. */
int ct_ruby_target(pid_t pid, struct ct_ruby_target *t, struct ct_error *err);
/* For ct_calls_rewrite: a FUNCTION record with the name as people write it. t NULL: with the label alone. */
const struct ct_event *ct_ruby_rewrite(const struct ct_ruby_target *t, void *buf, const struct ct_event *ev);

/* calls_python.c. What keeps an interpreter's calls from being seen is a pointer in it that is written and put back;
 * up to 3.10 there is none. */
struct ct_python_target {
	char path[64];    /* of the file, to be opened */
	char name[256];   /* of the file, to be shown */
	unsigned version; /* 0x030b02f0 is 3.11.2 */
	ct_u64 offset;    /* of the probe, in the file */
	bool stepped;
	struct ct_python_probe probe;
	ct_u64 eval;               /* address of the evaluation function in the process */
	ct_u64 head;               /* ... of the pointer to the list of interpreters */
	unsigned next, eval_frame; /* offsets in an interpreter's state; 0: nothing is written */
};
/* 1: found; 0: the process runs no CPython; -1: it does, but its calls cannot be seen (*err). */
int ct_python_target(pid_t pid, struct ct_python_target *t, struct ct_error *err);
/* Makes every call go through the evaluation function. A descriptor that says so to others, for one recorder at a time;
 * -1 with *err. */
int ct_python_open(pid_t pid, const struct ct_python_target *t, struct ct_error *err);
/* And back; `fd` -1: in a child that the process has made meanwhile. */
void ct_python_close(pid_t pid, const struct ct_python_target *t, int fd);
/* 1: undone what a killed recorder has left; 0: there was nothing; -1: *err. */
int ct_python_undo(pid_t pid, struct ct_error *err);

/* calls_found.c: the interpreters of a process. */
#define CT_CALL_LANGUAGES (2 + CT_VMS)
struct ct_call_language {
	const char *option, *name; /* "php", "PHP" */
	char version[32], file[256];
	bool stepped;     /* a probe that every call comes by is single-stepped */
	const char *part; /* which calls are seen, if it is not each one */
	char why[400];    /* its calls cannot be seen; "": they can */
};
size_t ct_call_languages(pid_t pid, struct ct_call_language list[CT_CALL_LANGUAGES]);

#endif
