/* SPDX-License-Identifier: MIT
 * The table of things by a key in them: puts and takes in random order against an array by key. */
#include <criterion/criterion.h>

#include "replay/steps/keyed.h"

#define KEYS 6000 /* more than two rounds of growth */

struct thing {
	ct_u64 key;
	unsigned value;
};

static ct_u64 next(ct_u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

static void check_all(const struct ct_keyed *t, const unsigned *want)
{
	size_t count = 0, seen = 0;

	for (ct_u64 key = 1; key <= KEYS; key++) {
		const struct thing *have = ct_keyed_find(t, key << 4);

		cr_assert_eq(have != NULL, want[key] != 0, "key %llu", (unsigned long long)key);
		cr_assert(!have || (have->key == key << 4 && have->value == want[key]));
		count += want[key] != 0;
	}
	for (const struct thing *have = NULL; (have = ct_keyed_next(t, have)); seen++)
		cr_assert(have->value == want[have->key >> 4]);
	cr_assert_eq(t->count, count);
	cr_assert_eq(seen, count);
}

Test(keyed, holds_what_was_put_and_not_taken)
{
	static unsigned want[KEYS + 1];
	struct ct_keyed t = {.size = sizeof(struct thing)};
	ct_u64 seed = 7;

	for (unsigned i = 1; i <= 60000; i++) {
		const ct_u64 key = next(&seed) % KEYS + 1;
		struct thing taken;

		if (next(&seed) % 5 < (i < 30000 ? 3 : 1)) {
			cr_assert(ct_keyed_put(&t, &(struct thing){key << 4, i}));
			want[key] = i;
		} else {
			cr_assert_eq(ct_keyed_take(&t, key << 4, &taken), want[key] != 0);
			cr_assert(!want[key] || (taken.key == key << 4 && taken.value == want[key]));
			want[key] = 0;
		}
		if (i % 10000 == 0)
			check_all(&t, want);
	}
	ct_keyed_free(&t);
	cr_assert_null(ct_keyed_find(&t, 16));
	cr_assert_null(ct_keyed_next(&t, NULL));
}
