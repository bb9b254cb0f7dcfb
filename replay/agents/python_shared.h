/* SPDX-License-Identifier: MIT
 * What the agent inside of a replayed CPython and the tracer outside have in common: where things lie in the agent's
 * region, its tables, the records it writes. Plain structs; the agent is built without a C library. */
#ifndef CT_AGENT_PYTHON_SHARED_H
#define CT_AGENT_PYTHON_SHARED_H

#include "formats/event.h"

/* The region, from its base: private to a process but for the buffer, which all processes of a session share; in a
 * replay one thread runs at a time, and it is never stopped within the agent but by the agent itself. */
#define CT_PYA_ENTRY               0x2000ull   /* where stubs go, with blob.ld */
#define CT_PYA_EXC_ENTRY           0x2100ull   /* where the patched calls of PyTraceBack_Here go */
#define CT_PYA_BEGIN_ENTRY         0x2200ull   /* where the patched beginning of the evaluation loop goes, up to 3.10 */
#define CT_PYA_STUBS               0x100000ull /* one for each handler of an opcode */
#define CT_PYA_STUB_SIZE           256ull
#define CT_PYA_SWITCH              0x110000ull /* a stub for what is dispatched by a switch, up to 3.10 */
#define CT_PYA_SWITCH_INDEX        256u
#define CT_PYA_CODES               0x200000ull /* struct ct_pya_code, hashed by address */
#define CT_PYA_NCODES              65536u
#define CT_PYA_TYPES               0x800000ull /* struct ct_pya_type, hashed by address */
#define CT_PYA_NTYPES              16384u
#define CT_PYA_SEEN                0xa00000ull /* struct ct_pya_seen, one for each variable, by hash; an older one is replaced */
#define CT_PYA_NSEEN               1048576u
#define CT_PYA_NATIVES             0x2000000ull /* struct ct_pya_native, by hash; an older one is replaced */
#define CT_PYA_NNATIVES            16384u
#define CT_PYA_PENDING             0x2200000ull /* frames that are in a call of a C function, hashed, without gaps */
#define CT_PYA_NPENDING            65536u
#define CT_PYA_PENDING_HOME(frame) (((frame) >> 3) * 0x9e3779b97f4a7c15ull >> 48)
#define CT_PYA_THREADS             0x2300000ull /* struct ct_pya_thread, by hash; up to 3.10 */
#define CT_PYA_NTHREADS            8192u
#define CT_PYA_HEAP                0x3000000ull /* line tables, slot tables: the tracer's */
#define CT_PYA_HEAP_END            0x40000000ull
#define CT_PYA_BUFFER              0x40000000ull
#define CT_PYA_BUFFER_LEN          0x1000000ull
#define CT_PYA_SIZE                (CT_PYA_BUFFER + CT_PYA_BUFFER_LEN)
#define CT_PYA_ROOM                0x80000ull /* free bytes of the buffer that are enough for one step's records */
#define CT_PYA_VALUE_MAX           0x10000ull /* bytes of one value; what does not fit is marked as left out */

/* Where things lie in one version of CPython. */
struct ct_pya_offsets {
	ct_u32 f_code, f_previous, f_prev_instr, f_localsplus, f_locals, f_owner;
	ct_u32 owner_c;  /* frames with this owner are no Python code; 0: there are none */
	ct_u32 ref_mask; /* low bits that are no part of an address in frames */
	ct_u32 pyframe_frame;
	ct_u32 co_linetable, co_qualname, co_filename, co_consts, co_names, co_firstlineno, co_nlocalsplus, co_kinds,
		co_code, co_flags;
	ct_u32 co_warmup; /* counts up from warmup_first as the code is run; 0: there is none */
	ct_s32 warmup_first;
	ct_u32 co_version;      /* another number in every code object; 0: there is none */
	ct_u32 starts_at_first; /* the last instruction of a new frame is its first one, not the one before */
	ct_u32 resume_shows;    /* an exception at a RESUME makes its handler a line of its own */
	ct_u32 extended_arg, extended_quick; /* opcodes that give their successor more bits of argument; 0: none */
	ct_u32 callable_first; /* on the stack at a call: callable, self or NULL, arguments; else: NULL, callable,
				  arguments or callable, self, arguments */
	ct_u32 ex_callable, ex_maybe; /* CALL_FUNCTION_EX: words from the callable to the stack's end, without the word
					 for names that is there if ex_maybe and the argument is odd */
	ct_u32 exc_type, exc_value;   /* in the thread's state; type is 0 if the value is always an instance */
	ct_u32 type_name;
	ct_u32 int_tagged; /* the length of an int is (word at 16) >> 3, its sign the lowest two bits */
	ct_u32 str_ascii, str_compact, tuple_items, bytes_data;
	ct_u32 dict_keys, dict_values, dict_used, values_data;
	/* Up to 3.10: frames are objects, evaluated by a call of C each, and hold an index instead of an address. */
	ct_u32 f_lasti;       /* 0: not such a version */
	ct_u32 lasti_bytes;   /* code bytes for each of it */
	ct_u32 line_starts;   /* a line begins where the table says, and after a jump back: up to 3.9 */
	ct_u32 handler_lines; /* the same for most handlers of exceptions: 3.9 */
	ct_u32 dict_log;      /* keys of a dict: 0: their size at 8, not its logarithm */
	ct_u32 managed; /* instances: 1: values pointer at -32, dict at -24; 2: one tagged pointer at -24; 3: values
			   inline */
};

struct ct_pya_code {
	ct_u64 code, linetable, qualname, consts;
	ct_u64 first; /* address of the first instruction */
	ct_u64 lines; /* ct_s32 for each instruction unit; -1: none; if off.line_starts, then a byte for each */
	ct_u32 count;
	ct_u32 start; /* unit of the first RESUME */
	ct_u32 id;
	ct_u32 nlocals;
	ct_u32 wanted; /* 0: its lines are not asked for */
	ct_u32 module; /* its variables are in a dict */
	ct_u32 version;
	ct_u32 cells; /* up to 3.10: the first slot of those that hold cells */
};

/* How values of a type are read. */
enum {
	CT_PYK_OPAQUE, /* its name is all that is told */
	CT_PYK_NONE,
	CT_PYK_BOOL,
	CT_PYK_INT,
	CT_PYK_FLOAT,
	CT_PYK_STR,
	CT_PYK_BYTES,
	CT_PYK_BYTEARRAY,
	CT_PYK_LIST,
	CT_PYK_TUPLE,
	CT_PYK_DICT,
	CT_PYK_SET,
	CT_PYK_OBJECT, /* attributes */
	CT_PYK_CELL,
	CT_PYK_TYPE,     /* a class */
	CT_PYK_FUNCTION, /* a str at `named` is its name */
	CT_PYK_COMPLEX,
	CT_PYK_CFUNCTION,  /* a C function, maybe bound */
	CT_PYK_METHODDESC, /* a method in C of a type */
	CT_PYK_TEXT,       /* in records only: a C string of the tracer's, by number */
};
#define CT_PYA_CALLEE(frame) ((frame) | 1) /* stands for the frame that a C function does not have */
#define CT_PYTF_MANAGED      1u            /* has values or a dict before the object */
#define CT_PYTF_INLINE       2u            /* the values may lie right behind the object */
struct ct_pya_slot {
	ct_u64 offset;
	ct_u64 name; /* number of a C string */
};
struct ct_pya_type {
	ct_u64 type, name; /* address, and its tp_name as a check */
	ct_u32 id;
	ct_u32 kind;
	ct_u32 flags;
	ct_s32 dictoffset;
	ct_u64 slots; /* struct ct_pya_slot */
	ct_u32 nslots;
	ct_u32 basicsize;
	ct_u64 cached_keys; /* offset in the type of the names of its instances' values; 0: none */
	ct_u64 named;
};

struct ct_pya_seen {
	ct_u64 key, digest;
};

/* Up to 3.10: what is known of a thread's innermost frame. Instructions by address. */
struct ct_pya_thread {
	ct_u64 thread;
	ct_u64 frame, prev;     /* the last instruction in it, 0: none yet */
	ct_u64 back, back_prev; /* the same for its caller, if it is about to end */
	ct_u64 begun;           /* it has not executed anything: 1 + CT_PYE_* */
	ct_u64 raised;          /* an exception came to it since: 2: thrown into it before it executed anything */
};

struct ct_pya_native {
	ct_u64 def; /* PyMethodDef */
	ct_u64 owner,
		check; /* module's name or type, and something of it that another one in its place would not have */
	ct_u32 module, id;
};

/* At the start of the agent's image. */
struct ct_pya_head {
	ct_u64 target, rsp;                   /* where the stub goes on; the program's stack pointer */
	ct_u64 cur_frame, cur_start, cur_end; /* instructions here are on the line of the last step: nothing to do */
	ct_u64 index;                         /* of the handler */
	ct_u64 original[256];
	ct_u64 buffer; /* struct ct_pya_buffer */
	ct_u64 base;
	ct_u64 traceback;
	ct_u64 runtime_tstate; /* address of a pointer to the running thread's state; 0: look for it */
	ct_u64 interp_head, interp_next, threads_head; /* ... beginning at this address of a pointer */
	ct_u64 interp_main;                            /* address of a pointer, too */
	ct_u64 tstate_next, tstate_frame, tstate_cframe, cframe_frame;
	ct_u32 frame_reg, next_reg, stack_reg; /* numbers in pushed registers, see python_blob.c */
	ct_u32 values;                         /* 0: none are wanted */
	ct_u32 depth, items, bytes, pad;
	unsigned char op[256];   /* CT_PYOP_* */
	unsigned char skip[256]; /* units from a fused instruction to its second one; back from a quiet one */
	struct ct_pya_offsets off;
	ct_u64 answers; /* where the replay's control area has the address of the answer to the next call; 0: nowhere */
	ct_u64 no_answers;    /* the address while there is none */
	ct_u64 batch, answer; /* what was told of last */
	ct_u64 npending;      /* entries at CT_PYA_PENDING */
	ct_u64 foreign_told;  /* that there is a subinterpreter */
	ct_u64 rax, rcx;      /* saved by stubs */
	ct_u64 stub[256];
	/* Up to 3.10: */
	ct_u64 moved_begin;  /* the replaced instructions of the evaluation loop's beginning */
	ct_u64 switch_table; /* addresses of handlers; 0: the register has one */
	ct_u32 switch_reg, begin_reg;
};

/* At the start of the buffer; records follow. */
struct ct_pya_buffer {
	ct_u64 pos; /* where the next record goes; from the buffer's beginning */
	ct_u64 end; /* of the part that is being filled */
	ct_u64 request;
	ct_u64 arg, arg2;
	ct_u64 batch; /* rises with each CT_PYR_BATCH */
	ct_u64 arg3;
	ct_u64 pad;
};
/* Behind an int3 of the agent's. */
enum {
	CT_PYREQ_DRAIN = 1,
	CT_PYREQ_CODE,    /* arg: a code object, arg2: its entry in the table */
	CT_PYREQ_TYPE,    /* the same for a type */
	CT_PYREQ_NATIVE,  /* arg2: struct ct_pya_native that lacks its id */
	CT_PYREQ_FOREIGN, /* a subinterpreter runs */
};

/* Records: a word with the type in 8 bits, an argument in 24, the length in words in 32; then words. */
enum {
	CT_PYR_ENTER = 1, /* arg: how, CT_PYE_*; frame, previous frame, code id; then values of all arguments */
	CT_PYR_LINE,      /* frame, unit << 32 | code id */
	CT_PYR_RETURN, /* arg: 0 return, 1 yield; frame, code id << 0; a value with slot CT_PYSLOT_RESULT came before */
	CT_PYR_RAISE,  /* frame, previous frame, unit << 32 | code id; a value with slot CT_PYSLOT_EXC came before */
	CT_PYR_VALUE,  /* arg: slot; frame; value. CT_PYSLOT_NAMED: name, as a value, then the value */
	CT_PYR_GONE,   /* arg: slot; frame; a variable has no value any more */
	CT_PYR_THREAD, /* the tracer's: the thread that runs from here on */
	CT_PYR_EVENT,  /* the tracer's: the event before which what follows ran, and the time of the one before it */
	CT_PYR_BATCH,  /* the tracer's: events that a replica goes through by itself: pairs as of CT_PYR_EVENT */
	CT_PYR_ANSWER, /* what follows ran before the event with this index in the last batch; arg 1: before the one
			  behind the last answer */
	CT_PYR_IMAGE,  /* the tracer's: the thread has a new program image */
	CT_PYR_FORK,   /* the tracer's: a new thread id begins with this one's frames */
	CT_PYR_FRAME,  /* the tracer's: the thread is in this frame from before; arg: how many are further out; frame,
			  code id */
	CT_PYR_NATIVE, /* frame that calls a C function, its id << 32 | code id; its arguments follow as values of
			  CT_PYA_CALLEE(frame) */
	CT_PYR_NATIVE_END, /* frame; a value with slot CT_PYSLOT_RESULT came before, if it is known */
	CT_PYR_AWAIT,      /* frame; arg 1: if nothing more is told of it, it has yielded; 0: no longer so */
};
#define CT_PYR(type, arg, words) ((ct_u64)(type) | (ct_u64)(arg) << 8 | (ct_u64)(words) << 32)
#define CT_PYE_CALL              0
#define CT_PYE_RESUMED           1
#define CT_PYSLOT_RESULT         0xffffffu
#define CT_PYSLOT_EXC            0xfffffeu
#define CT_PYSLOT_EXC_TYPE       0xfffffdu
#define CT_PYSLOT_NAMED          0xfffffcu

/* Values: three words, then bytes (padded) or children. First word: kind in 8 bits, flags in 8, count in 16, type id in
 * 32. Then its address, then the number itself (int that fits, float, bool) or the full length. Count is the number of
 * bytes or children that follow. Children of dicts and objects are pairs of name and value. */
#define CT_PYV_TRUNCATED 1u
#define CT_PYV_BIG       2u /* an int of 30-bit digits; the length is that of digits, negative below zero */
#define CT_PYV_DEEP      4u /* not looked into: too deep */

#endif
