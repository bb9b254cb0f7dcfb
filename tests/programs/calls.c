/* SPDX-License-Identifier: MIT
 * Makes a long, deterministic sequence of system calls, for comparing what two tracers saw of it.
 *
 * usage: calls DIR        works on files in DIR, which must be empty; two runs make the same calls with the same results,
 * but for addresses, process ids and times. Status 0 if the calls did what they should. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buf[200000];
static volatile sig_atomic_t hits;

static void check(int ok, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define CHECK(x) check(!!(x), __LINE__)

static void on_signal(int sig)
{
	hits += sig == SIGUSR1;
}

static void files(void)
{
	struct iovec iov[3] = {{buf, 5}, {buf + 100, 0}, {buf + 200, 70000}};
	struct stat st;
	struct statx stx;
	struct statfs fs;
	int fd, fd2;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)('a' + i % 23);
	CHECK((fd = open("one", O_RDWR | O_CREAT | O_EXCL, 0600)) >= 0);
	CHECK(open("one", O_RDWR | O_CREAT | O_EXCL, 0600) < 0);
	CHECK(write(fd, buf, sizeof(buf)) == sizeof(buf));
	CHECK(write(fd, buf, 0) == 0);
	CHECK(lseek(fd, 10, SEEK_SET) == 10);
	CHECK(read(fd, buf, 1) == 1);
	CHECK(read(fd, buf, 4097) == 4097);
	CHECK(pread(fd, buf, 65536, 131072) == 65536);
	CHECK(pread(fd, buf, sizeof(buf), 199999) == 1);
	CHECK(read(fd, buf, sizeof(buf)) == (long)sizeof(buf) - 10 - 1 - 4097);
	CHECK(read(fd, buf, 100) == 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(readv(fd, iov, 3) == 70005);
	CHECK(preadv(fd, iov, 2, 3) == 5);
	CHECK(pwritev(fd, iov, 3, 100) == 70005);
	CHECK(ftruncate(fd, 3333) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 3333);
	CHECK(stat("missing", &st) < 0 && errno == ENOENT);
	CHECK(statx(AT_FDCWD, "one", 0, STATX_BASIC_STATS, &stx) == 0 && stx.stx_size == 3333);
	CHECK(fstatfs(fd, &fs) == 0);
	CHECK((fd2 = dup(fd)) == fd + 1);
	CHECK(fcntl(fd2, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd2, F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(fd, F_DUPFD, 100) == 100);
	CHECK(close(fd2) == 0 && close(fd2) < 0 && close(100) == 0);
	CHECK(symlink("one", "link") == 0 && readlink("link", buf, sizeof(buf)) == 3);
	CHECK(rename("one", "two") == 0 && mkdir("dir", 0700) == 0 && access("dir", R_OK) == 0);
	CHECK(fsync(fd) == 0 && close(fd) == 0);
	CHECK(read(-1, buf, 1) < 0 && errno == EBADF);
	CHECK(getcwd(buf, 4096) == buf);
	DIR *dir = opendir(".");
	int n = 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	CHECK(n == 5);
	CHECK(unlink("link") == 0 && unlink("two") == 0 && rmdir("dir") == 0);
}

static void channels(void)
{
	struct pollfd p = {.events = POLLIN};
	struct msghdr msg = {0};
	struct iovec iov[2] = {{buf, 10}, {buf + 50, 4000}};
	struct timeval no_time = {0};
	char control[CMSG_SPACE(sizeof(int))] = {0};
	socklen_t len = sizeof(int);
	int fds[2], value;
	fd_set set;

	CHECK(pipe2(fds, O_NONBLOCK) == 0);
	CHECK(read(fds[0], buf, 10) < 0 && errno == EAGAIN);
	CHECK(write(fds[1], buf, 6000) == 6000);
	p.fd = fds[0];
	CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	CHECK(select(fds[0] + 1, &set, NULL, NULL, &no_time) == 1);
	CHECK(read(fds[0], buf, 999) == 999 && read(fds[0], buf, 99999) == 5001);
	CHECK(poll(&p, 1, 0) == 0);
	close(fds[0]);
	CHECK(write(fds[1], buf, 1) < 0 && errno == EPIPE);
	close(fds[1]);

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	CHECK(send(fds[0], buf, 777, 0) == 777 && send(fds[0], buf, 0, 0) == 0 && send(fds[0], buf, 3000, 0) == 3000);
	CHECK(recv(fds[1], buf, 100, MSG_TRUNC) == 777); /* more than the buffer holds */
	CHECK(recv(fds[1], buf, 100, 0) == 0);
	msg.msg_iov = iov;
	msg.msg_iovlen = 2;
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	CHECK(recvmsg(fds[1], &msg, 0) == 3000);
	msg.msg_controllen = 0;
	CHECK(sendmsg(fds[0], &msg, 0) == 4010);
	struct mmsghdr many[2] = {{.msg_hdr = msg}, {.msg_hdr = msg}};
	CHECK(sendmmsg(fds[0], many, 2, 0) == 2);
	CHECK(recvmmsg(fds[1], many, 2, 0, NULL) == 2);
	CHECK(recv(fds[1], buf, 4010, MSG_DONTWAIT) == 4010);
	CHECK(recv(fds[1], buf, 10, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) == 0);
	CHECK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &value, &len) == 0 && value == SOCK_DGRAM);
	close(fds[0]);
	close(fds[1]);
}

static void the_rest(void)
{
	struct sigaction sa = {.sa_handler = on_signal}, old;
	struct utsname name;
	struct timespec ts = {0, 1000000};
	struct itimerval timer;
	sigset_t set;
	int status;
	char *p;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && sigaction(SIGUSR1, NULL, &old) == 0);
	CHECK(kill(getpid(), SIGUSR1) == 0 && hits == 1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGUSR1) == 0 && hits == 1);
	CHECK(sigpending(&set) == 0 && sigismember(&set, SIGUSR1));
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && hits == 2);
	p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && mprotect(p, 4096, PROT_READ) == 0 && madvise(p + 4096, 4096, MADV_DONTNEED) == 0);
	CHECK(munmap(p, 65536) == 0);
	CHECK(uname(&name) == 0 && getitimer(ITIMER_REAL, &timer) == 0);
	CHECK(nanosleep(&ts, NULL) == 0);
	CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == 0);
	CHECK(syscall(SYS_getrandom, buf, 333, 0) == 333);
	CHECK(syscall(9999) < 0 && errno == ENOSYS);
	pid_t pid = fork();
	if (!pid) {
		CHECK(write(STDOUT_FILENO, "child\n", 6) == 6);
		_exit(7);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	CHECK(waitpid(-1, &status, 0) < 0 && errno == ECHILD);
	CHECK(write(STDOUT_FILENO, "parent\n", 7) == 7);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2 || chdir(argv[1])) {
		perror("calls");
		return 2;
	}
	files();
	channels();
	the_rest();
	return 0;
}
