/* SPDX-License-Identifier: MIT
 * Does this kernel's uprobe on a 5-byte nop destroy the red zone?
 *
 * Linux 6.18 rewrites a probed 5-byte nop to a call, whose return address lands below the stack pointer: on data a leaf
 * function may keep there. Where that happens, only a nop that is a function's first instruction may be probed. */
#ifndef CT_SELFTEST_NOP5_H
#define CT_SELFTEST_NOP5_H

#include <stddef.h>

/* 0: safe; 1: data is corrupted, `what` says how much; -1: could not be tested, `what` says why (then treat the kernel
 * as unsafe). `what` is filled in every case. Probes a forked child of the caller's and nothing else, for some 20 ms.
 */
int ct_selftest_nop5(char *what, size_t len);

#endif
