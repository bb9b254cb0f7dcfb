/* SPDX-License-Identifier: MIT
 * ctbpf.h: what a program, an interpreter or a virtual machine tells of itself to `ctbpf record --calls`: functions,
 * lines, values, messages. See docs/sdk.md.
 *
 * One header, nothing to link; x86-64 ELF, C and C++, gcc and clang. While nobody records, a probe is a test of a word
 * in memory that is 0 and a branch that is not taken. */
#ifndef CTBPF_H
#define CTBPF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__x86_64__) || !defined(__ELF__)
#error "ctbpf.h: x86-64 and ELF are needed"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- definitions: constant from the first use on, for as long as the process lives ----------------------- */

/* A function of the program in its own language. Each is told of once, when it is first called; the strings end in 0.
 * Names of more than 127 bytes, paths of more than 255 and languages of more than 31 are cut. */
struct ctbpf_function {
	const char *name, *file, *language;
	uint32_t line; /* where it is defined; 0: not known */
};

/* A value of the program's, or a message. */
enum ctbpf_kind { /* `number` holds: */
		  CTBPF_NONE,
		  CTBPF_INT,      /* an int64_t */
		  CTBPF_UNSIGNED, /* a uint64_t */
		  CTBPF_BOOL,     /* 0 or 1 */
		  CTBPF_FLOAT,    /* the bits of a double: ctbpf_float() */
		  CTBPF_STRING,   /* nothing: `data` is UTF-8 */
		  CTBPF_BYTES     /* nothing: `data` is any bytes */
};
enum ctbpf_role { CTBPF_VARIABLE, CTBPF_ARGUMENT, CTBPF_RESULT };
enum ctbpf_direction { CTBPF_ABOUT, CTBPF_IN, CTBPF_OUT };

struct ctbpf_value {
	const struct ctbpf_function *function; /* the call it belongs to, as in ctbpf_entry */
	const char *name, *type;               /* in the program's language; at most 63 bytes */
	const void *data;                      /* at most 4096 bytes of it are told */
	uint64_t len, number, depth;
	uint16_t role, kind;
};

/* Lines that have run and are not told yet. */
#ifndef CTBPF_LINES
#define CTBPF_LINES 32 /* told at a time, at most 64; 1: each at once */
#endif
struct ctbpf_batch {
	const struct ctbpf_function *function;
	uint64_t depth;
	uint32_t count, line[64];
};

/* ---- probes ------------------------------------------------------------------------------------------------ */

/* A probe is a function of its own with nothing but a nop, called when its semaphore is not 0. So it is a place where
 * no caller keeps anything below its stack pointer: Linux 6.18 makes a call of a 5-byte nop that is probed, which
 * writes there. Its arguments are in the registers of the calling convention. The note is that of SystemTap's static
 * probes (USDT), which bpftrace and others read, too. */
#define CTBPF_PROBE_(name, args)                                                                                       \
	__asm__(".ifndef ctbpf_probe_" #name "\n"                                                                      \
		".pushsection .probes,\"awG\",@progbits,ctbpf_on_" #name ",comdat\n"                                   \
		".weak ctbpf_on_" #name "\n.hidden ctbpf_on_" #name "\n.balign 2\n"                                    \
		".type ctbpf_on_" #name ",@object\n.size ctbpf_on_" #name ",2\n"                                       \
		"ctbpf_on_" #name ": .2byte 0\n.popsection\n"                                                          \
		".pushsection .text.ctbpf_" #name ",\"axG\",@progbits,ctbpf_probe_" #name ",comdat\n"                  \
		".weak ctbpf_probe_" #name "\n.hidden ctbpf_probe_" #name "\n.balign 16\n"                             \
		".type ctbpf_probe_" #name ",@function\n"                                                              \
		"ctbpf_probe_" #name ":\n.byte 0x0f,0x1f,0x44,0,0\nret\n"                                              \
		".size ctbpf_probe_" #name ",.-ctbpf_probe_" #name "\n"                                                \
		".pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n.4byte 8,992f-991f,3\n"                         \
		".asciz \"stapsdt\"\n.balign 4\n"                                                                      \
		"991: .8byte ctbpf_probe_" #name ",0,ctbpf_on_" #name "\n"                                             \
		".asciz \"ctbpf\"\n.asciz \"" #name "\"\n.asciz \"" args "\"\n992: .balign 4\n"                        \
		".popsection\n.popsection\n.endif\n")

CTBPF_PROBE_(entry, "8@%rdi 8@%rsi");
CTBPF_PROBE_(exit, "8@%rdi 8@%rsi 4@%edx");
CTBPF_PROBE_(lines, "8@%rdi");
CTBPF_PROBE_(value, "8@%rdi");
CTBPF_PROBE_(message, "8@%rdi 8@%rsi 8@%rdx 4@%ecx");
#undef CTBPF_PROBE_

#define CTBPF_HIDDEN_ __attribute__((visibility("hidden")))
extern volatile uint16_t ctbpf_on_entry CTBPF_HIDDEN_, ctbpf_on_exit CTBPF_HIDDEN_, ctbpf_on_lines CTBPF_HIDDEN_,
	ctbpf_on_value CTBPF_HIDDEN_, ctbpf_on_message CTBPF_HIDDEN_;
CTBPF_HIDDEN_ void ctbpf_probe_entry(const struct ctbpf_function *f, uint64_t depth);
CTBPF_HIDDEN_ void ctbpf_probe_exit(const struct ctbpf_function *f, uint64_t depth, uint32_t raised);
CTBPF_HIDDEN_ void ctbpf_probe_lines(const struct ctbpf_batch *b);
CTBPF_HIDDEN_ void ctbpf_probe_value(const struct ctbpf_value *v);
CTBPF_HIDDEN_ void ctbpf_probe_message(const char *topic, const void *data, uint64_t len, uint32_t direction);
#undef CTBPF_HIDDEN_

#define CTBPF_RARE_(x) __builtin_expect((x) != 0, 0)
#define CTBPF_COLD_    static __attribute__((noinline, cold, unused))
#define CTBPF_HOT_     static inline __attribute__((always_inline, unused))

/* One for each thread and each program or library. */
extern __thread struct ctbpf_batch ctbpf_pending __attribute__((weak, visibility("hidden")));
__thread struct ctbpf_batch ctbpf_pending;

CTBPF_COLD_ void ctbpf_flush_now_(void)
{
	if (ctbpf_on_lines)
		ctbpf_probe_lines(&ctbpf_pending);
	ctbpf_pending.count = 0;
}
CTBPF_COLD_ void ctbpf_line_now_(const struct ctbpf_function *f, uint64_t depth, uint32_t line)
{
	struct ctbpf_batch *b = &ctbpf_pending;

	if (b->count && (b->function != f || b->depth != depth))
		ctbpf_flush_now_();
	if (!b->count) {
		b->function = f;
		b->depth = depth;
	}
	b->line[b->count++] = line;
	if (b->count >= CTBPF_LINES || b->count >= sizeof(b->line) / sizeof(*b->line))
		ctbpf_flush_now_();
}
CTBPF_COLD_ void ctbpf_entry_now_(const struct ctbpf_function *f, uint64_t depth)
{
	if (ctbpf_pending.count)
		ctbpf_flush_now_();
	ctbpf_probe_entry(f, depth);
}
CTBPF_COLD_ void ctbpf_exit_now_(const struct ctbpf_function *f, uint64_t depth, uint32_t raised)
{
	if (ctbpf_pending.count)
		ctbpf_flush_now_();
	ctbpf_probe_exit(f, depth, raised);
}
CTBPF_COLD_ void ctbpf_value_now_(const struct ctbpf_value *v)
{
	if (ctbpf_pending.count)
		ctbpf_flush_now_();
	ctbpf_probe_value(v);
}
CTBPF_COLD_ void ctbpf_message_now_(const char *topic, const void *data, uint64_t len, uint32_t direction)
{
	if (ctbpf_pending.count)
		ctbpf_flush_now_();
	ctbpf_probe_message(topic, data, len, direction);
}

/* ---- what programs call ------------------------------------------------------------------------------------ */

/* A function is entered, and left. `depth` says how many calls of the thread's are open with this one: 1 is the
 * outermost. So calls that were left by an exception or longjmp(3) need not be told of: the next one of their depth, or
 * of a smaller one, shows that they are over. If a thread runs several stacks of calls, each has numbers of its own:
 * bits 32 to 62 of the depth say which stack it is. */
CTBPF_HOT_ void ctbpf_entry(const struct ctbpf_function *f, uint64_t depth)
{
	if (CTBPF_RARE_(ctbpf_on_entry))
		ctbpf_entry_now_(f, depth);
}
CTBPF_HOT_ void ctbpf_exit(const struct ctbpf_function *f, uint64_t depth, int raised)
{
	if (CTBPF_RARE_(ctbpf_on_exit))
		ctbpf_exit_now_(f, depth, raised != 0);
}
/* A line of that call is about to run. Lines are told CTBPF_LINES at a time, and before all else of their thread. */
CTBPF_HOT_ void ctbpf_line(const struct ctbpf_function *f, uint64_t depth, uint32_t line)
{
	if (CTBPF_RARE_(ctbpf_on_lines))
		ctbpf_line_now_(f, depth, line);
}
/* Tells the lines that have run by now. */
CTBPF_HOT_ void ctbpf_flush(void)
{
	if (CTBPF_RARE_(ctbpf_on_lines))
		ctbpf_flush_now_();
}
/* Whether values are told at the moment: for those that take time to be found out. */
CTBPF_HOT_ int ctbpf_values_wanted(void)
{
	return CTBPF_RARE_(ctbpf_on_value);
}
CTBPF_HOT_ uint64_t ctbpf_float(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}
/* An argument: behind ctbpf_entry. A variable that has changed. A result: before ctbpf_exit. */
CTBPF_HOT_ void ctbpf_number(const struct ctbpf_function *f, uint64_t depth, enum ctbpf_role role, const char *name,
			     const char *type, enum ctbpf_kind kind, uint64_t number)
{
	if (CTBPF_RARE_(ctbpf_on_value)) {
		const struct ctbpf_value v = {f, name, type, NULL, 0, number, depth, (uint16_t)role, (uint16_t)kind};

		ctbpf_value_now_(&v);
	}
}
CTBPF_HOT_ void ctbpf_data(const struct ctbpf_function *f, uint64_t depth, enum ctbpf_role role, const char *name,
			   const char *type, enum ctbpf_kind kind, const void *data, size_t len)
{
	if (CTBPF_RARE_(ctbpf_on_value)) {
		const struct ctbpf_value v = {f, name, type, data, len, 0, depth, (uint16_t)role, (uint16_t)kind};

		ctbpf_value_now_(&v);
	}
}
/* Anything that is worth to be found in the log, at most 4096 bytes of it. */
CTBPF_HOT_ void ctbpf_message(const char *topic, enum ctbpf_direction direction, const void *data, size_t len)
{
	if (CTBPF_RARE_(ctbpf_on_message))
		ctbpf_message_now_(topic, data, len, direction);
}

/* In a C or C++ function, as its first statement: tells its entry, and its exit on every way out; in C++ exceptions
 * included, in C with -fexceptions. Deeper calls have lower addresses on the stack: they stand for the depth. */
struct ctbpf_scope {
	const struct ctbpf_function *f;
};
#define CTBPF_DEPTH_(scope) (-(uint64_t)(uintptr_t)(scope))
CTBPF_HOT_ void ctbpf_leave_(const struct ctbpf_scope *scope)
{
	ctbpf_exit(scope->f, CTBPF_DEPTH_(scope), 0);
}
#ifdef __cplusplus
#define CTBPF_LANGUAGE_ "c++"
#else
#define CTBPF_LANGUAGE_ "c"
#endif
#define CTBPF_FUNCTION()                                                                                               \
	static const struct ctbpf_function ctbpf_f_ = {__func__, __FILE__, CTBPF_LANGUAGE_, __LINE__};                 \
	const struct ctbpf_scope ctbpf_scope_ __attribute__((cleanup(ctbpf_leave_))) = {&ctbpf_f_};                    \
	ctbpf_entry(&ctbpf_f_, CTBPF_DEPTH_(&ctbpf_scope_))
/* This call of such a function, for what takes a function and a depth: ctbpf_number(CTBPF_HERE, CTBPF_ARGUMENT, ...).
 */
#define CTBPF_HERE   &ctbpf_f_, CTBPF_DEPTH_(&ctbpf_scope_)
#define CTBPF_LINE() ctbpf_line(CTBPF_HERE, __LINE__)

#ifdef __cplusplus
}
#endif

#endif
