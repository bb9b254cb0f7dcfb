/* SPDX-License-Identifier: MIT
 * Private to the agents: agents.c, which has all of them, and what it knows of one in some language. */
#ifndef CT_AGENTS_PRIV_H
#define CT_AGENTS_PRIV_H

#include "replay/agents/agent.h"
#include "replay/agents/python_shared.h"

#define CT_AGENT_BASE 0x2f0000000000ull /* no kernel puts anything here by itself, nor do sanitizers */

/* An agent in one address space; those of each language have this at their beginning. */
struct ct_agent {
	const struct ct_agent_ops *ops;
	struct ct_agents *all;
	unsigned users;
};
struct ct_agent_ops {
	size_t size; /* of all of it: a child's is a copy */
	/* The replica has stopped and asks for something. 0, or -1 with *err. */
	int (*request)(struct ct_agent *g, struct ct_rthread *t, const struct ct_pya_buffer *b, struct ct_error *err);
	/* Of those that threads are in already; all that was told before has been read. NULL: the agent does that
	 * itself. */
	int (*tell_frames)(struct ct_agent *g, struct ct_rthread *t, struct ct_error *err);
	/* The others are as in agent.h. */
	void (*mask)(const struct ct_agent *g, ct_u64 addr, void *buf, size_t len);
	bool (*map)(const struct ct_agent *g, ct_u64 start);
	void (*expected)(const struct ct_agent *g, int memfd, struct ct_regs *regs);
	void (*original)(const struct ct_agent *g, struct ct_regs *regs);
};

/* What an agent comes to; its region with the buffer is there already, at CT_AGENT_BASE. */
struct ct_agent_place {
	ct_u64 bias;    /* where the interpreter's file is loaded, if it is not at a fixed place */
	ct_u64 near;    /* not mapped yet, and within reach of the interpreter's code; 0: there is no such place */
	ct_u64 answers; /* as in struct ct_pya_head */
	const struct ct_step_limits *limits;
};

/* Registers by hardware number (rax rcx rdx rbx rsp rbp rsi rdi r8..r15) as an agent's entry pushes them. */
ct_u32 ct_agent_pushed(unsigned reg);
/* In `buf`, which has the memory at `addr`: n bytes at `at` as they were. */
void ct_agent_mask(ct_u64 addr, void *buf, size_t len, ct_u64 at, const void *original, size_t n);

/* The first one is kept: why something that was there is not told of. */
void ct_agents_unwatched(struct ct_agents *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Its memory cannot be written. */
int ct_agents_no_place(struct ct_error *err);

/* Records of the tracer's own: what follows is of this thread; anything else. */
void ct_agents_thread(struct ct_agents *a, ct_u32 tid, ct_u32 pid);
void ct_agents_note(struct ct_agents *a, unsigned type, unsigned arg, ct_u64 w1, ct_u64 w2);

#endif
