/* SPDX-License-Identifier: MIT
 * Reports of a divergence as text and as JSON.
 *
 * Events are shown as `dump` shows them, so that their lines can be found again there. */
#include "report_text.h"

#include <string.h>

#include "dump.h"

#define SHOWN_STRINGS 64

static void hex_bytes(struct ct_out *out, const struct ct_report_insn *i)
{
	for (unsigned k = 0; k < i->len; k++)
		ct_out_fmt(out, "%02x ", i->bytes[k]);
	for (unsigned k = i->len; k < 10; k++)
		ct_out_str(out, "   ");
}

static bool shown(const struct ct_report *r, unsigned reg)
{
	return reg != CT_ORIG_RAX && reg != CT_CS && reg != CT_SS && (r->has_got || (r->known >> reg & 1));
}

static void print_regs(struct ct_out *out, const struct ct_report *r)
{
	if (!r->has_got && !r->known)
		return;
	ct_out_str(out, "  registers, recorded and replayed (* differs):\n");
	for (unsigned i = 0; i < CT_NREGS; i++) {
		if (!shown(r, i))
			continue;
		ct_out_fmt(out, "   %c%8s ", r->different >> i & 1 ? '*' : ' ', ct_reg_name(i));
		if (r->known >> i & 1)
			ct_out_fmt(out, "%16llx", (unsigned long long)r->want.r[i]);
		else
			ct_out_fmt(out, "%16s", "not recorded");
		if (r->has_got)
			ct_out_fmt(out, " %16llx", (unsigned long long)r->got.r[i]);
		ct_out_char(out, '\n');
	}
}

void ct_report_print(struct ct_out *out, const struct ct_report *r, const struct ct_recording *rec)
{
	struct ct_dump dump = {.out = out, .strmax = SHOWN_STRINGS};

	ct_dump_set_clock(&dump, rec);
	ct_out_fmt(out, "divergence in thread %u of process %u: %s\n", r->tid, r->pid,
		   r->what[0] ? r->what : "see above");
	if (r->ev) {
		ct_out_str(out, "  recorded ");
		ct_dump_text(&dump, r->ev);
	}
	if (r->call[0])
		ct_out_fmt(out, "  replayed %s\n", r->call);
	print_regs(out, r);
	if (r->want_place[0])
		ct_out_fmt(out, "  recorded at %#llx: %s\n", (unsigned long long)r->want.r[CT_RIP], r->want_place);
	if (r->place[0])
		ct_out_fmt(out, "  replayed at %#llx: %s\n", (unsigned long long)r->got.r[CT_RIP], r->place);
	for (size_t i = 0; i < r->ninsns; i++) {
		ct_out_fmt(out, "  %s %14llx  ", r->insn[i].here ? "=>" : "  ", (unsigned long long)r->insn[i].ip);
		hex_bytes(out, &r->insn[i]);
		ct_out_fmt(out, " %s\n", r->insn[i].text);
	}
	for (size_t i = 0; i < r->nthreads; i++) {
		ct_out_fmt(out, "  last events of thread %u:\n", r->thread[i].tid);
		for (size_t k = 0; k < r->thread[i].count; k++) {
			ct_out_str(out, "  ");
			ct_dump_text(&dump, r->thread[i].event[k]);
		}
	}
	if (r->nadvice)
		ct_out_str(out, "  what may help:\n");
	for (size_t i = 0; i < r->nadvice; i++)
		ct_out_fmt(out, "  - %s\n", r->advice[i]);
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_stringn_nocheck(text, strlen(text)) : json_null();
}

static json_t *hex(ct_u64 value)
{
	return json_sprintf("0x%llx", (unsigned long long)value);
}

/* A line of `dump`, without its newline; what is not UTF-8 in it is escaped there. */
static json_t *event_json(const struct ct_dump *like, const struct ct_event *ev)
{
	struct ct_dump dump = *like;
	struct ct_out out;
	json_t *text;

	ct_out_memory(&out);
	dump.out = &out;
	ct_dump_text(&dump, ev);
	text = json_stringn(out.buf, out.len ? out.len - 1 : 0);
	ct_out_close(&out);
	return json_pack("{s:I, s:s, s:I, s:o}", "seq", (json_int_t)ev->seq, "type", ct_event_type_name(ev->type),
			 "tid", (json_int_t)ev->tid, "text", text ? text : json_null());
}

static json_t *regs_json(const struct ct_report *r)
{
	json_t *regs = json_object();

	for (unsigned i = 0; i < CT_NREGS; i++)
		if (shown(r, i))
			json_object_set_new(regs, ct_reg_name(i),
					    json_pack("{s:o, s:o, s:b}", "recorded",
						      r->known >> i & 1 ? hex(r->want.r[i]) : json_null(), "replayed",
						      r->has_got ? hex(r->got.r[i]) : json_null(), "differs",
						      (int)(r->different >> i & 1)));
	return regs;
}

json_t *ct_report_json(const struct ct_report *r, const struct ct_recording *rec)
{
	json_t *code = json_array(), *threads = json_array(), *advice = json_array();
	struct ct_dump dump = {.strmax = SHOWN_STRINGS};

	ct_dump_set_clock(&dump, rec);
	for (size_t i = 0; i < r->ninsns; i++)
		json_array_append_new(code, json_pack("{s:o, s:s, s:b}", "ip", hex(r->insn[i].ip), "text",
						      r->insn[i].text, "here", (int)r->insn[i].here));
	for (size_t i = 0; i < r->nthreads; i++) {
		json_t *events = json_array();

		for (size_t k = 0; k < r->thread[i].count; k++)
			json_array_append_new(events, event_json(&dump, r->thread[i].event[k]));
		json_array_append_new(threads,
				      json_pack("{s:I, s:o}", "tid", (json_int_t)r->thread[i].tid, "events", events));
	}
	for (size_t i = 0; i < r->nadvice; i++)
		json_array_append_new(advice, json_string(r->advice[i]));
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tid", (json_int_t)r->tid, "pid",
			 (json_int_t)r->pid, "what", text_or_null(r->what), "event",
			 r->ev ? event_json(&dump, r->ev) : json_null(), "replayed_call", text_or_null(r->call),
			 "registers", regs_json(r), "place", text_or_null(r->place), "recorded_place",
			 text_or_null(r->want_place), "code", code, "threads", threads, "advice", advice);
}
