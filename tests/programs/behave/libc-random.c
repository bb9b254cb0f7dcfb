// SPDX-License-Identifier: MIT
/* Random numbers of all the generators in the library. */
#include "behave.h"
#include <sys/random.h>

int main(void)
{
	char state[64];
	unsigned seed = 0;

	OK(getentropy(&seed, sizeof(seed)));
	srand(seed);
	srandom(seed);
	srand48(seed);
	for (int i = 0; i < 100; i++) {
		mix_number(rand()), mix_number(random()), mix_number(lrand48()), mix_number(rand_r(&seed));
		mix_number(arc4random());
		mix_number(arc4random_uniform(1000));
		double x = drand48();
		GOT(x);
	}
	arc4random_buf(state, sizeof(state));
	GOT(state);
	initstate(5, state, sizeof(state));
	mix_number(random());
	return end();
}
