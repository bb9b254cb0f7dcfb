/* SPDX-License-Identifier: MIT
 * Makes a recording without events whose step database has many steps of a made-up program, and says what it took.
 *
 * Usage: stepdb DIR STEPS [values]: prints "seconds cpu_seconds steps calls values bytes peak_rss_kb". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "formats/recording.h"
#include "formats/stepdb.h"
#include "formats/stepdb_node.h"

/* A program of 200 functions in 20 files: each has straight lines, a loop whose length differs from call to call, a
 * branch, and calls of functions further down. */
#define FUNCTIONS 200
#define LINES     24

static struct ct_stepdb_writer *w;
static struct ct_node_builder node;
static ct_u32 function[FUNCTIONS], names[6], int_type, str_type, list_type, error_type;
static ct_u64 steps, limit, seq = 1, now = 1000000000, seed = 88172645463325252ull;
static bool with_values;

static ct_u64 chance(ct_u64 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static void number(enum ct_value_kind kind, ct_u32 name, ct_s64 v)
{
	ct_node_reset(&node);
	ct_node_int(&node, v, &(struct ct_node_info){.type = int_type});
	ct_stepdb_value(w, 1, kind, name, node.data, node.len);
}

static void text(ct_u32 name, ct_u64 v)
{
	char buf[32];

	ct_node_reset(&node);
	ct_node_text(&node, CT_NODE_STRING, buf,
		     (size_t)snprintf(buf, sizeof(buf), "key:%010llu", (unsigned long long)v),
		     &(struct ct_node_info){.type = str_type, .address = 0x7f0000000000 + v * 64});
	ct_stepdb_value(w, 1, CT_VALUE_LOCAL, name, node.data, node.len);
}

static void list(ct_u32 name, ct_u64 n)
{
	ct_node_reset(&node);
	ct_node_open(
		&node, CT_NODE_LIST,
		&(struct ct_node_info){.type = list_type, .address = 0x7f1234560000, .length = n, .truncated = n > 3});
	for (ct_u64 i = 0; i < n && i < 3; i++)
		ct_node_int(&node, (ct_s64)(n + i), &(struct ct_node_info){.type = int_type});
	ct_node_close(&node);
	ct_stepdb_value(w, 1, CT_VALUE_LOCAL, name, node.data, node.len);
}

static void line(unsigned f, ct_u32 n)
{
	steps++;
	if (chance(60) == 0) {
		now += 700 + chance(3000);
		ct_stepdb_event(w, 1, ++seq, now);
	}
	ct_stepdb_step(w, 1, 10 + f % 10 * 100 + n);
}

/* False: the exception goes on. */
static bool run(unsigned f, unsigned depth)
{
	ct_u64 turns = chance(2 + f % 17);

	if (!ct_stepdb_call(w, 1, function[f], false)) /* the writer has failed: it will say so at the commit */
		limit = 0;
	if (with_values)
		number(CT_VALUE_ARGUMENT, names[0], (ct_s64)chance(1000));
	for (ct_u32 n = 1; n < 6; n++)
		line(f, n);
	if (with_values)
		text(names[1], chance(10000));
	for (ct_u64 i = 0; i < turns && steps < limit; i++) {
		line(f, 6);
		if (with_values)
			number(CT_VALUE_LOCAL, names[2], (ct_s64)i);
		line(f, chance(4) ? 7 : 8);
		line(f, 9);
		if (with_values && chance(8) == 0)
			list(names[3], i);
		if (f + 1 < FUNCTIONS && depth < 30 && chance(3) == 0) {
			line(f, 10);
			if (!run(f + 1 + (unsigned)chance(FUNCTIONS - f - 1 < 12 ? FUNCTIONS - f - 1 : 12),
				 depth + 1) &&
			    chance(2) == 0) {
				ct_stepdb_unwind(w, 1, error_type, NULL, 0);
				return false;
			}
		}
	}
	line(f, 11);
	if (chance(20000) == 0) {
		ct_stepdb_unwind(w, 1, error_type, NULL, 0);
		return false;
	}
	if (with_values)
		number(CT_VALUE_LOCAL, names[4], (ct_s64)chance(100));
	line(f, 12);
	ct_node_reset(&node);
	ct_node_int(&node, (ct_s64)turns, &(struct ct_node_info){.type = int_type});
	ct_stepdb_return(w, 1, node.data, with_values ? node.len : 0);
	return true;
}

static void declare(void)
{
	static const char *const variables[6] = {"x", "key", "i", "items", "total", "config"};
	char name[64];

	for (unsigned f = 0; f < FUNCTIONS; f++) {
		size_t n = (size_t)snprintf(name, sizeof(name), "/srv/app/module_%02u.py", f / 10);
		ct_u32 file = ct_stepdb_file(w, name, n);

		n = (size_t)snprintf(name, sizeof(name), f ? "Service%u.work_%u" : "main", f / 10, f);
		function[f] = ct_stepdb_function(w, name, n, file, 10 + f % 10 * 100, "python");
	}
	for (unsigned i = 0; i < 6; i++)
		names[i] = ct_stepdb_string(w, variables[i], strlen(variables[i]));
	int_type = ct_stepdb_type(w, "int", 3);
	str_type = ct_stepdb_type(w, "str", 3);
	list_type = ct_stepdb_type(w, "list", 4);
	error_type = ct_stepdb_type(w, "ValueError", 10);
	ct_stepdb_thread(w, 4242, 4242, "worker", 1);
	ct_stepdb_event(w, 1, seq, now);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const ct_u8 uuid[16] = {1, 2, 3, 4, 5, 6, 0x77, 8, 0x99, 10, 11, 12, 13, 14, 15, 16};
	struct ct_stepdb_counts counts;
	struct ct_error err = {0};
	struct rusage usage;
	double wall, cpu;
	ct_u64 next;
	int fd;

	if (argc < 3) {
		fprintf(stderr, "usage: stepdb DIR STEPS [values]\n");
		return 2;
	}
	limit = strtoull(argv[2], NULL, 10);
	with_values = argc > 3;
	fd = ct_recording_create(argv[1], &err);
	if (fd < 0 ||
	    ct_manifest_write(fd,
			      json_pack("{s:i,s:s,s:s}", "format", 1, "uuid", "01020304-0506-7708-990a-0b0c0d0e0f10",
					"state", "complete"),
			      &err) < 0 ||
	    !(w = ct_stepdb_create(fd, argv[1], uuid, &err))) {
		fprintf(stderr, "stepdb: %s\n", err.msg);
		return 1;
	}
	declare();
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	ct_stepdb_call(w, 1, function[0], false);
	for (next = 20000000; steps < limit;) {
		line(0, 1);
		if (with_values && steps < 100)
			text(names[5], 1);
		run(1 + (unsigned)chance(40), 1);
		if (steps >= next && (next += 20000000) && ct_stepdb_commit(w, NULL, 0, false, &err) < 0)
			break;
	}
	ct_stepdb_return(w, 1, NULL, 0);
	if (ct_stepdb_commit(w, NULL, 0, true, &err) < 0) {
		fprintf(stderr, "stepdb: %s\n", err.msg);
		return 1;
	}
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	ct_stepdb_counts(w, &counts);
	getrusage(RUSAGE_SELF, &usage);
	printf("%.3f %.3f %llu %llu %llu %llu %ld\n", wall, cpu, (unsigned long long)counts.steps,
	       (unsigned long long)counts.calls, (unsigned long long)counts.values, (unsigned long long)counts.bytes,
	       usage.ru_maxrss);
	ct_stepdb_writer_close(w);
	ct_node_free(&node);
	close(fd);
	return 0;
}
