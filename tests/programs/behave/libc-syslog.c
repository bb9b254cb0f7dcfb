// SPDX-License-Identifier: MIT
/* Messages to the system's log and to standard error, errors with names. */
#include "behave.h"
#include <err.h>
#include <error.h>
#include <signal.h>
#include <syslog.h>

int main(void)
{
	openlog("behave", LOG_PID | LOG_NDELAY, LOG_USER);
	syslog(LOG_DEBUG, "one message of a test");
	closelog();
	for (int i = 0; i < 140; i++) {
		mix_text(strerror(i));
		mix_text(strerrordesc_np(i) ? strerrordesc_np(i) : "");
	}
	for (int i = 1; i < 32; i++)
		mix_text(strsignal(i));
	errno = ENOENT;
	warn("a warning of %d", 1);
	error(0, EINVAL, "an error of %d", 2);
	return end();
}
