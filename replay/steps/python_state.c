// SPDX-License-Identifier: MIT
/* Stacks and sleeping generators of CPython's builder as words, to go on from in another run of it. Code is known by
 * file, name and first line then, until the agent meets it again. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/python_priv.h"

#define STATE_VERSION 1

struct words {
	ct_u64 *list;
	size_t count;
	bool failed;
};

static void put(struct words *w, ct_u64 value)
{
	if (w->failed || !GROW(w->list, w->count))
		w->failed = true;
	else
		w->list[w->count++] = value;
}

static void put_text(struct words *w, const char *text)
{
	size_t len = strlen(text);

	put(w, len);
	for (size_t i = 0; i < len; i += 8) {
		ct_u64 word = 0;

		memcpy(&word, text + i, len - i < 8 ? len - i : 8);
		put(w, word);
	}
}

struct reader {
	const ct_u64 *at, *end;
	bool failed;
};

static ct_u64 get(struct reader *r)
{
	if (r->at == r->end)
		r->failed = true;
	return r->failed ? 0 : *r->at++;
}

static char *get_text(struct reader *r)
{
	ct_u64 len = get(r), words = len / 8 + (len % 8 != 0);
	char *text = NULL;

	if (r->failed || words > (ct_u64)(r->end - r->at) || !(text = malloc(len + 1))) {
		r->failed = true;
		return NULL;
	}
	memcpy(text, r->at, len);
	text[len] = 0;
	r->at += words;
	return text;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* Codes and C functions that are in use get numbers of their own, in the order in which frames refer to them. */
struct numbers {
	ct_u32 *code, *native; /* by number in the builder: number in the state + 1 */
	ct_u32 ncode, nnative;
	struct words names;
};

static void put_frame(const struct ct_pysteps *b, struct numbers *n, struct words *w, const struct ct_pyframe *f)
{
	const bool native = ct_pyframe_native(f);
	ct_u32 *number = native ? &n->native[f->code] : &n->code[f->code];

	if (!*number) {
		*number = native ? ++n->nnative : ++n->ncode;
		put(&n->names, native);
		put_text(&n->names, native ? b->native[f->code].name : b->base.code[f->code].code.name);
		if (!native) {
			put_text(&n->names, b->base.code[f->code].code.file);
			put(&n->names, b->base.code[f->code].code.first_line);
			put(&n->names, b->base.code[f->code].wanted);
		}
	}
	put(w, f->frame);
	put(w, (ct_u64)f->line << 32 | (*number - 1));
	put(w, f->run | (ct_u64)f->awaits << 63);
}

int ct_pysteps_save(const struct ct_pysteps *b, ct_u64 **state, size_t *words, struct ct_error *err)
{
	struct numbers n = {.code = calloc(b->base.ncode + 1, sizeof(*n.code)),
			    .native = calloc(b->nnative + 1, sizeof(*n.native))};
	struct words w = {.failed = !n.code || !n.native}, all = {.failed = w.failed};

	put(&w, b->runs);
	put(&w, b->tid);
	put(&w, b->nthreads);
	for (size_t i = 0; i < b->nthreads && !w.failed; i++) {
		put(&w, (ct_u64)b->thread[i].told << 32 | b->thread[i].tid);
		put(&w, b->thread[i].depth);
		for (size_t k = 0; k < b->thread[i].depth && !w.failed; k++)
			put_frame(b, &n, &w, &b->thread[i].frame[k]);
	}
	put(&w, b->sleeping.count);
	for (const void *f = NULL; !w.failed && (f = ct_keyed_next(&b->sleeping, f));)
		put_frame(b, &n, &w, f);
	put(&all, STATE_VERSION);
	put(&all, n.ncode + n.nnative);
	for (size_t i = 0; i < n.names.count; i++)
		put(&all, n.names.list[i]);
	for (size_t i = 0; i < w.count; i++)
		put(&all, w.list[i]);
	free(n.code);
	free(n.native);
	free(n.names.list);
	free(w.list);
	if (w.failed || n.names.failed || all.failed) {
		free(all.list);
		return ct_fail_memory(err);
	}
	*state = all.list;
	*words = all.count;
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static void get_names(struct ct_pysteps *b, struct reader *r)
{
	ct_u64 count = get(r);

	for (ct_u64 i = 0; i < count && !r->failed; i++) {
		bool native = get(r), wanted;
		struct ct_step_code c = {.name = get_text(r)};
		long id = -1;

		if (native) {
			id = c.name ? ct_pysteps_native(b, c.name) : -1;
		} else {
			c.file = get_text(r);
			c.first_line = (ct_u32)get(r);
			wanted = get(r);
			if (!r->failed && (id = ct_pysteps_code(b, &c, &wanted)) >= 0)
				b->base.code[id].wanted = wanted;
		}
		ct_step_code_deinit(&c);
		r->failed |= id < 0;
	}
}

static bool get_frame(struct ct_pysteps *b, struct reader *r, struct ct_pyframe *f)
{
	ct_u64 code;

	f->frame = get(r);
	code = get(r);
	f->run = get(r);
	f->awaits = f->run >> 63;
	f->run &= ~0ull >> 1;
	f->code = (ct_u32)code;
	f->line = (ct_u32)(code >> 32);
	return !r->failed && f->frame && f->code < (ct_pyframe_native(f) ? b->nnative : b->base.ncode);
}

int ct_pysteps_load(struct ct_pysteps *b, const ct_u64 *state, size_t words, struct ct_error *err)
{
	struct reader r = {.at = state, .end = state + words};
	struct ct_pyframe f;
	ct_u64 count, depth;
	ct_u32 tid;

	if (get(&r) != STATE_VERSION)
		r.failed = true;
	get_names(b, &r);
	b->runs = get(&r);
	tid = (ct_u32)get(&r);
	count = get(&r);
	for (ct_u64 i = 0; i < count && !r.failed; i++) {
		ct_u64 head = get(&r);
		struct ct_pythread *t = ct_pysteps_thread(b, (ct_u32)head);

		if (!t)
			break;
		t->told = head >> 32;
		for (depth = get(&r); depth && !r.failed; depth--) {
			if (!get_frame(b, &r, &f) || !GROW(t->frame, t->depth))
				r.failed = true;
			else
				t->frame[t->depth++] = f;
		}
	}
	for (count = get(&r); count && !r.failed; count--)
		r.failed |= !get_frame(b, &r, &f) || ct_pyframe_native(&f) || !ct_keyed_put(&b->sleeping, &f);
	b->tid = tid;
	if (r.failed || r.at != r.end)
		return ct_fail(err, CT_EXIT_FAILED, "where the interrupted index stood cannot be read");
	return 0;
}
