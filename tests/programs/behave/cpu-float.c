// SPDX-License-Identifier: MIT
/* Rounding modes, exceptions of floating point, long doubles, mathematics. */
#include "behave.h"
// cflags: -lm
#include <fenv.h>
#include <math.h>

int main(void)
{
	const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	char text[100];

	for (int i = 0; i < 4; i++) {
		fesetround(modes[i]);
		for (volatile double x = 0.1; x < 20; x *= 1.37) {
			double y[] = {sin(x), exp(x), log(x), pow(x, 1.7), tgamma(x), rint(x), x / 3};
			volatile long double z = (long double)x * x / 7;

			GOT(y);
			snprintf(text, sizeof(text), "%.17Lg %a", z, y[1]);
			mix_text(text);
		}
		mix_number(fetestexcept(FE_ALL_EXCEPT));
		feclearexcept(FE_ALL_EXCEPT);
	}
	return end();
}
