/* SPDX-License-Identifier: MIT
 * Attaches one BPF program to many places of a file: uprobe_multi where the kernel has it (6.6), else perf events.
 *
 * Raw system calls, because distributions' libbpf is older than their kernels. */
#ifndef CT_UPROBE_MULTI_H
#define CT_UPROBE_MULTI_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"

#define CT_UPROBE_RETURN  0x1u /* at the function's return instead of at the offset */
#define CT_UPROBE_PERF    0x2u /* ct_uprobes_create: perf events even where uprobe_multi exists */
#define CT_UPROBE_SESSION 0x8u /* at the offset, and at the return if the program gave 0 there: uprobe_multi only */
#define CT_UPROBE_MULTI   0x4u /* ct_uprobes_create: uprobe_multi exists, as the caller knows; not tried out again */

/* What to attach to. Arrays have n elements.
 *
 * path is looked up in the caller's mount namespace; /proc/PID/map_files/START-END or /proc/self/fd/N names the very
 * file a process has mapped, whatever became of its name.
 *
 * pid != 0 confines the probes to the address space of that thread group: its threads are covered, its forked children
 * are not, and no other process that has the file mapped is slowed down. Linux 6.6 to 6.9 run a uprobe_multi program in
 * the thread `pid` alone: on these use 0 and let the program filter. */
struct ct_uprobe_spec {
	const char *path;
	const ct_u64 *offsets;  /* in the file */
	const ct_u64 *cookies;  /* for bpf_get_attach_cookie, NULL: all 0 */
	const ct_u64 *ref_ctrs; /* file offsets of USDT semaphores, NULL: none */
	size_t n;
	pid_t pid;
	unsigned flags; /* CT_UPROBE_* */
};

/* Whether this kernel has uprobe_multi and lets the caller use it. */
bool ct_uprobe_multi_supported(void);

/* The same for sessions (6.13). */
bool ct_uprobe_session_supported(void);

/* What bpf_program__set_expected_attach_type must be given before the program (SEC("uprobe"), or "uprobe.s" for a
 * sleepable one) is loaded: uprobe_multi and perf events want different values. `multi` is the result of
 * ct_uprobe_multi_supported, or false if CT_UPROBE_PERF is going to be used. */
int ct_uprobe_attach_type(bool multi);
#define CT_UPROBE_SESSION_TYPE 57 /* for CT_UPROBE_SESSION: BPF_TRACE_UPROBE_SESSION */

/* One link for all offsets: its descriptor, or -1. Closing it detaches. Either all probes are in place or none; if the
 * kernel refuses one, the message says which. It looks at an instruction only when a process has it mapped, so a bad
 * offset in a file nobody has mapped yet is accepted, and then silently never hit. */
int ct_uprobe_multi_attach(int prog_fd, const struct ct_uprobe_spec *spec, struct ct_error *err);

/* The same with the fallback: a perf event per offset where uprobe_multi is missing. That takes a descriptor for each
 * and a tenth of a second to detach each; cookies need Linux 5.15 there. */
struct ct_uprobes;
struct ct_uprobes *ct_uprobes_create(int prog_fd, const struct ct_uprobe_spec *spec, struct ct_error *err);
void ct_uprobes_destroy(struct ct_uprobes *u);

/* Where code of this program itself is, to be probed: its file, to be opened, and the place in it. */
bool ct_uprobe_own_site(const void *code, char path[4096], ct_u64 *offset);

#endif
