// SPDX-License-Identifier: MIT
/* Which clock: what the recording has, what this machine can count, what was asked for.
 * Also the clock that does not count. See clock.h. */
#include "replay/clock.h"

#include <stdio.h>
#include <string.h>

#include "replay/pmu.h"

static ct_u64 no_skid(void)
{
	return 0;
}

/* Never resumes by itself: ct_resume_by does, which knows of patched call sites. */
const struct ct_clock ct_clock_fingerprint = {.name = "fingerprint", .native = true, .skid = no_skid};

static const struct ct_clock *const clocks[] = {&ct_clock_pmu, &ct_clock_fingerprint, &ct_clock_step};

static const struct ct_clock *find(const char *name)
{
	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++)
		if (!strcmp(clocks[i]->name, name))
			return clocks[i];
	return NULL;
}

bool ct_clock_known(const char *name)
{
	return !strcmp(name, "auto") || find(name);
}

ct_u64 ct_clock_stop_before(ct_u64 now, ct_u64 target, ct_u64 skid)
{
	return target > now && target - now > skid ? target - skid : 0;
}

const struct ct_clock *ct_clock_choose(const struct ct_recording *rec, const char *name, char *why, size_t len,
				       struct ct_error *err)
{
	const json_t *options = json_object_get(ct_recording_manifest(rec), "options");
	const char *recorded = json_string_value(json_object_get(options, "clock"));
	const char *event = json_string_value(json_object_get(options, "ticks"));
	const bool ticks = recorded && (!strcmp(recorded, "pmu") || !strcmp(recorded, "step"));
	const bool all = event && !strcmp(event, "branches");
	const struct ct_clock *forced = name && strcmp(name, "auto") ? find(name) : NULL;
	struct ct_error cause = {0};

	if (forced == &ct_clock_fingerprint) {
		snprintf(why, len, "asked for");
		return forced;
	}
	if (!ticks) {
		if (forced) {
			ct_fail(err, CT_EXIT_USAGE,
				"%s: was recorded without a branch counter, so the clock %s has no ticks to go by; "
				"use --clock fingerprint",
				ct_recording_path(rec), forced->name);
			return NULL;
		}
		snprintf(why, len, "it was recorded without a branch counter");
		return &ct_clock_fingerprint;
	}
	if (forced == &ct_clock_step) {
		if (all) {
			ct_fail(err, CT_EXIT_USAGE,
				"%s: its ticks are of all branches, which only the same kind of CPU counts; the clock "
				"step counts conditional ones; use --clock fingerprint",
				ct_recording_path(rec));
			return NULL;
		}
		snprintf(why, len, "asked for");
		return forced;
	}
	if (!ct_pmu_check(&cause)) {
		if (all == ct_pmu_model()->conditional) {
			ct_fail(&cause, CT_EXIT_MISSING, "this CPU counts %s branches, the recorded one counted %s",
				all ? "conditional" : "all", all ? "all" : "conditional ones");
		} else {
			snprintf(why, len, forced ? "asked for" : "the recording has ticks and this CPU counts them");
			return &ct_clock_pmu;
		}
	}
	if (forced) {
		ct_fail(err, CT_EXIT_MISSING, "the clock pmu cannot be used: %s; use --clock fingerprint%s", cause.msg,
			all ? "" : ", or step (slow)");
		return NULL;
	}
	snprintf(why, len, "the recording has ticks, but %s", cause.msg);
	return &ct_clock_fingerprint;
}
