// SPDX-License-Identifier: MIT
/* Moments as people write them. Inside of the way to an event they are an address and how often it has been passed,
 * which means the same in every replay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/timeline_priv.h"

#define MOST_PASSES 20000 /* that are counted for a text */

/* Goes to the `pass`-th time that the thread is at `addr` after the events before `next`. With `until` (pass 0): counts
 * the passes up to that moment. Returns them, or -1. */
static ct_s64 passes(struct ct_timeline *tl, ct_u64 next, ct_u64 addr, ct_u64 pass, const struct ct_moment *until,
		     struct ct_error *err)
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
		if (n == MOST_PASSES && until)
			break;
		ct_session_pass_stop(tl->s);
	}
	ct_session_set_stops(tl->s, tl->pid, NULL, 0, NULL);
	if (ret < 0)
		return -1;
	return ret || until ? n : 0;
}

int ct_timeline_seek_text(struct ct_timeline *tl, const char *text, struct ct_error *err)
{
	const char *at = strchr(text, '@');
	unsigned long long seq, addr, pass = 1;
	struct ct_moment m;
	struct ct_pos pos;
	char rest;

	if (at) {
		int n = sscanf(text, "e:%llu@%llx#%llu%c", &seq, &addr, &pass, &rest);

		if (n != 3 && (n != 2 || strchr(text, '#')))
			return ct_fail(err, CT_EXIT_USAGE, "'%s' is not a position; it is like e:123@0x401000#2", text);
		if (!pass)
			return ct_fail(err, CT_EXIT_USAGE, "passes count from 1");
		n = (int)passes(tl, seq, addr, pass, NULL, err);
		if (n < 0)
			return -1;
		return n ? 0
			 : ct_fail(err, CT_EXIT_USAGE, "%#llx is not passed %llu times on the way to event %llu", addr,
				   pass, seq);
	}
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
		m.next = ev ? ev->seq : tl->end;
		ct_cursor_destroy(cur);
	}
	if (m.next > tl->end && (!strcmp(text, "end") || pos.kind == CT_POS_TIME))
		m.next = tl->end;
	/* The record of its snapshot comes before its first event, and is as good a name for the same moment. */
	if (m.next < tl->begin && (!strcmp(text, "start") || pos.kind == CT_POS_TIME || m.next + 1 == tl->begin))
		m.next = tl->begin;
	return ct_timeline_seek(tl, &m, err);
}

int ct_timeline_now_text(struct ct_timeline *tl, char text[CT_MOMENT_TEXT], struct ct_error *err)
{
	struct ct_moment now;
	ct_s64 n;

	if (ct_timeline_now(tl, &now, err))
		return -1;
	if (!now.tid) {
		snprintf(text, CT_MOMENT_TEXT, "e:%llu", (unsigned long long)now.next);
		return 0;
	}
	n = passes(tl, now.next, now.regs.r[CT_RIP], 0, &now, err);
	if (n < 0 || ct_timeline_seek(tl, &now, err))
		return -1;
	if (n < MOST_PASSES)
		snprintf(text, CT_MOMENT_TEXT, "e:%llu@%#llx#%lld", (unsigned long long)now.next,
			 (unsigned long long)now.regs.r[CT_RIP], (long long)(n ? n : 1));
	else
		snprintf(text, CT_MOMENT_TEXT, "e:%llu@%#llx#more than %d", (unsigned long long)now.next,
			 (unsigned long long)now.regs.r[CT_RIP], MOST_PASSES);
	return 0;
}
