/* SPDX-License-Identifier: MIT
 * Events as lines of text, much like strace's: `seq +time tid what`.
 *
 * Calls are formatted by formats/syscalls; this file adds the columns and the other record types. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "../formats/syscalls.h"
#include "dump.h"

/* Room tried first for one call; more is reserved for the few that need it. */
#define CALL_ROOM 1024

static void call_line(const struct ct_dump *dump, const struct ct_event *ev,
		      size_t (*format)(const struct ct_event *, size_t, char *, size_t))
{
	size_t room = CALL_ROOM, need = 0;
	for (int attempt = 0; attempt < 2; attempt++) {
		char *at = ct_out_reserve(dump->out, room);
		need = at ? format(ev, dump->strmax, at, room) : 0;
		if (need < room)
			break;
		room = need + 1;
	}
	ct_out_advance(dump->out, need);
}

static void syscall_line(const struct ct_dump *dump, const struct ct_event *ev)
{
	const struct ct_ev_syscall *call = ct_event_payload(ev);
	call_line(dump, ev, ct_syscall_format);
	if (call->flags & CT_SYSF_NO_ENTER)
		ct_out_str(dump->out, "  [entry not seen]");
	if (call->flags & CT_SYSF_UNKNOWN)
		ct_out_str(dump->out, "  [no rule for this call]");
	if (call->flags & CT_SYSF_TRUNCATED)
		ct_out_str(dump->out, "  [buffers missing]");
	if (call->flags & CT_SYSF_FAULT)
		ct_out_str(dump->out, "  [unreadable buffer]");
}

static void signal_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_signal *s = ct_event_payload(ev);
	char buf[CT_HUMAN];
	const char *code = ct_si_code_name(s->sig, s->code);
	ct_out_fmt(out, "--- %s {si_code=", ct_signal_label(buf, s->sig));
	if (code)
		ct_out_str(out, code);
	else
		ct_out_fmt(out, "%d", s->code);
	/* The kernel's own codes say where the fault was; a kill() has no address. */
	bool fault = s->sig == SIGSEGV || s->sig == SIGBUS || s->sig == SIGILL || s->sig == SIGFPE || s->sig == SIGTRAP;
	if (fault && s->code > 0 && s->code != SI_KERNEL)
		ct_out_fmt(out, ", si_addr=%#llx", (unsigned long long)s->fault_addr);
	ct_out_fmt(out, "} at %#llx", (unsigned long long)s->regs.r[CT_RIP]);
	if (s->flags & CT_SIGF_ASYNC)
		ct_out_str(out, " (asynchronous)");
	if (s->handler > 1)
		ct_out_fmt(out, ", handler %#llx ---", (unsigned long long)s->handler);
	else
		ct_out_str(out, s->handler ? ", ignored ---" : ", default action ---");
}

static void frame_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_frame *frame = ct_event_payload(ev);
	struct ct_buf_iter it = ct_buf_iter(ev);
	char buf[CT_HUMAN];
	ct_out_fmt(out, "--- frame of %s", ct_signal_label(buf, frame->sig));
	if (ct_buf_next(&it))
		ct_out_fmt(out, ": %u bytes at %#llx", it.buf->len, (unsigned long long)it.buf->addr);
	ct_out_fmt(out, ", running %#llx ---", (unsigned long long)frame->regs.r[CT_RIP]);
}

static void switch_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_switch *sw = ct_event_payload(ev);
	char buf[CT_HUMAN];
	ct_out_fmt(out, ">>> switch to %u", sw->to);
	if (sw->to_pid != ev->pid)
		ct_out_fmt(out, " of process %u", sw->to_pid);
	if (sw->flags & CT_SWF_INSYS)
		ct_out_fmt(out, " (in %s", ct_syscall_label(buf, sw->nr));
	else
		ct_out_fmt(out, " (at %#llx", (unsigned long long)sw->regs.r[CT_RIP]);
	if (sw->flags & CT_SWF_EXITING)
		ct_out_str(out, ", exiting");
	if (sw->flags & CT_SWF_ROBUST_AT)
		ct_out_fmt(out, ", its robust futexes marked up to that at %#llx",
			   (unsigned long long)sw->regs.r[CT_RDI]);
	if (sw->flags & CT_SWF_REPAIRED)
		ct_out_str(out, ", repaired");
	ct_out_char(out, ')');
}

static void exit_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_exit *ex = ct_event_payload(ev);
	char buf[CT_HUMAN];
	ct_out_fmt(out, "+++ %s", ex->flags & CT_EXITF_GROUP ? "process " : "thread ");
	if (WIFSIGNALED(ex->code))
		ct_out_fmt(out, "killed by %s%s +++", ct_signal_label(buf, WTERMSIG(ex->code)),
			   WCOREDUMP(ex->code) ? " (core dumped)" : "");
	else
		ct_out_fmt(out, "exited with %d +++", WEXITSTATUS(ex->code));
}

static void insn_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_insn *insn = ct_event_payload(ev);
	const ct_u64 *r = insn->regs.r;
	unsigned long long wide = (r[CT_RDX] << 32) | (r[CT_RAX] & 0xffffffff);
	ct_out_fmt(out, "%s at %#llx", ct_insn_name(insn->kind), (unsigned long long)insn->ip);
	switch (insn->kind) {
	case CT_INSN_RDTSC: ct_out_fmt(out, " = %llu", wide); break;
	case CT_INSN_RDTSCP: ct_out_fmt(out, " = %llu, aux %#x", wide, (unsigned)r[CT_RCX]); break;
	case CT_INSN_CPUID:
		ct_out_fmt(out, " = eax %#x ebx %#x ecx %#x edx %#x", (unsigned)r[CT_RAX], (unsigned)r[CT_RBX],
			   (unsigned)r[CT_RCX], (unsigned)r[CT_RDX]);
		break;
	default: /* the destination may be any register; the carry flag says whether there was a number */
		ct_out_str(out, r[CT_RFLAGS] & 1 ? " = a number" : " = none");
	}
}

static void file_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_file *file = ct_event_payload(ev);
	size_t len = 0;
	const char *path = ct_event_text(ev, &len);
	char hash[33], size[CT_HUMAN];
	ct_hash_format(file->hash, hash);
	if (!file->ref.dev) {
		ct_out_fmt(out, "=== FILE %s that calls return again and again, kept as files/%s",
			   ct_human_bytes(size, file->ref.size), hash);
		return;
	}
	ct_out_str(out, "=== FILE ");
	ct_out_mem(out, path, path ? len : 0);
	ct_out_fmt(out, " %s, device %llu:%llu inode %llu, kept as files/%s", ct_human_bytes(size, file->ref.size),
		   (unsigned long long)(file->ref.dev >> 20), (unsigned long long)(file->ref.dev & 0xfffff),
		   (unsigned long long)file->ref.ino, hash);
}

static void fork_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_fork *fork = ct_event_payload(ev);
	ct_out_fmt(out, "+++ new %s %u", fork->child_pid == ev->pid ? "thread" : "process", fork->child_tid);
	if (fork->child_pid != ev->pid && fork->flags & CT_FORKF_SHARES_MM)
		ct_out_str(out, " in the same memory");
	ct_out_str(out, fork->flags & CT_FORKF_FOLLOWED ? " +++"
			: fork->flags & CT_FORKF_EVENTS ? ", events only +++"
							: ", not recorded +++");
}

static void exec_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_exec *exec = ct_event_payload(ev);
	ct_out_str(out, "+++ runs ");
	ct_out_quoted(out, exec->comm, strnlen(exec->comm, sizeof(exec->comm)), sizeof(exec->comm));
	ct_out_fmt(out, " from %#llx", (unsigned long long)exec->regs.r[CT_RIP]);
	if (exec->old_tid != ev->tid)
		ct_out_fmt(out, ", was thread %u", exec->old_tid);
	ct_out_str(out, exec->flags & CT_EXECF_HELD ? " +++" : ", not held for a snapshot +++");
}

static void end_line(struct ct_out *out, const struct ct_event *ev)
{
	static const char *const text[] = {"for a reason this version does not know",
					   "its time is over",
					   "stopped by a signal",
					   "the target is gone",
					   "events were lost",
					   "the recorder failed",
					   "a limit is reached",
					   "kept because of a trigger; recording went on"};
	const struct ct_ev_end *end = ct_event_payload(ev);
	unsigned reason = end->reason < sizeof(text) / sizeof(text[0]) ? end->reason : 0;
	char buf[CT_HUMAN];
	ct_out_fmt(out, "=== END %s", text[reason]);
	if (end->status < 0) /* not a child of the recorder: the records of its end say how it ended */
		return;
	if (reason == CT_END_TARGET_GONE && WIFSIGNALED(end->status))
		ct_out_fmt(out, " (killed by %s)", ct_signal_label(buf, WTERMSIG(end->status)));
	else if (reason == CT_END_TARGET_GONE)
		ct_out_fmt(out, " (exited with %d)", WEXITSTATUS(end->status));
}

static void text_line(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_text *head = ct_event_payload(ev);
	char why[CT_UNSOUND_TEXT];
	size_t len = 0;
	const char *text = ct_event_text(ev, &len);
	if (ev->type == CT_EV_UNSOUND) {
		ct_out_fmt(out, "!!! UNSOUND (%s) process %u: ", ct_unsound_name(head->reason), ev->pid);
		ct_out_str(out, ct_unsound_text(ev, why, sizeof(why)));
	} else {
		ct_out_str(out, "=== NOTE ");
		ct_out_mem(out, text, text ? len : 0);
	}
}

void ct_dump_what(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;
	const void *payload = ct_event_payload(ev);
	switch (ev->type) {
	case CT_EV_SYSCALL: syscall_line(dump, ev); break;
	case CT_EV_ENTER: call_line(dump, ev, ct_enter_format); break;
	case CT_EV_SIGNAL: signal_line(out, ev); break;
	case CT_EV_FRAME: frame_line(out, ev); break;
	case CT_EV_SWITCH: switch_line(out, ev); break;
	case CT_EV_FORK: fork_line(out, ev); break;
	case CT_EV_EXEC: exec_line(out, ev); break;
	case CT_EV_EXIT: exit_line(out, ev); break;
	case CT_EV_RSEQ: {
		const struct ct_ev_rseq *rseq = payload;
		ct_out_fmt(out, "--- rseq aborted at %#llx, goes on at %#llx ---", (unsigned long long)rseq->from_ip,
			   (unsigned long long)rseq->abort_ip);
		break;
	}
	case CT_EV_INSN: insn_line(out, ev); break;
	case CT_EV_DATA: {
		const struct ct_ev_data *data = payload;
		ct_out_fmt(out, "... %u bytes at %#llx%s", data->len, (unsigned long long)data->addr,
			   data->flags == CT_BUF_FAULT ? ", not readable" : " of the next call");
		break;
	}
	case CT_EV_FILE: file_line(out, ev); break;
	case CT_EV_SNAPSHOT: {
		const struct ct_ev_snapshot *snap = payload;
		ct_out_fmt(out, "=== SNAPSHOT %u (%s) of %u process%s", snap->id, ct_snapshot_kind_name(snap->kind),
			   snap->nprocs, snap->nprocs == 1 ? "" : "es");
		break;
	}
	case CT_EV_LOST: {
		const struct ct_ev_lost *lost = payload;
		ct_out_fmt(out, "!!! LOST %llu records (%s)", (unsigned long long)lost->count,
			   ct_lost_reason_name(lost->reason));
		break;
	}
	case CT_EV_UNSOUND:
	case CT_EV_NOTE: text_line(out, ev); break;
	case CT_EV_END: end_line(out, ev); break;
	case CT_EV_FUNCTION:
	case CT_EV_CALL:
	case CT_EV_LINES:
	case CT_EV_VALUE:
	case CT_EV_MESSAGE:
	case CT_EV_RETURN: ct_dump_call_text(dump, ev); break;
	case CT_EV_PAUSE: ct_dump_pause_text(dump, ev); break;
	default: ct_out_fmt(out, "??? record type %u, %u bytes", ev->type, ev->size);
	}
	if (ev->flags & CT_EVF_FOREIGN_CPU)
		ct_out_str(out, "  [on another CPU]");
	if (ev->flags & CT_EVF_EVENTS_ONLY)
		ct_out_str(out, "  [not replayed]");
}

static void regs_lines(struct ct_out *out, const struct ct_regs *regs)
{
	for (unsigned i = 0; i < CT_NREGS; i++)
		ct_out_fmt(out, "%s%8s %016llx%s", i % 4 ? "  " : "         |", ct_reg_name(i),
			   (unsigned long long)regs->r[i], i % 4 == 3 || i + 1 == CT_NREGS ? "\n" : "");
}

static void hex_buffers(struct ct_out *out, const struct ct_event *ev)
{
	static const char indent[] = "         |   ";
	struct ct_buf_iter it = ct_buf_iter(ev);
	while (ct_buf_next(&it)) {
		ct_out_fmt(out, "         | argument %u, %s, %u of %u bytes at %#llx%s\n", it.buf->arg,
			   ct_buf_kind_name(it.buf->kind), it.buf->len, it.buf->want, (unsigned long long)it.buf->addr,
			   it.buf->flags & CT_BUFF_CHUNKED ? ", in preceding data records" : "");
		if (it.buf->kind == CT_BUF_REGS && it.buf->len >= sizeof(struct ct_regs)) {
			struct ct_regs regs;
			memcpy(&regs, it.data, sizeof(regs));
			regs_lines(out, &regs);
		} else if (it.buf->kind == CT_BUF_FILE && it.buf->len >= sizeof(struct ct_file_ref)) {
			struct ct_file_ref ref;
			memcpy(&ref, it.data, sizeof(ref));
			ct_out_fmt(out, "%sfile %llu:%llu inode %llu from %llu, %llu bytes\n", indent,
				   (unsigned long long)(ref.dev >> 20), (unsigned long long)(ref.dev & 0xfffff),
				   (unsigned long long)ref.ino, (unsigned long long)ref.offset,
				   (unsigned long long)ref.len);
		} else {
			ct_out_hexdump(out, indent, it.buf->addr, it.data, it.buf->len);
		}
	}
	const struct ct_ev_data *data = ct_event_payload(ev);
	if (ev->type == CT_EV_DATA && data->flags != CT_BUF_FAULT)
		ct_out_hexdump(out, indent, data->addr, data + 1, data->len);
}

static void hex_position(struct ct_out *out, const struct ct_event *ev)
{
	const void *payload = ct_event_payload(ev);
	const struct ct_regs *regs = ev->type == CT_EV_SIGNAL   ? &((const struct ct_ev_signal *)payload)->regs
				     : ev->type == CT_EV_FRAME  ? &((const struct ct_ev_frame *)payload)->regs
				     : ev->type == CT_EV_SWITCH ? &((const struct ct_ev_switch *)payload)->regs
				     : ev->type == CT_EV_EXEC   ? &((const struct ct_ev_exec *)payload)->regs
				     : ev->type == CT_EV_INSN   ? &((const struct ct_ev_insn *)payload)->regs
								: NULL;
	if (regs)
		regs_lines(out, regs);
	const struct ct_fingerprint *fp = ct_event_fingerprint(ev);
	if (fp) {
		ct_out_fmt(out, "         | fingerprint: %u operands, mask %#x", fp->noperands, fp->mask);
		if (fp->flags & CT_FPF_TICKS)
			ct_out_fmt(out, ", tick %llu", (unsigned long long)fp->ticks);
		ct_out_str(out, fp->flags & CT_FPF_LATE ? ", late\n" : "\n");
	}
}

/* Times in the dump count from the first event; seconds get the columns that the last one needs. */
void ct_dump_set_clock(struct ct_dump *dump, const struct ct_recording *rec)
{
	ct_u64 first = 0, last = 0;
	for (size_t i = 0; i < ct_recording_segments(rec); i++) {
		ct_u32 blocks = 0;
		const struct ct_index_entry *entry = ct_segment_index(ct_recording_segment(rec, i), &blocks);
		for (ct_u32 k = 0; k < blocks; k++) {
			if (!first)
				first = entry[k].first_ns;
			last = entry[k].last_ns > last ? entry[k].last_ns : last;
		}
	}
	ct_u64 seconds = last > first ? (last - first) / 1000000000 : 0;
	dump->first_ns = first;
	for (dump->time_width = 1; seconds >= 10; seconds /= 10)
		dump->time_width++;
}

void ct_dump_text(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;
	bool before = ev->time_ns < dump->first_ns; /* clocks of two CPUs may disagree by microseconds */
	ct_u64 ns = before ? dump->first_ns - ev->time_ns : ev->time_ns - dump->first_ns;
	ct_out_u64(out, ev->seq, 8);
	ct_out_mem(out, before ? " -" : " +", 2);
	/* seconds, padded so that all lines of the recording align */
	ct_u64 seconds = ns / 1000000000;
	for (unsigned width = seconds < 10      ? 1
			      : seconds < 100   ? 2
			      : seconds < 1000  ? 3
			      : seconds < 10000 ? 4
						: 5;
	     width < dump->time_width; width++)
		ct_out_char(out, '0');
	ct_out_seconds(out, ns);
	ct_out_u64(out, ev->tid, 6);
	ct_out_char(out, ' ');
	ct_dump_what(dump, ev);
	ct_out_char(out, '\n');
	if (dump->hex) {
		hex_position(out, ev);
		hex_buffers(out, ev);
	}
	if (dump->raw)
		ct_out_hexdump(out, "         # ", 0, ev, ev->size);
}
