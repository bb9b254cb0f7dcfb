/* SPDX-License-Identifier: MIT
 * Parts of a look at a live process: live.c (stops, copies), live_native.c (unwinds), live_merge.c (one stack of two).
 */
#ifndef CT_LIVE_PRIV_H
#define CT_LIVE_PRIV_H

#include <elfutils/libdwfl.h>

#include "../replay/agents/python_peek.h"
#include "../replay/agents/ruby_peek.h"
#include "attach/target.h"
#include "live.h"

#define LIVE_STACK         (8u << 20) /* bytes of a native stack, most */
#define LIVE_FRAMES        4096       /* native frames of a thread, most */
#define LIVE_PYTHON_FRAMES 65536

/* A thread as it was when it stood still. */
struct live_copy {
	struct ct_thread thread;
	char name[16], state;
	ct_u32 ns_tid; /* as the process numbers it */
	ct_u64 stack_at;
	unsigned char *stack;
	size_t stack_len;
	bool looked_at; /* there are registers */
	/* of interpreters */
	struct live_frame *inner; /* innermost first */
	bool *entry;              /* of what one call of the evaluation loop runs, the outermost */
	size_t ninner;
	ct_u64 ruby_ec; /* whose frames these are; 0: not known yet */
};

struct live_native { /* one frame */
	ct_u64 pc;   /* within the instruction that calls */
	ct_u64 ec;   /* at an evaluation loop of Ruby's */
	bool loop;   /* of an interpreter */
};

struct live {
	pid_t pid;
	struct live_options options;
	int memfd;
	Dwfl *dwfl;
	time_t opened; /* when it was told what is mapped */
	struct ct_maps maps;
	time_t mapped;  /* when they were read, if again */
	ct_u64 threads; /* a sum of those that were there then */
	struct live_runtime runtime[LIVE_RUNTIMES];
	size_t nruntimes;
	struct ct_python python;
	struct ct_ruby ruby;
	ct_u64 python_bias, ruby_bias;
	struct ct_py_peek *py;
	struct ct_rb_peek *rb;
	struct ct_py_live *frames; /* LIVE_PYTHON_FRAMES */
	char *python_file, *ruby_file;
	struct live_copy *unwound; /* whose memory the unwinder reads */
	struct live_ec {
		pid_t tid;
		ct_u64 ec;
	} * ec;
	size_t nec;
};

int live_native_open(struct live *l, struct ct_error *err);
/* Frames of a copied thread, innermost first, at most LIVE_FRAMES; why there are no more in note. */
size_t live_native_unwind(struct live *l, struct live_copy *c, struct live_native *list, char note[160]);
/* What there is at a place in the code. */
void live_native_describe(struct live *l, const struct live_native *n, struct live_frame *f);
/* *out gets one stack of the two; what c->inner has is taken over. */
void live_merge(struct live *l, struct live_copy *c, const struct live_native *native, size_t n,
		struct live_thread *out);
void live_frame_deinit(struct live_frame *f);

#endif
