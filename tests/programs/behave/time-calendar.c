// SPDX-License-Identifier: MIT
/* Calendars: time zones, formats, parsing. */
#include "behave.h"
#include <time.h>

int main(void)
{
	const char *const zone[] = {"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "none/such"};
	time_t now = time(NULL);
	char text[100];
	struct tm tm;

	for (int i = 0; i < 5; i++) {
		setenv("TZ", zone[i], 1);
		tzset();
		for (long k = -2; k < 3; k++) {
			time_t t = now + k * 10000000;

			MUST_BE(localtime_r(&t, &tm));
			strftime(text, sizeof(text), "%c %Z %z %j %U", &tm);
			mix_text(text);
			mix_number(mktime(&tm));
			MUST_BE(gmtime_r(&t, &tm));
			mix_number(timegm(&tm));
		}
	}
	MUST_BE(strptime("2020-02-29 12:34:56", "%Y-%m-%d %T", &tm));
	mix_number(mktime(&tm));
	mix_text(ctime(&now));
	return end();
}
