/* SPDX-License-Identifier: MIT
 * Validation of event records, and the walk over their buffers.
 *
 * ct_event_check sees bytes from disk or from a ring and trusts none of them. */
#include "event_access.h"

#include <string.h>

static const char *const type_names[] = {
#define X(num, sym, name, text) [num] = #name,
	CT_EVENT_TYPES(X)
#undef X
};
#define NTYPES (sizeof(type_names) / sizeof(type_names[0]))

const char *ct_event_type_name(unsigned type)
{
	return type < NTYPES ? type_names[type] : NULL;
}

unsigned ct_event_type_by_name(const char *name)
{
	for (unsigned i = 1; i < NTYPES; i++)
		if (type_names[i] && !strcmp(type_names[i], name))
			return i;
	return 0;
}

static size_t align_up(size_t n)
{
	return (n + CT_EVENT_ALIGN - 1) & ~(size_t)(CT_EVENT_ALIGN - 1);
}

/* What is being checked; need() and friends keep `pos` within `size`. */
struct check {
	const unsigned char *data;
	size_t size, pos;
	const struct ct_event *ev; /* a copy: the bytes may be unaligned */
	struct ct_error *err;
};

/* Messages name the record by number and type, so that `dump --raw` finds it. */
#define REJECT(c, fmt, ...)                                                                                            \
	ct_fail((c)->err, CT_EXIT_FAILED, "event %llu (%s) is damaged: " fmt, (unsigned long long)(c)->ev->seq,        \
		ct_event_type_name((c)->ev->type), __VA_ARGS__)

/* Copies the next `len` bytes to `to` (NULL: only skips them). */
static int take(struct check *c, void *to, size_t len, const char *what)
{
	if (len > c->size - c->pos)
		return REJECT(c, "its %s needs %zu bytes, %zu are left", what, len, c->size - c->pos);
	if (to)
		memcpy(to, c->data + c->pos, len);
	c->pos += len;
	return 0;
}

/* Nothing but padding may follow. */
static int finish(struct check *c)
{
	if (c->size - c->pos >= CT_EVENT_ALIGN || c->size > align_up(c->pos))
		return REJECT(c, "%zu bytes follow its content", c->size - c->pos);
	return 0;
}

static int check_buf(struct check *c, const struct ct_buf *b, unsigned i)
{
	if (b->arg > 5)
		return REJECT(c, "buffer %u belongs to argument %u", i, b->arg);
	if (b->flags & ~CT_BUFF_CHUNKED)
		return REJECT(c, "buffer %u has unknown flags %#x", i, b->flags);
	switch (b->kind) {
	case CT_BUF_OUT:
		if (b->len > b->want || (b->len < b->want && !(b->flags & CT_BUFF_CHUNKED)))
			return REJECT(c, "buffer %u has %u of %u bytes", i, b->len, b->want);
		return 0;
	case CT_BUF_IN:
	case CT_BUF_PATH: return 0;
	case CT_BUF_FAULT:
		if (b->len)
			return REJECT(c, "unreadable buffer %u has %u bytes", i, b->len);
		return 0;
	case CT_BUF_FILE:
		if (b->len != sizeof(struct ct_file_ref))
			return REJECT(c, "file reference %u has %u bytes", i, b->len);
		return 0;
	case CT_BUF_REGS:
		if (b->len != sizeof(struct ct_regs))
			return REJECT(c, "register buffer %u has %u bytes", i, b->len);
		return 0;
	default: return REJECT(c, "buffer %u has unknown kind %u", i, b->kind);
	}
}

static int check_bufs(struct check *c, unsigned nbufs)
{
	struct ct_buf b;
	for (unsigned i = 0; i < nbufs; i++) {
		if (take(c, &b, sizeof(b), "buffer header") < 0 || check_buf(c, &b, i) < 0 ||
		    take(c, NULL, b.len, "buffer") < 0)
			return -1;
		/* The last buffer's padding may be missing; all others are followed by an aligned header. */
		if (i + 1 < nbufs && take(c, NULL, align_up(c->pos) - c->pos, "padding") < 0)
			return -1;
	}
	return finish(c);
}

static int check_fingerprint(struct check *c)
{
	struct ct_fingerprint fp; /* 3 KiB */
	if (take(c, &fp, sizeof(fp), "fingerprint") < 0)
		return -1;
	if (fp.noperands > CT_FP_HARVEST)
		return REJECT(c, "its fingerprint has %u operands", fp.noperands);
	return 0;
}

static int check_signal(struct check *c)
{
	struct ct_ev_signal s;
	if (take(c, &s, sizeof(s), "content") < 0)
		return -1;
	if ((s.flags & CT_SIGF_ASYNC) && check_fingerprint(c) < 0)
		return -1;
	return finish(c);
}

static int check_switch(struct check *c)
{
	struct ct_ev_switch s;
	if (take(c, &s, sizeof(s), "content") < 0)
		return -1;
	if ((s.flags & CT_SWF_USER) && check_fingerprint(c) < 0)
		return -1;
	if ((s.flags & CT_SWF_FPU) && take(c, NULL, sizeof(struct ct_fpu), "FPU state") < 0)
		return -1;
	return finish(c);
}

static int check_data(struct check *c)
{
	struct ct_ev_data d;
	if (take(c, &d, sizeof(d), "content") < 0)
		return -1;
	if (!(d.flags & CT_BUF_FAULT) && take(c, NULL, d.len, "data") < 0)
		return -1;
	return finish(c);
}

static int check_type(struct check *c)
{
	union {
		struct ct_ev_syscall syscall;
		struct ct_ev_enter enter;
		struct ct_ev_frame frame;
		struct ct_ev_file file;
		struct ct_ev_text text;
		struct ct_ev_function function;
		struct ct_ev_lines lines;
		struct ct_ev_value value;
		struct ct_ev_message message;
		struct ct_ev_call call;
	} u;
	size_t fixed = 0;

	switch ((enum ct_event_type)c->ev->type) {
	case CT_EV_SYSCALL:
		return take(c, &u.syscall, sizeof(u.syscall), "content") < 0 ? -1 : check_bufs(c, u.syscall.nbufs);
	case CT_EV_ENTER: return take(c, &u.enter, sizeof(u.enter), "content") < 0 ? -1 : check_bufs(c, u.enter.nbufs);
	case CT_EV_FRAME: return take(c, &u.frame, sizeof(u.frame), "content") < 0 ? -1 : check_bufs(c, u.frame.nbufs);
	case CT_EV_SIGNAL: return check_signal(c);
	case CT_EV_SWITCH: return check_switch(c);
	case CT_EV_DATA: return check_data(c);
	case CT_EV_FILE:
		if (take(c, &u.file, sizeof(u.file), "content") < 0 || take(c, NULL, u.file.path_len, "path") < 0)
			return -1;
		return finish(c);
	case CT_EV_UNSOUND:
	case CT_EV_NOTE:
		if (take(c, &u.text, sizeof(u.text), "content") < 0 || take(c, NULL, u.text.text_len, "text") < 0)
			return -1;
		return finish(c);
	case CT_EV_FUNCTION:
		if (take(c, &u.function, sizeof(u.function), "content") < 0)
			return -1;
		if (!u.function.id)
			return REJECT(c, "its number is %u", 0);
		if (take(c, NULL, u.function.name_len, "name") < 0 || take(c, NULL, u.function.file_len, "path") < 0)
			return -1;
		if (u.function.language == CT_LANGUAGE_NAMED && take(c, NULL, c->ev->size - c->pos, "language") < 0)
			return -1;
		return finish(c);
	case CT_EV_CALL:
		if (take(c, &u.call, sizeof(u.call), "content") < 0)
			return -1;
		if (u.call.nargs > CT_CALL_NARGS || !u.call.depth)
			return REJECT(c, "it has %u arguments at depth %u", u.call.nargs, u.call.depth);
		return take(c, NULL, u.call.nargs * sizeof(ct_u64), "arguments") < 0 ? -1 : finish(c);
	case CT_EV_RETURN: fixed = sizeof(struct ct_ev_return); break;
	case CT_EV_LINES:
		if (take(c, &u.lines, sizeof(u.lines), "content") < 0)
			return -1;
		return take(c, NULL, u.lines.count * sizeof(ct_u32), "lines") < 0 ? -1 : finish(c);
	case CT_EV_VALUE:
		if (take(c, &u.value, sizeof(u.value), "content") < 0)
			return -1;
		if (u.value.role >= CT_ROLES || u.value.kind >= CT_KINDS)
			return REJECT(c, "it is a value of role %u and kind %u", u.value.role, u.value.kind);
		if (take(c, NULL, u.value.name_len, "name") < 0 || take(c, NULL, u.value.type_len, "type") < 0 ||
		    take(c, NULL, u.value.data_len, "data") < 0)
			return -1;
		return finish(c);
	case CT_EV_MESSAGE:
		if (take(c, &u.message, sizeof(u.message), "content") < 0)
			return -1;
		if (take(c, NULL, u.message.topic_len, "topic") < 0 || take(c, NULL, u.message.data_len, "data") < 0)
			return -1;
		return finish(c);
	case CT_EV_FORK: fixed = sizeof(struct ct_ev_fork); break;
	case CT_EV_EXEC: fixed = sizeof(struct ct_ev_exec); break;
	case CT_EV_EXIT: fixed = sizeof(struct ct_ev_exit); break;
	case CT_EV_RSEQ: fixed = sizeof(struct ct_ev_rseq); break;
	case CT_EV_INSN: fixed = sizeof(struct ct_ev_insn); break;
	case CT_EV_SNAPSHOT: fixed = sizeof(struct ct_ev_snapshot); break;
	case CT_EV_LOST: fixed = sizeof(struct ct_ev_lost); break;
	case CT_EV_END: fixed = sizeof(struct ct_ev_end); break;
	case CT_EV_PAUSE: fixed = sizeof(struct ct_ev_pause); break;
	}
	return take(c, NULL, fixed, "content") < 0 ? -1 : finish(c);
}

int ct_event_check(const void *data, size_t avail, struct ct_error *err)
{
	struct ct_event ev;
	if (avail < sizeof(ev))
		return ct_fail(err, CT_EXIT_FAILED, "an event record is cut off: %zu of the %zu bytes of its header",
			       avail, sizeof(ev));
	memcpy(&ev, data, sizeof(ev));
	if (!ct_event_type_name(ev.type))
		return ct_fail(err, CT_EXIT_FAILED, "event %llu has type %u, which this version does not know",
			       (unsigned long long)ev.seq, ev.type);
	struct check c = {.data = data, .size = ev.size, .pos = sizeof(ev), .ev = &ev, .err = err};
	if (ev.size < sizeof(ev))
		return REJECT(&c, "its size is %u, less than its header's %zu", ev.size, sizeof(ev));
	if (ev.flags & ~CT_EVF_ALL)
		return REJECT(&c, "it has unknown flags %#x", ev.flags);
	if (ev.size > CT_EVENT_MAX)
		return REJECT(&c, "its size is %u, more than %u", ev.size, CT_EVENT_MAX);
	if (ev.size > avail)
		return REJECT(&c, "it is cut off: %zu of %u bytes", avail, ev.size);
	return check_type(&c);
}

/* ---- access to checked records ------------------------------------------------------------------- */

struct ct_buf_iter ct_buf_iter(const struct ct_event *ev)
{
	struct ct_buf_iter it = {0};
	const unsigned char *payload = ct_event_payload(ev);

	switch (ev->type) {
	case CT_EV_SYSCALL:
		it.pos = payload + sizeof(struct ct_ev_syscall);
		it.left = ((const struct ct_ev_syscall *)payload)->nbufs;
		break;
	case CT_EV_ENTER:
		it.pos = payload + sizeof(struct ct_ev_enter);
		it.left = ((const struct ct_ev_enter *)payload)->nbufs;
		break;
	case CT_EV_FRAME:
		it.pos = payload + sizeof(struct ct_ev_frame);
		it.left = ((const struct ct_ev_frame *)payload)->nbufs;
		break;
	}
	return it;
}

bool ct_buf_next(struct ct_buf_iter *it)
{
	if (!it->left)
		return false;
	it->left--;
	it->buf = (const struct ct_buf *)it->pos;
	it->data = it->pos + sizeof(struct ct_buf);
	if (it->left) /* the last one's padding may be missing */
		it->pos = it->data + align_up(it->buf->len);
	return true;
}

const struct ct_fingerprint *ct_event_fingerprint(const struct ct_event *ev)
{
	if (ev->type == CT_EV_SIGNAL) {
		const struct ct_ev_signal *s = ct_event_payload(ev);
		return s->flags & CT_SIGF_ASYNC ? (const void *)(s + 1) : NULL;
	}
	if (ev->type == CT_EV_SWITCH) {
		const struct ct_ev_switch *s = ct_event_payload(ev);
		return s->flags & CT_SWF_USER ? (const void *)(s + 1) : NULL;
	}
	return NULL;
}

const struct ct_fpu *ct_event_fpu(const struct ct_event *ev)
{
	if (ev->type != CT_EV_SWITCH)
		return NULL;
	const struct ct_ev_switch *s = ct_event_payload(ev);
	if (!(s->flags & CT_SWF_FPU))
		return NULL;
	const unsigned char *at = (const unsigned char *)(s + 1);
	return (const void *)(at + (s->flags & CT_SWF_USER ? sizeof(struct ct_fingerprint) : 0));
}

const char *ct_event_function(const struct ct_event *ev, const char **file)
{
	const struct ct_ev_function *f = ct_event_payload(ev);
	const char *name = (const char *)(f + 1);

	*file = name + f->name_len;
	return name;
}

const char *ct_event_language(const struct ct_event *ev, size_t *len)
{
	const struct ct_ev_function *f = ct_event_payload(ev);
	const char *file, *name = ct_event_function(ev, &file);

	if (f->language == CT_LANGUAGE_NAMED) {
		name = file + f->file_len;
		*len = (size_t)((const char *)ev + ev->size - name);
		return name;
	}
	name = f->language == CT_LANGUAGE_NATIVE ? "native" : f->language == CT_LANGUAGE_PYTHON ? "python" : "?";
	*len = strlen(name);
	return name;
}

const char *ct_event_text(const struct ct_event *ev, size_t *len)
{
	if (ev->type == CT_EV_FILE) {
		const struct ct_ev_file *f = ct_event_payload(ev);
		*len = f->path_len;
		return (const char *)(f + 1);
	}
	if (ev->type == CT_EV_UNSOUND || ev->type == CT_EV_NOTE) {
		const struct ct_ev_text *t = ct_event_payload(ev);
		*len = t->text_len;
		return (const char *)(t + 1);
	}
	*len = 0;
	return NULL;
}
