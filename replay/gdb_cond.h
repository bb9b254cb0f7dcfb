/* SPDX-License-Identifier: MIT
 * Conditions of breakpoints as gdb sends them: programs for the stack machine of gdb's manual (Agent Expressions). */
#ifndef CT_GDB_COND_H
#define CT_GDB_COND_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"
#include "replay/gdb_packet.h"

/* What a program can look at. */
struct ct_gdb_machine {
	bool (*reg)(void *ctx, ct_u64 number, ct_u64 *value);
	bool (*read)(void *ctx, ct_u64 addr, void *buf, size_t len);
	void *ctx;
};

enum ct_gdb_truth { CT_GDB_FALSE, CT_GDB_TRUE, CT_GDB_UNKNOWN /* the program is wrong, or memory is not there */ };
enum ct_gdb_truth ct_gdb_evaluate(const unsigned char *code, size_t len, const struct ct_gdb_machine *m);

/* Behind an address: ";X3,220127;X...". Whether one of them is true, or there is none; one that is unknown is true, so
 * that the person is asked. */
bool ct_gdb_conditions_met(struct ct_gdb_text list, const struct ct_gdb_machine *m);

#endif
