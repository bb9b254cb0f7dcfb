/* SPDX-License-Identifier: MIT
 * ctbpf stack: the stacks of a live process, native frames and those of its interpreter in one. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "live.h"
#include "out.h"

static const char help[] =
	"usage: ctbpf stack -p PID [OPTION...]\n"
	"\n"
	"Show where each thread of a live process is: native frames, and in the place of each call of an "
	"interpreter's\n"
	"evaluation loop the frames of the program that it runs (CPython 3.8 to 3.14, Ruby 3.1 and 3.3). The process\n"
	"stands still for about a millisecond and is not changed; of other interpreters, native frames are shown.\n"
	"\n"
	"options:\n"
	"  -p, --pid PID    the process\n"
	"  -t, --thread TID only this thread\n"
	"  -l, --locals     variables of the interpreter's frames, too\n"
	"  -a, --all        frames of the interpreter's own code, too\n"
	"  --json           one JSON object, with all frames\n"
	"  -h, --help       this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf stack -p $(pgrep -of gunicorn)\n"
	"  sudo ctbpf stack -p 4242 --locals\n"
	"  sudo ctbpf stack -p 4242 --json | jq '.threads[].frames[0].function'\n"
	"\n"
	"exit codes: 0 success, 1 failed, 2 wrong usage, 3 there is no such process, or it may not be looked at,\n"
	"77 a privilege is missing\n";

struct stack {
	struct ct_out out;
	pid_t pid, tid;
	bool all, json;
	struct live_options options;
};

static const char *const kinds[] = {[LIVE_NATIVE] = "native", [LIVE_PYTHON] = "python", [LIVE_RUBY] = "ruby"};

static const char *base(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

/* ---- Text ---- */

static void print_place(struct ct_out *out, const struct live_frame *f)
{
	if (f->kind != LIVE_NATIVE) {
		ct_out_fmt(out, "%s  %s:%u", f->function ? f->function : "?", f->file ? f->file : "?", f->line);
		return;
	}
	if (f->function)
		ct_out_fmt(out, "%s+0x%lx", f->function, f->offset);
	else
		ct_out_fmt(out, "0x%lx", f->address);
	if (f->file)
		ct_out_fmt(out, "  %s:%u", f->file, f->line);
	if (f->module)
		ct_out_fmt(out, "  (%s)", base(f->module));
}

static void print_thread(const struct stack *s, struct ct_out *out, const struct live_thread *t)
{
	unsigned number = 0;

	ct_out_fmt(out, "\nthread %d (%s), %s\n", (int)t->tid, t->name, live_state(t->state));
	for (size_t i = 0; i < t->n; i++) {
		const struct live_frame *f = &t->frame[i];

		if (f->internal && !s->all)
			continue;
		ct_out_fmt(out, "  #%-3u ", number++);
		print_place(out, f);
		ct_out_char(out, '\n');
		for (size_t k = 0; k < f->nlocals; k++)
			ct_out_fmt(out, "         %s = %s\n", f->local[k].name,
				   f->local[k].value ? f->local[k].value : "<cannot be read>");
	}
	if (*t->note)
		ct_out_fmt(out, "  (%s)\n", t->note);
}

static void print_text(const struct stack *s, struct ct_out *out, const struct live *l, const struct live_stacks *st)
{
	const struct live_runtime *rt;
	const size_t n = live_runtimes(l, &rt);
	char human[CT_HUMAN];

	ct_out_fmt(out, "process %d", (int)s->pid);
	for (size_t i = 0; i < n; i++)
		ct_out_fmt(out, ", %s (%s)", rt[i].name, rt[i].file);
	ct_out_fmt(out, "; it stood still for %s\n", ct_human_seconds(human, (double)st->stopped_ns / 1e9));
	for (size_t i = 0; i < n; i++)
		if (*rt[i].trouble)
			ct_out_fmt(out, "native frames only: %s\n", rt[i].trouble);
	for (size_t i = 0; i < st->n; i++)
		if (!s->tid || s->tid == st->thread[i].tid)
			print_thread(s, out, &st->thread[i]);
}

/* ---- JSON ---- */

static void json_frame(struct ct_out *out, const struct live_frame *f, bool locals)
{
	ct_json_open(out, NULL, '{');
	ct_json_str(out, "kind", kinds[f->kind]);
	ct_json_str(out, "function", f->function);
	ct_json_str(out, "file", f->file);
	if (f->line)
		ct_json_u64(out, "line", f->line);
	else
		ct_json_null(out, "line");
	if (f->kind == LIVE_NATIVE) {
		ct_json_str(out, "module", f->module);
		ct_json_hex(out, "address", f->address);
		ct_json_u64(out, "offset", f->offset);
		ct_json_bool(out, "internal", f->internal);
	} else if (locals) {
		ct_json_open(out, "locals", '[');
		for (size_t k = 0; k < f->nlocals; k++) {
			ct_json_open(out, NULL, '{');
			ct_json_str(out, "name", f->local[k].name);
			ct_json_str(out, "value", f->local[k].value);
			ct_json_close(out, '}');
		}
		ct_json_close(out, ']');
	}
	ct_json_close(out, '}');
}

static void print_json(const struct stack *s, struct ct_out *out, const struct live *l, const struct live_stacks *st)
{
	const struct live_runtime *rt;
	const size_t n = live_runtimes(l, &rt);
	char state[2] = {0};

	ct_json_open(out, NULL, '{');
	ct_json_s64(out, "pid", s->pid);
	ct_json_u64(out, "stopped_ns", st->stopped_ns);
	ct_json_open(out, "runtimes", '[');
	for (size_t i = 0; i < n; i++) {
		ct_json_open(out, NULL, '{');
		ct_json_str(out, "name", rt[i].name);
		ct_json_str(out, "file", rt[i].file);
		ct_json_str(out, "trouble", *rt[i].trouble ? rt[i].trouble : NULL);
		ct_json_close(out, '}');
	}
	ct_json_close(out, ']');
	ct_json_open(out, "threads", '[');
	for (size_t i = 0; i < st->n; i++) {
		const struct live_thread *t = &st->thread[i];

		if (s->tid && s->tid != t->tid)
			continue;
		state[0] = t->state;
		ct_json_open(out, NULL, '{');
		ct_json_s64(out, "tid", t->tid);
		ct_json_str(out, "name", t->name);
		ct_json_str(out, "state", state);
		ct_json_str(out, "note", *t->note ? t->note : NULL);
		ct_json_open(out, "frames", '[');
		for (size_t k = 0; k < t->n; k++)
			json_frame(out, &t->frame[k], s->options.locals);
		ct_json_close(out, ']');
		ct_json_close(out, '}');
	}
	ct_json_close(out, ']');
	ct_json_close(out, '}');
	ct_json_line(out);
}

/* ---- The command ---- */

static bool has_thread(const struct live_stacks *st, pid_t tid)
{
	for (size_t i = 0; i < st->n; i++)
		if (st->thread[i].tid == tid)
			return true;
	return false;
}

static int run(struct stack *s, struct ct_error *err)
{
	struct live *l = live_open(s->pid, &s->options, err);
	struct live_stacks stacks;
	int ret;

	if (!l)
		return -1;
	ret = live_look(l, &stacks, err);
	if (!ret && s->tid && !has_thread(&stacks, s->tid))
		ret = ct_fail(err, CT_EXIT_USAGE, "process %d has no thread %d", (int)s->pid, (int)s->tid);
	if (!ret && s->json)
		print_json(s, &s->out, l, &stacks);
	else if (!ret)
		print_text(s, &s->out, l, &stacks);
	live_stacks_deinit(&stacks);
	live_close(l);
	return ret;
}

int cmd_stack(int argc, char **argv)
{
	static const struct option options[] = {{"pid", required_argument, NULL, 'p'},
						{"thread", required_argument, NULL, 't'},
						{"locals", no_argument, NULL, 'l'},
						{"all", no_argument, NULL, 'a'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct ct_error err = {0};
	struct stack s = {0};
	unsigned long long id;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "p:t:lah", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
		case 't':
			if (ct_parse_u64(optarg, 1, INT_MAX, &id))
				return ct_cmd_usage(argv, "'%s' is not a PID", optarg);
			*(opt == 'p' ? &s.pid : &s.tid) = (pid_t)id;
			break;
		case 'l': s.options.locals = true; break;
		case 'a': s.all = true; break;
		case 'j': s.json = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind != argc)
		return ct_cmd_usage(argv, "'%s' is too much; name a process with -p PID", argv[optind]);
	if (!s.pid)
		return ct_cmd_usage(argv, "of which process? -p PID");
	ct_cmd_open(&s.out);
	ret = run(&s, &err) ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
	return ct_cmd_close(argv, &s.out, ret);
}
