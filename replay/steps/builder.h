/* SPDX-License-Identifier: MIT
 * Private to the builders: what those of all languages have in common. Tables of what agents name by number, the files
 * and functions that the sink has been told of, and the parts of values that all agents write alike. */
#ifndef CT_STEPS_BUILDER_H
#define CT_STEPS_BUILDER_H

#include "replay/steps/arena.h"
#include "replay/steps/steps.h"

#define GROW(list, n)   ct_step_grow((void **)&(list), n, sizeof(*(list)))
#define TELL(what, ...) (b->base.sink.what ? b->base.sink.what(b->base.sink.ctx, __VA_ARGS__, err) : 0)

/* Room for one more behind n. */
bool ct_step_grow(void **list, size_t n, size_t size);

struct ct_step_texts { /* each once */
	char **list;
	size_t count;
};
struct ct_step_known_code {
	struct ct_step_code code;
	ct_u32 function; /* the sink's number */
	bool wanted;
};
struct ct_step_builder {
	struct ct_step_sink sink;
	const struct ct_step_filter *filter;
	struct ct_step_known_code *code;
	size_t ncode;
	struct ct_step_texts type, text, file;
	ct_u32 nfunctions;
	struct ct_arena *arena; /* parts of values */
	bool in_place;          /* texts of values may stay where the words are: they are told at once */
};

void ct_step_builder_init(struct ct_step_builder *b, const struct ct_step_sink *sink,
			  const struct ct_step_filter *filter);
void ct_step_builder_deinit(struct ct_step_builder *b);
/* Its number; -1: out of memory. */
long ct_step_add_text(struct ct_step_texts *t, const char *text);
/* The same. Takes over what *c holds; *wanted says whether its lines are asked for. */
long ct_step_add_code(struct ct_step_builder *b, struct ct_step_code *c, bool *wanted);
/* The same function, maybe read again. */
bool ct_step_same_code(const struct ct_step_known_code *a, const struct ct_step_known_code *b);
/* Has the sink been told of the code's function? It is now. */
int ct_step_function(struct ct_step_builder *b, struct ct_step_known_code *e, struct ct_error *err);

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Three words: kind in 8 bits, flags in 8, count in 16, number of the type in 32; the address; the length. `count`
 * bytes, filled up to words, or children may follow. Readers return how many words a value took, 0 if it is none. */
#define CT_VALUE_DEEPEST 64
typedef size_t ct_value_reader(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth);

/* What follows are children, each of which `read` can read. */
size_t ct_value_children(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth,
			 ct_value_reader *read);
/* What follows is a text of bytes. */
size_t ct_value_bytes(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v);
/* What follows are digits of so many bits in 32, lowest first; the length is their number, negative below zero. */
size_t ct_value_bigint(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, unsigned bits);
/* The length is the number of a text. */
size_t ct_value_text(const struct ct_step_texts *t, const ct_u64 *w, struct ct_value *v);

#endif
