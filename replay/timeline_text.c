// SPDX-License-Identifier: MIT
/* Moments as people write them. Inside of the way to an event they are an address and how often it has been passed, or
 * with which registers: place.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/place.h"
#include "replay/timeline_priv.h"

#define MOST_PASSES 20000 /* that are counted for a text, if a register tells the moment as well */

/* Goes to the `pass`-th time that the thread is at `addr` after the events before `next`. With `until` (pass 0): counts
 * the passes up to that moment, no more than `most`. Returns them, or -1. */
static ct_s64 passes(struct ct_timeline *tl, ct_u64 next, ct_u64 addr, ct_u64 pass, const struct ct_moment *until,
		     ct_s64 most, struct ct_error *err)
{
	const struct ct_moment start = ct_tl_between(next);
	const struct ct_stop stop = {CT_STOP_EXEC, addr, 1};
	struct ct_moment now;
	ct_s64 n = 0;
	int ret;

	if (ct_timeline_seek(tl, &start, err) || ct_session_set_stops(tl->s, tl->pid, &stop, 1, err))
		return -1;
	while ((ret = ct_tl_advance(tl, next + 1, err)) > 0) {
		if (tl->interrupted) {
			ret = ct_fail(err, CT_EXIT_FAILED, "interrupted");
			break;
		}
		n++;
		if (pass && (ct_u64)n == pass)
			break;
		if (until && !(ret = ct_timeline_now(tl, &now, err)) && ct_same_position(&now.regs, &until->regs) &&
		    (!now.tid || ct_same_fingerprint(&now.fp, &until->fp)))
			break;
		if (n == most && until)
			break;
		ct_session_pass_stop(tl->s);
	}
	ct_session_set_stops(tl->s, tl->pid, NULL, 0, NULL);
	if (ret < 0)
		return -1;
	return ret || until ? n : 0;
}

static int seek_place(struct ct_timeline *tl, const char *text, struct ct_error *err)
{
	struct ct_named_place p;
	struct ct_moment start;
	ct_s64 n;

	if (ct_place_parse(tl->rec, text, &p, err))
		return -1;
	if (p.pass) {
		n = passes(tl, p.next, p.addr, p.pass, NULL, 0, err);
		return n < 0 ? -1 : n ? 0 : ct_place_fail(&p, err);
	}
	start = ct_tl_between(p.next);
	if (ct_timeline_seek(tl, &start, err))
		return -1;
	ct_tl_forget_window(tl);
	p.end = tl->end;
	if (p.tid ? !ct_session_run_to_tick(tl->s, &p, err) : !ct_session_run_to_like(tl->s, &p.regs, ~p.known, err))
		return 0;
	tl->broken = true; /* the event has come */
	if (p.tid)
		return -1;
	return ct_place_fail(&p, err);
}

int ct_timeline_seek_text(struct ct_timeline *tl, const char *text, struct ct_error *err)
{
	struct ct_index_entry range = {0};
	struct ct_moment m;
	struct ct_pos pos;

	if (ct_place_is_one(text))
		return seek_place(tl, text, err);
	if (ct_pos_parse(tl->rec, text, &pos, err))
		return -1;
	m = ct_tl_between(pos.value);
	if (pos.kind == CT_POS_TIME) {
		struct ct_cursor *cur = ct_cursor_create(tl->rec, err);
		const struct ct_event *ev;

		if (!cur || ct_cursor_seek_time(cur, pos.value, err) || ct_cursor_next(cur, &ev, err) < 0) {
			ct_cursor_destroy(cur);
			return -1;
		}
		ct_cursor_destroy(cur);
		ct_recording_range(tl->rec, &range);
		m.next = ev && ev->seq < tl->end ? ev->seq : tl->end + (pos.value > range.last_ns);
	}
	if (!strcmp(text, "end"))
		m.next = tl->end;
	if (m.next > tl->end)
		return ct_fail(err, CT_EXIT_USAGE, "'%s' is behind the end: the last position is e:%llu", text,
			       (unsigned long long)tl->end);
	/* The record of its snapshot comes before its first event, and is as good a name for the same moment. */
	if (m.next < tl->begin && (!strcmp(text, "start") || pos.kind == CT_POS_TIME || m.next + 1 == tl->begin))
		m.next = tl->begin;
	return ct_timeline_seek(tl, &m, err);
}

/* The register that is as it is now for the first time at this address, -1: there is none. */
static int telling_register(struct ct_timeline *tl, const struct ct_moment *now)
{
	const struct ct_moment start = ct_tl_between(now->next);
	struct ct_error ignored;
	struct ct_moment there;

	for (int i = 0; i < CT_PLACE_REGS; i++) {
		const ct_u32 known = 1u << CT_RIP | 1u << ct_place_regs[i].reg;

		if (ct_timeline_seek(tl, &start, &ignored))
			return -1;
		ct_tl_forget_window(tl);
		if (!ct_tl_run_to_like_soon(tl->s, &now->regs, ~known, &ignored) &&
		    !ct_timeline_now(tl, &there, &ignored) && ct_moment_same(&there, now))
			return i;
		tl->broken = true;
	}
	return -1;
}

int ct_timeline_now_text(struct ct_timeline *tl, char text[CT_MOMENT_TEXT], struct ct_error *err)
{
	struct ct_moment now;
	int reg = -1;
	ct_s64 n;

	if (ct_timeline_now(tl, &now, err))
		return -1;
	if (!now.tid) {
		snprintf(text, CT_MOMENT_TEXT, "e:%llu", (unsigned long long)now.next);
		return 0;
	}
	n = passes(tl, now.next, now.regs.r[CT_RIP], 0, &now, MOST_PASSES, err);
	if (n == MOST_PASSES) {
		reg = telling_register(tl, &now);
		if (reg < 0)
			n = passes(tl, now.next, now.regs.r[CT_RIP], 0, &now, INT64_MAX, err);
	}
	if (n < 0 || ct_timeline_seek(tl, &now, err))
		return -1;
	if (reg < 0)
		snprintf(text, CT_MOMENT_TEXT, "e:%llu@%#llx#%lld", (unsigned long long)now.next,
			 (unsigned long long)now.regs.r[CT_RIP], (long long)(n ? n : 1));
	else
		snprintf(text, CT_MOMENT_TEXT, "e:%llu@%#llx,%s=%#llx", (unsigned long long)now.next,
			 (unsigned long long)now.regs.r[CT_RIP], ct_place_regs[reg].name,
			 (unsigned long long)now.regs.r[ct_place_regs[reg].reg]);
	return 0;
}
