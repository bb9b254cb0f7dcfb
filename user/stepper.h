/* SPDX-License-Identifier: MIT
 * Recording by single steps, for ticks on a machine without a branch counter: `record --clock step`.
 *
 * All threads of the targets stay traced. One at a time executes instructions, one at a time, on the CPU they are
 * pinned to; the others stand still or are inside the kernel. Some ten thousand instructions a second. */
#ifndef CT_STEPPER_H
#define CT_STEPPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_recorder;
struct ct_target;
struct ct_stepper;

struct ct_stepper *ct_stepper_create(struct ct_error *err);
void ct_stepper_destroy(struct ct_stepper *st);
/* Takes over the threads of a stopped target. It is then released as by ct_target_release, but remains traced. */
void ct_stepper_take(struct ct_recorder *r, struct ct_target *t);
/* All threads, or those of a process that has been stopped (else 0), stand still, remain traced, and are somebody
 * else's to work on: as ct_target_stop finds them. */
void ct_stepper_give(struct ct_recorder *r, pid_t pid);
/* It has been waited for by somebody else, and stands still. */
void ct_stepper_stopped(struct ct_recorder *r, pid_t tid);
/* Whether this thread is traced by the stepper. */
bool ct_stepper_has(const struct ct_recorder *r, pid_t tid);
/* Steps threads for so long. Whether there is one that could go on. */
bool ct_stepper_run(struct ct_recorder *r, ct_u64 ns);

#endif
