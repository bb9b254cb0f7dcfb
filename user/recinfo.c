/* SPDX-License-Identifier: MIT
 * What `info` and `ls` say of a recording: manifest and summary in one plain struct.
 *
 * docs/format.md lists the members of a manifest. */
#include "recinfo.h"

static const char *get_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

static ct_u64 get_u64(const json_t *obj, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(obj, key));
	return value > 0 ? (ct_u64)value : 0;
}

static void from_manifest(struct ct_recinfo *info, const json_t *manifest)
{
	const json_t *target = json_object_get(manifest, "target"), *cpu = json_object_get(manifest, "cpu");
	const json_t *kernel = json_object_get(manifest, "kernel");
	const json_t *clocks = json_object_get(manifest, "clocks"), *pause = json_object_get(manifest, "pause_ms");
	const json_t *stats = json_object_get(manifest, "recorder_stats");
	info->uuid = get_str(manifest, "uuid");
	info->host = get_str(manifest, "host");
	info->kernel = get_str(kernel, "release");
	info->cpu = get_str(cpu, "brand");
	if (!info->cpu || !*info->cpu)
		info->cpu = get_str(cpu, "vendor");
	info->target_comm = get_str(target, "comm");
	info->target_exe = get_str(target, "exe");
	info->target_pid = get_u64(target, "pid");
	const json_t *trigger = json_object_get(manifest, "trigger");
	info->trigger = get_str(trigger, "name");
	info->trigger_reason = get_str(trigger, "reason");
	info->trigger_seq = get_u64(trigger, "seq");
	info->kept_from = get_u64(json_object_get(manifest, "kept"), "snapshot");
	const json_t *proof = json_object_get(manifest, "verify");
	info->verdict = get_str(proof, "verdict");
	info->verified_at = get_str(proof, "time");
	const json_t *proven = json_object_get(manifest, "proven");
	info->has_proven = json_is_object(proven);
	info->proven = get_u64(proven, "verified");
	info->refuted = get_u64(proven, "refuted");
	info->missed = get_u64(proven, "missed");
	info->refuted_why = get_str(proven, "why");
	const json_t *pauses = json_object_get(manifest, "pauses");
	info->has_pauses = json_is_object(pauses);
	info->pauses = get_u64(pauses, "count");
	info->overhead_pauses = get_u64(pauses, "overhead");
	info->paused_s = json_number_value(json_object_get(pauses, "s"));
	info->has_pause = json_is_number(pause);
	info->pause_ms = json_number_value(pause);
	info->has_stats = json_is_object(stats);
	info->recorder_cpu_s = json_number_value(json_object_get(stats, "cpu_s"));
	info->recorder_rss = get_u64(stats, "rss_bytes");
	/* Events carry the monotonic clock; the manifest has one reading of both clocks. */
	ct_u64 real = get_u64(clocks, "realtime_ns"), mono = get_u64(clocks, "monotonic_ns");
	if (real)
		info->started_ns = info->sum.first_ns ? real + (info->sum.first_ns - mono) : real;
}

int ct_recinfo_open(struct ct_recinfo *info, const char *path, struct ct_error *err)
{
	*info = (struct ct_recinfo){.rec = ct_recording_open(path, err)};
	if (!info->rec)
		return -1;
	int ret = ct_recording_summary(info->rec, &info->sum, err);
	if (ret < 0) {
		ct_fail_prefix(err, "%s", path);
		ct_recinfo_close(info);
		return ret;
	}
	info->path = ct_recording_path(info->rec);
	info->state = ct_recording_state_name(ct_recording_state(info->rec));
	if (info->sum.last_ns > info->sum.first_ns)
		info->duration_s = (double)(info->sum.last_ns - info->sum.first_ns) / 1e9;
	from_manifest(info, ct_recording_manifest(info->rec));
	return ret;
}

void ct_recinfo_close(struct ct_recinfo *info)
{
	if (info->rec)
		ct_recording_close(info->rec);
	info->rec = NULL;
}
