/* SPDX-License-Identifier: MIT
 * What calls.c and the parts of it that know kinds of programs share. */
#ifndef CT_CALLS_PRIV_H
#define CT_CALLS_PRIV_H

#include "formats/sysrule.h"
#include "user/calls.h"
#include "user/probes.h"
#include "user/uprobe_multi.h"
#include "calls.skel.h" /* after the headers with its types */

struct interpreter {
	pid_t pid;
	struct ct_python_target t;
	int fd; /* of ct_python_open; -1: not now, or nothing is written */
};

/* Probes of one program in one file. Where and how is kept, to attach them again. */
struct call_link {
	struct ct_uprobes *on; /* NULL: detached at the moment */
	int prog;
	struct ct_uprobe_spec spec; /* its strings and arrays are the link's */
	pid_t pid;
};

struct ct_calls {
	const struct ct_calls_opts *o;
	struct ct_probes *probes;
	struct calls_bpf *skel;
	bool multi, session, threads_only; /* kernel features; threads_only: see any_process */
	struct call_link *links;
	size_t nlinks, links_cap;
	bool paused;
	ct_u32 epoch;
	struct interpreter *interp;
	size_t ninterp;
	struct ct_ruby_target *ruby;
	size_t nruby;
	ct_u32 nvms;
	struct {
		pid_t pid;
		int memfd;
	} lua[CT_CALL_PYTHONS];
	size_t nlua;
	struct {
		pid_t pid;
		struct ct_node_names names;
	} node[CT_CALL_PYTHONS];
	size_t nnode;
	ct_u32 nfunctions;
	struct ct_calls_stats stats;
	bool stopped;
};

/* Places of one kind in one file. */
struct places {
	ct_u64 *offset, *cookie;
	size_t n, cap, cookie_cap;
	const ct_u64 *semaphore; /* NULL: they have none */
};

int ct_calls_place(struct places *p, ct_u64 offset, ct_u64 cookie);
void ct_calls_free_places(struct places *p);
/* -1 if none could be attached. */
int ct_calls_probe(struct ct_calls *c, const struct bpf_program *prog, pid_t pid, const char *path,
		   const struct places *p, size_t first, size_t n, unsigned flags, struct ct_error *err);
/* Entries and returns at the same places. */
int ct_calls_probe_pairs(struct ct_calls *c, pid_t pid, const char *path, const struct places *p, bool python,
			 struct ct_error *err);

/* calls_pause.c: attaches and keeps what that takes. */
int ct_calls_link(struct ct_calls *c, int prog, pid_t pid, const struct ct_uprobe_spec *spec, struct ct_error *err);
/* As ct_python_open, if there is something to write. */
int ct_calls_open_python(struct interpreter *in, struct ct_error *err);
/* Probes are gone, and interpreters as they were. */
void ct_calls_detach(struct ct_calls *c);
void ct_calls_free_links(struct ct_calls *c);

/* calls_native.c */
int ct_calls_attach_native(struct ct_calls *c, pid_t pid, ct_calls_tell *tell, void *ctx, struct ct_error *err);

#endif
