// SPDX-License-Identifier: MIT
/* Places between two events as people write them. */
#include "replay/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct ct_place_reg ct_place_regs[CT_PLACE_REGS] = {
	{"rcx", CT_RCX}, {"rax", CT_RAX}, {"rdx", CT_RDX}, {"rbx", CT_RBX}, {"rsi", CT_RSI},
	{"rdi", CT_RDI}, {"rbp", CT_RBP}, {"rsp", CT_RSP}, {"r8", CT_R8},   {"r9", CT_R9},
	{"r10", CT_R10}, {"r12", CT_R12}, {"r13", CT_R13}, {"r14", CT_R14}, {"r15", CT_R15},
};

bool ct_place_is_one(const char *text)
{
	return ct_place_is_tick(text) || strchr(text, '@');
}

static bool number(const char **at, int base, ct_u64 *to)
{
	char *end;

	/* Neither a sign nor space, which strtoull takes. */
	if (!strchr("0123456789abcdef", **at | 0x20) || **at == ' ' || !**at)
		return false;
	*to = strtoull(*at, &end, base);
	if (end == *at)
		return false;
	*at = end;
	return true;
}

static bool add_register(const char **at, struct ct_named_place *p)
{
	for (size_t i = 0; i < CT_PLACE_REGS; i++) {
		const struct ct_place_reg *r = &ct_place_regs[i];
		const size_t len = strlen(r->name);

		if (strncmp(*at, r->name, len) || (*at)[len] != '=')
			continue;
		*at += len + 1;
		p->known |= 1u << r->reg;
		return number(at, 16, &p->regs.r[r->reg]);
	}
	return false;
}

int ct_place_parse(struct ct_recording *rec, const char *text, struct ct_named_place *p, struct ct_error *err)
{
	const char *at = text + 2;
	bool good;

	if (ct_place_is_tick(text))
		return ct_place_parse_tick(rec, text, p, err);
	*p = (struct ct_named_place){.pass = 1};
	good = !strncmp(text, "e:", 2) && number(&at, 10, &p->next) && *at++ == '@' && number(&at, 16, &p->addr);
	if (good && *at == '#') {
		at++;
		good = number(&at, 10, &p->pass);
		if (good && !p->pass)
			return ct_fail(err, CT_EXIT_USAGE, "passes count from 1");
	} else if (good && *at == ',') {
		p->pass = 0;
		p->regs.r[CT_RIP] = p->addr;
		p->known = 1u << CT_RIP;
		while (good && *at == ',') {
			at++;
			good = add_register(&at, p);
		}
	}
	return good && !*at ? 0
			    : ct_fail(err, CT_EXIT_USAGE,
				      "'%s' is not a position; it is like e:123@0x401000#2, or e:123@0x401000,rcx=0x5",
				      text);
}

int ct_place_fail(const struct ct_named_place *p, struct ct_error *err)
{
	if (p->pass)
		return ct_fail(err, CT_EXIT_USAGE, "%#llx is not passed %llu times on the way to event %llu",
			       (unsigned long long)p->addr, (unsigned long long)p->pass, (unsigned long long)p->next);
	return ct_fail(err, CT_EXIT_USAGE, "%#llx is not passed with these registers on the way to event %llu",
		       (unsigned long long)p->addr, (unsigned long long)p->next);
}

int ct_session_run_to_named(struct ct_session *s, const struct ct_named_place *p, struct ct_error *err)
{
	const struct ct_stop stop = {CT_STOP_EXEC, p->addr, 1};
	struct ct_session_thread *list;
	const struct ct_event *ev;
	ct_u32 pid = 0, tid;
	ct_u64 passed = 0;
	size_t n;
	int ret;

	if ((ret = ct_session_next(s, &ev, err)) < 0)
		return -1;
	if (!ret || ev->seq != p->next)
		return ct_fail(err, CT_EXIT_USAGE, "event %llu is not among those that are replayed",
			       (unsigned long long)p->next);
	if (p->tid)
		return ct_session_run_to_tick(s, p, err);
	if (!p->pass)
		return ct_session_run_to_like(s, &p->regs, ~p->known, err) ? ct_place_fail(p, err) : 0;
	if (ct_session_threads(s, &list, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (list[i].current)
			pid = list[i].pid;
	free(list);
	if (ct_session_set_stops(s, pid, &stop, 1, err))
		return -1;
	while ((ret = ct_session_run(s, p->next + 1, err)) > 0 && ct_session_stopped(s, &tid) && ++passed < p->pass)
		ct_session_pass_stop(s);
	ct_session_set_stops(s, pid, NULL, 0, NULL);
	if (ret < 0)
		return -1;
	return passed == p->pass ? 0 : ct_place_fail(p, err);
}
