/* SPDX-License-Identifier: MIT
 * Formatting of the structures behind system call arguments.
 *
 * Every decoder gets the recorded bytes and their number, and prints only what is there. */
#include "sysfmt.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Bytes of one structure. Reads beyond the end give 0: `min` of the table below rules them out where it matters. */
struct bytes {
	const unsigned char *p;
	size_t len;
};

static ct_u64 get(struct bytes b, size_t off, size_t width)
{
	ct_u64 v = 0;
	if (off + width <= b.len)
		memcpy(&v, b.p + off, width);
	return v;
}
static ct_u64 u64_at(struct bytes b, size_t off)
{
	return get(b, off, 8);
}
static ct_s64 s64_at(struct bytes b, size_t off)
{
	return (ct_s64)get(b, off, 8);
}
static ct_u32 u32_at(struct bytes b, size_t off)
{
	return (ct_u32)get(b, off, 4);
}
static ct_s32 s32_at(struct bytes b, size_t off)
{
	return (ct_s32)get(b, off, 4);
}
static ct_u16 u16_at(struct bytes b, size_t off)
{
	return (ct_u16)get(b, off, 2);
}
static struct bytes tail(struct bytes b, size_t off)
{
	return off < b.len ? (struct bytes){b.p + off, b.len - off} : (struct bytes){b.p, 0};
}

/* ---- time ----------------------------------------------------------------------------------------- */

static void time_pair(struct sf *f, struct bytes b, const char *fraction)
{
	sf_fmt(f, "{tv_sec=%lld, %s=%lld}", (long long)s64_at(b, 0), fraction, (long long)s64_at(b, 8));
}

static void timespec(struct sf *f, struct bytes b)
{
	long long ns = s64_at(b, 8);
	if (ns == 0x3fffffff || ns == 0x3ffffffe) /* utimensat */
		sf_str(f, ns == 0x3fffffff ? "UTIME_NOW" : "UTIME_OMIT");
	else
		time_pair(f, b, "tv_nsec");
}

static void timespec2(struct sf *f, struct bytes b)
{
	sf_char(f, '[');
	timespec(f, b);
	sf_str(f, ", ");
	timespec(f, tail(b, 16));
	sf_char(f, ']');
}

static void timeval(struct sf *f, struct bytes b)
{
	time_pair(f, b, "tv_usec");
}

static void itimer(struct sf *f, struct bytes b, const char *fraction)
{
	sf_str(f, "{it_interval=");
	time_pair(f, b, fraction);
	sf_str(f, ", it_value=");
	time_pair(f, tail(b, 16), fraction);
	sf_char(f, '}');
}
static void itimerval(struct sf *f, struct bytes b)
{
	itimer(f, b, "tv_usec");
}
static void itimerspec(struct sf *f, struct bytes b)
{
	itimer(f, b, "tv_nsec");
}

/* ---- numbers -------------------------------------------------------------------------------------- */

static void intp(struct sf *f, struct bytes b)
{
	sf_fmt(f, "[%d]", s32_at(b, 0));
}
static void longp(struct sf *f, struct bytes b)
{
	sf_fmt(f, "[%lld]", (long long)s64_at(b, 0));
}
static void pipefd(struct sf *f, struct bytes b)
{
	sf_fmt(f, "[%d, %d]", s32_at(b, 0), s32_at(b, 4));
}

static void rlimit(struct sf *f, struct bytes b)
{
	for (int i = 0; i < 2; i++) {
		ct_u64 v = u64_at(b, i * 8);
		sf_str(f, i ? ", rlim_max=" : "{rlim_cur=");
		if (v == ~0ull)
			sf_str(f, "RLIM64_INFINITY");
		else if (v >= 1024 && v % 1024 == 0)
			sf_fmt(f, "%llu*1024", (unsigned long long)v / 1024);
		else
			sf_fmt(f, "%llu", (unsigned long long)v);
	}
	sf_char(f, '}');
}

static void winsize(struct sf *f, struct bytes b)
{
	sf_fmt(f, "{ws_row=%u, ws_col=%u, ws_xpixel=%u, ws_ypixel=%u}", u16_at(b, 0), u16_at(b, 2), u16_at(b, 4),
	       u16_at(b, 6));
}

static void flock(struct sf *f, struct bytes b)
{
	sf_str(f, "{l_type=");
	sf_lock_type(f, u16_at(b, 0));
	sf_str(f, ", l_whence=");
	sf_flags(f, CT_ARG_WHENCE, u16_at(b, 2));
	sf_fmt(f, ", l_start=%lld, l_len=%lld", (long long)s64_at(b, 8), (long long)s64_at(b, 16));
	if (s32_at(b, 24))
		sf_fmt(f, ", l_pid=%d", s32_at(b, 24));
	sf_char(f, '}');
}

/* ---- files ---------------------------------------------------------------------------------------- */

static void mode_and_size(struct sf *f, const char *prefix, ct_u32 mode, ct_u64 size)
{
	sf_fmt(f, "%smode=", prefix);
	sf_file_type(f, mode);
	sf_fmt(f, "|0%o, %ssize=%llu, ...}", mode & 07777, prefix, (unsigned long long)size);
}

static void stat_(struct sf *f, struct bytes b)
{
	sf_char(f, '{');
	mode_and_size(f, "st_", u32_at(b, 24), u64_at(b, 48));
}

static void statx_(struct sf *f, struct bytes b)
{
	sf_str(f, "{stx_mask=");
	sf_flags(f, CT_ARG_STATXMASK, u32_at(b, 0));
	sf_str(f, ", ");
	mode_and_size(f, "stx_", u16_at(b, 28), u64_at(b, 40));
}

static void openhow(struct sf *f, struct bytes b)
{
	sf_str(f, "{flags=");
	sf_flags(f, CT_ARG_OFLAGS, u64_at(b, 0));
	if (u64_at(b, 8))
		sf_fmt(f, ", mode=0%llo", (unsigned long long)u64_at(b, 8));
	sf_fmt(f, u64_at(b, 16) ? ", resolve=0x%llx}" : ", resolve=%llu}", (unsigned long long)u64_at(b, 16));
}

static void utsname(struct sf *f, struct bytes b)
{
	static const char *const field[] = {"sysname", "nodename", "release", "version", "machine", "domainname"};
	for (unsigned i = 0; i < 6; i++) {
		struct bytes s = tail(b, i * 65);
		sf_fmt(f, i ? ", %s=" : "{%s=", field[i]);
		sf_quoted(f, s.p, strnlen((const char *)s.p, s.len < 65 ? s.len : 65), false);
	}
	sf_char(f, '}');
}

/* ---- processes and signals ------------------------------------------------------------------------ */

static void wstatus(struct sf *f, struct bytes b)
{
	unsigned s = u32_at(b, 0), sig = s & 0x7f;
	if (s == 0xffff) {
		sf_str(f, "[{WIFCONTINUED(s)}]");
	} else if ((s & 0xff) == 0x7f) {
		sf_str(f, "[{WIFSTOPPED(s) && WSTOPSIG(s) == ");
		sf_signal(f, s >> 8 & 0x7f);
		sf_str(f, "}]");
	} else if (sig) {
		sf_str(f, "[{WIFSIGNALED(s) && WTERMSIG(s) == ");
		sf_signal(f, (int)sig);
		sf_str(f, s & 0x80 ? " && WCOREDUMP(s)}]" : "}]");
	} else {
		sf_fmt(f, "[{WIFEXITED(s) && WEXITSTATUS(s) == %u}]", s >> 8 & 0xff);
	}
}

/* As strace: [INT CHLD], and ~[...] where most are in the set. */
static void sigset(struct sf *f, struct bytes b)
{
	ct_u64 set = u64_at(b, 0);
	bool inverted = __builtin_popcountll(set) > 32, first = true;
	if (inverted)
		set = ~set;
	sf_str(f, inverted ? "~[" : "[");
	for (int sig = 1; sig <= 64; sig++) {
		if (!(set >> (sig - 1) & 1))
			continue;
		sf_fmt(f, first ? "%s" : " %s", ct_signal_name(sig) + 3);
		first = false;
	}
	sf_char(f, ']');
}

static void sigaction_(struct sf *f, struct bytes b)
{
	ct_u64 handler = u64_at(b, 0), flags = u64_at(b, 8);
	sf_str(f, "{sa_handler=");
	if (handler < 2)
		sf_str(f, handler ? "SIG_IGN" : "SIG_DFL");
	else
		sf_addr(f, handler);
	sf_str(f, ", sa_mask=");
	sigset(f, tail(b, 24));
	sf_str(f, ", sa_flags=");
	sf_sa_flags(f, flags);
	if (flags & 0x4000000) {
		sf_str(f, ", sa_restorer=");
		sf_addr(f, u64_at(b, 16));
	}
	sf_char(f, '}');
}

static void siginfo(struct sf *f, struct bytes b)
{
	int sig = s32_at(b, 0), code = s32_at(b, 8);
	if (!sig) { /* waitid without a child */
		sf_str(f, "{}");
		return;
	}
	sf_str(f, "{si_signo=");
	sf_signal(f, sig);
	sf_fmt(f, ", si_code=%d", code);
	if (sig == 17 || code <= 0)
		sf_fmt(f, ", si_pid=%d, si_uid=%u", s32_at(b, 16), u32_at(b, 20));
	if (sig == 17)
		sf_fmt(f, ", si_status=%d", s32_at(b, 24));
	sf_char(f, '}');
}

static void stack(struct sf *f, struct bytes b)
{
	static const char *const names[] = {"0", "SS_ONSTACK", "SS_DISABLE"};
	ct_u32 flags = u32_at(b, 8);
	sf_str(f, "{ss_sp=");
	sf_addr(f, u64_at(b, 0));
	sf_str(f, ", ss_flags=");
	if (flags < 3)
		sf_str(f, names[flags]);
	else
		sf_fmt(f, "0x%x", flags);
	sf_fmt(f, ", ss_size=%llu}", (unsigned long long)u64_at(b, 16));
}

static void cloneargs(struct sf *f, struct bytes b)
{
	static const struct {
		const char *name;
		unsigned off;
	} fields[] = {{"pidfd", 8}, {"child_tid", 16}, {"parent_tid", 24},   {"stack", 40}, {"stack_size", 48},
		      {"tls", 56},  {"set_tid", 64},   {"set_tid_size", 72}, {"cgroup", 80}};
	sf_str(f, "{flags=");
	sf_clone_flags(f, u64_at(b, 0) & ~0xffull);
	sf_str(f, ", exit_signal=");
	sf_signal(f, (int)u64_at(b, 32));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (u64_at(b, fields[i].off))
			sf_fmt(f, ", %s=0x%llx", fields[i].name, (unsigned long long)u64_at(b, fields[i].off));
	sf_char(f, '}');
}

/* ---- waiting -------------------------------------------------------------------------------------- */

static void pollfds(struct sf *f, struct bytes b)
{
	sf_char(f, '[');
	for (size_t i = 0; i < b.len / 8; i++) {
		if (i)
			sf_str(f, ", ");
		if (i == SF_MAX_ITEMS) {
			sf_str(f, "...");
			break;
		}
		sf_fmt(f, "{fd=%d, events=", s32_at(b, i * 8));
		sf_poll_events(f, u16_at(b, i * 8 + 4));
		sf_str(f, ", revents=");
		sf_poll_events(f, u16_at(b, i * 8 + 6));
		sf_char(f, '}');
	}
	sf_char(f, ']');
}

static void epevent(struct sf *f, struct bytes b)
{
	sf_str(f, "{events=");
	sf_epoll_events(f, u32_at(b, 0));
	sf_fmt(f, ", data=0x%llx}", (unsigned long long)u64_at(b, 4));
}

static void epevents(struct sf *f, struct bytes b)
{
	sf_char(f, '[');
	for (size_t i = 0; i < b.len / 12; i++) {
		if (i)
			sf_str(f, ", ");
		if (i == SF_MAX_ITEMS) {
			sf_str(f, "...");
			break;
		}
		epevent(f, tail(b, i * 12));
	}
	sf_char(f, ']');
}

static void fdset(struct sf *f, struct bytes b)
{
	unsigned shown = 0;
	sf_char(f, '[');
	for (size_t fd = 0; fd < b.len * 8 && shown <= 2 * SF_MAX_ITEMS; fd++) {
		if (!(b.p[fd / 8] >> fd % 8 & 1))
			continue;
		if (shown++ == 2 * SF_MAX_ITEMS)
			sf_str(f, " ...");
		else
			sf_fmt(f, shown > 1 ? " %zu" : "%zu", fd);
	}
	sf_char(f, ']');
}

/* ---- sockets -------------------------------------------------------------------------------------- */

static void sockaddr_un(struct sf *f, struct bytes b)
{
	struct bytes path = tail(b, 2);
	if (!path.len) {
		sf_char(f, '}');
		return;
	}
	sf_str(f, ", sun_path=");
	if (!path.p[0] && path.len > 1) { /* abstract: every byte counts */
		sf_char(f, '@');
		sf_quoted(f, path.p + 1, path.len - 1, false);
	} else {
		sf_quoted(f, path.p, strnlen((const char *)path.p, path.len), false);
	}
	sf_char(f, '}');
}

static void sockaddr(struct sf *f, struct bytes b)
{
	char text[INET6_ADDRSTRLEN];
	unsigned family = u16_at(b, 0), port = ntohs(u16_at(b, 2));

	sf_str(f, "{sa_family=");
	sf_flags(f, CT_ARG_FAMILY, family);
	if (family == 1) {
		sockaddr_un(f, b);
	} else if (family == 2 && b.len >= 8) {
		inet_ntop(AF_INET, b.p + 4, text, sizeof(text));
		sf_fmt(f, ", sin_port=htons(%u), sin_addr=inet_addr(\"%s\")}", port, text);
	} else if (family == 10 && b.len >= 24) {
		inet_ntop(AF_INET6, b.p + 8, text, sizeof(text));
		sf_fmt(f, ", sin6_port=htons(%u), sin6_addr=\"%s\"", port, text);
		if (u32_at(b, 24))
			sf_fmt(f, ", sin6_scope_id=%u", u32_at(b, 24));
		sf_char(f, '}');
	} else if (family == 16 && b.len >= 12) {
		sf_fmt(f, ", nl_pid=%u, nl_groups=0x%x}", u32_at(b, 4), u32_at(b, 8));
	} else {
		sf_str(f, ", sa_data=");
		sf_hexbytes(f, b.p + 2, b.len - 2, b.len - 2);
		sf_char(f, '}');
	}
}

/* ---- scattered data ------------------------------------------------------------------------------- */

/* The pieces of data of an argument, leaving out its header and what msg_name and msg_control point to. */
static unsigned pieces(struct sf *f, unsigned arg, ct_u64 head, ct_u64 head_len, ct_u64 name, ct_u64 control)
{
	struct ct_buf_iter it = ct_buf_iter(f->ev);
	unsigned n = 0;
	while (ct_buf_next(&it)) {
		const struct ct_buf *b = it.buf;
		if (b->arg != arg || b->addr - head < head_len || (b->kind != CT_BUF_OUT && b->kind != CT_BUF_IN))
			continue;
		if ((name && b->addr == name) || (control && b->addr == control))
			continue;
		if (n <= SF_MAX_ITEMS)
			sf_str(f, n ? ", " : "[");
		if (n == SF_MAX_ITEMS)
			sf_str(f, "...");
		if (n++ >= SF_MAX_ITEMS)
			continue;
		sf_str(f, "{iov_base=");
		if (b->len || !b->want)
			sf_quoted(f, it.data, b->len, b->len < b->want);
		else
			sf_addr(f, b->addr);
		sf_fmt(f, ", iov_len=%u}", b->want);
	}
	if (n)
		sf_char(f, ']');
	return n;
}

static void msghdr(struct sf *f, unsigned arg, ct_u64 addr, struct bytes b)
{
	const unsigned char *data;
	ct_u64 name = u64_at(b, 0), control = u64_at(b, 32);
	const struct ct_buf *nb = name ? sf_buf(f, arg, name, &data) : NULL;

	sf_str(f, "{msg_name=");
	if (nb && nb->len >= 2)
		sockaddr(f, (struct bytes){data, nb->len});
	else
		sf_addr(f, name);
	sf_fmt(f, ", msg_namelen=%u, msg_iov=", u32_at(b, 8));
	if (!pieces(f, arg, addr, 56, name, control))
		sf_addr(f, u64_at(b, 16));
	sf_fmt(f, ", msg_iovlen=%llu, msg_controllen=%llu, msg_flags=", (unsigned long long)u64_at(b, 24),
	       (unsigned long long)u64_at(b, 40));
	sf_flags(f, CT_ARG_MSGFLAGS, u32_at(b, 48));
	sf_char(f, '}');
}

/* ---- dispatch ------------------------------------------------------------------------------------- */

static const struct decoder {
	void (*print)(struct sf *f, struct bytes b);
	size_t min; /* bytes without which it prints nothing */
} decoders[CT_ARG_COUNT] = {
	[CT_ARG_INTP] = {intp, 4},
	[CT_ARG_LONGP] = {longp, 8},
	[CT_ARG_PIPEFD] = {pipefd, 8},
	[CT_ARG_SIGSET] = {sigset, 8},
	[CT_ARG_SIGACTION] = {sigaction_, 32},
	[CT_ARG_SIGINFO] = {siginfo, 28},
	[CT_ARG_STACK] = {stack, 24},
	[CT_ARG_SOCKADDR] = {sockaddr, 2},
	[CT_ARG_TIMESPEC] = {timespec, 16},
	[CT_ARG_TIMESPEC2] = {timespec2, 32},
	[CT_ARG_TIMEVAL] = {timeval, 16},
	[CT_ARG_ITIMERVAL] = {itimerval, 32},
	[CT_ARG_ITIMERSPEC] = {itimerspec, 32},
	[CT_ARG_POLLFDS] = {pollfds, 8},
	[CT_ARG_EPEVENTS] = {epevents, 12},
	[CT_ARG_EPEVENT] = {epevent, 12},
	[CT_ARG_FDSET] = {fdset, 8},
	[CT_ARG_STAT] = {stat_, 56},
	[CT_ARG_STATX] = {statx_, 48},
	[CT_ARG_WSTATUS] = {wstatus, 4},
	[CT_ARG_RLIMIT] = {rlimit, 16},
	[CT_ARG_FLOCK] = {flock, 28},
	[CT_ARG_WINSIZE] = {winsize, 8},
	[CT_ARG_UTSNAME] = {utsname, 390},
	[CT_ARG_CLONEARGS] = {cloneargs, 64},
	[CT_ARG_OPENHOW] = {openhow, 24},
};

bool sf_struct(struct sf *f, unsigned type, unsigned arg, ct_u64 addr)
{
	const unsigned char *data;
	const struct ct_buf *b;

	if (type >= CT_ARG_COUNT)
		return false;
	if (type == CT_ARG_IOVEC)
		return pieces(f, arg, 0, 0, 0, 0) > 0;
	if (type == CT_ARG_MMSGHDR) /* 64 bytes each */
		return pieces(f, arg, addr, (f->args[2] & 0xffff) * 64, 0, 0) > 0;
	b = sf_buf(f, arg, addr, &data);
	if (type == CT_ARG_MSGHDR) {
		if (!b || b->len < 56)
			return pieces(f, arg, addr, 56, 0, 0) > 0;
		msghdr(f, arg, addr, (struct bytes){data, b->len});
		return true;
	}
	if (!decoders[type].print || !b || b->len < decoders[type].min)
		return false;
	decoders[type].print(f, (struct bytes){data, b->len});
	return true;
}
