/* SPDX-License-Identifier: MIT
 * Another process under ptrace: stopping threads, registers, FPU state, signal masks, memory, mappings.
 *
 * All calls that trace must come from one thread of ours: the kernel ties a tracee to the thread that seized it. */
#ifndef CT_TRACEE_H
#define CT_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"

#define CT_XSAVE_MAX 16384 /* AVX-512 needs 2.7 KB, AMX 11 KB */

/* One line of /proc/PID/maps. */
struct ct_map {
	ct_u64 start, end, offset, ino;
	ct_u32 prot; /* PROT_* */
	bool shared;
	ct_u32 dev_major, dev_minor;
	char *name; /* owned by the list */
};
struct ct_maps {
	struct ct_map *map;
	size_t count;
	char *text;
};
int ct_maps_read(pid_t pid, struct ct_maps *maps, struct ct_error *err);
void ct_maps_deinit(struct ct_maps *maps);
const struct ct_map *ct_maps_find(const struct ct_maps *maps, ct_u64 addr);

/* Threads of `pid`, rising; *tids is malloc'ed. */
int ct_list_threads(pid_t pid, pid_t **tids, size_t *count, struct ct_error *err);
/* Field `field` (from 1) of /proc/PID/stat as a number; field 3 gives the state's letter. 0 if gone. */
ct_u64 ct_proc_stat(pid_t pid, pid_t tid, int field);
/* The number behind KEY ("TracerPid:") in /proc/PID/status, in this base. 0 if gone, or if there is no such line. */
ct_u64 ct_proc_status(pid_t pid, const char *key, int base);
/* Reads all of a /proc file; NUL-terminated, malloc'ed; NULL with errno. */
char *ct_read_file(const char *path, size_t *len);

/* PTRACE_SEIZE; returns -errno. */
int ct_seize(pid_t tid, unsigned long options);
/* A tracer that is also its tracee's parent takes both the last report and the exit status with one wait. The end of
 * `child`, a process this one has started, is therefore kept by whichever wait meets it. From any thread. */
void ct_wait_child(pid_t child);
/* Takes its status, as waitpid's, if it has ended; never takes a stop of it away from who waits for that. */
bool ct_wait_child_ended(int *status);
/* waitpid(tid, status, flags | __WALL) for a tracee. */
pid_t ct_wait(pid_t tid, int *status, int flags);
/* ct_wait for one tid with a limit; as waitpid's status, or -errno. -ESRCH: it has ended, but is the first thread of a
 * process with others that have not been waited for (delay_group_leader() in kernel/exit.c). */
int ct_wait_stop(pid_t tid, int *status, unsigned timeout_ms);
/* The same for a thread that will stop as soon as it is given a CPU: while it waits for one, up to two minutes, time
 * does not count. On a machine with a real-time process, seconds may pass. */
int ct_wait_stop_fairly(pid_t tid, int *status, unsigned timeout_ms);
/* The same until `tid` is in the stop that PTRACE_INTERRUPT asked for; signals that come first are passed on.
 * 0, or -errno: -ESRCH it is gone, -ETIMEDOUT it does not stop (uninterruptible). */
int ct_wait_interrupted_fairly(pid_t tid, unsigned timeout_ms);

/* Called again and again by this thread while it waits for a stop: whoever the tracee's CPU is busy with may itself be
 * waiting for this thread. */
typedef void ct_wait_hook(void *ctx);
void ct_wait_set_hook(ct_wait_hook *hook, void *ctx);
void ct_wait_meanwhile(void); /* calls it once */

/* Index in struct ct_regs of a general register by hardware number: rax rcx rdx rbx rsp rbp rsi rdi r8..r15. */
unsigned ct_reg_index(unsigned number);
int ct_get_regs(pid_t tid, struct ct_regs *regs);
int ct_set_regs(pid_t tid, const struct ct_regs *regs);
/* NT_X86_XSTATE into buf (CT_XSAVE_MAX bytes); returns its length or -errno. */
ssize_t ct_get_xsave(pid_t tid, void *buf);
int ct_set_xsave(pid_t tid, const void *buf, size_t len);
int ct_get_sigmask(pid_t tid, ct_u64 *mask);
int ct_set_sigmask(pid_t tid, ct_u64 mask);
/* Execution breakpoints of a thread in its debug registers: these n (at most four) and no others. */
int ct_breakpoints(pid_t tid, const ct_u64 *addr, unsigned n);

/* /proc/PID/mem, which writes through page protections. */
int ct_mem_open(pid_t pid);
bool ct_mem_read(int memfd, ct_u64 addr, void *buf, size_t len);
/* Code to be decoded, which may end within `len` bytes with its mapping; the rest is then no instruction. False: there
 * is none. */
bool ct_code_read(int memfd, ct_u64 addr, unsigned char *buf, size_t len);
bool ct_mem_write(int memfd, ct_u64 addr, const void *buf, size_t len);

#endif
