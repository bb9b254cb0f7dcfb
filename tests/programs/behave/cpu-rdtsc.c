// SPDX-License-Identifier: MIT
/* Time stamp counters, read by the program itself. */
#include "behave.h"
#include <x86intrin.h>

int main(void)
{
	unsigned aux;

	for (int i = 0; i < 50; i++) {
		mix_number((long)__rdtsc());
		mix_number((long)__rdtscp(&aux));
		mix_number(aux);
	}
	return end();
}
