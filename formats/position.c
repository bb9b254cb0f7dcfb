/* SPDX-License-Identifier: MIT
 * Positions as a person writes them: e:SEQ, t:+1.25s, t:12:30:05, start, end.
 *
 * Wall-clock times are UTC and become CLOCK_MONOTONIC by the pair of clocks in the manifest. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recording_private.h"

#define NS  1000000000ull
#define DAY (86400ull * NS)

static int bad(struct ct_error *err, const char *text, const char *why)
{
	return ct_fail(err, CT_EXIT_USAGE,
		       "position '%s': %s; write e:SEQ, t:+1.25s, t:12:30:05, t:2026-11-22T12:30:05, start or end",
		       text, why);
}

/* Digits only; false if there are none or the number does not fit. */
static bool take_number(const char **p, ct_u64 *value)
{
	const char *s = *p;

	*value = 0;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (ct_u64)(*s - '0'), value))
			return false;
	if (s == *p)
		return false;
	*p = s;
	return true;
}

/* "12.345" of units of `unit` ns, exactly: what is below a nanosecond is cut off. */
static bool take_decimal(const char **p, ct_u64 unit_before, ct_u64 *whole, ct_u64 *fraction_ns)
{
	ct_u64 place = unit_before;

	*fraction_ns = 0;
	if (!take_number(p, whole))
		return false;
	if (**p != '.')
		return true;
	for ((*p)++; isdigit((unsigned char)**p); (*p)++) {
		place /= 10;
		*fraction_ns += place * (ct_u64)(**p - '0');
	}
	return isdigit((unsigned char)(*p)[-1]) != 0;
}

static ct_u64 unit_of(const char *suffix)
{
	static const struct {
		const char *name;
		ct_u64 ns;
	} units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", NS}, {"", NS}, {"m", 60 * NS}, {"h", 3600 * NS}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(suffix, units[i].name) == 0)
			return units[i].ns;
	return 0;
}

static int parse_offset(struct ct_recording *rec, const char *text, const char *p, struct ct_pos *pos,
			struct ct_error *err)
{
	const char *suffix = p + strspn(p, "0123456789.");
	ct_u64 unit = unit_of(suffix), whole, fraction, ns;
	struct ct_index_entry range;

	if (!unit)
		return bad(err, text, "unknown unit (ns, us, ms, s, m or h)");
	/* 60 s is no power of ten: scale the fraction by way of units of a second's billionth. */
	if (!take_decimal(&p, NS, &whole, &fraction) || p != suffix)
		return bad(err, text, "not a number");
	fraction = (ct_u64)((unsigned __int128)fraction * unit / NS);
	if (__builtin_mul_overflow(whole, unit, &ns) || __builtin_add_overflow(ns, fraction, &ns))
		return bad(err, text, "too large");
	if (!ct_recording_range(rec, &range))
		return ct_fail(err, CT_EXIT_FAILED, "%s: holds no events, so it has no position '%s'", rec->path, text);
	if (__builtin_add_overflow(range.first_ns, ns, &pos->value))
		return bad(err, text, "too large");
	pos->kind = CT_POS_TIME;
	return 0;
}

/* Exactly n digits. */
static bool take_digits(const char **p, int n, int *value)
{
	*value = 0;
	for (; n > 0; n--, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool take_date(const char **p, ct_u64 *ns)
{
	struct tm tm = {0}, check;
	time_t t;

	if (!take_digits(p, 4, &tm.tm_year) || *(*p)++ != '-' || !take_digits(p, 2, &tm.tm_mon) || *(*p)++ != '-' ||
	    !take_digits(p, 2, &tm.tm_mday) || (**p != 'T' && **p != ' '))
		return false;
	(*p)++;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	check = tm;
	t = timegm(&tm);
	/* timegm takes the 31st of June for the 1st of July. */
	if (t < 0 || check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon || (ct_u64)t > UINT64_MAX / NS / 2)
		return false;
	*ns = (ct_u64)t * NS;
	return true;
}

static int parse_wall(struct ct_recording *rec, const char *text, const char *p, struct ct_pos *pos,
		      struct ct_error *err)
{
	const char *dash = strchr(p, '-');
	ct_u64 wall = 0, seconds, fraction;
	int hours, minutes;

	if (dash && !take_date(&p, &wall))
		return bad(err, text, "not a date of the form 2026-11-22T12:30:05");
	if (!take_digits(&p, 2, &hours) || *p++ != ':' || !take_digits(&p, 2, &minutes))
		return bad(err, text, "not a time of the form 12:30:05");
	seconds = fraction = 0;
	if (*p == ':') {
		p++;
		if (!take_decimal(&p, NS, &seconds, &fraction))
			return bad(err, text, "not a time of the form 12:30:05");
	}
	if (*p == 'Z')
		p++;
	if (*p || hours > 23 || minutes > 59 || seconds > 60)
		return bad(err, text, "not a time of the form 12:30:05");
	if (rec->realtime_ns == 0)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: its manifest has no clocks, so wall-clock position '%s' is unknown: use t:+SECONDS",
			       rec->path, text);
	wall += ((ct_u64)hours * 3600 + (ct_u64)minutes * 60 + seconds) * NS + fraction;
	if (!dash) {
		/* The day the recording began, or the next when that time had passed already. */
		ct_u64 day = rec->realtime_ns / DAY * DAY, since = rec->realtime_ns % DAY;

		wall += day;
		if (wall < day + since)
			wall += DAY;
	}
	pos->kind = CT_POS_TIME;
	pos->value = 0; /* before the machine was booted: the same as the start */
	if (wall >= rec->realtime_ns)
		pos->value = rec->monotonic_ns + (wall - rec->realtime_ns);
	else if (rec->realtime_ns - wall < rec->monotonic_ns)
		pos->value = rec->monotonic_ns - (rec->realtime_ns - wall);
	return 0;
}

int ct_pos_parse(struct ct_recording *rec, const char *text, struct ct_pos *pos, struct ct_error *err)
{
	struct ct_index_entry range;
	const char *p = text;

	if (strcmp(text, "start") == 0 || strcmp(text, "end") == 0) {
		if (!ct_recording_range(rec, &range))
			return ct_fail(err, CT_EXIT_FAILED, "%s: holds no events, so it has no %s", rec->path, text);
		*pos = (struct ct_pos){CT_POS_SEQ, text[0] == 's' ? range.first_seq : range.last_seq};
		return 0;
	}
	if (strncmp(text, "t:+", 3) == 0)
		return parse_offset(rec, text, text + 3, pos, err);
	if (strncmp(text, "t:", 2) == 0)
		return parse_wall(rec, text, text + 2, pos, err);
	if (strncmp(text, "s:", 2) == 0)
		return ct_fail(err, CT_EXIT_USAGE,
			       "position '%s' is a step: it needs the recording's step database; use e:SEQ or t:TIME",
			       text);
	if (strncmp(text, "m:", 2) == 0)
		return ct_fail(err, CT_EXIT_USAGE,
			       "position '%s' is a message: it needs the recording's markers; use e:SEQ or t:TIME",
			       text);
	if (strncmp(text, "e:", 2) == 0)
		p += 2;
	if (!take_number(&p, &pos->value))
		return bad(err, text, isdigit((unsigned char)*p) ? "the number is too large" : "not understood");
	if (*p)
		return bad(err, text, "not understood");
	pos->kind = CT_POS_SEQ;
	return 0;
}
