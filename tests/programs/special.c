/* SPDX-License-Identifier: MIT
 * A target with memory that others than its own code change: it sets one such thing up, says so and sleeps.
 *
 * usage: special io_uring|aio|userfaultfd
 *        special shared FILE        maps FILE shared and writable
 * Prints `ready`; status 77 and `not here: ...` if this machine does not let it. SIGTERM ends it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_up(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	static struct io_uring_params params;
	static aio_context_t context;
	static volatile char *shared;
	int fd;

	if (!strcmp(what, "io_uring"))
		return (int)syscall(SYS_io_uring_setup, 8, &params);
	if (!strcmp(what, "aio"))
		return (int)syscall(SYS_io_setup, 8, &context);
	if (!strcmp(what, "userfaultfd"))
		return (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (strcmp(what, "shared") || argc < 3) {
		errno = EINVAL;
		return -1;
	}
	fd = open(argv[2], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		return -1;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return -1;
	shared[0]++;
	return 0;
}

int main(int argc, char **argv)
{
	if (set_up(argc, argv) < 0) {
		printf("not here: %s\n", strerror(errno));
		return 77;
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		usleep(10000);
}
