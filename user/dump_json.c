/* SPDX-License-Identifier: MIT
 * Events as JSON lines: one object an event, with every field of the record.
 *
 * Addresses, registers and arguments are "0x..." strings (64 bits do not fit a JSON number), counts are numbers. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "../formats/syscalls.h"
#include "dump.h"

struct flag_name {
	unsigned bit;
	const char *name;
};

static void flags_json(struct ct_out *out, const char *key, unsigned flags, const struct flag_name *names)
{
	ct_json_open(out, key, '[');
	for (; names->name; names++) {
		if (flags & names->bit)
			ct_json_str(out, NULL, names->name);
		flags &= ~names->bit;
	}
	if (flags) /* bits newer than this program */
		ct_json_hex(out, NULL, flags);
	ct_json_close(out, ']');
}

static void regs_json(struct ct_out *out, const char *key, const struct ct_regs *regs)
{
	ct_json_open(out, key, '{');
	for (unsigned i = 0; i < CT_NREGS; i++)
		ct_json_hex(out, ct_reg_name(i), regs->r[i]);
	ct_json_close(out, '}');
}

static void ref_json(struct ct_out *out, const char *key, const struct ct_file_ref *ref)
{
	ct_json_open(out, key, '{');
	ct_json_u64(out, "major", ref->dev >> 20);
	ct_json_u64(out, "minor", ref->dev & 0xfffff);
	ct_json_u64(out, "ino", ref->ino);
	ct_json_s64(out, "ctime_s", ref->ctime_s);
	ct_json_u64(out, "ctime_ns", ref->ctime_ns);
	ct_json_u64(out, "size", ref->size);
	ct_json_u64(out, "offset", ref->offset);
	ct_json_u64(out, "len", ref->len);
	ct_json_bool(out, "shared_writable", ref->flags & CT_FILE_SHARED_WRITABLE);
	ct_json_close(out, '}');
}

/* Readable text as "text", anything else as "hex". */
static void content_json(struct ct_out *out, const void *data, size_t len)
{
	if (ct_text_is_plain(data, len))
		ct_json_strn(out, "text", data, len);
	else
		ct_json_bytes(out, "hex", data, len);
}

static void bufs_json(struct ct_out *out, const struct ct_event *ev)
{
	struct ct_buf_iter it = ct_buf_iter(ev);
	ct_json_open(out, "bufs", '[');
	while (ct_buf_next(&it)) {
		ct_json_open(out, NULL, '{');
		ct_json_str(out, "kind", ct_buf_kind_name(it.buf->kind));
		ct_json_u64(out, "arg", it.buf->arg);
		ct_json_hex(out, "addr", it.buf->addr);
		ct_json_u64(out, "len", it.buf->len);
		ct_json_u64(out, "want", it.buf->want);
		if (it.buf->flags & CT_BUFF_CHUNKED)
			ct_json_bool(out, "chunked", true);
		if (it.buf->kind == CT_BUF_REGS && it.buf->len >= sizeof(struct ct_regs)) {
			struct ct_regs regs;
			memcpy(&regs, it.data, sizeof(regs));
			regs_json(out, "regs", &regs);
		} else if (it.buf->kind == CT_BUF_FILE && it.buf->len >= sizeof(struct ct_file_ref)) {
			struct ct_file_ref ref;
			memcpy(&ref, it.data, sizeof(ref));
			ref_json(out, "file", &ref);
		} else if (it.buf->len) {
			content_json(out, it.data, it.buf->len);
		}
		ct_json_close(out, '}');
	}
	ct_json_close(out, ']');
}

static void fingerprint_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;
	const struct ct_fingerprint *fp = ct_event_fingerprint(ev);
	if (!fp)
		return;
	ct_json_open(out, "fingerprint", '{');
	ct_json_hex(out, "mask", fp->mask);
	if (fp->flags & CT_FPF_TICKS)
		ct_json_u64(out, "ticks", fp->ticks);
	ct_json_bool(out, "late", fp->flags & CT_FPF_LATE);
	ct_json_u64(out, "noperands", fp->noperands);
	if (dump->hex) {
		ct_json_open(out, "operands", '[');
		for (unsigned i = 0; i < fp->noperands && i < CT_FP_HARVEST; i++) {
			ct_json_open(out, NULL, '{');
			ct_json_hex(out, "addr", fp->operand[i].addr);
			ct_json_bytes(out, "hex", fp->operand[i].data, sizeof(fp->operand[i].data));
			ct_json_close(out, '}');
		}
		ct_json_close(out, ']');
		if (fp->mask & 1)
			ct_json_bytes(out, "stack", fp->stack, sizeof(fp->stack));
		ct_json_open(out, "gpr", '{');
		for (unsigned k = 0; k < CT_FP_GPRS; k++) {
			if (fp->mask & (2u << k))
				ct_json_bytes(out, ct_reg_name(k < 10 ? k : k + 1), fp->gpr[k], CT_FP_GPR);
		}
		ct_json_close(out, '}');
	}
	ct_json_close(out, '}');
}

static void syscall_json(struct ct_out *out, const struct ct_event *ev)
{
	static const struct flag_name flags[] = {{CT_SYSF_NO_ENTER, "no_enter"}, {CT_SYSF_TRUNCATED, "truncated"},
						 {CT_SYSF_FAULT, "fault"},       {CT_SYSF_UNKNOWN, "unknown"},
						 {CT_SYSF_SWITCHED, "switched"}, {0, NULL}};
	const struct ct_ev_syscall *call = ct_event_payload(ev);
	const struct ct_syscall *entry = ct_syscall(call->nr);
	unsigned nargs = entry ? entry->nargs : 6;
	char buf[CT_HUMAN];
	ct_json_str(out, "name", ct_syscall_label(buf, call->nr));
	ct_json_s64(out, "nr", call->nr);
	ct_json_s64(out, "ret", call->ret);
	if (call->ret < 0 && call->ret >= -4095)
		ct_json_str(out, "errno", ct_errno_name((int)-call->ret));
	ct_json_open(out, "args", '[');
	for (unsigned i = 0; i < nargs && i < 6; i++)
		ct_json_hex(out, NULL, call->args[i]);
	ct_json_close(out, ']');
	ct_json_hex(out, "ip", call->ip);
	ct_json_hex(out, "sp", call->sp);
	ct_json_hex(out, "rflags", call->rflags);
	ct_json_hex(out, "saved", call->saved);
	flags_json(out, "call_flags", call->flags, flags);
	bufs_json(out, ev);
}

static void enter_json(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_enter *enter = ct_event_payload(ev);
	char buf[CT_HUMAN];
	ct_json_str(out, "name", ct_syscall_label(buf, enter->nr));
	ct_json_s64(out, "nr", enter->nr);
	regs_json(out, "regs", &enter->regs);
	ct_json_hex(out, "clear_child_tid", enter->clear_child_tid);
	ct_json_hex(out, "robust_list", enter->robust_list);
	bufs_json(out, ev);
}

static void signal_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	static const struct flag_name flags[] = {{CT_SIGF_ASYNC, "async"}, {CT_SIGF_SYNC, "sync"}, {0, NULL}};
	struct ct_out *out = dump->out;
	const struct ct_ev_signal *s = ct_event_payload(ev);
	char buf[CT_HUMAN];
	ct_json_s64(out, "sig", s->sig);
	ct_json_str(out, "name", ct_signal_label(buf, s->sig));
	ct_json_s64(out, "code", s->code);
	ct_json_str(out, "code_name", ct_si_code_name(s->sig, s->code));
	ct_json_hex(out, "handler", s->handler);
	ct_json_hex(out, "sa_flags", s->sa_flags);
	ct_json_hex(out, "fault_addr", s->fault_addr);
	flags_json(out, "signal_flags", s->flags, flags);
	regs_json(out, "regs", &s->regs);
	fingerprint_json(dump, ev);
}

static void switch_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	static const struct flag_name flags[] = {{CT_SWF_INSYS, "in_syscall"},
						 {CT_SWF_USER, "user"},
						 {CT_SWF_REPAIRED, "repaired"},
						 {CT_SWF_EXITING, "exiting"},
						 {CT_SWF_TID_CLEARED, "tid_cleared"},
						 {CT_SWF_ROBUST, "robust_done"},
						 {CT_SWF_ROBUST_AT, "robust_at_rdi"},
						 {CT_SWF_FPU, "fpu"},
						 {0, NULL}};
	struct ct_out *out = dump->out;
	const struct ct_ev_switch *sw = ct_event_payload(ev);
	char buf[CT_HUMAN];
	ct_json_u64(out, "to", sw->to);
	ct_json_u64(out, "to_pid", sw->to_pid);
	flags_json(out, "switch_flags", sw->flags, flags);
	if (sw->flags & CT_SWF_INSYS) {
		ct_json_s64(out, "nr", sw->nr);
		ct_json_str(out, "name", ct_syscall_label(buf, sw->nr));
	}
	regs_json(out, "regs", &sw->regs);
	fingerprint_json(dump, ev);
	const struct ct_fpu *fpu = ct_event_fpu(ev);
	if (fpu && dump->hex)
		ct_json_bytes(out, "xsave", fpu->xsave, sizeof(fpu->xsave));
}

/* Records of the processes' lives. */
static void process_json(struct ct_out *out, const struct ct_event *ev)
{
	const void *payload = ct_event_payload(ev);
	char buf[CT_HUMAN];
	if (ev->type == CT_EV_FORK) {
		const struct ct_ev_fork *fork = payload;
		ct_json_u64(out, "child_tid", fork->child_tid);
		ct_json_u64(out, "child_pid", fork->child_pid);
		ct_json_bool(out, "thread", fork->child_pid == ev->pid);
		ct_json_bool(out, "followed", fork->flags & CT_FORKF_FOLLOWED);
		ct_json_bool(out, "shares_mm", fork->flags & CT_FORKF_SHARES_MM);
		ct_json_bool(out, "events_only", fork->flags & CT_FORKF_EVENTS);
	} else if (ev->type == CT_EV_EXEC) {
		const struct ct_ev_exec *exec = payload;
		ct_json_u64(out, "old_tid", exec->old_tid);
		ct_json_strn(out, "comm", exec->comm, strnlen(exec->comm, sizeof(exec->comm)));
		ct_json_bool(out, "held", exec->flags & CT_EXECF_HELD);
		ct_json_bool(out, "events_only", exec->flags & CT_EXECF_EVENTS);
		regs_json(out, "regs", &exec->regs);
	} else {
		const struct ct_ev_exit *ex = payload;
		ct_json_s64(out, "code", ex->code);
		if (WIFSIGNALED(ex->code))
			ct_json_str(out, "signal", ct_signal_label(buf, WTERMSIG(ex->code)));
		else
			ct_json_s64(out, "status", WEXITSTATUS(ex->code));
		ct_json_bool(out, "group", ex->flags & CT_EXITF_GROUP);
	}
}

/* Records the recorder writes itself. */
static void recorder_json(struct ct_out *out, const struct ct_event *ev)
{
	const void *payload = ct_event_payload(ev);
	size_t len = 0;
	const char *text = ct_event_text(ev, &len);
	if (ev->type == CT_EV_FILE) {
		const struct ct_ev_file *file = payload;
		char hash[33];
		ct_hash_format(file->hash, hash);
		ct_json_strn(out, "path", text ? text : "", len);
		ct_json_str(out, "hash", hash);
		ref_json(out, "file", &file->ref);
	} else if (ev->type == CT_EV_SNAPSHOT) {
		const struct ct_ev_snapshot *snap = payload;
		ct_json_u64(out, "id", snap->id);
		ct_json_str(out, "kind", ct_snapshot_kind_name(snap->kind));
		ct_json_u64(out, "nprocs", snap->nprocs);
	} else if (ev->type == CT_EV_LOST) {
		const struct ct_ev_lost *lost = payload;
		ct_json_u64(out, "count", lost->count);
		ct_json_str(out, "reason", ct_lost_reason_name(lost->reason));
	} else if (ev->type == CT_EV_END) {
		const struct ct_ev_end *end = payload;
		ct_json_str(out, "reason", ct_end_reason_name(end->reason));
		ct_json_s64(out, "status", end->status);
	} else {
		const struct ct_ev_text *head = payload;
		if (ev->type == CT_EV_UNSOUND) {
			char why[CT_UNSOUND_TEXT];
			ct_json_str(out, "reason", ct_unsound_name(head->reason));
			ct_json_str(out, "text", ct_unsound_text(ev, why, sizeof(why)));
		} else {
			ct_json_strn(out, "text", text ? text : "", len);
		}
		ct_json_hex(out, "value", head->value);
	}
}

static void insn_json(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_insn *insn = ct_event_payload(ev);
	ct_json_str(out, "name", ct_insn_name(insn->kind));
	ct_json_hex(out, "ip", insn->ip);
	ct_json_u64(out, "len", insn->len);
	regs_json(out, "regs", &insn->regs);
}

static void frame_json(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_frame *frame = ct_event_payload(ev);
	char buf[CT_HUMAN];
	ct_json_s64(out, "sig", frame->sig);
	ct_json_str(out, "name", ct_signal_label(buf, frame->sig));
	regs_json(out, "regs", &frame->regs);
	bufs_json(out, ev);
}

static void rseq_json(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_rseq *rseq = ct_event_payload(ev);
	ct_json_hex(out, "from_ip", rseq->from_ip);
	ct_json_hex(out, "start_ip", rseq->start_ip);
	ct_json_hex(out, "post_commit_offset", rseq->post_commit_offset);
	ct_json_hex(out, "abort_ip", rseq->abort_ip);
}

static void data_json(struct ct_out *out, const struct ct_event *ev)
{
	const struct ct_ev_data *data = ct_event_payload(ev);
	bool fault = data->flags == CT_BUF_FAULT;
	ct_json_hex(out, "addr", data->addr);
	ct_json_u64(out, "len", data->len);
	ct_json_bool(out, "fault", fault);
	if (!fault)
		content_json(out, data + 1, data->len);
}

void ct_dump_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	static const struct flag_name flags[] = {
		{CT_EVF_FOREIGN_CPU, "foreign_cpu"}, {CT_EVF_EVENTS_ONLY, "events_only"}, {0, NULL}};
	struct ct_out *out = dump->out;
	double t = ev->time_ns < dump->first_ns ? -((double)(dump->first_ns - ev->time_ns) / 1e9)
						: (double)(ev->time_ns - dump->first_ns) / 1e9;
	ct_json_open(out, NULL, '{');
	ct_json_u64(out, "seq", ev->seq);
	ct_json_u64(out, "time_ns", ev->time_ns);
	ct_json_double(out, "t", t, 9);
	ct_json_u64(out, "tid", ev->tid);
	ct_json_u64(out, "pid", ev->pid);
	ct_json_str(out, "type", ct_event_type_name(ev->type));
	flags_json(out, "flags", ev->flags, flags);
	switch (ev->type) {
	case CT_EV_SYSCALL: syscall_json(out, ev); break;
	case CT_EV_ENTER: enter_json(out, ev); break;
	case CT_EV_SIGNAL: signal_json(dump, ev); break;
	case CT_EV_FRAME: frame_json(out, ev); break;
	case CT_EV_SWITCH: switch_json(dump, ev); break;
	case CT_EV_FORK:
	case CT_EV_EXEC:
	case CT_EV_EXIT: process_json(out, ev); break;
	case CT_EV_RSEQ: rseq_json(out, ev); break;
	case CT_EV_INSN: insn_json(out, ev); break;
	case CT_EV_DATA: data_json(out, ev); break;
	case CT_EV_FILE:
	case CT_EV_SNAPSHOT:
	case CT_EV_LOST:
	case CT_EV_UNSOUND:
	case CT_EV_NOTE:
	case CT_EV_END: recorder_json(out, ev); break;
	case CT_EV_FUNCTION:
	case CT_EV_CALL:
	case CT_EV_LINES:
	case CT_EV_VALUE:
	case CT_EV_MESSAGE:
	case CT_EV_RETURN: ct_dump_call_json(dump, ev); break;
	case CT_EV_PAUSE: ct_dump_pause_json(dump, ev); break;
	default: ct_json_u64(out, "type_number", ev->type);
	}
	if (dump->raw)
		ct_json_bytes(out, "raw", ev, ev->size);
	ct_json_close(out, '}');
	ct_json_line(out);
}
