// SPDX-License-Identifier: MIT
/* Fifty children at once, all of which are waited for in the order of their ends. */
#include "behave.h"

int main(void)
{
	int status;

	for (int i = 0; i < 50; i++)
		if (!OK(fork())) {
			for (volatile int k = 0; k < (i * 7 % 10) * 1000; k++)
				;
			_exit(i);
		}
	for (int i = 0; i < 50; i++) {
		OK(wait(&status));
		mix_number(status);
	}
	return end();
}
