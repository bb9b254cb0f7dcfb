/* SPDX-License-Identifier: MIT
 * Node.js, live: functions that V8 interprets. They all begin and return in one builtin, which is code in the file
 * with a symbol; exceptions go on where they are caught from others (CEntry). Code that V8 has compiled comes by none
 * of these places: how the program was started tells whether there is such. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/calls_vm_priv.h"
#include "user/elf_symbols.h"

#define TRAMPOLINE_MAX 1024 /* bytes */
#define CENTRY_MAX     256
#define FEW            3 /* instructions */
#define R13            13
#define RSP            4
#define RBP            5
#define RSI            6
#define RDI            7
#define ARGUMENTS_MAX  65536

enum { TRAMPOLINE, MAJOR, MINOR, CENTRY, CENTRIES = CENTRY + 6, CONSTANTS = CENTRIES, SYMBOLS = CONSTANTS + 9 };
static const char *const symbol[SYMBOLS] = {
	[TRAMPOLINE] = "Builtins_InterpreterEntryTrampoline",
	[MAJOR] = "_ZN2v88internal7Version6major_E",
	[MINOR] = "_ZN2v88internal7Version6minor_E",
	[CENTRY] = "Builtins_CEntry_Return1_ArgvInRegister_NoBuiltinExit",
	"Builtins_CEntry_Return1_ArgvOnStack_BuiltinExit",
	"Builtins_CEntry_Return1_ArgvOnStack_NoBuiltinExit",
	"Builtins_CEntry_Return2_ArgvInRegister_NoBuiltinExit",
	"Builtins_CEntry_Return2_ArgvOnStack_BuiltinExit",
	"Builtins_CEntry_Return2_ArgvOnStack_NoBuiltinExit",
	[CONSTANTS] = "v8dbg_class_JSFunction__shared__SharedFunctionInfo",
	"v8dbg_class_SharedFunctionInfo__name_or_scope_info__Object",
	"v8dbg_class_SharedFunctionInfo__script_or_debug_info__HeapObject",
	"v8dbg_class_SharedFunctionInfo__flags__int",
	"v8dbg_class_Script__name__Object",
	"v8dbg_class_Script__line_ends__Object",
	"v8dbg_class_String__length__int32_t",
	"v8dbg_type_Script__SCRIPT_TYPE",
	"v8dbg_type_ScopeInfo__SCOPE_INFO_TYPE",
};
/* What these are in V8 11.3, to which bpf/node.bpf.h is written. */
static const ct_s32 constant[SYMBOLS - CONSTANTS] = {24, 16, 32, 48, 16, 56, 12, 167, 261};

static bool read_int(const struct ct_image *im, ct_u64 addr, ct_s32 *value)
{
	for (size_t i = 0; addr && i < im->nload; i++)
		if (addr >= im->load[i].vaddr && addr - im->load[i].vaddr < im->load[i].size)
			return ct_image_read(im->fd, value, 4, im->load[i].off + (addr - im->load[i].vaddr)) == 4;
	return false;
}

static bool is_push(const struct ct_decoded *n, int reg)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_PUSH && n->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ct_insn_register(n->op[0].reg.value) == reg;
}

static bool is_between(const struct ct_decoded *n, ZydisMnemonic what, int to, int from)
{
	return n->i.mnemonic == what && n->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       n->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && ct_insn_register(n->op[0].reg.value) == to &&
	       (from < 0 || ct_insn_register(n->op[1].reg.value) == from);
}

/* push %rbp; mov %rsp,%rbp; push %rsi (context); push %rdi (function): only a frame to be interpreted is made so; and
 * where it is taken away: leave; pop %a; add %b,%rsp; push %a; ret */
static bool find_trampoline(struct ct_vm_target *t, const struct ct_image *im, ct_u64 at)
{
	struct ct_decoded n[5] = {0};
	struct ct_call_code c;
	bool entry = false, leave = false;

	if (!ct_call_code_read(im, at, TRAMPOLINE_MAX, &c)) {
		free(c.bytes);
		return false;
	}
	for (ct_u64 addr = at; !leave && ct_call_code_next(&c, &addr, &n[4]); memmove(n, n + 1, 4 * sizeof(*n))) {
		if (!entry && is_push(&n[1], RBP) && is_between(&n[2], ZYDIS_MNEMONIC_MOV, RBP, RSP) &&
		    is_push(&n[3], RSI) && is_push(&n[4], RDI))
			entry = ct_vm_site(t, c.offset + (n[1].addr - c.addr), CT_NODE_ENTERS, RDI, 0);
		if (entry && n[0].i.mnemonic == ZYDIS_MNEMONIC_LEAVE && n[1].i.mnemonic == ZYDIS_MNEMONIC_POP &&
		    is_between(&n[2], ZYDIS_MNEMONIC_ADD, RSP, -1) &&
		    is_push(&n[3], ct_insn_register(n[1].op[0].reg.value)) && n[4].i.mnemonic == ZYDIS_MNEMONIC_RET)
			leave = ct_vm_site(t, c.offset + (n[3].addr - c.addr), CT_NODE_LEAVES,
					   (unsigned)ct_insn_register(n[2].op[1].reg.value), 0);
	}
	free(c.bytes);
	return leave;
}

/* mov disp(%r13),%rsp, then the first conditional jump: the stack is that of who catches it. */
static bool find_catch(struct ct_vm_target *t, const struct ct_image *im, ct_u64 at)
{
	struct ct_call_code c;
	struct ct_decoded n;
	bool found = false;
	int since = FEW + 1;

	if (at && ct_call_code_read(im, at, CENTRY_MAX, &c)) {
		for (ct_u64 addr = at; !found && ct_call_code_next(&c, &addr, &n); since++) {
			if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    n.op[0].reg.value == ZYDIS_REGISTER_RSP && n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    ct_insn_register(n.op[1].mem.base) == R13)
				since = 0;
			else if (since <= FEW && n.i.meta.category == ZYDIS_CATEGORY_COND_BR)
				found = ct_vm_site(t, c.offset + (n.addr - c.addr), CT_NODE_CATCHES, 0, 0);
		}
		free(c.bytes);
	}
	return found;
}

/* ---- how it was started ----------------------------------------------------------------------------------- */

struct flags {
	bool turbofan, sparkplug, maglev, jitless, copies;
};

/* V8 takes - for _, and --no- in front. Those behind the script are the program's: they are only believed if they make
 * it worse. */
static void take_flag(struct flags *f, const char *arg, bool program)
{
	bool off = false;
	char name[48];
	size_t n = 0;

	if (strncmp(arg, "--", 2))
		return;
	for (arg += 2; *arg && *arg != '=' && n < sizeof(name) - 1; arg++)
		if (*arg != '-' && *arg != '_')
			name[n++] = *arg;
	name[n] = 0;
	if (!strncmp(name, "no", 2)) {
		off = true;
		memmove(name, name + 2, n - 1);
	}
	if (off && program)
		return;
	if (!strcmp(name, "opt") || !strcmp(name, "turbofan"))
		f->turbofan = !off;
	else if (!strcmp(name, "sparkplug") || !strcmp(name, "alwayssparkplug"))
		f->sparkplug = !off;
	else if (!strcmp(name, "maglev"))
		f->maglev = !off;
	else if (!strcmp(name, "jitless") && !program)
		f->jitless = !off;
	else if (!strcmp(name, "interpretedframesnativestack"))
		f->copies = !off;
}

static char *read_proc(pid_t pid, const char *what, size_t *len)
{
	char path[64], *text = calloc(1, ARGUMENTS_MAX + 1);
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	for (*len = 0; fd >= 0 && *len < ARGUMENTS_MAX; *len += (size_t)n)
		if ((n = read(fd, text + *len, ARGUMENTS_MAX - *len)) <= 0)
			break;
	if (fd >= 0)
		close(fd);
	return text;
}

static struct flags read_flags(pid_t pid)
{
	struct flags f = {.turbofan = true, .sparkplug = true};
	bool program = false;
	size_t len;
	char *text = read_proc(pid, "environ", &len), *word, *rest;

	for (size_t i = 0; text && i < len; i += strlen(text + i) + 1)
		if (!strncmp(text + i, "NODE_OPTIONS=", 13))
			for (word = strtok_r(text + i, "= ", &rest); word; word = strtok_r(NULL, " ", &rest))
				take_flag(&f, word, false);
	free(text);
	text = read_proc(pid, "cmdline", &len);
	for (size_t i = text ? strlen(text) + 1 : 0; text && i < len; i += strlen(text + i) + 1) {
		program |= text[i] != '-';
		take_flag(&f, text + i, program);
	}
	free(text);
	return f;
}

int ct_node_describe(struct ct_vm_target *t, const struct ct_exec_file *file, struct ct_image *im, ct_u64 bias,
		     struct ct_error *err)
{
	ct_u64 addr[SYMBOLS] = {0};
	ct_s32 major = 0, minor = 0, value = 0;
	struct flags flags;
	bool known;

	(void)bias;
	if (!strstr(file->name, "node")) /* a hundred megabytes of symbols are not looked through for nothing */
		return 0;
	if (ct_elf_symbols_find(im->fd, file->name, symbol, addr, SYMBOLS, err))
		return -1;
	if (!addr[MAJOR] || !read_int(im, addr[MAJOR], &major) || !read_int(im, addr[MINOR], &minor))
		return 0;
	known = major == 11 && minor == 3;
	for (int i = CONSTANTS; i < SYMBOLS && known; i++)
		known = read_int(im, addr[i], &value) && value == constant[i - CONSTANTS];
	if (!known)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: the layout of V8 %d.%d is not known (that of 11.3 is: Node.js 20)", file->name,
			       major, minor);
	flags = read_flags(t->pid);
	if (flags.copies)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s was started with --interpreted-frames-native-stack: each function begins in a copy "
			       "of its own then",
			       file->name);
	if (!addr[TRAMPOLINE] || !find_trampoline(t, im, addr[TRAMPOLINE]))
		return ct_fail(err, CT_EXIT_FAILED, "%s: where V8 interprets functions is not recognised (%s)",
			       file->name, symbol[TRAMPOLINE]);
	for (int i = CENTRY; i < CENTRIES; i++)
		if (!find_catch(t, im, addr[i]))
			return ct_fail(err, CT_EXIT_FAILED, "%s: where exceptions are caught is not recognised (%s)",
				       file->name, symbol[i]);
	if (!flags.jitless && (flags.turbofan || flags.sparkplug || flags.maglev))
		t->part = "only while V8 interprets a function: it compiles those that are called often, which are not "
			  "seen then (start it with --jitless, or --no-opt --no-sparkplug, to see each call)";
	snprintf(t->version, sizeof(t->version), "20 (V8 %d.%d)", major, minor);
	return 1;
}
