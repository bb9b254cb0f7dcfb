// SPDX-License-Identifier: MIT
/* qsort, bsearch, trees, hash tables, queues. */
#include "behave.h"
#include <search.h>

static int less(const void *a, const void *b)
{
	return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void visit(const void *node, VISIT which, int depth)
{
	mix_number(**(int *const *)node + which + depth);
}

int main(void)
{
	static int v[20000];
	void *root = NULL;
	char key[100][10];

	for (int i = 0; i < 20000; i++)
		v[i] = (int)(i * 2654435761u >> 3);
	qsort(v, 20000, sizeof(int), less);
	mix(v, sizeof(v));
	for (int i = 0; i < 300; i++)
		MUST_BE(tsearch(&v[i * 61 % 20000], &root, less));
	twalk(root, visit);
	OK(hcreate(200));
	for (long i = 0; i < 100; i++) {
		snprintf(key[i], sizeof(key[i]), "k%ld", i * 7);
		MUST_BE(hsearch((ENTRY){key[i], (void *)i}, ENTER));
	}
	for (int i = 0; i < 100; i++)
		mix_number((long)hsearch((ENTRY){key[i], NULL}, FIND)->data);
	MUST_BE(bsearch(&v[777], v, 20000, sizeof(int), less));
	return end();
}
