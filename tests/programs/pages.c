/* SPDX-License-Identifier: MIT
 * Does to its memory, of which it has much, all that moves, drops, shares or protects pages, and checks the content.
 *
 * usage: pages MEGABYTES [SECONDS]
 * Prints a line `round N` every 10 ms or so; ends at SIGTERM or after so many seconds, with status 0 if nothing was
 * wrong. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE  4096ul
#define AREA  (1ul << 20)
#define MOVED (AREA / 4)

static volatile sig_atomic_t over;
static uint64_t *model; /* what each page of `big` must begin with */
static char *big;
static size_t pages;

static void on_term(int sig)
{
	(void)sig;
	over = 1;
}

static void must(int good, const char *what)
{
	if (good)
		return;
	printf("WRONG: %s\n", what);
	fflush(stdout);
	_exit(1);
}

static char *map(size_t len, int flags)
{
	char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	must(at != MAP_FAILED, "mmap");
	return at;
}

static void put(size_t page, uint64_t value)
{
	*(uint64_t *)(big + page * PAGE) = model[page] = value;
}

static void write_some(unsigned round)
{
	for (size_t i = 0; i < 8; i++)
		put((round * 7919 + i * 131) % pages, (uint64_t)round << 32 | i);
}

/* A page is given back: it is zero then. */
static void drop(unsigned round)
{
	size_t page = round * 31 % pages;

	must(!madvise(big + page * PAGE, PAGE, MADV_DONTNEED), "madvise");
	model[page] = 0;
}

/* An area changes places with another, and grows on the way; what was there before is gone. */
static void move(unsigned round)
{
	static char *area[2];
	static unsigned stamp[2];
	int i = round & 1;

	if (area[i]) {
		char *to = map(2 * MOVED, 0);

		must(*(unsigned *)(area[i] + 5 * PAGE) == stamp[i], "moved page");
		must(mremap(area[i], MOVED, 2 * MOVED, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap");
		must(*(unsigned *)(to + 5 * PAGE) == stamp[i], "page after mremap");
		must(!munmap(to, 2 * MOVED), "munmap");
	}
	area[i] = map(MOVED, 0);
	memset(area[i], (int)round, MOVED);
	*(unsigned *)(area[i] + 5 * PAGE) = stamp[i] = round;
}

/* Within the large area, so that what was registered moves to where something registered was. */
static void move_inside(unsigned round)
{
	size_t half = pages / 2, from = half + round % 64, to = round % 64;
	char *src = big + from * PAGE, *dst = big + to * PAGE;

	must(mremap(src, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, dst) == dst, "mremap of a page");
	model[to] = model[from];
	must(mmap(src, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == src,
	     "mmap back");
	model[from] = 0;
}

static void protect(unsigned round)
{
	size_t page = round * 57 % pages;

	put(page, round);
	must(!mprotect(big + page * PAGE, PAGE, PROT_READ), "mprotect");
	must(*(uint64_t *)(big + page * PAGE) == round, "read-only page");
	must(!mprotect(big + page * PAGE, PAGE, PROT_READ | PROT_WRITE), "mprotect back");
	put(page, round + 1);
}

static void merge(unsigned round)
{
	static char *same;

	if (!same) {
		same = map(AREA, 0);
		memset(same, 'x', AREA);
		madvise(same, AREA, MADV_MERGEABLE); /* not everywhere there */
	}
	same[round % 256 * PAGE + 9] = (char)round;
	must(same[(round + 100) % 256 * PAGE + 10] == 'x', "merged page");
}

static void child(unsigned round)
{
	size_t page = round % pages;
	int status = 0;
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (!pid) {
		must(*(uint64_t *)(big + page * PAGE) == model[page], "the child's page");
		put(page, 1);
		_exit(0);
	}
	put((page + 1) % pages, round);
	must(waitpid(pid, &status, 0) == pid && !status, "child");
}

static void file(unsigned round)
{
	static char *copy;
	static int fd;

	if (!copy) {
		fd = memfd_create("pages", 0);
		must(fd >= 0 && !ftruncate(fd, AREA), "memfd");
		copy = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		must(copy != MAP_FAILED, "mmap of a file");
	}
	copy[round % 256 * PAGE] = (char)(round | 1);
	must(copy[round % 256 * PAGE] == (char)(round | 1), "private page of a file");
}

/* The kernel writes. */
static void read_in(unsigned round)
{
	size_t page = round * 11 % pages;
	uint64_t value = 0;
	int fd = open("/dev/urandom", O_RDONLY);

	must(fd >= 0 && read(fd, big + page * PAGE, 8) == 8, "read");
	memcpy(&value, big + page * PAGE, 8);
	model[page] = value;
	close(fd);
}

static void heap(unsigned round)
{
	static char *kept[64];
	char **at = &kept[round % 64];

	free(*at);
	*at = malloc(20000 + round % 50 * 4000);
	must(*at != NULL, "malloc");
	memset(*at, (int)round, 20000);
}

static void huge(unsigned round)
{
	static char *area;

	if (!area) {
		area = map(4 * AREA, 0);
		area = (char *)(((uintptr_t)area + 2 * AREA - 1) & ~(2 * AREA - 1));
		madvise(area, 2 * AREA, MADV_HUGEPAGE);
	}
	area[round * 37 % 512 * PAGE] = (char)round;
}

static void inherit(unsigned round)
{
	static char *wiped;

	if (!wiped) {
		wiped = map(AREA, 0);
		must(!madvise(wiped, AREA, MADV_WIPEONFORK), "madvise for forks");
	}
	wiped[round % 256 * PAGE] = (char)round;
}

int main(int argc, char **argv)
{
	static void (*const does[])(unsigned) = {write_some, drop,    move, move_inside, protect, merge,
						 child,      read_in, file, heap,        huge,    inherit};
	time_t end = argc > 2 ? time(NULL) + atoi(argv[2]) : 0;
	unsigned round;

	pages = argc > 1 ? strtoul(argv[1], NULL, 10) * AREA / PAGE : 0;
	must(pages >= 1024, "usage: pages MEGABYTES [SECONDS]");
	signal(SIGTERM, on_term);
	big = map(pages * PAGE, 0);
	must(!madvise(big, pages * PAGE, MADV_NOHUGEPAGE) || 1, "madvise");
	model = calloc(pages, sizeof(*model));
	must(model != NULL, "calloc");
	for (size_t i = 0; i < pages; i++) {
		memset(big + i * PAGE, (int)i | 1, PAGE);
		put(i, i * 0x9e3779b97f4a7c15u);
	}
	for (round = 1; !over && (!end || time(NULL) < end); round++) {
		for (size_t i = 0; i < sizeof(does) / sizeof(*does); i++)
			does[i](round);
		for (size_t i = 0; i < pages; i += 17)
			must(*(uint64_t *)(big + (i + round) % pages * PAGE) == model[(i + round) % pages],
			     "a page of the large area");
		printf("round %u\n", round);
		fflush(stdout);
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	return 0;
}
