// SPDX-License-Identifier: MIT
/* What the options of ctbpf record take: sizes, times, signals. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd.h"
#include "user/record_args.h"

/* "64M", "1G", "4096"; -1 if it is not a size within [min, max]. */
int ct_parse_size(const char *text, ct_u64 min, ct_u64 max, ct_u64 *out)
{
	char *end;
	double v = strtod(text, &end);

	switch (*end) {
	case 'k':
	case 'K': v *= 1 << 10, end++; break;
	case 'm':
	case 'M': v *= 1 << 20, end++; break;
	case 'g':
	case 'G': v *= 1 << 30, end++; break;
	case 'T': v *= 1ull << 40, end++; break;
	}
	if (end == text || *end || !(v >= (double)min && v <= (double)max))
		return -1;
	*out = (ct_u64)v;
	return 0;
}

/* "500ms", "90s", "10m", "2h"; -1 if it is not a time of a hundred milliseconds to a year. */
int ct_parse_time(const char *text, ct_u64 *ns)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	double v = strtod(text, &end), s = 0;

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (end != text && !strcmp(end, units[i].unit))
			s = v * units[i].s;
	if (!(s >= 0.1 && s <= 86400 * 366.0))
		return -1;
	*ns = (ct_u64)(s * 1e9);
	return 0;
}

/* Here M are megabytes and m minutes. */
int ct_parse_keep(struct ct_record_opts *o, const char *text)
{
	const char *end = text + strspn(text, "0123456789.");

	if (*end && strchr("KMGT", *end))
		return ct_parse_size(text, 16 << 20, 1ull << 50, &o->keep_bytes);
	return ct_parse_time(text, &o->keep_ns);
}

/* "SEGV", "SIGSEGV", "11". */
int ct_parse_signal(const char *text, ct_u64 *signals)
{
	const char *name = strncmp(text, "SIG", 3) ? text : text + 3;
	unsigned long long n = 0;

	if (ct_parse_u64(text, 1, 64, &n)) {
		for (n = 1; n <= 64; n++)
			if (sigabbrev_np((int)n) && !strcmp(sigabbrev_np((int)n), name))
				break;
	}
	if (n > 64)
		return -1;
	*signals |= 1ull << (n - 1);
	return 0;
}

int ct_parse_exit(const char *text, struct ct_trigger_opts *t)
{
	unsigned long long n;

	t->exits = true;
	t->exit_status = -1;
	if (!strcmp(text, "nonzero"))
		return 0;
	if (ct_parse_u64(text, 0, 255, &n))
		return -1;
	t->exit_status = (int)n;
	return 0;
}

int ct_parse_compress(const char *text, int *level)
{
	unsigned long long n = 1;

	if (!strcmp(text, "none")) {
		*level = 0;
		return 0;
	}
	if (strncmp(text, "zstd", 4) || (text[4] && (text[4] != ':' || ct_parse_u64(text + 5, 1, 19, &n))))
		return -1;
	*level = (int)n;
	return 0;
}

/* "10us", "1.5ms", "2s"; -1 if it is no time. */
int ct_parse_duration(const char *text, ct_u64 *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	char *end;
	double v = strtod(text, &end);

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (end != text && !strcmp(end, units[i].unit) && v > 0 && v * units[i].ns < 1e15) {
			*ns = (ct_u64)(v * units[i].ns);
			return *ns ? 0 : -1;
		}
	return -1;
}

int ct_parse_latency(struct ct_trigger_opts *t, char *text)
{
	char *at = strrchr(text, '>'); /* names of functions may have one, too */

	if (!at || at == text || ct_parse_duration(at + 1, &t->slow_ns))
		return -1;
	*at = 0;
	t->slow = text;
	return 0;
}

/* "2%", "0.5"; as a share. */
int ct_parse_percent(const char *text, double *share)
{
	char *end;
	double v = strtod(text, &end);

	end += *end == '%';
	if (end == text || *end || !(v >= 0.1 && v <= 1000))
		return -1;
	*share = v / 100;
	return 0;
}
