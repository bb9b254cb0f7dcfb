/* SPDX-License-Identifier: MIT
 * Folded stacks, as flame graph programs read them: "thread;outer;inner COUNT", one line a distinct stack.
 *
 * COUNT is the time spent in the innermost function itself in nanoseconds, or the lines it executed. */
#include <string.h>

#include "stacks.h"

/* A frame cannot hold what separates frames and lines. */
static void put_frame(struct ex_out *o, const struct ct_name *name)
{
	for (size_t i = 0; i < name->len; i++) {
		char c = name->text[i];

		ex_put(o, c == ';' ? ":" : (unsigned char)c < 0x20 ? " " : &c, 1);
	}
}

static int put_stack(const struct stacks *s, ct_u32 at, struct sd_buf *path, struct ex_out *o, struct ct_error *err)
{
	const struct ct_name *thread;
	ct_u32 location;

	path->len = 0;
	for (; s->node[at].parent; at = s->node[at].parent)
		if (!sd_put(path, &s->node[at].key, sizeof(ct_u32)))
			return ct_fail_memory(err);
	thread = ct_stepdb_name(s->src->db, CT_THREADS, s->node[at].key);
	put_frame(o, thread);
	ex_fmt(o, "%sthread %llu", thread->len ? " " : "", (unsigned long long)thread->v[CT_TH_TID]);
	for (size_t i = path->len; i; i -= sizeof(ct_u32)) {
		ct_u32 key;

		memcpy(&key, path->data + i - sizeof(key), sizeof(key));
		ex_str(o, ";");
		put_frame(o, ex_name(s->src, CT_FUNCTIONS, st_function(s, key, &location)));
	}
	return 0;
}

int ex_folded(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
	      struct ct_error *err)
{
	struct sd_buf path = {0};
	struct stacks s;
	int ret = stacks_build(&s, src, opts, false, err);

	for (ct_u32 i = 1; i <= s.count && ret == 0; i++) {
		ct_u64 n = opts->lines ? s.node[i].lines : s.node[i].self_ns;

		if (!n || !s.node[i].parent)
			continue;
		ret = put_stack(&s, i, &path, o, err);
		ex_fmt(o, " %llu\n", (unsigned long long)n);
	}
	free(path.data);
	stacks_free(&s);
	return ret;
}
