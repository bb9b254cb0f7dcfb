/* SPDX-License-Identifier: MIT
 * What the agent inside of a replayed Ruby and the tracer outside have in common: its region (laid out as that of
 * CPython's agent, whose buffer and requests it uses), its tables, the records it writes. */
#ifndef CT_AGENT_RUBY_SHARED_H
#define CT_AGENT_RUBY_SHARED_H

#include "replay/agents/python_shared.h"

#define CT_RBA_RAISE_ENTRY CT_PYA_EXC_ENTRY /* where the patched place that raises goes */
#define CT_RBA_ISEQS       0x200000ull      /* struct ct_rba_iseq, hashed by address */
#define CT_RBA_NISEQS      49152u
#define CT_RBA_TYPES       0xa00000ull /* struct ct_rba_type, hashed by address */
#define CT_RBA_NTYPES      32768u
#define CT_RBA_METHODS     0xe00000ull /* struct ct_rba_method, by hash; an older one is replaced */
#define CT_RBA_NMETHODS    16384u
#define CT_RBA_SEEN        0x1000000ull /* struct ct_pya_seen */
#define CT_RBA_NSEEN       1048576u
#define CT_RBA_PROBES      16u /* a full stretch of a table: an older entry is replaced */
#define CT_RBA_STACKS      256u
#define CT_RBA_SITES       256u
#define CT_RBA_NATIVES     4u /* places that call methods written in C, most */

/* Where things lie in one version of Ruby. */
struct ct_rba_offsets {
	ct_u32 cfp_size;
	ct_u32 th_ec, ec_errinfo;
	ct_u32 insns_body, locals, local_count; /* in an instruction sequence's body */
	ct_u32 location, location_size;
	ct_u32 nil, undef;               /* special constants */
	ct_u32 str_embed, str_embed_len; /* data of a short string; its length is in the flags (1) or at 16 (0) */
	ct_u32 array_embed_mask;         /* of its length in the flags, from bit 15 */
	ct_u32 struct_embed_mask;        /* the same from bit 13 */
	ct_u32 hash_table;               /* 0: a pointer at 16 leads to it; else it is in the object, here */
	ct_u32 hash_pairs;               /* in a small table */
	ct_u32 object_ivars; /* instance variables: where they are is told by 1 the class, 2 the object's shape */
};

/* One place in a sequence: what ct_rba_iseq.slots has for each of its words. */
struct ct_rba_slot {
	ct_s32 line;
	ct_u32 events;
	ct_u32 next; /* the first place from here on at which there is something to tell */
	ct_u32 pad;
};
struct ct_rba_var {
	ct_u16 level; /* so many environments further out; levels below ct_rba_iseq.level are not told of */
	ct_u16 back;  /* words before the environment's end */
};
struct ct_rba_iseq {
	ct_u64 iseq, variant, body, encoded, check; /* variant: the method that a block is the body of; 0: none */
	ct_u64 slots, vars;                         /* struct ct_rba_slot, struct ct_rba_var */
	ct_u64 room;                                /* bytes at `slots` */
	ct_u32 size, nvars, nargs, id;
	ct_u32 level;  /* of its own variables: 1 for what runs in the frame of another */
	ct_u32 top;    /* begins without an event that says so */
	ct_u32 wanted; /* 0: its lines are not asked for */
	ct_u32 method; /* has a self of interest */
};

/* A method that is written in C. */
struct ct_rba_method {
	ct_u64 me, check;
	ct_u32 id, pad;
};

/* How values are read. */
enum {
	CT_RBV_NIL,
	CT_RBV_TRUE,
	CT_RBV_FALSE,
	CT_RBV_INT,
	CT_RBV_BIG, /* bytes: 32-bit digits; n: how many, negative below zero */
	CT_RBV_FLOAT,
	CT_RBV_STRING,
	CT_RBV_SYMBOL,         /* n: number of a text */
	CT_RBV_DYNAMIC_SYMBOL, /* bytes */
	CT_RBV_ARRAY,
	CT_RBV_HASH,
	CT_RBV_OBJECT, /* children: field, value ... */
	CT_RBV_CLASS,  /* n: number of a type */
	CT_RBV_OPAQUE,
	CT_RBV_FIELD, /* n: number of a text */
	CT_RBV_KINDS,
};
/* Values: three words, then bytes (padded) or children. First word: kind in 8 bits, flags in 8 (CT_PYV_TRUNCATED),
 * count of bytes or children in 16, number of the type in 32; then its address, then n. */

struct ct_rba_field {
	ct_u64 index, name;
};
/* A class; or a symbol, as a value; or a shape of objects: its number << 8 | CT_RBA_SHAPE. */
#define CT_RBA_SHAPE  0x1cu
#define CT_RBA_SYMBOL 0x0cu
struct ct_rba_type {
	ct_u64 key, check;
	ct_u64 fields;          /* struct ct_rba_field */
	ct_u64 count_at, count; /* the fields are to be read again when this word is another one; 0: never */
	ct_u32 nfields, id;
	ct_u64 room;
};

/* Near the interpreter's code, on a page of its own: what the stubs use. */
struct ct_rba_near {
	ct_u64 start, end; /* instructions here have nothing to tell */
	ct_u64 rax, index;
	ct_u64 entry, raise_entry;
};
#define CT_RBA_NEAR_CODE 0x2000ull
#define CT_RBA_STUB_SIZE 160ull
#define CT_RBA_NEAR_SIZE (CT_RBA_NEAR_CODE + 0x1000 + CT_RBA_SITES * CT_RBA_STUB_SIZE)

/* At the start of the agent's image. */
struct ct_rba_head {
	ct_u64 target, rsp; /* where the stub goes on; the program's stack pointer */
	ct_u64 base, buffer, near;
	ct_u64 stack; /* whose frames the last record was of */
	ct_u64 known[CT_RBA_STACKS];
	ct_u64 moved[CT_RBA_SITES];                 /* the replaced instructions of each site */
	ct_u32 pc_reg, cfp_reg, ec_reg, thread_reg; /* numbers in pushed registers */
	ct_u32 leave[2], jump_out;                  /* sites of the instructions that end a frame, or several */
	struct {
		ct_u64 go_on;         /* behind the first site */
		ct_u32 begin, end;    /* sites before the call and behind it */
		ct_u32 ec_reg, pad;   /* number in pushed registers */
	} native[CT_RBA_NATIVES];     /* where methods written in C are called */
	ct_u64 raised, raised_method; /* the frame of such a method in which an exception was raised; 0: none */
	ct_u32 nnative, values, depth, items, bytes, pad;
	struct ct_rba_offsets off;
	ct_u64 answers, no_answers, batch, answer; /* as in struct ct_pya_head */
};

/* Behind an int3, beside CT_PYREQ_DRAIN: arg: an instruction sequence, arg2: its entry, arg3: a frame of it. */
#define CT_RBREQ_ISEQ   16
#define CT_RBREQ_TYPE   17
/* arg: a method's entry, arg2: struct ct_rba_method */
#define CT_RBREQ_METHOD 18

/* Records, as those of CPython's agent, with types of their own. */
enum {
	CT_RBR_FIRST = 64,
	CT_RBR_STACK = CT_RBR_FIRST, /* what follows is of this stack: a thread's or a fiber's */
	CT_RBR_FRAME,                /* a frame that is there already: frame, code id; outermost first */
	CT_RBR_ENTER,   /* frame, position << 32 | code id, its caller's frame; then values of all variables
			   that are set */
	CT_RBR_LINE,    /* frame, position << 32 | code id */
	CT_RBR_RETURN,  /* the same; a value with slot CT_PYSLOT_RESULT came before */
	CT_RBR_RAISE,   /* the same; a value with slot CT_PYSLOT_EXC came before */
	CT_RBR_VALUE,   /* arg: slot; frame, value */
	CT_RBR_END,     /* the tracer's: a thread has ended */
	CT_RBR_RESCUED, /* frame of a method written in C, which has rescued what was raised in it */
};
/* Slots beside those of variables. */
#define CT_RBR_SELF  0xfffff0u
#define CT_RBR_BREAK 0xffffe2u /* what leaves a block, and goes on behind the call that it belongs to */
#define CT_RBR_AWAY  0xffffe1u /* what a method or lambda returns from within blocks */

#endif
