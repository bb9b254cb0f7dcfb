/* SPDX-License-Identifier: MIT
 * Formatting of one system call as a line: strings, arguments, results.
 *
 * Driven by the types in syscalls.def; reads only what a checked record holds. */
#include "sysfmt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sf_char(struct sf *f, char c)
{
	if (f->len + 1 < f->cap)
		f->out[f->len] = c;
	f->len++;
}

void sf_str(struct sf *f, const char *s)
{
	while (*s)
		sf_char(f, *s++);
}

/* For numbers and short pieces: what does not fit 160 bytes is cut. */
void sf_fmt(struct sf *f, const char *fmt, ...)
{
	char tmp[160];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(tmp, sizeof(tmp), fmt, ap);
	va_end(ap);
	sf_str(f, tmp);
}

void sf_quoted(struct sf *f, const unsigned char *data, size_t len, bool more)
{
	static const char escapes[] = "\aa\bb\tt\nn\vv\ff\rr\"\"\\\\";
	if (len > f->strmax) {
		len = f->strmax;
		more = true;
	}
	sf_char(f, '"');
	for (size_t i = 0; i < len; i++) {
		const char *e = escapes;
		while (*e && (unsigned char)*e != data[i])
			e += 2;
		if (*e && data[i] != '\a' && data[i] != '\b')
			sf_fmt(f, "\\%c", e[1]);
		else if (data[i] >= ' ' && data[i] < 0x7f)
			sf_char(f, (char)data[i]);
		else /* a digit that follows must not be taken for part of the escape */
			sf_fmt(f, i + 1 < len && data[i + 1] >= '0' && data[i + 1] <= '9' ? "\\%03o" : "\\%o", data[i]);
	}
	sf_str(f, more ? "\"..." : "\"");
}

void sf_hexbytes(struct sf *f, const unsigned char *data, size_t len, size_t want)
{
	size_t show = len < 16 ? len : 16;
	sf_char(f, '[');
	for (size_t i = 0; i < show; i++)
		sf_fmt(f, i ? " %02x" : "%02x", data[i]);
	if (show < want)
		sf_fmt(f, "%s... %zu bytes", show ? " " : "", want);
	sf_char(f, ']');
}

void sf_addr(struct sf *f, ct_u64 addr)
{
	if (addr)
		sf_fmt(f, "0x%llx", (unsigned long long)addr);
	else
		sf_str(f, "NULL");
}

const struct ct_buf *sf_buf(const struct sf *f, unsigned arg, ct_u64 addr, const unsigned char **data)
{
	const struct ct_buf *found = NULL;
	struct ct_buf_iter it = ct_buf_iter(f->ev);
	while (ct_buf_next(&it)) {
		if (it.buf->arg != arg || it.buf->addr != addr || !it.buf->len)
			continue;
		if (it.buf->kind == CT_BUF_OUT || (it.buf->kind == CT_BUF_IN && !found)) {
			found = it.buf;
			*data = it.data;
			if (it.buf->kind == CT_BUF_OUT)
				break;
		}
	}
	return found;
}

/* A buffer too large for its record, or one that is file content: said in words. Only a read's argument (`bytes`) is
 * replaced by the file: for a mapping the address matters. One that nothing is wanted from is but an offer. */
static bool absent_data(struct sf *f, unsigned arg, ct_u64 addr, bool bytes)
{
	struct ct_buf_iter it = ct_buf_iter(f->ev);
	while (ct_buf_next(&it)) {
		const struct ct_buf *b = it.buf;
		if (b->arg != arg || b->addr != addr)
			continue;
		if (b->kind == CT_BUF_FILE && b->want && bytes) {
			struct ct_file_ref ref;
			memcpy(&ref, it.data, sizeof(ref));
			if (!ref.dev)
				sf_fmt(f, "<%u bytes seen before>", b->want);
			else
				sf_fmt(f, "<%u bytes of file %llu:%llu/%llu at %llu>", b->want,
				       (unsigned long long)(ref.dev >> 20), (unsigned long long)(ref.dev & 0xfffff),
				       (unsigned long long)ref.ino, (unsigned long long)ref.offset);
			return true;
		}
		if (b->kind == CT_BUF_OUT && (b->flags & CT_BUFF_CHUNKED)) {
			sf_addr(f, addr);
			sf_fmt(f, " /* %u bytes */", b->want);
			return true;
		}
		if (b->kind == CT_BUF_FAULT) {
			sf_addr(f, addr);
			sf_fmt(f, " /* %u bytes, not readable */", b->want);
			return true;
		}
	}
	return false;
}

static void format_string(struct sf *f, unsigned arg, ct_u64 addr, bool whole)
{
	const size_t most = f->strmax;
	const unsigned char *data, *nul;
	const struct ct_buf *b = sf_buf(f, arg, addr, &data);
	if (!b) {
		if (!absent_data(f, arg, addr, false))
			sf_addr(f, addr);
		return;
	}
	nul = memchr(data, 0, b->len);
	if (whole)
		f->strmax = b->len;
	sf_quoted(f, data, nul ? (size_t)(nul - data) : b->len, !nul);
	f->strmax = most;
}

/* Strings of argv are all buffers of one argument, in order; nobody wants to read envp in a line. */
static void format_strv(struct sf *f, unsigned arg, const char *name, ct_u64 addr)
{
	struct ct_buf_iter it = ct_buf_iter(f->ev);
	bool list = strcmp(name, "envp") != 0;
	unsigned n = 0;
	while (ct_buf_next(&it)) {
		if (it.buf->arg != arg || it.buf->kind != CT_BUF_IN)
			continue;
		if (list && n < 2 * SF_MAX_ITEMS) {
			const unsigned char *nul = memchr(it.data, 0, it.buf->len);
			sf_str(f, n ? ", " : "[");
			sf_quoted(f, it.data, nul ? (size_t)(nul - it.data) : it.buf->len, !nul);
		}
		n++;
	}
	if (!n || !list)
		sf_addr(f, addr);
	if (n && !list)
		sf_fmt(f, " /* %u vars */", n);
	if (n && list)
		sf_str(f, n > 2 * SF_MAX_ITEMS ? ", ...]" : "]");
}

static void format_data(struct sf *f, unsigned type, unsigned arg, ct_u64 addr)
{
	const unsigned char *data;
	const struct ct_buf *b = sf_buf(f, arg, addr, &data);
	if (!b) {
		if (!absent_data(f, arg, addr, type == CT_ARG_BUF))
			sf_addr(f, addr);
	} else if (type == CT_ARG_BUF) {
		sf_quoted(f, data, b->len, b->len < b->want);
	} else {
		sf_addr(f, addr);
		sf_char(f, ' ');
		sf_hexbytes(f, data, b->len, b->want);
	}
}

/* A number by its type; false if the type is not one of numbers. */
static bool format_number(struct sf *f, unsigned type, ct_u64 v)
{
	switch (type) {
	case CT_ARG_INT:
	case CT_ARG_PID: sf_fmt(f, "%d", (int)v); return true;
	case CT_ARG_UINT: sf_fmt(f, "%u", (unsigned)v); return true;
	case CT_ARG_LONG:
	case CT_ARG_OFF: sf_fmt(f, "%lld", (long long)v); return true;
	case CT_ARG_SIZE: sf_fmt(f, "%llu", (unsigned long long)v); return true;
	case CT_ARG_HEX: sf_fmt(f, v ? "0x%llx" : "%llu", (unsigned long long)v); return true;
	case CT_ARG_OCT: sf_fmt(f, (unsigned)v ? "0%o" : "%o", (unsigned)v); return true;
	case CT_ARG_UID: sf_fmt(f, (ct_u32)v == (ct_u32)-1 ? "%d" : "%u", (unsigned)v); return true;
	case CT_ARG_FD: sf_fmt(f, "%d", (int)v); return true;
	case CT_ARG_DIRFD: sf_fmt(f, (int)v == -100 ? "AT_FDCWD" : "%d", (int)v); return true;
	case CT_ARG_SIG: sf_signal(f, (int)v); return true;
	}
	return sf_flags(f, type, v);
}

static void format_arg(struct sf *f, const struct ct_sysarg *a, unsigned arg)
{
	ct_u64 v = f->args[arg];
	if (format_number(f, a->type, v))
		return;
	switch (a->type) {
	case CT_ARG_PATH:
	case CT_ARG_STR: format_string(f, arg, v, a->type == CT_ARG_PATH); break;
	case CT_ARG_STRV: format_strv(f, arg, a->name, v); break;
	default:
		if (!v)
			sf_str(f, "NULL");
		else if (!sf_struct(f, a->type, arg, v))
			format_data(f, a->type, arg, v);
	}
}

/* The argument that selects the sub-command: the row's name, and what the mask leaves out. */
static void format_subcommand(struct sf *f, const struct ct_subcommand *sub, const struct ct_sysarg *a, ct_u64 value)
{
	ct_u32 rest = (ct_u32)value & ~sub->rules.submask;
	sf_str(f, sub->name);
	if (a->type == CT_ARG_FUTEXFLAGS && rest & 0x80) {
		sf_str(f, "_PRIVATE");
		rest &= ~0x80u;
	}
	if (!rest)
		return;
	sf_char(f, '|');
	if (a->type != CT_ARG_FUTEXFLAGS || !sf_flags(f, a->type, rest))
		sf_fmt(f, "0x%x", rest);
}

static void format_ioctl(struct sf *f, ct_u32 cmd)
{
	static const char *const dirs[] = {"_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE"};
	sf_fmt(f, "_IOC(%s, 0x%x, 0x%x, 0x%x)", dirs[cmd >> 30], cmd >> 8 & 0xff, cmd & 0xff, cmd >> 16 & 0x3fff);
}

/* open without O_CREAT and O_TMPFILE has no mode. */
static bool mode_unused(const struct sf *f, const struct ct_sysarg *arg, unsigned i)
{
	return i && arg[i].type == CT_ARG_OCT && arg[i - 1].type == CT_ARG_OFLAGS &&
	       !(f->args[i - 1] & (0100 | 020000000));
}

static void format_args(struct sf *f, int nr)
{
	const struct ct_sysarg *arg = f->call->arg;
	const struct ct_sysrules *rules = &f->call->rules;
	const struct ct_subcommand *sub = NULL;
	unsigned n = f->call->nargs;

	if (rules->subarg < 6)
		sub = ct_subcommand(nr, (ct_u32)f->args[rules->subarg] & rules->submask);
	if (sub) {
		arg = sub->arg;
		n = sub->nargs;
	}
	for (unsigned i = 0; i < n; i++) {
		if (mode_unused(f, arg, i))
			break;
		if (i)
			sf_str(f, ", ");
		if (sub && i == rules->subarg)
			format_subcommand(f, sub, &arg[i], f->args[i]);
		else if (i == rules->subarg && rules->flags & CT_SYSR_IOC_OUT)
			format_ioctl(f, (ct_u32)f->args[i]);
		else
			format_arg(f, &arg[i], i);
	}
}

static unsigned ret_type(const struct sf *f, int nr)
{
	const struct ct_sysrules *rules = &f->call->rules;
	const struct ct_subcommand *sub = NULL;
	if (rules->subarg < 6)
		sub = ct_subcommand(nr, (ct_u32)f->args[rules->subarg] & rules->submask);
	return sub ? sub->ret : f->call->ret;
}

static void format_ret(struct sf *f, int nr, ct_s64 ret)
{
	unsigned type = f->call ? ret_type(f, nr) : CT_ARG_LONG;
	const char *name = ret < 0 && ret >= -4095 ? ct_errno_name((int)-ret) : NULL;

	if (name && (!f->call || type != CT_ARG_LONG)) {
		const char *text = ret > -512 ? strerrordesc_np((int)-ret) : NULL;
		/* Restart codes never reach the program: what it will see is not decided yet. */
		bool restart = ret <= -512 && ret >= -516 && ret != -515;
		sf_fmt(f, restart ? "? %s" : "-1 %s", name);
		if (text)
			sf_fmt(f, " (%s)", text);
		return;
	}
	switch (type) {
	case CT_ARG_PTR: sf_fmt(f, ret ? "0x%llx" : "%llu", (unsigned long long)ret); return;
	case CT_ARG_INT:
	case CT_ARG_LONG:
	case CT_ARG_OFF: sf_fmt(f, "%lld", (long long)ret); break;
	case CT_ARG_HEX:
	case CT_ARG_OCT:
	case CT_ARG_UID: format_number(f, type, (ct_u64)ret); break;
	default:
		sf_fmt(f, "0x%llx (", (unsigned long long)ret);
		if (!format_number(f, type, (ct_u64)ret))
			sf_char(f, '?');
		sf_char(f, ')');
	}
	if (ret == 0 && (nr == 7 || nr == 23 || nr == 270 || nr == 271))
		sf_str(f, " (Timeout)");
}

/* Name and arguments; for numbers without a row all six. */
static void format_call(struct sf *f, int nr)
{
	if (f->call) {
		sf_str(f, f->call->name);
		sf_char(f, '(');
		format_args(f, nr);
	} else {
		sf_fmt(f, "syscall_%d(", nr);
		for (unsigned i = 0; i < 6; i++)
			sf_fmt(f, i ? ", 0x%llx" : "0x%llx", (unsigned long long)f->args[i]);
	}
	sf_char(f, ')');
}

static size_t finish(struct sf *f)
{
	if (f->cap)
		f->out[f->len < f->cap ? f->len : f->cap - 1] = 0;
	return f->len;
}

/* What rt_sigreturn went back to. */
static void format_sigreturn(struct sf *f)
{
	struct ct_buf_iter it = ct_buf_iter(f->ev);
	sf_str(f, "rt_sigreturn(");
	while (ct_buf_next(&it))
		if (it.buf->kind == CT_BUF_REGS) {
			struct ct_regs regs;
			memcpy(&regs, it.data, sizeof(regs));
			sf_fmt(f, "{rip=0x%llx, rsp=0x%llx}", (unsigned long long)regs.r[CT_RIP],
			       (unsigned long long)regs.r[CT_RSP]);
			break;
		}
	sf_char(f, ')');
}

/* The new image starts with empty registers: the arguments are in the ENTER record. */
static bool is_exec_return(const struct ct_ev_syscall *s)
{
	return s->ret == 0 && (s->nr == 59 || s->nr == 322);
}

size_t ct_syscall_format(const struct ct_event *ev, size_t strmax, char *out, size_t outlen)
{
	const struct ct_ev_syscall *s = ct_event_payload(ev);
	struct sf f = {.out = out, .cap = outlen, .strmax = strmax, .ev = ev, .args = s->args};
	int nr = s->nr;

	f.call = ct_syscall(nr == -1 ? ct_syscall_nr("rt_sigreturn") : nr);
	if (nr == -1)
		format_sigreturn(&f);
	else if (is_exec_return(s))
		sf_fmt(&f, "%s(...)", f.call->name);
	else
		format_call(&f, nr);
	sf_str(&f, " = ");
	if (nr == -1)
		sf_fmt(&f, "%lld", (long long)s->ret); /* whatever rax was when the signal came */
	else
		format_ret(&f, nr, s->ret);
	return finish(&f);
}

size_t ct_enter_format(const struct ct_event *ev, size_t strmax, char *out, size_t outlen)
{
	const struct ct_ev_enter *e = ct_event_payload(ev);
	const ct_u64 *r = e->regs.r;
	const ct_u64 args[6] = {r[CT_RDI], r[CT_RSI], r[CT_RDX], r[CT_R10], r[CT_R8], r[CT_R9]};
	struct sf f = {.out = out, .cap = outlen, .strmax = strmax, .ev = ev, .args = args};

	f.call = ct_syscall(e->nr);
	format_call(&f, e->nr);
	sf_str(&f, " <enters>");
	return finish(&f);
}
