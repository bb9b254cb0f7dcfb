/* SPDX-License-Identifier: MIT
 * ctbpf top: which functions a live process spends its time in, by looking at its stacks again and again. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "live.h"
#include "out.h"

static const char help[] =
	"usage: ctbpf top -p PID [OPTION...]\n"
	"\n"
	"Look at the running threads of a live process 50 times a second and show its functions by their share of\n"
	"these looks: SELF is how often a function ran itself, TOTAL how often it, or something that it called. "
	"Functions\n"
	"of the interpreter's program (CPython 3.8 to 3.14, Ruby 3.1 and 3.3) and native ones are told apart by their\n"
	"place. Only threads that run are stopped, each time for some 0.1 ms; who waits costs nothing and does not "
	"count.\n"
	"\n"
	"options:\n"
	"  -p, --pid PID     the process\n"
	"  -d, --delay SECS  seconds that each table is about (2)\n"
	"  -n, --count COUNT so many tables (on a terminal: until Ctrl-C; else 1)\n"
	"  -r, --rows N      functions in a table (20; 0: all)\n"
	"  --total           order by TOTAL\n"
	"  -a, --all         functions of the interpreter's own code, too\n"
	"  -h, --help        this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf top -p $(pgrep -of gunicorn)\n"
	"  sudo ctbpf top -p 4242 -d 10 --total >where.txt\n"
	"\n"
	"exit codes: 0 success, 1 failed, 2 wrong usage, 3 there is no such process, or it may not be looked at,\n"
	"77 a privilege is missing\n";

#define RATE 50 /* looks a second */

struct function {
	char *name, *place;
	unsigned self, total;
	unsigned seen; /* the stack it was counted for last */
};

struct top {
	struct ct_out out;
	pid_t pid;
	double delay;
	unsigned long long count, rows;
	bool by_total, all, terminal;
	struct function *list; /* by hash; names NULL: free */
	size_t n, room;
	unsigned stacks, looks, met; /* met: looks at which something ran */
	ct_u64 stopped_ns, worst_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ---- Counting ---- */

static ct_u64 hash(const char *a, const char *b)
{
	ct_u64 h = 14695981039346656037ull;

	for (int i = 0; i < 2; i++)
		for (const char *p = i ? b : a; *p; p++)
			h = (h ^ (unsigned char)*p) * 1099511628211ull;
	return h;
}

static struct function *slot(const struct top *t, const char *name, const char *place)
{
	size_t i = hash(name, place) & (t->room - 1);

	while (t->list[i].name && (strcmp(t->list[i].name, name) || strcmp(t->list[i].place, place)))
		i = (i + 1) & (t->room - 1);
	return &t->list[i];
}

static struct function *find(struct top *t, const char *name, const char *place)
{
	struct function *f;

	if (t->n * 2 >= t->room) {
		const struct top old = *t;

		t->room = old.room ? old.room * 2 : 1024;
		t->list = calloc(t->room, sizeof(*t->list));
		if (!t->list) {
			*t = old;
			return NULL;
		}
		for (size_t i = 0; i < old.room; i++)
			if (old.list[i].name)
				*slot(t, old.list[i].name, old.list[i].place) = old.list[i];
		free(old.list);
	}
	f = slot(t, name, place);
	if (f->name)
		return f;
	f->place = strdup(place);
	f->name = f->place ? strdup(name) : NULL;
	if (!f->name) {
		free(f->place);
		f->place = NULL;
		return NULL;
	}
	t->n++;
	return f;
}

static void forget(struct top *t)
{
	for (size_t i = 0; i < t->room; i++) {
		free(t->list[i].name);
		free(t->list[i].place);
	}
	free(t->list);
	t->list = NULL;
	t->n = t->room = 0;
	t->stacks = t->looks = t->met = 0;
	t->stopped_ns = t->worst_ns = 0;
}

static int add_stack(struct top *t, const struct live_thread *thread, struct ct_error *err)
{
	bool inner = true;

	t->stacks++;
	for (size_t i = 0; i < thread->n; i++) {
		const struct live_frame *f = &thread->frame[i];
		struct function *fn;
		char name[300];

		if (f->internal && !t->all)
			continue;
		if (!f->function && !inner) /* that something without a name called it says nothing */
			continue;
		snprintf(name, sizeof(name), f->function ? "%s" : "(no name)", f->function);
		fn = find(t, name, f->kind == LIVE_NATIVE ? (f->module ? f->module : "?") : f->file ? f->file : "?");
		if (!fn)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		fn->self += inner;
		inner = false;
		fn->total += fn->seen != t->stacks;
		fn->seen = t->stacks;
	}
	return 0;
}

/* ---- Printing ---- */

static bool by_total;
static int by_share(const void *a, const void *b)
{
	const struct function *x = *(struct function *const *)a, *y = *(struct function *const *)b;
	const unsigned first[2] = {by_total ? x->total : x->self, by_total ? y->total : y->self};
	const unsigned second[2] = {by_total ? x->self : x->total, by_total ? y->self : y->total};

	if (first[0] != first[1])
		return first[0] < first[1] ? 1 : -1;
	if (second[0] != second[1])
		return second[0] < second[1] ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void print_head(struct top *t, double seconds)
{
	char a[CT_HUMAN], b[CT_HUMAN];

	if (t->terminal)
		ct_out_str(&t->out, "\033[H\033[2J");
	ct_out_fmt(&t->out, "process %d: %u looks in %.1f s met %u running threads; ", (int)t->pid, t->looks, seconds,
		   t->stacks);
	if (t->met)
		ct_out_fmt(&t->out, "each stopped them for %s (at most %s)\n",
			   ct_human_seconds(a, (double)t->stopped_ns / 1e9 / t->met),
			   ct_human_seconds(b, (double)t->worst_ns / 1e9));
	else
		ct_out_str(&t->out, "none was stopped\n");
}

static int print_table(struct top *t, double seconds, struct ct_error *err)
{
	struct function **sorted = calloc(t->n + 1, sizeof(*sorted));
	struct ct_table table;
	char text[32];
	size_t n = 0;

	if (!sorted)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < t->room; i++)
		if (t->list[i].name)
			sorted[n++] = &t->list[i];
	by_total = t->by_total;
	qsort(sorted, n, sizeof(*sorted), by_share);
	print_head(t, seconds);
	ct_table_init(&table, 4, 3);
	ct_table_cell(&table, "SELF");
	ct_table_cell(&table, "TOTAL");
	ct_table_cell(&table, "FUNCTION");
	ct_table_cell(&table, "IN");
	for (size_t i = 0; i < n && (!t->rows || i < t->rows); i++) {
		snprintf(text, sizeof(text), "%.1f%%", 100.0 * sorted[i]->self / t->stacks);
		ct_table_cell(&table, text);
		snprintf(text, sizeof(text), "%.1f%%", 100.0 * sorted[i]->total / t->stacks);
		ct_table_cell(&table, text);
		ct_table_cell(&table, sorted[i]->name);
		ct_table_cell(&table, sorted[i]->place);
	}
	if (n)
		ct_table_print(&table, &t->out, "");
	else
		ct_out_str(
			&t->out,
			"nothing ran: all threads waited whenever they were looked at (`ctbpf stack` shows where)\n");
	ct_table_deinit(&table);
	free(sorted);
	ct_out_flush(&t->out);
	return 0;
}

/* ---- The command ---- */

static ct_u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ct_u64)t.tv_sec * 1000000000 + (ct_u64)t.tv_nsec;
}

static int one_table(struct top *t, struct live *l, struct ct_error *err)
{
	const ct_u64 begin = now_ns(), end = begin + (ct_u64)(t->delay * 1e9);
	struct live_stacks stacks;
	int ret = 0;

	while (!ret && !interrupted && now_ns() < end) {
		const ct_u64 start = now_ns();
		struct timespec until;
		ct_u64 took, next;

		ret = live_look(l, &stacks, err);
		if (!ret) {
			t->looks++;
			t->met += stacks.n > 0;
			t->stopped_ns += stacks.n ? stacks.stopped_ns : 0;
			if (stacks.n && stacks.stopped_ns > t->worst_ns)
				t->worst_ns = stacks.stopped_ns;
			for (size_t i = 0; !ret && i < stacks.n; i++)
				if (stacks.thread[i].n)
					ret = add_stack(t, &stacks.thread[i], err);
		}
		live_stacks_deinit(&stacks);
		/* If it takes long, at most half of the time is spent on looking. */
		took = now_ns() - start;
		next = start + (2 * took > 1000000000 / RATE ? 2 * took : 1000000000 / RATE);
		next = next < end ? next : end;
		until = (struct timespec){(time_t)(next / 1000000000), (long)(next % 1000000000)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	/* A process that ends has been looked at until then. */
	if (ret && !t->looks)
		return -1;
	if (print_table(t, (double)(now_ns() - begin) / 1e9, ret ? &(struct ct_error){0} : err))
		return -1;
	if (ret)
		ct_out_fmt(&t->out, "%s\n", err->msg);
	return ret ? 1 : 0;
}

static int run(struct top *t, struct ct_error *err)
{
	const struct live_options options = {.running_only = true};
	struct live *l = live_open(t->pid, &options, err);
	const struct live_runtime *rt;
	int ret = l ? 0 : -1;

	for (size_t i = 0; l && i < live_runtimes(l, &rt); i++)
		if (*rt[i].trouble)
			fprintf(stderr, "ctbpf top: native functions only: %s\n", rt[i].trouble);
	for (unsigned long long i = 0; !ret && !interrupted && (!t->count || i < t->count); i++) {
		forget(t);
		ret = one_table(t, l, err);
	}
	forget(t);
	live_close(l);
	return ret < 0 ? -1 : 0;
}

static int parse(struct top *t, int argc, char **argv)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},   {"delay", required_argument, NULL, 'd'},
		{"count", required_argument, NULL, 'n'}, {"rows", required_argument, NULL, 'r'},
		{"total", no_argument, NULL, 'T'},       {"all", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},        {0}};
	unsigned long long value;
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "p:d:n:r:ah", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if (ct_parse_u64(optarg, 1, INT_MAX, &value))
				return ct_cmd_usage(argv, "'%s' is not a PID", optarg);
			t->pid = (pid_t)value;
			break;
		case 'd':
			t->delay = strtod(optarg, &end);
			if (end == optarg || *end || !(t->delay >= 0.02 && t->delay <= 1e6))
				return ct_cmd_usage(argv, "'%s' is no number of seconds (0.02 at least)", optarg);
			break;
		case 'n':
			if (ct_parse_u64(optarg, 1, UINT_MAX, &t->count))
				return ct_cmd_usage(argv, "'%s' is no number of tables", optarg);
			break;
		case 'r':
			if (ct_parse_u64(optarg, 0, UINT_MAX, &t->rows))
				return ct_cmd_usage(argv, "'%s' is no number of rows", optarg);
			break;
		case 'T': t->by_total = true; break;
		case 'a': t->all = true; break;
		case 'h': return ct_cmd_help(help), -1;
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind != argc)
		return ct_cmd_usage(argv, "'%s' is too much; name a process with -p PID", argv[optind]);
	return t->pid ? 0 : ct_cmd_usage(argv, "of which process? -p PID");
}

int cmd_top(int argc, char **argv)
{
	struct top t = {.delay = 2, .rows = 20};
	const struct sigaction act = {.sa_handler = on_signal};
	struct ct_error err = {0};
	int ret = parse(&t, argc, argv);

	if (ret)
		return ret < 0 ? CT_EXIT_OK : ret;
	t.terminal = ct_is_terminal(STDOUT_FILENO);
	if (!t.terminal && !t.count)
		t.count = 1;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	ct_cmd_open(&t.out);
	ret = run(&t, &err) ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
	return ct_cmd_close(argv, &t.out, ret);
}
