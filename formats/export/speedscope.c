/* SPDX-License-Identifier: MIT
 * Speedscope's evented profiles: one a thread, calls that open and close in the order of time.
 *
 * Measured in nanoseconds since the first event of the recording, or in executed lines. */
#include <stdio.h>
#include <string.h>

#include "../recording.h"
#include "timeline.h"

struct speedscope {
	const struct ct_export_source *src;
	const struct ct_export_options *opts;
	struct ex_out *o;
	ct_u64 first_ns, lines, at;
	bool any, began;
};

static void put(struct speedscope *s, char type, const struct ex_frame *f, ct_u64 ns)
{
	s->at = s->opts->lines ? s->lines : ns > s->first_ns ? ns - s->first_ns : 0;
	if (!s->began)
		ex_fmt(s->o, "\"startValue\":%llu,\"events\":[", (unsigned long long)s->at);
	ex_fmt(s->o, "%s\n{\"type\":\"%c\",\"frame\":%llu,\"at\":%llu}", s->began ? "," : "", type,
	       (unsigned long long)(f->row[CT_CALL_FUNCTION] - 1), (unsigned long long)s->at);
	s->began = true;
}

static int enter(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 ns, struct ct_error *err)
{
	(void)t;
	(void)err;
	put(arg, 'O', f, ns);
	return 0;
}

static int leave(void *arg, struct ex_timeline *t, struct ex_frame *f, enum ex_leave how, ct_u64 ns,
		 struct ct_error *err)
{
	(void)t;
	(void)how;
	(void)err;
	put(arg, 'C', f, ns);
	return 0;
}

static int step(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 id, ct_u64 event, ct_u64 ns,
		struct ct_error *err)
{
	struct speedscope *s = arg;

	(void)t, (void)f, (void)id, (void)event, (void)ns, (void)err;
	s->lines++;
	return 0;
}

static int put_thread(struct speedscope *s, ct_u32 id, ct_u64 end_ns, struct ct_error *err)
{
	const struct ct_name *thread = ct_stepdb_name(s->src->db, CT_THREADS, id);
	const struct ex_sink sink = {s, enter, leave, step};
	struct sd_buf name = {0};
	char tid[48];
	bool good;

	s->lines = s->at = 0;
	s->began = false;
	good = sd_put(&name, thread->text, thread->len) &&
	       sd_put(&name, tid,
		      (size_t)snprintf(tid, sizeof(tid), "%sthread %llu", thread->len ? " " : "",
				       (unsigned long long)thread->v[CT_TH_TID]));
	ex_str(s->o, s->any ? ",\n{\"type\":\"evented\",\"name\":" : "\n{\"type\":\"evented\",\"name\":");
	if (good)
		ex_json(s->o, name.data, name.len);
	free(name.data);
	if (!good)
		return ct_fail_memory(err);
	ex_fmt(s->o, ",\"unit\":\"%s\",", s->opts->lines ? "none" : "nanoseconds");
	if (ex_timeline(s->src, s->opts, id, end_ns, &sink, err) < 0)
		return -1;
	if (!s->began)
		ex_str(s->o, "\"startValue\":0,\"events\":[");
	ex_fmt(s->o, "],\"endValue\":%llu}", (unsigned long long)s->at);
	s->any = true;
	return 0;
}

int ex_speedscope(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
		  struct ct_error *err)
{
	struct speedscope s = {.src = src, .opts = opts, .o = o};
	const char *path = ct_recording_path(src->rec);
	ct_u64 end_ns;

	if (ex_end_time(src, &end_ns, err) < 0)
		return -1;
	ex_times(src, &s.first_ns, &(ct_u64){0});
	ex_str(o,
	       "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"exporter\":\"ctbpf@" CTBPF_VERSION
	       "\",\"name\":");
	ex_json(o, path, strlen(path));
	ex_str(o, ",\"activeProfileIndex\":0,\"shared\":{\"frames\":[");
	for (ct_u32 id = 1; id <= ct_stepdb_names(src->db, CT_FUNCTIONS); id++) {
		const struct ct_name *fn = ct_stepdb_name(src->db, CT_FUNCTIONS, id);
		const struct ct_name *file = ct_stepdb_name(src->db, CT_FILES, fn->v[CT_FN_FILE]);

		ex_str(o, id > 1 ? ",\n{\"name\":" : "\n{\"name\":");
		ex_json(o, fn->text, fn->len);
		if (file) {
			ex_str(o, ",\"file\":");
			ex_json(o, file->text, file->len);
			ex_fmt(o, ",\"line\":%llu", (unsigned long long)fn->v[CT_FN_LINE]);
		}
		ex_str(o, "}");
	}
	ex_str(o, "]},\"profiles\":[");
	for (ct_u32 id = 1; id <= ct_stepdb_names(src->db, CT_THREADS); id++)
		if (put_thread(&s, id, end_ns, err) < 0)
			return -1;
	ex_str(o, "\n]}\n");
	return 0;
}
