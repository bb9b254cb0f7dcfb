/* SPDX-License-Identifier: MIT
 * What bpf/calls.bpf.c and user/calls.c tell each other: cookies of probes, layouts of interpreters, counters.
 *
 * Plain fixed-size structs only; nothing here is ever written to disk. */
#ifndef CT_CALL_PROBE_H
#define CT_CALL_PROBE_H

#include "event.h"

#define CT_CALL_DEPTH   1024 /* probed calls of a thread that can be open at a time */
#define CT_CALL_CODES   65536
#define CT_CALL_PYTHONS 64 /* processes with an interpreter in one recording, of each kind */

/* Cookie of a probe in native code. Bits 0..31: the function; 32..34: how many argument registers are still what the
 * caller put there; then: */
#define CT_SITE_COOKIE(function, nargs) ((ct_u64)(function) | (ct_u64)(nargs) << 32)
#define CT_SITE_LEAVES                  (1ull << 35) /* at an instruction that leaves the function: ret, or ... */
#define CT_SITE_JUMPS                   (1ull << 36) /* ... a jump to another function */
#define CT_SITE_SILENT                  (1ull << 37) /* without values */
#define CT_SITE_SLOW                    (1ull << 38) /* the kernel single-steps the instruction */
/* That of a probe in CPython is its index in the map `pythons`. In Ruby, bits 0..31 are the index in `rubies`, the
 * next four the register of the execution context, then one that is compared, then what is seen there. */
#define CT_RUBY_COOKIE(index, what, ec, compared)                                                                      \
	((ct_u64)(index) | (ct_u64)(ec) << 32 | (ct_u64)(compared) << 36 | (ct_u64)(what) << 40)
enum ct_ruby_site {
	CT_RUBY_ENTERS,  /* the frame in rb_execution_context_t.cfp is a new one */
	CT_RUBY_MAY,     /* it is, if the register has Qundef */
	CT_RUBY_RESUMES, /* it goes on behind an exception or the like, or is new */
	CT_RUBY_LEAVES,  /* the one below it has ended */
	CT_RUBY_DIFFERS  /* it is a new one, if it is not the one in the register */
};

/* Up to 3.10 the evaluation function is given an object, in its first argument or its second; code has no qualname. */
enum ct_python_old { CT_PYTHON_NEW, CT_PYTHON_FIRST, CT_PYTHON_SECOND };
/* Where things lie in one build of CPython, and in which process that is. */
struct ct_python_probe {
	ct_u32 tgid;
	ct_u32 f_code; /* in the frame */
	ct_u32 mask;   /* low bits of the word there that are no part of the address */
	ct_u32 old;    /* enum ct_python_old */
	/* In the code object: co_firstlineno; co_filename, behind which are co_name, co_qualname (not in old ones), and
	 * the table of lines. */
	ct_u32 firstlineno, names, flags;
	ct_u32 f_owner;                /* a byte in the frame: 0 if it is the thread's; 0: there is none */
	ct_u32 str_ascii, str_compact; /* data of strings */
};

/* The same of Ruby. */
struct ct_ruby_probe {
	ct_u32 tgid;
	ct_u32 cfp_size;
	ct_u32 undef;
	ct_u32 line_tagged;              /* first_lineno is a VALUE */
	ct_u32 str_embed, str_embed_len; /* as in struct ct_rba_offsets */
};

/* PHP, Perl, Lua, Node.js. Cookie: bits 0..31 are the index in `vms`, the next four a register, and again, from bit 40
 * on what is seen. */
#define CT_VM_COOKIE(index, what, reg, reg2)                                                                           \
	((ct_u64)(index) | (ct_u64)(reg) << 32 | (ct_u64)(reg2) << 36 | (ct_u64)(what) << 40)
enum ct_vm_site {
	CT_PHP_ENTERS, /* a frame is the innermost one, and about to run */
	CT_PHP_BEGINS, /* execute_ex runs one: rdi */
	CT_PHP_LEAVES, /* the frame in the register is about to end */
	CT_PHP_ENDS,   /* execute_ex is about to return */
	/* Perl, the interpreter is in the register: */
	CT_PERL_ENTERS,  /* the innermost context is that of a new call */
	CT_PERL_LEAVES,  /* ... of one that is about to end */
	CT_PERL_GOES,    /* goto has done its work, the next operation is in the second register */
	CT_PERL_UNWINDS, /* contexts above the number in esi are about to end */
	/* Lua. */
	CT_LUA_BEGINS, /* luaV_execute runs the call in rsi, or goes on with it */
	CT_LUA_ENTERS, /* ... the one in the register */
	CT_LUA_LEAVES, /* which is about to end */
	CT_LUA_THROWS, /* luaD_throw: all up to the place where it is caught */
	/* Node.js: */
	CT_NODE_ENTERS,  /* a function is interpreted from here on */
	CT_NODE_LEAVES,  /* it returns, arguments of as many bytes as the register says are off the stack */
	CT_NODE_CATCHES, /* an exception goes on where it is caught */
};
struct ct_vm_probe {
	ct_u32 tgid;
	ct_u32 reserved;
	/* PHP: addresses of members of executor_globals. */
	ct_u64 current, exception;
	/* Perl. */
	ct_u64 nextstate;         /* what runs the operation between two statements */
	ct_u64 die_from, die_end; /* the function that unwinds for an exception */
	/* Lua: from the stack pointer within luaV_execute to its return address. */
	ct_u64 frame;
};

/* A Python function. Its code object's address may be used again for another one: then what it refers to differs. */
struct ct_code_key {
	ct_u64 code, filename, qualname;
	ct_u64 linetable; /* Ruby, PHP: the class it is a method of */
	ct_u32 line, tgid;
};

/* What programs pass to the probes of ctbpf.h, which has the same structs. */
struct ct_told_function {
	ct_u64 name, file, language;
	ct_u32 line;
};
struct ct_told_value {
	ct_u64 function, name, type, data, len, number, depth;
	ct_u16 role, kind;
};
#define CT_TOLD_LINES 64
struct ct_told_lines {
	ct_u64 function, depth;
	ct_u32 count, line[CT_TOLD_LINES];
};
#define CT_TOLD_NAME_MAX     64 /* bytes of a value's name, and of its type's */
#define CT_TOLD_DATA_MAX     4096
#define CT_TOLD_LANGUAGE_MAX 32

/* A FUNCTION record on its way to the recorder may have text that is not UTF-8 yet: bits 8..11 and 12..15 of its flags
 * are then the bytes of one character of the name and of the path, see ct_calls_rewrite. */
#define CT_FNF_UNITS_NAME 8
#define CT_FNF_UNITS_FILE 12
#define CT_FNF_UNITS      0xff00
/* This one in them says that it is a Ruby function; struct ct_ruby_name follows the text. */
#define CT_FNF_RUBY       0x0800
struct ct_ruby_name {
	ct_u64 base; /* of its label, the name of the method */
	ct_u64 method;
	ct_u32 type;    /* of the instruction sequence */
	ct_u32 bmethod; /* made by define_method */
};
/* This one, that it is one of Lua, where functions have no names but from those who call them; struct ct_lua_name
 * follows the text, of which the name is none. */
#define CT_FNF_LUA 0x8000
struct ct_lua_name {
	ct_u64 caller; /* its Proto; 0: no function of Lua, or there was a tail call */
	ct_u64 next;   /* its instruction behind the call */
};
/* Both, that it is one of JavaScript, with units as above; struct ct_node_name follows the text. */
#define CT_FNF_NODE (CT_FNF_RUBY | CT_FNF_LUA)
struct ct_node_name {
	ct_u64 script;
	ct_u32 id;    /* the script's */
	ct_u32 start; /* of the function in its source, in characters */
};
#define CT_CALL_NAME_MAX 128 /* bytes */
#define CT_CALL_FILE_MAX 256

/* Which functions are told of, and whether with values: the last rule that fits decides. Patterns have * and ?. */
#define CT_CALL_RULES   64
#define CT_CALL_PATTERN 256
enum ct_call_rule_says { CT_RULE_NOTHING, CT_RULE_YES, CT_RULE_NO };
struct ct_call_rule {
	ct_u16 file; /* looked for in the path of its file; else in its name */
	ct_u16 len;
	ct_u16 calls, values; /* enum ct_call_rule_says */
	char pattern[CT_CALL_PATTERN];
};

struct ct_call_counters {
	ct_u64 calls;      /* that were told */
	ct_u64 too_deep;   /* not told of: CT_CALL_DEPTH others were open */
	ct_u64 rate;       /* not told of: more than max_rate in this second */
	ct_u64 unreadable; /* not told of: the function could not be read from memory */
	ct_u64 orphans;    /* lines and values whose call was not told of */
	ct_u64 no_room;    /* not told of: the kernel gave no memory for the thread's stack */
	ct_u64 stepped;    /* how often an instruction that is single-stepped was hit */
};

#endif
