// SPDX-License-Identifier: MIT
/* Rules and where they are applied: bytes that programs and the kernel pass each other, the memory around positions,
 * pages. Numbers that the format itself needs (addresses, lengths, registers) are left alone. */
#include "user/redact.h"

#include <fnmatch.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "formats/dirio.h"
#include "formats/event_access.h"
#include "replay/tracee.h"
#include "user/attach/target.h"

#define MASK        '*'
#define VALUE_MIN   4       /* shorter ones are everywhere */
#define MATCH_LIMIT 1000000 /* steps of one match */

struct ct_redact {
	pcre2_code **rule; /* shared by all threads; what changes is made for each call */
	size_t nrules;
	const char *const *env; /* borrowed */
	size_t nenv;
	_Atomic ct_u64 matches;
	_Alignas(8) unsigned char record[CT_EVENT_MAX];
};

/* ---- rules ----------------------------------------------------------------------------------------------------- */

static int add_rule(struct ct_redact *rd, const char *text, size_t len, uint32_t flags, struct ct_error *err)
{
	pcre2_code **more = realloc(rd->rule, (rd->nrules + 1) * sizeof(*more)), *code;
	PCRE2_SIZE at;
	char why[128];
	int number;

	if (!more)
		return ct_fail_memory(err);
	rd->rule = more;
	code = pcre2_compile((PCRE2_SPTR)text, len, flags, &number, &at, NULL);
	if (!code) {
		pcre2_get_error_message(number, (PCRE2_UCHAR *)why, sizeof(why));
		return ct_fail(err, CT_EXIT_USAGE, "--redact: '%s': %s (at character %zu)",
			       flags & PCRE2_LITERAL ? "(the value of a variable)" : text, why, (size_t)at + 1);
	}
	pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_SOFT); /* without it matching is slower */
	more[rd->nrules++] = code;
	return 0;
}

/* "NAME=value" wherever it is; the value alone is overwritten. */
static int add_name(struct ct_redact *rd, const char *glob, struct ct_error *err)
{
	char text[1024] = "(?<![A-Za-z0-9_])";
	size_t len = strlen(text);

	for (; *glob; glob++) {
		if (len + 64 > sizeof(text) || !(strchr("*?_", *glob) || (*glob >= '0' && *glob <= '9') ||
						 ((*glob | 32) >= 'a' && (*glob | 32) <= 'z')))
			return ct_fail(err, CT_EXIT_USAGE,
				       "--redact-env takes the name of a variable, with * and ? for any letters");
		len += (size_t)sprintf(text + len,
				       *glob == '*'   ? "[A-Za-z0-9_]*"
				       : *glob == '?' ? "[A-Za-z0-9_]"
						      : "%c",
				       *glob);
	}
	len += (size_t)sprintf(text + len, "=\\K[^\\x00\\n]+");
	return add_rule(rd, text, len, 0, err);
}

struct ct_redact *ct_redact_create(const char *const *patterns, size_t npatterns, const char *const *env, size_t nenv,
				   struct ct_error *err)
{
	struct ct_redact *rd = calloc(1, sizeof(*rd));
	int ret = rd ? 0 : ct_fail_memory(err);

	for (size_t i = 0; !ret && i < npatterns; i++)
		ret = add_rule(rd, patterns[i], strlen(patterns[i]), 0, err);
	for (size_t i = 0; !ret && i < nenv; i++)
		ret = add_name(rd, env[i], err);
	if (ret) {
		ct_redact_destroy(rd);
		return NULL;
	}
	rd->env = env;
	rd->nenv = nenv;
	return rd;
}

void ct_redact_destroy(struct ct_redact *rd)
{
	for (size_t i = 0; rd && i < rd->nrules; i++)
		pcre2_code_free(rd->rule[i]);
	if (rd)
		free(rd->rule);
	free(rd);
}

int ct_redact_learn(struct ct_redact *rd, pid_t pid, struct ct_error *err)
{
	size_t len = 0;
	char path[64], *text, *end;
	int ret = 0;

	if (!rd->nenv)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	text = ct_read_file(path, &len);
	if (!text)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot be read for --redact-env", path);
	end = text + len;
	for (char *at = text; at < end && !ret; at += strlen(at) + 1) {
		char *value = strchr(at, '=');

		if (!value || strlen(value + 1) < VALUE_MIN)
			continue;
		*value = 0;
		for (size_t i = 0; i < rd->nenv && !ret; i++)
			if (!fnmatch(rd->env[i], at, 0))
				ret = add_rule(rd, value + 1, strlen(value + 1), PCRE2_LITERAL, err);
		*value = '=';
	}
	explicit_bzero(text, len);
	free(text);
	return ret;
}

/* ---- applying them --------------------------------------------------------------------------------------------- */

/* mask: overwrite; else only look. How often there was something. */
static ct_u64 apply(struct ct_redact *rd, unsigned char *data, size_t len, bool cut, bool mask)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	ct_u64 found = 0;

	if (limits)
		pcre2_set_match_limit(limits, MATCH_LIMIT);
	for (size_t i = 0; i < rd->nrules && len; i++) {
		pcre2_match_data *match = pcre2_match_data_create_from_pattern(rd->rule[i], NULL);
		size_t at = 0;

		while (match && limits && at < len) {
			int n = pcre2_match(rd->rule[i], data, len, at, cut ? PCRE2_PARTIAL_SOFT : 0, match, limits);
			const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);

			if (n == PCRE2_ERROR_NOMATCH)
				break;
			found++;
			/* What cannot be told is overwritten: too much rather than too little. */
			if (mask && n < 0 && n != PCRE2_ERROR_PARTIAL)
				memset(data + at, MASK, len - at);
			else if (mask && span[1] > span[0])
				memset(data + span[0], MASK, span[1] - span[0]);
			if (n < 0 || !mask)
				break;
			found -= span[1] <= span[0]; /* an empty match is none */
			at = span[1] > at ? span[1] : at + 1;
		}
		if ((!match || !limits) && mask)
			memset(data, MASK, len);
		pcre2_match_data_free(match);
	}
	pcre2_match_context_free(limits);
	return found;
}

void ct_redact_bytes(struct ct_redact *rd, void *data, size_t len, bool cut)
{
	ct_u64 found = apply(rd, data, len, cut, true);

	if (found)
		atomic_fetch_add(&rd->matches, found);
}

static void redact_bufs(struct ct_redact *rd, const struct ct_event *ev)
{
	struct ct_buf_iter it = ct_buf_iter(ev);

	while (ct_buf_next(&it))
		if (it.buf->kind == CT_BUF_OUT || it.buf->kind == CT_BUF_IN || it.buf->kind == CT_BUF_PATH)
			ct_redact_bytes(rd, (void *)it.data, it.buf->len, it.buf->len < it.buf->want);
}

/* Pieces of memory from anywhere: no rule knows a secret by its middle. What is left of the position is its registers.
 */
static void redact_around(struct ct_fingerprint *fp)
{
	fp->mask = fp->noperands = 0;
	memset(fp->operand, 0, sizeof(fp->operand));
	memset(fp->stack, 0, sizeof(fp->stack));
	memset(fp->gpr, 0, sizeof(fp->gpr));
}

const struct ct_event *ct_redact_event(struct ct_redact *rd, const struct ct_event *ev)
{
	struct ct_event *copy = (struct ct_event *)rd->record;
	const struct ct_fingerprint *fp;

	if (ev->size > sizeof(rd->record) || ev->size < sizeof(*ev))
		return ev;
	memcpy(rd->record, ev, ev->size);
	switch (ev->type) {
	case CT_EV_SYSCALL:
	case CT_EV_ENTER:
	case CT_EV_FRAME: redact_bufs(rd, copy); break;
	case CT_EV_DATA:
		if (ev->size > sizeof(*ev) + sizeof(struct ct_ev_data))
			ct_redact_bytes(rd, rd->record + sizeof(*ev) + sizeof(struct ct_ev_data),
					ev->size - sizeof(*ev) - sizeof(struct ct_ev_data), true);
		break;
	case CT_EV_SIGNAL:
	case CT_EV_SWITCH:
		fp = ct_event_fingerprint(copy);
		if (fp)
			redact_around((struct ct_fingerprint *)fp);
		break;
	default: return ev;
	}
	return copy;
}

bool ct_redact_in_file(struct ct_redact *rd, int fd)
{
	unsigned char *data;
	struct ct_error err;
	struct stat st;
	bool found;

	if (fstat(fd, &st) || !st.st_size)
		return false;
	/* A file that shrinks under a mapping ends whoever reads there: it is copied first. */
	data = ct_pread_alloc(fd, (size_t)st.st_size, 0, "a file", &err);
	if (!data)
		return true;
	found = apply(rd, data, (size_t)st.st_size, false, false);
	free(data);
	return found;
}

size_t ct_redact_rules(const struct ct_redact *rd)
{
	return rd->nrules;
}

ct_u64 ct_redact_matches(const struct ct_redact *rd)
{
	return atomic_load(&rd->matches);
}
