// SPDX-License-Identifier: MIT
/* What the recorder says: its own records in the log, the manifest, the live line on a terminal. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "user/recorder_priv.h"
#include "formats/sysrule.h"
#include "record.skel.h" /* after the headers with its types */

ct_u64 ct_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

ct_u64 ct_recorder_append(struct ct_recorder *r, unsigned type, ct_u32 pid, ct_u32 tid, const void *body, size_t len,
			  const void *tail, size_t tail_len)
{
	size_t size = sizeof(struct ct_event) + len + tail_len;
	struct ct_event *ev = calloc(1, size + CT_EVENT_ALIGN);
	const struct ct_ev_snapshot *snap = type == CT_EV_SNAPSHOT ? body : NULL;
	ct_u64 seq;

	if (!ev)
		return 0;
	ev->size = size;
	ev->type = type;
	ev->pid = pid;
	ev->tid = tid;
	/* What is written later belongs to the recording's last moment. At a snapshot everything stands, and it is now;
	 * not after an execve, where others go on. Anything else has the time of the event before it. */
	if (r->end_ns)
		ev->time_ns = r->end_ns;
	else if (type == CT_EV_SNAPSHOT && ((const struct ct_ev_snapshot *)body)->kind != CT_SNAP_EXEC)
		ev->time_ns = ct_now_ns();
	memcpy(ev + 1, body, len);
	if (tail_len)
		memcpy((char *)(ev + 1) + len, tail, tail_len);
	/* Each stretch begins with a segment, so that those before can go. */
	if (snap && (snap->kind == CT_SNAP_LOSS || snap->kind == CT_SNAP_PERIODIC))
		seq = ct_pipeline_begin_segment(r->pipeline, ev);
	else
		seq = ct_pipeline_append(r->pipeline, ev);
	free(ev);
	return seq;
}

void ct_recorder_unsound(struct ct_recorder *r, const char *text)
{
	if (!atomic_fetch_add(&r->unsound, 1))
		snprintf(r->first_unsound, sizeof(r->first_unsound), "%s", text);
}

void ct_recorder_note(struct ct_recorder *r, unsigned type, ct_u32 reason, ct_u32 pid, ct_u64 value, const char *fmt,
		      ...)
{
	struct ct_ev_text body = {.reason = reason, .value = value};
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	body.text_len = strlen(text);
	ct_recorder_append(r, type, pid, pid, &body, sizeof(body), text, body.text_len);
	if (r->opts->verbose > 0)
		fprintf(stderr, "%s\n", text);
	if (type == CT_EV_UNSOUND)
		ct_recorder_unsound(r, text);
}

void ct_recorder_describe(struct ct_recorder *r, json_t *manifest, const char *state,
			  const struct ct_pipeline_stats *stats)
{
	const struct ct_counters *c = r->probes.counters;
	struct rusage usage;

	json_object_set_new(manifest, "state", json_string(state));
	json_object_set_new(manifest, "pause_ms", json_real(r->pause_ns / 1e6));
	json_object_set_new(manifest, "max_pause_ms", json_real(r->max_pause_ns / 1e6));
	if (r->nfurther)
		json_object_set_new(manifest, "further_snapshots",
				    json_pack("{s:I, s:I, s:f}", "count", (json_int_t)r->nfurther, "incremental",
					      (json_int_t)r->nincremental, "pause_ms",
					      r->further_pause_ns / 1e6 / r->nfurther));
	if (stats) {
		getrusage(RUSAGE_SELF, &usage);
		json_object_set_new(manifest, "recorder_stats",
				    json_pack("{s:f, s:I}", "cpu_s",
					      usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 +
						      usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6,
					      "rss_bytes", (json_int_t)usage.ru_maxrss * 1024));
		json_object_set_new(manifest, "counters",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}",
					      "kernel_records", (json_int_t)c->seq, "lost", (json_int_t)stats->lost,
					      "repaired_switches", (json_int_t)c->repaired, "unreadable_buffers",
					      (json_int_t)c->faults, "by_reference_bytes", (json_int_t)c->by_reference,
					      "foreign_cpu", (json_int_t)c->foreign, "holds", (json_int_t)c->holds,
					      "hold_timeouts", (json_int_t)c->hold_timeouts, "not_followed",
					      (json_int_t)c->threads_full, "events_only", (json_int_t)c->events_only,
					      "hold_max_ms", c->hold_max_ns / 1e6, "target_cpu_s", c->cpu_ns / 1e9));
	}
}

int ct_recorder_manifest(struct ct_recorder *r, const char *state, const struct ct_pipeline_stats *stats,
			 struct ct_error *err)
{
	ct_recorder_describe(r, r->manifest, state, stats);
	return ct_manifest_write(r->dirfd, r->manifest, err);
}

void ct_recorder_live(struct ct_recorder *r, bool last)
{
	struct ct_pipeline_stats s;
	double elapsed = (ct_now_ns() - r->start_ns) / 1e9;

	if (r->opts->verbose < 0 || !isatty(STDERR_FILENO))
		return;
	if (last) {
		fprintf(stderr, "\r\033[K");
		return;
	}
	/* Measuring costs a little itself: it is on between one line and the next, every tenth time. */
	if (r->lines % 10 == 2)
		ct_probes_load_begin(&r->probes);
	else if (r->lines % 10 == 3)
		r->load = ct_probes_load_end(&r->probes);
	r->lines++;
	ct_pipeline_stats(r->pipeline, &s);
	fprintf(stderr, "\r\033[K%6.1f s  %8.0f events/s  %7.1f MB  lost %llu  ", elapsed,
		elapsed > 0 ? s.events / elapsed : 0, s.stored_bytes / 1e6, (unsigned long long)s.lost);
	if (r->lines > 3 && r->load >= 0)
		fprintf(stderr, "probes %.1f %% of a CPU, ", r->load * 100);
	fprintf(stderr, "recorder %.1f %%", elapsed > 0 ? s.cpu_ns / 1e7 / elapsed : 0);
	fflush(stderr);
}
