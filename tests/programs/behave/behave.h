// SPDX-License-Identifier: MIT
/* What the programs that show one behaviour each share. Everything the kernel gives them goes into one hash, which they
 * print at their end: a replay in which one byte differs passes other data to write(). They work in an empty directory.
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t hash_so_far = 14695981039346656037u;

static inline void mix(const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash_so_far = (hash_so_far ^ ((const unsigned char *)data)[i]) * 1099511628211u;
}

static inline long mix_number(long n)
{
	mix(&n, sizeof(n));
	return n;
}

static inline void mix_text(const char *text)
{
	mix(text, strlen(text) + 1);
}

static inline long must(long ret, const char *what, int line)
{
	if (ret < 0) {
		fprintf(stderr, "%s: line %d: %s: %s\n", program_invocation_short_name, line, what, strerror(errno));
		_exit(1);
	}
	return mix_number(ret);
}

static inline void must_be(int good, const char *what, int line)
{
	if (!good) {
		fprintf(stderr, "%s: line %d: not so: %s\n", program_invocation_short_name, line, what);
		_exit(1);
	}
}

/* An address with nothing at it, which compilers do not see through. */
static inline void *nowhere(void)
{
	void *p = (void *)16;

	__asm__("" : "+r"(p));
	return p;
}

static inline int end(void)
{
	char line[100];
	int len =
		snprintf(line, sizeof(line), "%s %016lx\n", program_invocation_short_name, (unsigned long)hash_so_far);

	fflush(stdout);
	return write(STDOUT_FILENO, line, len) != len;
}

/* A call that must succeed; its result. */
#define OK(call)     must((long)(call), #call, __LINE__)
/* A call of either outcome; both are part of the hash. */
#define TRY(call)    (errno = 0, mix_number((long)(call)), mix_number(errno))
#define MUST_BE(x)   must_be(!!(x), #x, __LINE__)
/* Before a call fills an object, and after: a byte that the replay does not restore shows. */
#define FILL(object) memset(&(object), 0x5a, sizeof(object))
#define GOT(object)  mix(&(object), sizeof(object))
