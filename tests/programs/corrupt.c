/* SPDX-License-Identifier: MIT
 * A heap corruption: `fill` writes one element too many, over the neighbour's pointer, and the program crashes much
 * later. cflags: -O0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
	long values[4];
	char *name;
};
static struct item *items[8];
static long checksum;

static void fill(struct item *it, long from, int n)
{
	for (int i = 0; i < n; i++)
		it->values[i] = from + i; /* guilty: n is 5 once */
}

static long work(long rounds)
{
	long sum = 0;

	for (long i = 0; i < rounds; i++)
		sum = sum * 31 + i;
	return sum;
}

int main(void)
{
	for (int i = 0; i < 8; i++) {
		items[i] = calloc(1, sizeof(struct item));
		items[i]->name = strdup("item");
	}
	for (int round = 0; round < 40; round++) {
		fill(items[round % 8], 1000 + round, round == 29 ? 5 : 4);
		checksum += work(20000);
		printf("round %d\n", round);
		fflush(stdout);
	}
	for (int i = 0; i < 8; i++)
		checksum += items[i]->name[0];
	printf("%ld\n", checksum);
	return 0;
}
