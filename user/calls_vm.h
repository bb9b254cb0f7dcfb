/* SPDX-License-Identifier: MIT
 * Interpreters that run a function which another one calls within the same C function, and where in its code calls and
 * returns are seen: PHP, Perl, Lua, JavaScript in Node.js. Nothing but probes is put into the process. */
#ifndef CT_CALLS_VM_H
#define CT_CALLS_VM_H

#include <stdbool.h>
#include <sys/types.h>

#include "formats/call_probe.h"
#include "formats/error.h"

enum ct_vm { CT_VM_PHP, CT_VM_PERL, CT_VM_LUA, CT_VM_NODE, CT_VMS };

#define CT_VM_SITES 48
struct ct_vm_target {
	char path[64];    /* of the file, to be opened */
	char name[256];   /* of the file, to be shown */
	char version[16]; /* of the language */
	pid_t pid;
	struct ct_vm_probe probe;
	struct {
		ct_u64 offset; /* in the file */
		enum ct_vm_site what;
		unsigned reg, reg2;
	} site[CT_VM_SITES];
	unsigned nsites;
	bool stepped;     /* one of those that every call comes by */
	const char *part; /* which calls are seen, if it is not each one */
};

struct ct_vm_kind {
	const char *option;   /* of --calls */
	const char *name;     /* of the language */
	const char *versions; /* that are known */
	const char *library;  /* where its code is if not in the program: how its name begins */
};
extern const struct ct_vm_kind ct_vm_kinds[CT_VMS];

/* 1: found; 0: the process runs none; -1: it does, but its calls cannot be seen (*err). */
int ct_vm_target(enum ct_vm vm, pid_t pid, struct ct_vm_target *t, struct ct_error *err);

/* For ct_calls_rewrite: a FUNCTION record of Lua with the name that its caller has for it. memfd -1: without. */
const struct ct_event *ct_lua_rewrite(int memfd, void *buf, const struct ct_event *ev);

/* One of Node.js with its line: from the source, which is read once for each script in a row. */
struct ct_node_names {
	int memfd;
	ct_u64 script;
	ct_u32 id, *ends; /* of the lines of this script */
	size_t count;
};
const struct ct_event *ct_node_rewrite(struct ct_node_names *n, void *buf, const struct ct_event *ev);

#endif
