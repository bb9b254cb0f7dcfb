/* SPDX-License-Identifier: MIT
 * Recorded system calls as text: names of constants, strings, structures, cut buffers, and bytes that make no sense. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "formats/syscalls.h"

struct rec {
	union {
		struct ct_event ev;
		unsigned char b[8192];
	};
};

static struct rec rec_syscall(const char *name, ct_s64 ret, const ct_u64 args[6])
{
	struct rec r = {.ev = {.type = CT_EV_SYSCALL, .seq = 1, .tid = 7, .pid = 7}};
	struct ct_ev_syscall s = {.ret = ret, .nr = ct_syscall_nr(name)};
	memcpy(s.args, args, sizeof(s.args));
	memcpy(r.b + sizeof(r.ev), &s, sizeof(s));
	r.ev.size = sizeof(r.ev) + sizeof(s);
	return r;
}

static void rec_buf(struct rec *r, int kind, int arg, ct_u64 addr, const void *data, size_t len)
{
	struct ct_buf b = {
		.addr = addr, .len = (ct_u32)len, .want = (ct_u32)len, .kind = (ct_u8)kind, .arg = (ct_u8)arg};
	size_t at = (r->ev.size + 7) & ~7u;
	unsigned char *to = (unsigned char *)r + at;
	cr_assert_lt(at + sizeof(b) + len, sizeof(r->b));
	memcpy(to, &b, sizeof(b));
	memcpy(to + sizeof(b), data, len);
	r->ev.size = (ct_u32)(at + sizeof(b) + len);
	if (r->ev.type == CT_EV_SYSCALL)
		((struct ct_ev_syscall *)(r->b + sizeof(r->ev)))->nbufs++;
	else
		((struct ct_ev_enter *)(r->b + sizeof(r->ev)))->nbufs++;
}

static void expect_line(const struct rec *r, const char *want)
{
	struct ct_error err = {0};
	char line[2048], cut[24];
	cr_assert_eq(ct_event_check(r, sizeof(*r), &err), 0, "%s", err.msg);
	size_t n = ct_syscall_format(&r->ev, 32, line, sizeof(line));
	cr_expect_str_eq(line, want);
	cr_expect_eq(n, strlen(want));
	cr_expect_eq(ct_syscall_format(&r->ev, 32, cut, sizeof(cut)), n);
	cr_expect_lt(strlen(cut), sizeof(cut));
	cr_expect_eq(strncmp(cut, want, strlen(cut)), 0);
	cr_expect_eq(ct_syscall_format(&r->ev, 32, NULL, 0), n);
}

#define ARGS(...)                                                                                                      \
	(const ct_u64[6])                                                                                              \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}
#define BUF(r, kind, arg, addr, ...) rec_buf(&(r), kind, arg, addr, &(__VA_ARGS__), sizeof(__VA_ARGS__))
#define W(...)                                                                                                         \
	(const ct_u32[])                                                                                               \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

Test(format, openat)
{
	struct rec r = rec_syscall("openat", 3, ARGS((ct_u32)-100, 0x1000, 02000000, 0x1234));
	rec_buf(&r, CT_BUF_IN, 1, 0x1000, "/etc/passwd", 12);
	expect_line(&r, "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3");
}

Test(format, open_with_mode_and_error)
{
	struct rec r = rec_syscall("open", -2, ARGS(0x1000, 01101, 0644));
	rec_buf(&r, CT_BUF_IN, 0, 0x1000,
		"a\"b\n\001"
		"1",
		7);
	expect_line(
		&r,
		"open(\"a\\\"b\\n\\0011\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 ENOENT (No such file or directory)");
}

Test(format, read_and_its_cut)
{
	struct rec r = rec_syscall("read", 40, ARGS(5, 0x2000, 4096));
	rec_buf(&r, CT_BUF_OUT, 1, 0x2000, "0123456789012345678901234567890123456789", 40);
	expect_line(&r, "read(5, \"01234567890123456789012345678901\"..., 4096) = 40");
}

Test(format, read_restarted)
{
	struct rec r = rec_syscall("read", -512, ARGS(0, 0x2000, 16));
	expect_line(&r, "read(0, 0x2000, 16) = ? ERESTARTSYS");
}

static struct ct_buf *last_file_buf(struct rec *r)
{
	return (struct ct_buf *)(r->b + r->ev.size - sizeof(struct ct_file_ref) - sizeof(struct ct_buf));
}

Test(format, read_by_reference)
{
	struct ct_file_ref ref = {.dev = 8 << 20 | 1, .ino = 42, .size = 100000, .offset = 512, .len = 65536};
	struct rec r = rec_syscall("read", 65536, ARGS(3, 0x2000, 65536));
	BUF(r, CT_BUF_FILE, 1, 0x2000, ref);
	last_file_buf(&r)->want = 65536;
	expect_line(&r, "read(3, <65536 bytes of file 8:1/42 at 512>, 65536) = 65536");
}

Test(format, mmap)
{
	struct rec r = rec_syscall("mmap", 0x7f0000000000, ARGS(0, 8192, 3, 0x22, (ct_u64)-1, 0));
	expect_line(&r, "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000");
}

Test(format, mmap_of_a_file_shows_its_address)
{
	struct ct_file_ref ref = {.dev = 254 << 20, .ino = 332835, .size = 2000000, .offset = 155648, .len = 8192};
	struct rec r = rec_syscall("mmap", 0x7f0000000000, ARGS(0x7f0000000000, 8192, 5, 0x12, 3, 155648));
	BUF(r, CT_BUF_FILE, 0, 0x7f0000000000, ref);
	last_file_buf(&r)->want = 8192;
	expect_line(&r, "mmap(0x7f0000000000, 8192, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED, 3, 0x26000) = "
			"0x7f0000000000");
}

Test(format, an_offered_file_does_not_hide_the_bytes)
{
	struct ct_file_ref ref = {.dev = 8 << 20 | 1, .ino = 42, .size = 100000, .len = 5};
	struct rec r = rec_syscall("read", 5, ARGS(3, 0x2000, 4096));
	BUF(r, CT_BUF_FILE, 1, 0x2000, ref);
	last_file_buf(&r)->want = 0;
	rec_buf(&r, CT_BUF_OUT, 1, 0x2000, "hello", 5);
	expect_line(&r, "read(3, \"hello\", 4096) = 5");
}

Test(format, an_offered_file_does_not_hide_bytes_in_other_records)
{
	struct ct_file_ref ref = {.dev = 8 << 20 | 1, .ino = 42, .size = 1 << 24, .len = 1 << 23};
	struct rec r = rec_syscall("pread64", 1 << 23, ARGS(3, 0x2000, 1 << 23, 0));
	BUF(r, CT_BUF_FILE, 1, 0x2000, ref);
	last_file_buf(&r)->want = 0;
	rec_buf(&r, CT_BUF_OUT, 1, 0x2000, "", 0);
	struct ct_buf *out = (struct ct_buf *)(r.b + r.ev.size - sizeof(struct ct_buf));
	out->want = 1 << 23;
	out->flags = CT_BUFF_CHUNKED;
	expect_line(&r, "pread64(3, 0x2000 /* 8388608 bytes */, 8388608, 0) = 8388608");
}

Test(format, execve_returns_without_arguments)
{
	struct rec r = rec_syscall("execve", 0, ARGS(0));
	expect_line(&r, "execve(...) = 0");
	r = rec_syscall("execveat", 0, ARGS(0));
	expect_line(&r, "execveat(...) = 0");
	r = rec_syscall("execve", -2, ARGS(0x10, 0x20, 0));
	rec_buf(&r, CT_BUF_IN, 0, 0x10, "/none", 6);
	expect_line(&r, "execve(\"/none\", 0x20, NULL) = -1 ENOENT (No such file or directory)");
}

Test(format, mprotect_none)
{
	struct rec r = rec_syscall("mprotect", 0, ARGS(0x5000, 4096, 0));
	expect_line(&r, "mprotect(0x5000, 4096, PROT_NONE) = 0");
}

Test(format, fstat)
{
	ct_u64 st[18] = {[3] = 0100644, [6] = 1234};
	struct rec r = rec_syscall("fstat", 0, ARGS(3, 0x9000));
	BUF(r, CT_BUF_OUT, 1, 0x9000, st);
	expect_line(&r, "fstat(3, {st_mode=S_IFREG|0644, st_size=1234, ...}) = 0");
}

Test(format, connect_inet)
{
	unsigned char sa[16] = {2, 0, 0x1f, 0x90, 127, 0, 0, 1};
	struct rec r = rec_syscall("connect", -115, ARGS(4, 0x100, 16));
	BUF(r, CT_BUF_IN, 1, 0x100, sa);
	expect_line(&r,
		    "connect(4, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = "
		    "-1 EINPROGRESS (Operation now in progress)");
}

Test(format, accept_unix)
{
	unsigned char sa[9] = {1, 0, 0, 'a', 'b'};
	struct rec r = rec_syscall("accept4", 6, ARGS(4, 0x100, 0x200, 02004000));
	rec_buf(&r, CT_BUF_OUT, 1, 0x100, sa, 5);
	BUF(r, CT_BUF_OUT, 2, 0x200, W(5));
	expect_line(&r, "accept4(4, {sa_family=AF_UNIX, sun_path=@\"ab\"}, [5], SOCK_NONBLOCK|SOCK_CLOEXEC) = 6");
}

Test(format, socket)
{
	struct rec r = rec_syscall("socket", 3, ARGS(10, 02004002, 0));
	expect_line(&r, "socket(AF_INET6, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0) = 3");
}

Test(format, setsockopt)
{
	struct rec r = rec_syscall("setsockopt", 0, ARGS(3, 6, 1, 0x40, 4));
	BUF(r, CT_BUF_IN, 3, 0x40, W(1));
	expect_line(&r, "setsockopt(3, SOL_TCP, TCP_NODELAY, 0x40 [01 00 00 00], 4) = 0");
}

Test(format, poll)
{
	ct_u32 fds[4] = {3, 1 | 1 << 16, 4, 5};
	struct rec r = rec_syscall("poll", 1, ARGS(0x100, 2, (ct_u32)-1));
	BUF(r, CT_BUF_OUT, 0, 0x100, fds);
	expect_line(
		&r,
		"poll([{fd=3, events=POLLIN, revents=POLLIN}, {fd=4, events=POLLIN|POLLOUT, revents=0}], 2, -1) = 1");
	r = rec_syscall("poll", 0, ARGS(0, 0, 10));
	expect_line(&r, "poll(NULL, 0, 10) = 0 (Timeout)");
}

Test(format, epoll)
{
	struct rec r = rec_syscall("epoll_wait", 1, ARGS(4, 0x100, 64, 1000));
	BUF(r, CT_BUF_OUT, 1, 0x100, W(0x2001, 7, 0));
	expect_line(&r, "epoll_wait(4, [{events=EPOLLIN|EPOLLRDHUP, data=0x7}], 64, 1000) = 1");
	r = rec_syscall("epoll_ctl", 0, ARGS(4, 1, 5, 0x100));
	BUF(r, CT_BUF_IN, 3, 0x100, W(0x80000001, 9, 0));
	expect_line(&r, "epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN|EPOLLET, data=0x9}) = 0");
}

Test(format, clock_nanosleep_interrupted)
{
	ct_u64 req[2] = {5, 0}, rem[2] = {4, 999};
	struct rec r = rec_syscall("clock_nanosleep", -516, ARGS(1, 0, 0x10, 0x20));
	BUF(r, CT_BUF_OUT, 3, 0x20, rem);
	BUF(r, CT_BUF_IN, 2, 0x10, req);
	expect_line(&r, "clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=5, tv_nsec=0}, {tv_sec=4, tv_nsec=999}) = "
			"? ERESTART_RESTARTBLOCK");
}

Test(format, futex)
{
	struct rec r = rec_syscall("futex", 0, ARGS(0x7000, 128, 2, 0));
	expect_line(&r, "futex(0x7000, FUTEX_WAIT_PRIVATE, 2, NULL) = 0");
	r = rec_syscall("futex", 1, ARGS(0x7000, 129, 1, 77));
	expect_line(&r, "futex(0x7000, FUTEX_WAKE_PRIVATE, 1) = 1");
	r = rec_syscall("futex", -110, ARGS(0x7000, 0x189, 0, 0, 0, 0xffffffff));
	expect_line(&r, "futex(0x7000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0xffffffff) = "
			"-1 ETIMEDOUT (Connection timed out)");
}

Test(format, clone_flags)
{
	struct rec r = rec_syscall("clone", 99, ARGS(0x1200000 | 17, 0, 0, 0x300));
	expect_line(&r, "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, 0x300, NULL) = 99");
}

Test(format, signals)
{
	ct_u64 act[4] = {0x401000, 0x14000000, 0x402000, 1 << 1}, old[4] = {0};
	struct rec r = rec_syscall("rt_sigaction", 0, ARGS(2, 0x10, 0x30, 8));
	BUF(r, CT_BUF_OUT, 2, 0x30, old);
	BUF(r, CT_BUF_IN, 1, 0x10, act);
	expect_line(&r, "rt_sigaction(SIGINT, {sa_handler=0x401000, sa_mask=[INT], sa_flags=SA_RESTORER|SA_RESTART, "
			"sa_restorer=0x402000}, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, 8) = 0");
	ct_u64 set = ~0ull & ~(1ull << 8);
	r = rec_syscall("rt_sigprocmask", 0, ARGS(0, 0x10, 0, 8));
	BUF(r, CT_BUF_IN, 1, 0x10, set);
	expect_line(&r, "rt_sigprocmask(SIG_BLOCK, ~[KILL], NULL, 8) = 0");
	r = rec_syscall("kill", 0, ARGS(12, 9));
	expect_line(&r, "kill(12, SIGKILL) = 0");
}

Test(format, wait4)
{
	struct rec r = rec_syscall("wait4", 12, ARGS((ct_u32)-1, 0x10, 1, 0));
	BUF(r, CT_BUF_OUT, 1, 0x10, W(0x300));
	expect_line(&r, "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 12");
	r = rec_syscall("wait4", 12, ARGS((ct_u32)-1, 0x10, 0, 0));
	BUF(r, CT_BUF_OUT, 1, 0x10, W(0x8b));
	expect_line(&r, "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}], 0, NULL) = 12");
}

Test(format, pipe_and_sub_commands)
{
	struct rec r = rec_syscall("pipe2", 0, ARGS(0x10, 02000000));
	BUF(r, CT_BUF_OUT, 0, 0x10, W(3, 4));
	expect_line(&r, "pipe2([3, 4], O_CLOEXEC) = 0");
	r = rec_syscall("fcntl", 0x8002, ARGS(3, 3, 99));
	expect_line(&r, "fcntl(3, F_GETFL) = 0x8002 (O_RDWR|O_LARGEFILE)");
	r = rec_syscall("fcntl", 0, ARGS(3, 2, 1));
	expect_line(&r, "fcntl(3, F_SETFD, FD_CLOEXEC) = 0");
	r = rec_syscall("prctl", 0, ARGS(15, 0x10));
	rec_buf(&r, CT_BUF_IN, 1, 0x10, "worker", 7);
	expect_line(&r, "prctl(PR_SET_NAME, \"worker\") = 0");
}

Test(format, ioctl)
{
	struct rec r = rec_syscall("ioctl", 0, ARGS(1, 0x5413, 0x10));
	BUF(r, CT_BUF_OUT, 2, 0x10, W(24 | 80 << 16, 0));
	expect_line(&r, "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0");
	r = rec_syscall("ioctl", -25, ARGS(1, 0x80087a01, 0x10));
	expect_line(&r, "ioctl(1, _IOC(_IOC_READ, 0x7a, 0x1, 0x8), 0x10) = -1 ENOTTY (Inappropriate ioctl for device)");
}

Test(format, scattered_data)
{
	struct rec r = rec_syscall("writev", 5, ARGS(1, 0x10, 2));
	rec_buf(&r, CT_BUF_IN, 1, 0x100, "abc", 3);
	rec_buf(&r, CT_BUF_IN, 1, 0x200, "\n\0", 2);
	expect_line(&r, "writev(1, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"\\n\\0\", iov_len=2}], 2) = 5");
	ct_u64 msg[7] = {0, 0, 0x500, 1, 0, 0, 0x40000000};
	r = rec_syscall("recvmsg", 2, ARGS(4, 0x10, 0));
	BUF(r, CT_BUF_OUT, 1, 0x10, msg);
	rec_buf(&r, CT_BUF_OUT, 1, 0x600, "hi", 2);
	expect_line(&r,
		    "recvmsg(4, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"hi\", iov_len=2}], msg_iovlen=1, "
		    "msg_controllen=0, msg_flags=MSG_CMSG_CLOEXEC}, 0) = 2");
}

Test(format, unknown_call_and_sigreturn)
{
	struct rec r = rec_syscall("no_such", -38, ARGS(1, 2));
	((struct ct_ev_syscall *)(r.b + sizeof(r.ev)))->nr = 600;
	expect_line(&r, "syscall_600(0x1, 0x2, 0x0, 0x0, 0x0, 0x0) = -1 ENOSYS (Function not implemented)");
	struct ct_regs regs = {.r[CT_RIP] = 0x401234, .r[CT_RSP] = 0x7ffe0};
	r = rec_syscall("no_such", 5, ARGS(0)); /* number -1 */
	BUF(r, CT_BUF_REGS, 0, 0, regs);
	expect_line(&r, "rt_sigreturn({rip=0x401234, rsp=0x7ffe0}) = 5");
}

Test(format, enter)
{
	struct rec r = {.ev = {.type = CT_EV_ENTER, .seq = 1}};
	struct ct_ev_enter e = {.nr = 231};
	char line[256];
	memcpy(r.b + sizeof(r.ev), &e, sizeof(e));
	r.ev.size = sizeof(r.ev) + sizeof(e);
	cr_assert_eq(ct_event_check(&r, sizeof(r), NULL), 0);
	ct_enter_format(&r.ev, 32, line, sizeof(line));
	cr_expect_str_eq(line, "exit_group(0) <enters>");

	e = (struct ct_ev_enter){.nr = 59, .regs.r[CT_RDI] = 0x10, .regs.r[CT_RSI] = 0x20, .regs.r[CT_RDX] = 0x30};
	memcpy(r.b + sizeof(r.ev), &e, sizeof(e));
	rec_buf(&r, CT_BUF_IN, 0, 0x10, "/bin/ls", 8);
	rec_buf(&r, CT_BUF_IN, 1, 0x100, "ls", 3);
	rec_buf(&r, CT_BUF_IN, 1, 0x103, "-l", 3);
	rec_buf(&r, CT_BUF_IN, 2, 0x200, "A=1", 4);
	cr_assert_eq(ct_event_check(&r, sizeof(r), NULL), 0);
	ct_enter_format(&r.ev, 32, line, sizeof(line));
	cr_expect_str_eq(line, "execve(\"/bin/ls\", [\"ls\", \"-l\"], 0x30 /* 1 vars */) <enters>");
}

/* Any call with any arguments and buffers of any length: the right length is returned, nothing is overrun. */
Test(format, survives_every_call_with_random_buffers)
{
	unsigned seed = 1;
	unsigned char noise[600];
	size_t nsubs;
	const struct ct_subcommand *sub = ct_subcommands(&nsubs);
	for (int round = 0; round < 6000; round++) {
		ct_u64 args[6];
		for (int i = 0; i < 6; i++)
			args[i] = rand_r(&seed) % 3 ? (ct_u64)rand_r(&seed) % 4096
						    : (ct_u64)rand_r(&seed) << 32 | rand_r(&seed);
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = rand_r(&seed) % 2 ? (unsigned char)rand_r(&seed) : 0;
		int nr = round % CT_MAX_SYSCALL;
		if (round % 3 == 0) {
			const struct ct_subcommand *s = &sub[rand_r(&seed) % nsubs];
			nr = (int)s->key.nr;
			args[s->rules.subarg] = s->key.cmd;
		}
		struct rec r = rec_syscall("", (int)(rand_r(&seed) % 2000) - 1000, args);
		((struct ct_ev_syscall *)(r.b + sizeof(r.ev)))->nr = nr;
		for (int i = 0; i < 6; i++)
			rec_buf(&r, 1 + rand_r(&seed) % 2, i, args[i], noise,
				rand_r(&seed) % 2 ? rand_r(&seed) % 600 : 16);
		cr_assert_eq(ct_event_check(&r, r.ev.size, NULL), 0);
		/* exactly as large as the record, so that memory checkers see a read beyond it */
		struct ct_event *ev = malloc(r.ev.size);
		memcpy(ev, &r, r.ev.size);
		size_t n = ct_syscall_format(ev, 64, NULL, 0);
		char *line = malloc(n + 1);
		cr_assert_eq(ct_syscall_format(ev, 64, line, n + 1), n);
		cr_assert_eq(strlen(line), n);
		free(line);
		free(ev);
	}
}
