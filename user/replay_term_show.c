// SPDX-License-Identifier: MIT
/* What is there to see at a moment: the place, source or instructions, the stack, values, events around. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/syscalls.h"
#include "replay/disasm.h"
#include "replay/tracee.h"
#include "user/cmd.h"
#include "user/dump.h"
#include "user/replay_term.h"

#define AROUND      5 /* lines listed before the present one */
#define LISTED      10
#define MOST_BYTES  4096
#define MOST_TEXT   4096
#define MOST_SOURCE (16u << 20)

static struct ct_session *session(const struct term *t)
{
	return ct_timeline_session(t->tl);
}

const struct ct_dwarf_frame *term_the_frame(struct term *t)
{
	struct ct_error ignored;

	if (!t->stack.n && ct_symbols_unwind(t->sy, t->tid, TERM_FRAMES, &t->stack, &ignored))
		t->stack.n = 0;
	return t->at < t->stack.n ? &t->stack.frame[t->at] : NULL;
}

void term_forget_stack(struct term *t)
{
	ct_dwarf_stack_free(&t->stack);
	t->stack = (struct ct_dwarf_stack){0};
	t->at = 0;
}

struct ct_dwarf_place term_scope(struct term *t)
{
	term_the_frame(t);
	return (struct ct_dwarf_place){ct_symbols_dwarf(t->sy), ct_symbols_memory(t->sy), &t->stack, t->at};
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

/* ---- source ----------------------------------------------------------------------------------------------------- */

static void load_source(struct term *t, const char *path)
{
	struct stat st;
	size_t len;

	if (t->path && !strcmp(t->path, path))
		return;
	free(t->path);
	free(t->text);
	t->path = strdup(path);
	t->text = NULL;
	if (stat(path, &st) || !S_ISREG(st.st_mode) || st.st_size > MOST_SOURCE ||
	    !(t->text = ct_read_file(path, &len)))
		return;
	if ((ct_u64)st.st_mtim.tv_sec * 1000000000 > ct_recording_begun_ns(ct_timeline_recording(t->tl)) &&
	    !t->warned) {
		ct_out_fmt(&t->out, "(%s is newer than the recording: its lines may be others now)\n", path);
		t->warned = true;
	}
}

/* False: there is no such line, or no such file here. */
static bool put_line(struct term *t, const char *path, int line, bool here)
{
	const char *at;

	load_source(t, path);
	at = line > 0 ? t->text : NULL;
	for (int i = 1; at && i < line; i++)
		if ((at = strchr(at, '\n')))
			at++;
	if (!at || !*at)
		return false;
	ct_out_fmt(&t->out, "%s%5d  %.*s\n", here ? "->" : "  ", line, (int)strcspn(at, "\r\n"), at);
	return true;
}

static bool put_instruction(struct term *t, ct_u64 *at, bool here)
{
	unsigned char code[15];
	size_t len = sizeof(code);
	struct ct_disasm insn;
	struct ct_place place;

	while (len && ct_session_read(session(t), ct_timeline_pid(t->tl), *at, code, len, NULL))
		len--;
	if (!len || !ct_disassemble(code, len, *at, &insn))
		return false;
	ct_symbols_place(t->sy, *at, &place);
	ct_out_fmt(&t->out, "%s %#llx", here ? "->" : "  ", (unsigned long long)*at);
	if (place.function)
		ct_out_fmt(&t->out, " <%s+%llu>", place.function, (unsigned long long)(*at - place.begin));
	ct_out_fmt(&t->out, "  %s\n", insn.text);
	*at += insn.len;
	return true;
}

static void put_place(struct term *t, const struct ct_dwarf_frame *f)
{
	const char *module = ct_dwarf_module_at(ct_symbols_dwarf(t->sy), f->lookup);

	if (f->name)
		ct_out_fmt(&t->out, "%s%s", f->name, f->inlined ? " (inlined)" : "");
	else
		ct_out_fmt(&t->out, "%#llx", (unsigned long long)f->pc);
	if (f->has_line)
		ct_out_fmt(&t->out, " at %s:%u", base_name(f->line.file), f->line.line);
	else if (module)
		ct_out_fmt(&t->out, " in %s", base_name(module));
	if (f->signal)
		ct_out_str(&t->out, ", called by a signal");
}

void term_tell_place(struct term *t, bool brief)
{
	const struct ct_dwarf_frame *f = term_the_frame(t);
	const struct ct_event *ev;
	struct ct_place place;
	ct_u64 at;

	if (!f) {
		ct_out_str(&t->out, "no thread of the process is left\n");
		return;
	}
	ct_symbols_place(t->sy, f->lookup, &place);
	if (!brief || !place.begin || place.begin != t->shown) {
		put_place(t, f);
		ct_out_fmt(&t->out, ", thread %u", t->tid);
		if (ct_session_next(session(t), &ev, NULL) > 0)
			ct_out_fmt(&t->out, ", before e:%llu", (unsigned long long)ev->seq);
		ct_out_char(&t->out, '\n');
	}
	t->shown = place.begin;
	at = f->pc;
	if (!place.line || !put_line(t, place.file, place.line, true))
		put_instruction(t, &at, true);
}

static void tell_watch(struct term *t, const struct ct_stopped *st, bool back)
{
	const struct term_point *p = term_point_at(t, st);
	ct_u64 value = 0;

	if (!p)
		return;
	ct_out_fmt(&t->out, "watchpoint %d: %s is ", p->number, p->text);
	if (ct_session_read(session(t), ct_timeline_pid(t->tl), p->addr[0], &value, p->len, NULL))
		ct_out_str(&t->out, "not there");
	else
		ct_out_fmt(&t->out, "%#llx", (unsigned long long)value);
	ct_out_str(&t->out, back ? ", and is written next\n" : " now\n");
}

void term_tell(struct term *t, const struct ct_stopped *st, bool back)
{
	const struct term_point *p;
	char label[CT_HUMAN];

	switch (st->why) {
	case CT_ARRIVED_BEGIN: ct_out_str(&t->out, "the recording begins here\n"); break;
	case CT_ARRIVED_END: ct_out_str(&t->out, "the recording, or the process, ends here\n"); break;
	case CT_ARRIVED_STEP: break;
	case CT_ARRIVED_BREAK:
		p = term_point_at(t, st);
		if (p)
			ct_out_fmt(&t->out, "breakpoint %d: ", p->number);
		break;
	case CT_ARRIVED_WATCH: tell_watch(t, st, back); break;
	case CT_ARRIVED_SIGNAL: ct_out_fmt(&t->out, "%s comes next\n", ct_signal_label(label, st->number)); break;
	case CT_ARRIVED_SYSCALL:
		ct_out_fmt(&t->out, "system call %s has returned\n", ct_syscall_label(label, st->number));
		break;
	case CT_ARRIVED_EXEC: ct_out_str(&t->out, "the process has become another program\n"); break;
	case CT_ARRIVED_INTERRUPT: ct_out_str(&t->out, "interrupted\n"); break;
	}
	term_tell_place(t, false);
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static int need_frame(struct term *t, const struct ct_dwarf_frame **f, struct ct_error *err)
{
	*f = term_the_frame(t);
	return *f ? 0 : ct_fail(err, CT_EXIT_FAILED, "no thread of the process is left");
}

int term_print(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_place scope = term_scope(t);
	struct ct_dwarf_value value;
	char text[MOST_TEXT];

	if (ct_dwarf_eval(&scope, args, &value, err))
		return -1;
	ct_dwarf_text(&scope, &value, text, sizeof(text));
	ct_out_fmt(&t->out, "%s = %s\n", args, text);
	return 0;
}

static void put_local(void *ctx, const char *name, const struct ct_dwarf_value *value)
{
	struct term *t = ctx;
	const struct ct_dwarf_place scope = term_scope(t);
	char text[MOST_TEXT];

	ct_dwarf_text(&scope, value, text, sizeof(text));
	ct_out_fmt(&t->out, "%s = %s\n", name, text);
}

int term_locals(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_place scope = term_scope(t);
	const struct ct_dwarf_frame *f;

	(void)args;
	if (need_frame(t, &f, err))
		return -1;
	if (!f->has_scope)
		return ct_fail(err, CT_EXIT_FAILED, "there is no debug information for this place");
	return ct_dwarf_variables(&scope, CT_DWARF_ARGS, put_local, t, err) ||
			       ct_dwarf_variables(&scope, CT_DWARF_LOCALS, put_local, t, err)
		       ? -1
		       : 0;
}

int term_examine(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_place scope = term_scope(t);
	const char *space = strrchr(args, ' ');
	unsigned long long len = 64;
	unsigned char buf[MOST_BYTES];
	struct ct_dwarf_number number;
	struct ct_dwarf_value value;
	char text[512];

	if (space && ct_parse_u64(space + 1, 1, MOST_BYTES, &len))
		space = NULL;
	snprintf(text, sizeof(text), "%.*s", space ? (int)(space - args) : (int)strlen(args), args);
	if (ct_dwarf_eval(&scope, text, &value, err) || ct_dwarf_number(&scope, &value, &number, err))
		return -1;
	/* A structure or an array is where it is, all else is an address. */
	if (number.cls == CT_DWARF_COMPOUND)
		number.u = value.addr;
	if (ct_session_read(session(t), ct_timeline_pid(t->tl), number.u, buf, len, err))
		return -1;
	ct_out_hexdump(&t->out, "", number.u, buf, len);
	return 0;
}

int term_registers(struct term *t, const char *args, struct ct_error *err)
{
	static const char *const names[CT_DW_REGS] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
						      "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
	const struct ct_dwarf_frame *f;

	(void)args;
	if (need_frame(t, &f, err))
		return -1;
	for (unsigned i = 0; i < CT_DW_REGS; i++)
		if (f->regs.known >> i & 1)
			ct_out_fmt(&t->out, "%-8s %#llx\n", names[i], (unsigned long long)f->regs.r[i]);
	ct_out_fmt(&t->out, "%-8s %#llx\n", "fs_base", (unsigned long long)f->regs.fs_base);
	return 0;
}

static void put_frame(struct term *t, size_t i)
{
	ct_out_fmt(&t->out, "%s#%-3zu ", i == t->at ? "->" : "  ", i);
	put_place(t, &t->stack.frame[i]);
	ct_out_char(&t->out, '\n');
}

int term_bt(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_frame *f;
	unsigned long long n;

	if (term_number(args, TERM_FRAMES, &n, err) || need_frame(t, &f, err))
		return -1;
	for (size_t i = 0; i < t->stack.n && i < n; i++)
		put_frame(t, i);
	return 0;
}

static int look_at(struct term *t, size_t at, struct ct_error *err)
{
	struct ct_place place;
	ct_u64 ip;

	if (at >= t->stack.n)
		return ct_fail(err, CT_EXIT_USAGE, "there is no such frame: the stack has %zu", t->stack.n);
	t->at = at;
	t->line = 0;
	put_frame(t, at);
	ip = t->stack.frame[at].pc;
	ct_symbols_place(t->sy, t->stack.frame[at].lookup, &place);
	if (!place.line || !put_line(t, place.file, place.line, true))
		put_instruction(t, &ip, true);
	return 0;
}

int term_frame(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_frame *f;
	unsigned long long n;

	return need_frame(t, &f, err) || term_number(args, t->at, &n, err) ? -1 : look_at(t, n, err);
}

int term_up(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_frame *f;

	(void)args;
	return need_frame(t, &f, err) ? -1 : look_at(t, t->at + 1, err);
}

int term_down(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_frame *f;

	(void)args;
	return need_frame(t, &f, err) ? -1 : look_at(t, t->at - 1, err);
}

int term_threads(struct term *t, const char *args, struct ct_error *err)
{
	const ct_u32 was = t->tid;
	struct ct_session_thread *list;
	unsigned long long tid;
	bool found = false;
	size_t n;

	if (term_number(args, 0, &tid, err) || ct_session_threads(session(t), &list, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (list[i].pid != ct_timeline_pid(t->tl) || (tid && list[i].tid != tid))
			continue;
		found = true;
		t->tid = list[i].tid;
		term_forget_stack(t);
		ct_out_fmt(&t->out, "%s %u ", list[i].tid == (tid ? tid : was) ? "->" : "  ", list[i].tid);
		ct_out_quoted(&t->out, list[i].comm, strlen(list[i].comm), sizeof(list[i].comm));
		ct_out_str(&t->out, list[i].current ? " runs: " : " ");
		if (list[i].nr >= 0 && !list[i].current) {
			char label[CT_HUMAN];

			ct_out_fmt(&t->out, "in %s: ", ct_syscall_label(label, list[i].nr));
		}
		if (term_the_frame(t))
			put_place(t, &t->stack.frame[0]);
		ct_out_char(&t->out, '\n');
	}
	free(list);
	if (!tid || !found) {
		t->tid = was;
		term_forget_stack(t);
	}
	return found || !tid ? 0 : ct_fail(err, CT_EXIT_USAGE, "there is no thread %llu now", tid);
}

int term_list(struct term *t, const char *args, struct ct_error *err)
{
	const struct ct_dwarf_frame *f;
	struct ct_place place, here;
	ct_u64 at;
	int line;

	if (need_frame(t, &f, err))
		return -1;
	at = f->lookup;
	ct_symbols_place(t->sy, at, &here);
	place = here;
	if (*args) {
		if (!ct_symbols_find(t->sy, args, here.file, &at, 1))
			return ct_fail(err, CT_EXIT_USAGE, "there is no code called %s", args);
		ct_symbols_place(t->sy, at, &place);
		t->line = 0;
	}
	line = t->line && !*args ? t->line : place.line - AROUND;
	if (t->line && !*args && t->path)
		place.file = t->listed;
	if (line < 1)
		line = 1;
	if (place.line) {
		int n = 0;

		if (place.file != t->listed)
			snprintf(t->listed, sizeof(t->listed), "%s", place.file);
		while (n < LISTED && put_line(t, t->listed, line + n,
					      line + n == here.line && here.file && !strcmp(here.file, t->listed)))
			n++;
		t->line = line + n;
		if (n)
			return 0;
	}
	if (!*args)
		at = f->pc;
	for (int n = 0; n < LISTED && put_instruction(t, &at, at == f->pc); n++)
		;
	return 0;
}

int term_events(struct term *t, const char *args, struct ct_error *err)
{
	struct ct_recording *rec = ct_timeline_recording(t->tl);
	struct ct_dump dump = {.out = &t->out, .strmax = 32};
	const struct ct_event *ev;
	struct ct_moment now;
	struct ct_cursor *cur;
	unsigned long long n;
	int ret;

	if (term_number(args, 5, &n, err) || ct_timeline_now(t->tl, &now, err))
		return -1;
	cur = ct_cursor_create(rec, err);
	if (!cur || ct_cursor_seek_seq(cur, now.next > n ? now.next - n : 1, err)) {
		ct_cursor_destroy(cur);
		return -1;
	}
	ct_dump_set_clock(&dump, rec);
	while ((ret = ct_cursor_next(cur, &ev, err)) > 0 && ev->seq < now.next + n) {
		ct_out_str(&t->out, ev->seq == now.next ? "-> " : "   ");
		ct_dump_text(&dump, ev);
	}
	ct_cursor_destroy(cur);
	return ret < 0 ? -1 : 0;
}

int term_when(struct term *t, const char *args, struct ct_error *err)
{
	char text[CT_MOMENT_TEXT];

	(void)args;
	if (ct_timeline_now_text(t->tl, text, err))
		return -1;
	ct_out_fmt(&t->out, "%s\n", text);
	return 0;
}

int term_status(struct term *t, const char *args, struct ct_error *err)
{
	struct ct_timeline_stats st;
	struct ct_session_thread *list;
	char bytes[CT_HUMAN];
	ct_u64 begin, end;
	size_t n, threads = 0;

	(void)args;
	if (ct_session_threads(session(t), &list, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		threads += list[i].pid == ct_timeline_pid(t->tl);
	free(list);
	ct_timeline_stats(t->tl, &st);
	ct_timeline_range(t->tl, &begin, &end);
	ct_out_fmt(&t->out,
		   "process %u, threads: %zu, e:%llu to e:%llu; checkpoints: %zu, of %s; returns to one: %llu\n",
		   ct_timeline_pid(t->tl), threads, (unsigned long long)begin, (unsigned long long)end - 1,
		   st.checkpoints, ct_human_bytes(bytes, st.bytes), (unsigned long long)st.restores);
	return 0;
}
