/* SPDX-License-Identifier: MIT
 * pprof's profile: a sample for each distinct stack of lines, with calls, executed lines and time.
 *
 * Numbers of fields are those of perftools.profiles.Profile. The output is gzip'ed, as the format demands. */
#include <string.h>

#include "../recording.h"
#include "stacks.h"

enum { PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE, PROFILE_MAPPING, PROFILE_LOCATION, PROFILE_FUNCTION, PROFILE_STRING };
enum { PROFILE_TIME = 9, PROFILE_DURATION, PROFILE_PERIOD_TYPE, PROFILE_PERIOD, PROFILE_COMMENT, PROFILE_DEFAULT };
enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_NUMBER = 3 };
enum { LOCATION_ID = 1, LOCATION_LINE = 4, LINE_FUNCTION = 1, LINE_LINE = 2 };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_FILE = 4, FUNCTION_LINE };

/* The first strings; then names of functions and files, by their ids. */
static const char *const strings[] = {
	"", "calls", "count", "lines", "time", "nanoseconds", "thread_id", "tid", ("ctbpf " CTBPF_VERSION)};
enum { S_NONE, S_CALLS, S_COUNT, S_LINES, S_TIME, S_NANOSECONDS, S_THREAD, S_TID, S_EXPORTER, S_FIXED };

struct pprof {
	const struct ct_export_source *src;
	struct ex_out *o;
	struct sd_buf message, part;
	bool failed;
};

static void ok(struct pprof *p, bool good)
{
	p->failed = p->failed || !good;
}

/* Writes p->message as a field of the profile. */
static void put_field(struct pprof *p, unsigned field)
{
	struct sd_buf head = {0};

	ok(p, sd_put_uint(&head, field << 3 | EX_PB_BYTES) && sd_put_uint(&head, p->message.len));
	if (!p->failed) {
		ex_put(p->o, head.data, head.len);
		ex_put(p->o, p->message.data, p->message.len);
	}
	free(head.data);
	p->message.len = 0;
}

static void put_number(struct pprof *p, unsigned field, ct_u64 v)
{
	struct sd_buf b = {0};

	ok(p, ex_pb_uint(&b, field, v));
	if (!p->failed)
		ex_put(p->o, b.data, b.len);
	free(b.data);
}

static void put_type(struct pprof *p, unsigned field, unsigned type, unsigned unit)
{
	ok(p, ex_pb_uint(&p->message, TYPE_TYPE, type) && ex_pb_uint(&p->message, TYPE_UNIT, unit));
	put_field(p, field);
}

static void put_string(struct pprof *p, const void *text, size_t len)
{
	ok(p, ex_utf8(&p->message, text, len));
	put_field(p, PROFILE_STRING);
}

static void put_strings(struct pprof *p)
{
	static const enum ct_names tables[] = {CT_FUNCTIONS, CT_FILES};

	for (unsigned i = 0; i < S_FIXED; i++)
		put_string(p, strings[i], strlen(strings[i]));
	for (unsigned i = 0; i < 2; i++)
		for (ct_u32 id = 1; id <= ct_stepdb_names(p->src->db, tables[i]); id++) {
			const struct ct_name *name = ct_stepdb_name(p->src->db, tables[i], id);

			put_string(p, name->text, name->len);
		}
}

static void put_function(struct pprof *p, ct_u64 id, ct_u64 function, ct_u64 file)
{
	ct_u64 nfunctions = ct_stepdb_names(p->src->db, CT_FUNCTIONS), name = S_FIXED + function - 1;
	const struct ct_name *fn = ct_stepdb_name(p->src->db, CT_FUNCTIONS, function);

	/* Without a system name, which pprof would take for a mangled one: "<module>" would become nothing. */
	ok(p, ex_pb_uint(&p->message, FUNCTION_ID, id) && ex_pb_uint(&p->message, FUNCTION_NAME, name) &&
		      ex_pb_uint(&p->message, FUNCTION_LINE, fn->v[CT_FN_LINE]));
	if (file && file <= ct_stepdb_names(p->src->db, CT_FILES))
		ok(p, ex_pb_uint(&p->message, FUNCTION_FILE, S_FIXED + nfunctions + file - 1));
	put_field(p, PROFILE_FUNCTION);
}

static void put_location(struct pprof *p, ct_u64 id, ct_u64 function, ct_u64 line)
{
	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, LINE_FUNCTION, function) && ex_pb_uint(&p->part, LINE_LINE, line) &&
		      ex_pb_uint(&p->message, LOCATION_ID, id) &&
		      ex_pb_bytes(&p->message, LOCATION_LINE, p->part.data, p->part.len));
	put_field(p, PROFILE_LOCATION);
}

/* Ids of locations are the keys of stacks. A line of another file than the function's gets a function of its own. */
static void put_places(struct pprof *p)
{
	ct_u32 nlocations = ct_stepdb_names(p->src->db, CT_LOCATIONS);
	ct_u32 nfunctions = ct_stepdb_names(p->src->db, CT_FUNCTIONS);

	for (ct_u32 id = 1; id <= nfunctions; id++) {
		const struct ct_name *fn = ct_stepdb_name(p->src->db, CT_FUNCTIONS, id);

		put_function(p, id, id, fn->v[CT_FN_FILE]);
		put_location(p, (ct_u64)nlocations + id, id, fn->v[CT_FN_LINE]);
	}
	for (ct_u32 id = 1; id <= nlocations; id++) {
		const ct_u64 *v = ct_stepdb_name(p->src->db, CT_LOCATIONS, id)->v;
		const struct ct_name *fn = ct_stepdb_name(p->src->db, CT_FUNCTIONS, v[CT_LOC_FUNCTION]);
		ct_u64 function = v[CT_LOC_FUNCTION];

		if (!fn)
			continue;
		if (fn->v[CT_FN_FILE] != v[CT_LOC_FILE]) {
			function = (ct_u64)nfunctions + id;
			put_function(p, function, v[CT_LOC_FUNCTION], v[CT_LOC_FILE]);
		}
		put_location(p, id, function, v[CT_LOC_LINE]);
	}
}

static void put_label(struct pprof *p, unsigned key, ct_u64 number)
{
	p->part.len = 0;
	ok(p, ex_pb_uint(&p->part, LABEL_KEY, key) && ex_pb_uint(&p->part, LABEL_NUMBER, number) &&
		      ex_pb_bytes(&p->message, SAMPLE_LABEL, p->part.data, p->part.len));
}

static void put_sample(struct pprof *p, const struct stacks *s, ct_u32 at)
{
	const struct st_node *n = &s->node[at];
	const ct_u64 values[] = {n->calls, n->lines, n->self_ns};

	p->part.len = 0;
	for (; s->node[at].parent; at = s->node[at].parent)
		ok(p, sd_put_uint(&p->part, s->node[at].key));
	ok(p, ex_pb_bytes(&p->message, SAMPLE_LOCATION, p->part.data, p->part.len));
	p->part.len = 0;
	for (unsigned i = 0; i < 3; i++)
		ok(p, sd_put_uint(&p->part, values[i]));
	ok(p, ex_pb_bytes(&p->message, SAMPLE_VALUE, p->part.data, p->part.len));
	put_label(p, S_THREAD, s->node[at].key);
	put_label(p, S_TID, ct_stepdb_name(p->src->db, CT_THREADS, s->node[at].key)->v[CT_TH_TID]);
	put_field(p, PROFILE_SAMPLE);
}

int ex_pprof(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
	     struct ct_error *err)
{
	const json_t *clocks = json_object_get(ct_recording_manifest(src->rec), "clocks");
	ct_u64 realtime = (ct_u64)json_integer_value(json_object_get(clocks, "realtime_ns"));
	ct_u64 monotonic = (ct_u64)json_integer_value(json_object_get(clocks, "monotonic_ns"));
	struct pprof p = {.src = src, .o = o};
	ct_u64 first_ns, last_ns;
	struct stacks s;
	int ret = stacks_build(&s, src, opts, true, err);

	if (ret == 0) {
		put_type(&p, PROFILE_SAMPLE_TYPE, S_CALLS, S_COUNT);
		put_type(&p, PROFILE_SAMPLE_TYPE, S_LINES, S_COUNT);
		put_type(&p, PROFILE_SAMPLE_TYPE, S_TIME, S_NANOSECONDS);
		put_strings(&p);
		put_places(&p);
		for (ct_u32 i = 1; i <= s.count; i++)
			if (s.node[i].parent && (s.node[i].calls || s.node[i].lines || s.node[i].self_ns))
				put_sample(&p, &s, i);
		if (ex_times(src, &first_ns, &last_ns)) {
			put_number(&p, PROFILE_TIME, first_ns - monotonic + realtime);
			put_number(&p, PROFILE_DURATION, last_ns - first_ns);
		}
		put_type(&p, PROFILE_PERIOD_TYPE, S_TIME, S_NANOSECONDS);
		put_number(&p, PROFILE_PERIOD, 1);
		put_number(&p, PROFILE_COMMENT, S_EXPORTER);
		put_number(&p, PROFILE_DEFAULT, S_TIME);
	}
	if (ret == 0 && p.failed)
		ret = ct_fail_memory(err);
	free(p.message.data);
	free(p.part.data);
	stacks_free(&s);
	return ret;
}
